#!/usr/bin/env bash
# Starts Slurm on this machine alone, for the test of configs/cluster/slurm.sbatch: one controller,
# one node, no accounting. Debian: apt-get install slurmd slurmctld munge. Needs root.
set -euo pipefail

command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null || {
    echo "slurm-here: slurmctld, slurmd or munged is missing: apt-get install slurmd slurmctld munge" >&2
    exit 1
}
if sinfo -h >/dev/null 2>&1; then
    echo "slurm-here: Slurm answers already"
    exit 0
fi
# A configuration that somebody else wrote stays as it is.
mark="# written by kvr's scripts/slurm-here.sh"
if [ -s /etc/slurm/slurm.conf ] && ! grep -qF "$mark" /etc/slurm/slurm.conf; then
    echo "slurm-here: /etc/slurm/slurm.conf is there and not mine: start that Slurm, or move the file" >&2
    exit 1
fi
host=$(hostname -s)
state=/var/tmp/kvr-slurm
mkdir -p "$state/ctld" "$state/d" /etc/slurm /run/munge
cat >/etc/slurm/slurm.conf <<CONF
$mark
ClusterName=kvr
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmctldPidFile=$state/ctld.pid
SlurmdPidFile=$state/d.pid
SlurmctldLogFile=$state/ctld.log
SlurmdLogFile=$state/d.log
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/d
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
[ -f /etc/munge/munge.key ] || mungekey --create 2>/dev/null || create-munge-key
chown munge:munge /etc/munge/munge.key /run/munge
pgrep -x munged >/dev/null || su -s /bin/sh munge -c munged
slurmctld
slurmd
for _ in $(seq 30); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && exit 0
    sleep 1
done
echo "slurm-here: the node is not idle after 30 s; see $state/*.log" >&2
exit 1
