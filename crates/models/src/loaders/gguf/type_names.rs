//! What messages call the types of tensors, those that can't be read included.

use super::BlockType;

/// ggml's types that are known by name but can't be read.
const OTHERS: &[(u32, &str)] = &[
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// What a message calls the type with ggml's number `id`.
pub(super) fn describe(id: u32) -> String {
    let known = BlockType::from_ggml_id(id).map(BlockType::name);
    let name = known.or_else(|| OTHERS.iter().find(|row| row.0 == id).map(|row| row.1));
    name.map_or_else(|| format!("number {id}"), |name| format!("{name} (number {id})"))
}

/// The types that a message offers.
pub(super) fn supported() -> String {
    BlockType::all().map(BlockType::name).collect::<Vec<_>>().join(", ")
}
