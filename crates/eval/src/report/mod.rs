//! Records for people: tables, pictures, pages and differences between two results.

pub mod diff;
mod page;
pub mod plot;
pub mod table;
pub mod units;

pub use self::page::page;
