//! The reader alone: values of all types, placement of tensors, refusals.

use super::writer::{Entry, Field, Writer};
use super::{open, refused, sample};
use crate::loaders::gguf::{BlockType, Gguf, Value};
use crate::weights::Content;

fn every_type() -> Writer {
    let mut writer = Writer::new();
    writer
        .key("u8", Field::U8(200))
        .key("i8", Field::I8(-100))
        .key("u16", Field::U16(60_000))
        .key("i16", Field::I16(-30_000))
        .key("u32", Field::U32(4_000_000_000))
        .key("i32", Field::I32(-2_000_000_000))
        .key("f32", Field::F32(0.5))
        .key("bool", Field::Bool(true))
        .key("text", Field::Text("naïve ½".to_owned()))
        .key("u64", Field::U64(u64::MAX))
        .key("i64", Field::I64(i64::MIN))
        .key("f64", Field::F64(-1e300))
        .key("texts", Field::texts(&["a", "", "ccc"]))
        .key("flags", Field::Array(7, vec![Field::Bool(true), Field::Bool(false)]))
        .key(
            "nested",
            Field::Array(9, vec![Field::texts(&["x"]), Field::Array(4, vec![Field::U32(7)])]),
        );
    writer
}

#[test]
fn values_of_every_type_come_back() {
    for version in [2, 3] {
        let mut writer = every_type();
        writer.version = version;
        let gguf = open(writer.bytes()).expect("a sound file");
        let metadata = gguf.metadata();
        assert_eq!(metadata.keys().count(), 15);
        let value = |key| metadata.get(key).expect("a key that was written");
        assert_eq!(value("u8"), Value::Unsigned(200));
        assert_eq!(value("i8"), Value::Signed(-100));
        assert_eq!(value("u16"), Value::Unsigned(60_000));
        assert_eq!(value("i16"), Value::Signed(-30_000));
        assert_eq!(value("u32"), Value::Unsigned(4_000_000_000));
        assert_eq!(value("i32"), Value::Signed(-2_000_000_000));
        assert_eq!(value("f32"), Value::Float(0.5));
        assert_eq!(value("bool"), Value::Bool(true));
        assert_eq!(value("text"), Value::Text("naïve ½"));
        assert_eq!(value("u64"), Value::Unsigned(u64::MAX));
        assert_eq!(value("i64"), Value::Signed(i64::MIN));
        assert_eq!(value("f64"), Value::Float(-1e300));
        let texts = metadata.array("texts").expect("an array").expect("a key that was written");
        let texts: Vec<Value<'_>> = texts.values().collect();
        assert_eq!(texts, ["a", "", "ccc"].map(Value::Text));
        let nested = metadata.array("nested").expect("an array").expect("a key that was written");
        let inner: Vec<Vec<Value<'_>>> = nested
            .values()
            .map(|value| match value {
                Value::Array(array) => array.values().collect(),
                other => panic!("{other:?} in an array of arrays"),
            })
            .collect();
        assert_eq!(inner, [vec![Value::Text("x")], vec![Value::Unsigned(7)]]);
    }
}

#[test]
fn a_value_of_another_kind_is_named_with_its_key() {
    let gguf = open(every_type().bytes()).expect("a sound file");
    let error = gguf.metadata().size("i8").expect_err("negative").to_string();
    assert!(error.contains("\"i8\" is -100, expected a whole number"), "{error}");
    let error = gguf.metadata().text("u8").expect_err("a number").to_string();
    assert!(error.contains("\"u8\" is 200, expected a text"), "{error}");
}

