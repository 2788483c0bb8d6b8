//! Methods that store every token in fewer bits.

mod kivi;
mod kvquant;
mod pair;

pub use kivi::Kivi;
pub use kvquant::{KvQuant, LayerCodebooks};
pub use pair::Formats;
