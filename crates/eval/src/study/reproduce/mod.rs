//! Published tables, and the same quantities measured here.
//!
//! A table is a file in configs/tables/: what was printed, how it was measured as far as the
//! authors say, and what is known to be wrong with it. The same policies are measured on the model
//! at hand, under the nearest protocol, and compared with it.

mod compare;
mod published;

use self::published::parse;
use crate::EvalError;

pub use self::compare::Reproduced;
pub use self::published::{Column, Published, Quantity, Row, Run};

/// A table of this repository: name and text.
macro_rules! published {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../configs/tables/",
                $name,
                ".toml"
            )),
        )
    };
}

/// The tables that come with the program: name and text.
const TABLES: [(&str, &str); 7] = [
    published!("kvsplit"),
    published!("quarot"),
    published!("flatquant"),
    published!("kvquant"),
    published!("xquant"),
    published!("llama-cpp-7412"),
    published!("rotation-1034"),
];

/// The names and titles of the tables that come with the program.
///
/// # Errors
/// When one of them is broken.
pub fn tables() -> Result<Vec<(&'static str, Published)>, EvalError> {
    TABLES.iter().map(|(name, text)| Ok((*name, parse(text, name)?))).collect()
}

/// The table of that name, or of that file.
///
/// # Errors
/// When there is none, or the file is not a table.
pub fn table(name: &str) -> Result<Published, EvalError> {
    if let Some((_, text)) = TABLES.iter().find(|(known, _)| *known == name) {
        return parse(text, name);
    }
    if name.ends_with(".toml") {
        let text = std::fs::read_to_string(name).map_err(|source| EvalError::File {
            path: name.into(),
            verb: "read",
            source,
        })?;
        return parse(&text, name);
    }
    Err(EvalError::unknown("table (a name or a .toml file)", name, TABLES.iter().map(|t| t.0)))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kvr_kernels::Context;
    use kvr_models::Hub;
    use kvr_policy::Registry;

    use super::*;

    #[test]
    fn every_table_is_whole_and_its_policies_exist() {
        let tables = tables().expect("tables that parse");
        assert_eq!(tables.len(), 7);
        let registry = Registry::builtin();
        for (name, table) in tables {
            table.policies(&registry).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!table.source.is_empty() && !table.measured.is_empty(), "{name}");
            if let Some(settings) = table.settings(None) {
                crate::run::protocols::by_name(&settings.protocol).expect(name);
            }
        }
        assert!(table("quarrot").expect_err("misspelled").to_string().contains("quarot"));
    }

    #[test]
    fn kvsplit_memory_is_reproduced_to_the_byte() {
        let table = table("kvsplit").expect("a table");
        let policies = table.policies(&Registry::builtin()).expect("policies");
        let hub = Hub { offline: true, ..Hub::from_env() };
        let cells =
            table.compare(&policies, &[], &hub, &Context::new(&Device::flex())).expect("measured");
        let memory: Vec<_> = cells.iter().filter(|c| c.quantity == Quantity::CacheMib).collect();
        assert_eq!(memory.len(), 20);
        for cell in memory {
            // They round to two digits.
            let difference = cell.difference.expect("both numbers");
            assert!(difference.abs() <= 0.005001, "{} {}: {difference}", cell.row, cell.column);
        }
    }
}
