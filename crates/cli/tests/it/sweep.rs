//! Sweeps: killed and resumed, in shards, on full disks and over damaged records.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{command, kvr, mistake, stdout};

/// 24 cells: two contexts, three modes, four policies.
const GRID: &str = r#"
policies = ["k8v4", "k4v8", "k4v4"]
baseline = "fp16"
contexts = [64, 96]
modes = ["cache-read", "decode", "post-prefill"]
chunks = 2
"#;

/// What depends on the clock or the process, and not on what was measured.
const VOLATILE: [&str; 5] =
    ["date_utc", "peak_process_bytes", "prefill_s", "prefill_tok_s", "decode_tok_s"];

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(grid: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("grid.toml"), grid).expect("writable");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args<'a>(&self, out: &'a str, extra: &[&'a str]) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        let mut args = vec!["sweep".to_owned(), text(self.path("grid.toml"))];
        args.extend([
            "--out".to_owned(),
            text(self.path(out)),
            "--backend".to_owned(),
            "cpu".to_owned(),
        ]);
        args.extend(extra.iter().map(|s| (*s).to_owned()));
        args
    }

    fn run(&self, out: &str, extra: &[&str]) {
        let args = self.args(out, extra);
        stdout(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// The lines of a file of records without what is volatile, and without the folder in the command.
fn stable(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("records");
    assert!(text.ends_with('\n'));
    let line = |line: &str| {
        let mut record: Value = serde_json::from_str(line).expect("a whole record");
        let fields = record.as_object_mut().expect("an object");
        for name in VOLATILE.iter().chain(&["command"]) {
            fields.remove(*name);
        }
        record.to_string()
    };
    text.lines().map(line).collect()
}

/// Numbers that differ from run to run, and need no library.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn killed_twenty_times_it_ends_with_the_same_records() {
    let place = Place::new(GRID);
    let start = std::time::Instant::now();
    place.run("calm", &[]);
    let whole = start.elapsed();
    let calm = stable(&place.path("calm/records.jsonl"));
    assert_eq!(calm.len(), 24);

    let args = place.args("stormy", &[]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut state = 7;
    let mut kills = 0;
    // A run that is killed early gets nowhere: moments are spread over a whole run.
    while kills < 20 {
        let mut child =
            command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let share = random(&mut state) % 1000;
        std::thread::sleep(whole.mul_f64(share as f64 / 1000.0).min(Duration::from_secs(20)));
        child.kill().expect("SIGKILL");
        child.wait().expect("gone");
        kills += 1;
        let records = place.path("stormy/records.jsonl");
        let done = std::fs::read_to_string(&records).unwrap_or_default().matches('\n').count();
        if done == 24 {
            // Begin again, so that later kills meet work too.
            assert_eq!(stable(&records), calm);
            std::fs::remove_dir_all(place.path("stormy")).expect("removable");
        }
    }
    place.run("stormy", &[]);
    assert_eq!(stable(&place.path("stormy/records.jsonl")), calm);
    let left: Vec<_> = std::fs::read_dir(place.path("stormy"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".baseline"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn shards_and_jobs_measure_the_same_cells() {
    let place = Place::new(GRID);
    place.run("whole", &["--jobs", "2"]);
    for shard in ["0/3", "1/3"] {
        place.run("shards", &["--shard", shard]);
    }
    // The last one as an array task of Slurm.
    let args = place.args("shards", &[]);
    let output = command(&args.iter().map(String::as_str).collect::<Vec<_>>())
        .env("SLURM_ARRAY_TASK_ID", "3")
        .env("SLURM_ARRAY_TASK_MIN", "1")
        .env("SLURM_ARRAY_TASK_COUNT", "3")
        .output()
        .expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let joined = place.path("joined");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    stdout(&["merge", &text(&place.path("shards")), "--out", &text(&joined)]);
    let sorted = |file: PathBuf| {
        let mut lines = stable(&file);
        lines.sort();
        lines
    };
    let whole = sorted(place.path("whole/records.jsonl"));
    assert_eq!(whole.len(), 24);
    assert_eq!(sorted(joined.join("records.jsonl")), whole);

    // Another revision's records are refused unless they are asked for.
    let file = place.path("shards/records-1-of-3.jsonl");
    let records = std::fs::read_to_string(&file).expect("records");
    let revision = |line: &str| {
        let mut record: Value = serde_json::from_str(line).expect("a record");
        record["git_rev"] = "000000000000".into();
        record.to_string() + "\n"
    };
    std::fs::write(&file, records.lines().map(revision).collect::<String>()).expect("writable");
    let (shards, other) = (text(&place.path("shards")), text(&place.path("other")));
    assert!(mistake(&["merge", &shards, "--out", &other]).contains("000000000000"));
    assert!(!place.path("other").exists(), "a refused merge leaves nothing");
    stdout(&["merge", &shards, "--out", &other, "--allow-mixed"]);
    let resumed = place.args("shards", &["--shard", "1/3"]);
    assert!(
        mistake(&resumed.iter().map(String::as_str).collect::<Vec<_>>()).contains("--allow-mixed")
    );
}

#[test]
fn damaged_records_and_folders_are_one_clear_error() {
    let place = Place::new("policies = ['fp16']\ncontexts = [64]\nchunks = 1\n");
    place.run("out", &[]);
    let file = place.path("out/records.jsonl");
    let good = std::fs::read_to_string(&file).expect("records");
    std::fs::write(&file, format!("{{\"schema\":2}}\n{good}")).expect("writable");
    let args = place.args("out", &[]);
    let said = mistake(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("records.jsonl:1: is not a record"), "{said}");
    assert!(std::fs::read_to_string(&file).expect("records").ends_with(&good), "nothing is lost");

    std::fs::write(place.path("file"), "in the way").expect("writable");
    let args = place.args("file/out", &[]);
    let said = mistake(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("file/out"), "{said}");

    std::fs::write(place.path("grid.toml"), "polices = ['fp16']").expect("writable");
    let args = place.args("new", &[]);
    let said = mistake(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("polices") && !place.path("new").exists(), "{said}");
}

/// A disk that is full: a file system of 1 MiB, where the machine lets us mount one.
#[test]
fn a_full_disk_is_one_clear_error() {
    let place =
        Place::new("policies = ['k4v4']\nbaseline = 'fp16'\ncontexts = [512]\nchunks = 16\n");
    let disk = place.path("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&disk)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        kvr_testing::skip("no small file system can be mounted here");
        return;
    }
    let args = place.args("disk/out", &[]);
    let output = kvr(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let unmounted = std::process::Command::new("umount").arg(&disk).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().expect("an error");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(last.contains("No space left") && last.contains(".safetensors"), "{said}");
}

/// A read-only folder: root may write everywhere, so it is a read-only mount where the machine
/// allows one.
#[test]
fn a_read_only_folder_is_one_clear_error() {
    let place = Place::new("policies = ['fp16']\ncontexts = [64]\nchunks = 1\n");
    let disk = place.path("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"])
        .arg(&disk)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        kvr_testing::skip("no read-only file system can be mounted here");
        return;
    }
    let args = place.args("disk/out", &[]);
    let said = mistake(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let unmounted = std::process::Command::new("umount").arg(&disk).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    assert!(said.contains("Read-only") && said.contains("disk/out"), "{said}");
}

/// The job file under a real Slurm, where scripts/slurm-here.sh has started one.
#[test]
fn the_slurm_job_file_runs_under_slurm() {
    let idle = std::process::Command::new("sinfo").args(["-h", "-o", "%T"]).output();
    let up = idle.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("idle"));
    if !up {
        kvr_testing::skip("no Slurm answers (scripts/slurm-here.sh starts one on this machine)");
        return;
    }
    let place = Place::new(GRID);
    let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/cluster/slurm.sbatch");
    let mut child = std::process::Command::new("sbatch")
        .args(["--wait", "--cpus-per-task=1", "--output=/dev/null"])
        .arg(&job)
        .env("SWEEP", place.path("grid.toml"))
        .env("OUT", place.path("out"))
        .env("KVR", env!("CARGO_BIN_EXE_kvr"))
        .env("HF_HUB_OFFLINE", "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("sbatch starts");
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(child.wait().expect("ends").success(), "{said}");
    let out = place.path("out");
    let joined = place.path("joined");
    stdout(&["merge", out.to_str().expect("UTF-8"), "--out", joined.to_str().expect("UTF-8")]);
    assert_eq!(stable(&joined.join("records.jsonl")).len(), 24);
}
