//! Where a number comes from.

use kvr_eval::record::{Provenance, SCHEMA};

use crate::shared::backend::Backend;

/// The version of Burn that the workspace pins; a test compares it with the lock file.
pub(crate) const BURN_VERSION: &str = "0.22.1";

/// Revision that the program was built from.
pub(crate) const GIT_REV: &str = env!("KVR_GIT_REV");

/// Whether the sources differed from that revision.
pub(crate) fn dirty() -> bool {
    env!("KVR_GIT_DIRTY") == "true"
}

/// Now, in UTC, to the second.
pub(crate) fn date_utc() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// The command line, quoted where a shell needs it.
pub(crate) fn command() -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:=@+".contains(c);
    let words = std::env::args().enumerate().map(|(i, word)| match word {
        _ if i == 0 => "kvr".to_owned(),
        word if !word.is_empty() && word.chars().all(plain) => word,
        word => format!("'{}'", word.replace('\'', r"'\''")),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The config.toml of a command whose flags say everything.
pub(crate) fn config() -> Result<String, toml::ser::Error> {
    toml::to_string(&toml::Table::from_iter([("command".to_owned(), command().into())]))
}

/// What all records of this command say of their making.
pub(crate) fn of(backend: &Backend) -> Provenance {
    Provenance {
        schema: SCHEMA,
        git_rev: GIT_REV.to_owned(),
        dirty: dirty(),
        date_utc: date_utc(),
        command: command(),
        device: backend.description.clone(),
        backend: backend.name.to_owned(),
        threads: backend.threads,
        burn_version: BURN_VERSION.to_owned(),
        dtype: "f32".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_of_burn_is_the_one_that_is_linked() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).expect("the workspace has a lock file");
        let line = format!("name = \"burn\"\nversion = \"{}\"", super::BURN_VERSION);
        assert!(lock.contains(&line), "Cargo.lock has another burn than {}", super::BURN_VERSION);
    }
}