#[test]
fn tensors_come_back_with_their_bytes() {
    let mut writer = Writer::new();
    writer.floats("a", &[4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let blocks: Vec<u8> = (0..68).collect();
    writer.tensor("b", &[32, 2], sample::Q8_0, blocks.clone());
    let gguf = open(writer.bytes()).expect("a sound file");
    let a = gguf.tensor("a").expect("written");
    assert_eq!((a.block_type, a.shape), (BlockType::F32, &[2, 4][..]));
    assert_eq!(a.bytes[4..8], 2.0_f32.to_le_bytes());
    let b = gguf.tensor("b").expect("written");
    assert_eq!((b.block_type, b.shape, b.bytes), (BlockType::Q8_0, &[2, 32][..], &blocks[..]));
    assert!(gguf.tensor("c").is_none());
}

#[test]
fn the_alignment_of_the_file_counts() {
    let mut writer = Writer::new();
    writer.alignment = 128;
    writer.key("general.alignment", Field::U32(128));
    writer.floats("a", &[1], &[1.0]).floats("b", &[1], &[2.0]);
    let gguf = open(writer.bytes()).expect("a sound file");
    assert_eq!(gguf.tensor("b").expect("written").bytes, 2.0_f32.to_le_bytes());
    writer.set("general.alignment", Some(Field::U32(48)));
    let error = refused(writer.bytes());
    assert!(error.contains("\"general.alignment\" is 48, expected a power of two"), "{error}");
}

#[test]
fn other_files_and_versions_are_named() {
    let with_version = |version: u32| {
        let mut writer = every_type();
        writer.version = version;
        refused(writer.bytes())
    };
    assert!(refused(b"PK\x03\x04....".to_vec()).contains("not with GGUF"));
    assert!(with_version(1).contains("version 1, which is not supported"));
    assert!(with_version(3_u32.swap_bytes()).contains("big-endian, which is not supported"));
    assert!(with_version(4).contains("version 4, and kvr reads 2 and 3"));
}

#[test]
fn every_truncation_is_refused() {
    let mut writer = every_type();
    writer.floats("a", &[8], &[0.0; 8]);
    let whole = writer.bytes();
    for len in 0..whole.len() {
        refused(whole[..len].to_vec());
    }
}

#[test]
fn impossible_counts_are_refused_at_once() {
    let mut bytes = every_type().bytes();
    bytes[8..16].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    assert!(refused(bytes).contains("tensors announced"));
    let mut bytes = every_type().bytes();
    bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refused(bytes).contains("keys announced"));
}

#[test]
fn duplicates_and_bad_text_are_named() {
    let mut writer = every_type();
    writer.key("u8", Field::U8(1));
    assert!(refused(writer.bytes()).contains("key \"u8\" at byte"));
    let mut bytes = every_type().bytes();
    let at = bytes.windows(8).position(|w| w == &"naïve ½".as_bytes()[..8]);
    bytes[at.expect("the text is there")] = 0xff;
    let error = refused(bytes);
    assert!(error.contains("key \"text\"") && error.contains("no UTF-8"), "{error}");
    let mut writer = Writer::new();
    writer.floats("a", &[1], &[1.0]).floats("a", &[1], &[2.0]);
    assert!(refused(writer.bytes()).contains("tensor \"a\" is there twice"));
}

#[test]
fn tensors_outside_or_on_top_of_each_other_are_named() {
    let with = |change: &dyn Fn(&mut Entry)| {
        let mut writer = Writer::new();
        writer.floats("first", &[32], &[0.0; 32]).floats("second", &[32], &[0.0; 32]);
        change(&mut writer.tensors[1]);
        refused(writer.bytes())
    };
    let error = with(&|t| t.offset = Some(64));
    assert!(error.contains("\"first\"") && error.contains("\"second\""), "{error}");
    assert!(error.contains("overlap"), "{error}");
    let error = with(&|t| t.offset = Some(1 << 40));
    assert!(error.contains("tensor \"second\"") && error.contains("belong to it"), "{error}");
    assert!(with(&|t| t.offset = Some(130)).contains("no multiple of the alignment"));
    assert!(with(&|t| t.offset = Some(!31)).contains("beyond any file"));
    assert!(with(&|t| t.shape = vec![u64::MAX / 8, 9]).contains("beyond memory"));
    assert!(with(&|t| t.shape = vec![0]).contains("a dimension of 0"));
    assert!(with(&|t| t.shape = vec![1; 5]).contains("5 dimensions, expected 1 to 4"));
    let error = with(&|t| t.id = 16);
    assert!(error.contains("IQ2_XXS (number 16) is not supported (F32, F16"), "{error}");
    assert!(with(&|t| t.id = 77).contains("its type number 77 is not supported"));
    let error = with(&|t| (t.shape, t.id) = (vec![16], sample::Q8_0));
    assert!(error.contains("no whole blocks of Q8_0 (32 values each)"), "{error}");
}

#[test]
fn parts_make_one_model_and_check_each_other() {
    let part = |number: u16, count: u16, total: i32| {
        let mut writer = Writer::new();
        writer
            .key("split.no", Field::U16(number))
            .key("split.count", Field::U16(count))
            .key("split.tensors.count", Field::I32(total));
        if number > 0 {
            writer.floats(&format!("t{number}"), &[1], &[f32::from(number)]);
        }
        (format!("part{number}"), Content::of(writer.bytes()))
    };
    let gguf = Gguf::new(vec![part(0, 3, 2), part(1, 3, 2), part(2, 3, 2)]).expect("three parts");
    assert_eq!(gguf.tensor("t2").expect("in part 2").bytes, 2.0_f32.to_le_bytes());
    let error = |parts| match Gguf::new(parts) {
        Ok(_) => panic!("parts that do not fit were accepted"),
        Err(error) => error.to_string(),
    };
    assert!(error(vec![part(0, 3, 2)]).contains("\"split.count\" is 3, but 1 files are opened"));
    let swapped = vec![part(0, 3, 2), part(2, 3, 2), part(1, 3, 2)];
    assert!(error(swapped).contains("\"split.no\" is 2"));
    let short = vec![part(0, 2, 5), part(1, 2, 5)];
    assert!(error(short).contains("\"split.tensors.count\" is 5, but the parts hold 1"));
}
