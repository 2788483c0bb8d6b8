//! `kvr new`: a crate for a policy of your own, from the example that the workspace compiles.

use std::path::{Path, PathBuf};

use crate::shared::error::Usage;
use crate::shared::output::write_out;

/// A file of the example, which is the template of new crates.
macro_rules! example {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/custom-policy/", $path))
    };
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  kvr new my-policy                         a storage format, a token scorer and a full policy
  kvr new my-policy --tier format           a storage format only
  kvr new my-policy --path ../kvr           against a checkout instead of the published crates
Then: cd my-policy && cargo test && cargo run --release -- eval --policy fp16,int8,value-norm";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the crate, and of the folder that is made for it here.
    name: String,
    /// Which kind of policy to begin with [default: one of each].
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    /// A checkout of kvr to build against, instead of the published crates.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// The ways in, each a file of the example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tier {
    /// How a block of values becomes code words: 40 lines.
    Format,
    /// A score for each token, the lowest are evicted: 25 lines.
    Scorer,
    /// A cache of your own: 100 lines.
    Policy,
}

impl Tier {
    const ALL: [Self; 3] = [Self::Format, Self::Scorer, Self::Policy];

    fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Scorer => "scorer",
            Self::Policy => "policy",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::Format => example!("src/format.rs"),
            Self::Scorer => example!("src/scorer.rs"),
            Self::Policy => example!("src/policy.rs"),
        }
    }

    /// What the example calls it.
    fn example(self) -> &'static str {
        match self {
            Self::Format => "int8",
            Self::Scorer => "value-norm",
            Self::Policy => "clipped",
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let name = &args.name;
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !valid {
        return Err(Usage(format!(
            "'{name}' is not a crate name: use small letters, digits and hyphens, such as my-policy"
        ))
        .into());
    }
    let checkout = args.path.as_deref().map(checkout).transpose()?;
    let tiers = args.tier.map_or(Tier::ALL.to_vec(), |tier| vec![tier]);
    let folder = Path::new(name);
    if folder.exists() {
        return Err(Usage(format!("{name}: is there already: choose another name")).into());
    }
    // All files stand in a folder of another name until the last is written.
    let part = PathBuf::from(format!(".{name}.part"));
    let written = write(&part, name, &tiers, checkout.as_deref());
    if let Err(error) = written.and_then(|()| Ok(std::fs::rename(&part, folder)?)) {
        // What was begun is of no use; that it can't be removed either is not the news.
        let _ = std::fs::remove_dir_all(&part);
        return Err(error.context(format!("{name}: could not be written")));
    }
    let names: Vec<_> = tiers.iter().map(|tier| tier.example()).collect();
    write_out(&format!(
        "{name}: written. Next:\n  cd {name}\n  cargo test --release\n  cargo run --release -- \
        eval --policy fp16,{}\n",
        names.join(",")
    ))
}

/// The absolute path of a checkout.
fn checkout(path: &Path) -> anyhow::Result<PathBuf> {
    let shown = path.display();
    let absolute = path.canonicalize().map_err(|e| Usage(format!("--path {shown}: {e}")))?;
    if !absolute.join("crates/policy/Cargo.toml").is_file() {
        return Err(Usage(format!(
            "--path {shown}: is not a checkout of kvr: crates/policy is missing"
        ))
        .into());
    }
    Ok(absolute)
}

fn write(folder: &Path, name: &str, tiers: &[Tier], checkout: Option<&Path>) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder.join("src"))?;
    std::fs::create_dir_all(folder.join("tests"))?;
    let own = |text: &str| {
        let text = text.replace("custom_policy", &name.replace('-', "_"));
        keep_tiers(&text, tiers)
    };
    let put = |path: &str, text: &str| std::fs::write(folder.join(path), text);
    put("Cargo.toml", &manifest(name, tiers, checkout))?;
    put(".gitignore", "/target\n")?;
    put("src/main.rs", &own(example!("src/main.rs")))?;
    put("src/lib.rs", &own(example!("src/lib.rs")))?;
    put("tests/contract.rs", &own(example!("tests/contract.rs")))?;
    for tier in tiers {
        put(&format!("src/{}.rs", tier.name()), tier.source())?;
    }
    if let Some(checkout) = checkout {
        // The versions that the checkout was tested with.
        std::fs::copy(checkout.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    }
    Ok(())
}

/// Drops lines and tests of the example that belong to other tiers.
fn keep_tiers(text: &str, tiers: &[Tier]) -> String {
    let mut text = text.to_owned();
    for other in Tier::ALL.into_iter().filter(|tier| !tiers.contains(tier)) {
        let test = format!("\n#[test]\nfn {}_keeps_the_contract() {{", other.name());
        if let Some(start) = text.find(&test) {
            let end = text[start..].find("\n}\n").map_or(text.len(), |end| start + end + 3);
            text.replace_range(start..end, "");
        }
        let marks = [format!("mod {};", other.name()), format!("{}::", other.name())];
        let foreign = |line: &&str| {
            marks
                .iter()
                .any(|mark| line.contains(mark.as_str()) && !line.contains(&format!("_{mark}")))
        };
        text = text.lines().filter(|line| !foreign(line)).map(|line| format!("{line}\n")).collect();
    }
    if !tiers.contains(&Tier::Format) {
        text = text.replace("use std::sync::Arc;\n\n", "");
    }
    text
}

fn manifest(name: &str, tiers: &[Tier], checkout: Option<&Path>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let dependency = |package: &str, folder: &str| match checkout {
        Some(path) => {
            let path = path.join("crates").join(folder);
            format!("{package} = {{ path = {:?} }}\n", path.display().to_string())
        }
        None => format!("{package} = \"{version}\"\n"),
    };
    let serde = if tiers == [Tier::Format] {
        ""
    } else {
        "serde = { version = \"1\", features = [\"derive\"] }\n"
    };
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\n{}{}{serde}\n\
         [profile.dev.package.\"*\"]\nopt-level = 3\n",
        dependency("kvr", "cli"),
        dependency("kvr-policy", "policy"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_keeps_its_own_lines_only() {
        let lib = keep_tiers(example!("src/lib.rs"), &[Tier::Scorer]);
        assert!(lib.contains("mod scorer;") && lib.contains("add_scorer"));
        assert!(
            !lib.contains("int8") && !lib.contains("Int8") && !lib.contains("Clipped"),
            "{lib}"
        );
        assert!(lib.contains("use kvr_policy::{PolicyError, Registry};"), "{lib}");
        let tests = keep_tiers(example!("tests/contract.rs"), &[Tier::Format]);
        assert_eq!(tests.matches("#[test]").count(), 1, "{tests}");
        assert!(tests.contains("use kvr_policy::testkit"), "{tests}");
    }

    #[test]
    fn the_short_ways_are_short() {
        assert!(Tier::Format.source().lines().count() <= 40);
        assert!(Tier::Scorer.source().lines().count() <= 25);
    }
}
