//! Random damage to small models: an error or a model, never a panic, never a huge allocation.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{heap, open, sample};

/// How many damaged files are tried; `KVR_DAMAGED_FILES` sets another number.
const FILES: u64 = 4000;

/// Numbers that are wrong in most places.
const NUMBERS: [u64; 8] =
    [0, 1, 0xff, 1 << 31, u32::MAX as u64, 1 << 62, i64::MAX as u64, u64::MAX];

fn damage(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..4) {
        // Most of a small file is metadata; half of the damage goes where the counts are.
        let end = if random.random() { bytes.len() } else { bytes.len().min(2048) };
        let at = random.random_range(0..end);
        match random.random_range(0..6) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => {
                let number = NUMBERS[random.random_range(0..NUMBERS.len())].to_le_bytes();
                let len = (bytes.len() - at).min([4, 8][random.random_range(0..2)]);
                bytes[at..at + len].copy_from_slice(&number[..len]);
            }
            3 => bytes.truncate(at.max(1)),
            4 => {
                let len = random.random_range(0..64).min(bytes.len() - at);
                let copy = bytes[at..at + len].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let len = random.random_range(0..64).min(bytes.len() - at - 1);
                bytes.drain(at..at + len);
            }
        }
    }
}

/// Asks everything that can be asked of a file; whether it could be opened at all.
fn use_all(bytes: Vec<u8>, tokenizer: bool) -> bool {
    let limit = bytes.len().max(16 << 10);
    let (gguf, largest) = heap::largest(|| open(bytes));
    assert!(largest <= limit, "opening allocated {largest} bytes");
    let Ok(gguf) = gguf else { return false };
    let (_, largest) = heap::largest(|| {
        let _ = gguf.config();
        let _ = (gguf.special_tokens(), gguf.chat_template());
        for (name, tensor) in gguf.tensors() {
            let blocks = tensor.shape.iter().product::<usize>() / tensor.block_type.values();
            assert_eq!(tensor.bytes.len(), blocks * tensor.block_type.bytes());
            let _ = gguf.hugging_face_name(name);
        }
    });
    assert!(largest <= limit, "reading the config allocated {largest} bytes");
    if let Some(tokenizer) = tokenizer.then(|| gguf.tokenizer()).and_then(Result::ok) {
        let _ = tokenizer.encode("abc é <s> 123").and_then(|ids| tokenizer.decode(&ids));
    }
    true
}

#[test]
fn damaged_files_are_refused_or_read_and_never_end_the_program() {
    let files = std::env::var("KVR_DAMAGED_FILES").ok().and_then(|n| n.parse().ok());
    let mut pieces = sample::model("gemma3", 272);
    sample::sentencepiece(&mut pieces);
    let mut bpe = sample::model("llama", 16);
    sample::bpe(&mut bpe, "smollm");
    let (pieces, bpe) = (pieces.bytes(), bpe.bytes());
    for sound in [&pieces, &bpe] {
        assert!(use_all(sound.clone(), true));
        assert!(open(sound.clone()).and_then(|gguf| gguf.tokenizer()).is_ok());
    }
    let mut opened = 0;
    let files = files.unwrap_or(FILES);
    for seed in 0..files {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Expressions take long to compile, so that fewer byte-level tokenizers are built.
        let byte_level = seed % 4 == 0;
        let mut bytes = if byte_level { bpe.clone() } else { pieces.clone() };
        damage(&mut bytes, &mut random);
        let tokenizer = !byte_level || seed % 32 == 0;
        match catch_unwind(AssertUnwindSafe(|| use_all(bytes, tokenizer))) {
            Ok(sound) => opened += u64::from(sound),
            Err(_) => panic!("the file of seed {seed} made the reader panic"),
        }
    }
    // Damage to weights alone can't be seen; damage to anything else mostly can.
    eprintln!("{opened} of {files} damaged files could be opened");
    assert!(opened > files / 20 && opened < files - files / 20);
}
