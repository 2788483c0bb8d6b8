//! Bad input gives one line that names the thing and the fix, exit code 2, and no partial files.

use std::path::Path;

use crate::support::{copy_of, mistake};

/// What the program says about a folder whose weights were replaced.
fn with_weights(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let folder = copy_of("llama-mha-tied");
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).expect("weights");
    change(&mut bytes);
    std::fs::write(&path, bytes).expect("a writable folder");
    let said = refuse(folder.path());
    assert!(said.contains("model.safetensors"), "names no file: {said}");
    said
}

/// What the program says about a folder whose config was edited.
fn with_config(from: &str, to: &str) -> String {
    let folder = copy_of("llama-mha-tied");
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).expect("a config");
    assert!(text.contains(from), "the golden config has no {from}");
    std::fs::write(&path, text.replace(from, to)).expect("a writable folder");
    refuse(folder.path())
}

fn refuse(folder: &Path) -> String {
    let folder = folder.to_str().expect("UTF-8");
    mistake(&[
        "logits",
        "--model",
        folder,
        "--tokens",
        "1,2",
        "--out",
        "never.safetensors",
        "--backend",
        "cpu",
    ])
}

/// Length of the JSON header, and the header with a change.
fn edit_header(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).expect("a JSON header");
    assert!(header.contains(from), "the golden header has no {from}: {header}");
    let header = header.replacen(from, to, 1);
    let rest = bytes.split_off(8 + length);
    *bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend(rest);
}

#[test]
fn damaged_weights() {
    with_weights(|bytes| bytes.truncate(bytes.len() / 2));
    with_weights(|bytes| bytes.truncate(5));
    with_weights(Vec::clear);
    with_weights(|bytes| bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
    with_weights(|bytes| bytes[..8].copy_from_slice(&(1u64 << 40).to_le_bytes()));
    with_weights(|bytes| bytes[9] = b'!');
    with_weights(|bytes| edit_header(bytes, "\"data_offsets\":[0,", "\"data_offsets\":[4,"));
    with_weights(|bytes| {
        edit_header(bytes, "\"data_offsets\":[0,", "\"data_offsets\":[99999999999,")
    });
}

#[test]
fn weights_that_do_not_belong_to_the_config() {
    let missing =
        with_weights(|bytes| edit_header(bytes, "model.norm.weight", "model.form.weight"));
    assert!(missing.contains("model.norm.weight"), "{missing}");
    let shape = with_config("\"intermediate_size\": 176", "\"intermediate_size\": 160");
    assert!(shape.contains("160") && shape.contains("176"), "{shape}");
    let extra = with_config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    assert!(extra.contains("model.layers.1."), "{extra}");
    let heads = with_config("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3");
    assert!(heads.contains("num_key_value_heads 3"), "{heads}");
}

#[test]
fn numbers_that_are_none() {
    let damage = |value: f32| {
        with_weights(|bytes| {
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&value.to_le_bytes());
        })
    };
    assert!(damage(f32::NAN).contains("NaN or infinity"));
    assert!(damage(f32::INFINITY).contains("NaN or infinity"));
}

#[test]
fn configs_that_can_not_be_used() {
    assert!(with_config("\"llama\"", "\"mamba\"").contains("unknown architecture 'mamba'"));
    assert!(with_config("{", "").contains("config.json"));
    assert!(with_config("\"hidden_size\": 64", "\"hidden_size\": 0").contains("hidden_size is 0"));
    assert!(with_config("\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"").contains("'relu'"));
    let rope = |to: &str| with_config("\"rope_type\": \"default\"", to);
    assert!(rope("\"rope_type\": \"spiral\"").contains("rope_type is \"spiral\""));
    assert!(rope("\"rope_type\": \"yarn\"").contains("rope_parameters.factor is missing"));
    let said = rope("\"rope_type\": \"linear\", \"type\": \"yarn\"");
    assert!(said.contains("linear") && said.contains("yarn"), "{said}");
    let said = with_config("\"num_attention_heads\": 2", "\"num_attention_heads\": 2.5");
    assert!(said.contains("num_attention_heads is 2.5"), "{said}");
    let said = with_config("\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": Infinity");
    assert!(said.contains("rms_norm_eps is \"Infinity\""), "{said}");
}

/// What would be read wrongly is refused, by the key that says so, also where no weights are read.
#[test]
fn architectures_that_are_not_supported() {
    for (key, value) in [
        ("kv_lora_rank", "512"),
        ("num_local_experts", "8"),
        ("mamba_d_state", "16"),
        ("layer_types", "[\"full_attention\", \"linear_attention\"]"),
    ] {
        let folder = copy_of("llama-mha-tied");
        let path = folder.path().join("config.json");
        let text = std::fs::read_to_string(&path).expect("a config");
        let text = text.replacen('{', &format!("{{ \"{key}\": {value},"), 1);
        std::fs::write(&path, text).expect("a writable folder");
        let model = folder.path().to_str().expect("UTF-8");
        let plan = mistake(&["plan", "--model", model, "--budget", "1GiB"]);
        for said in [plan, refuse(folder.path())] {
            assert!(said.contains(key) && said.contains("not supported"), "{said}");
        }
    }
}

#[test]
fn shards_that_are_missing() {
    let folder = copy_of("llama-mha-tied");
    let index = r#"{"weight_map":{"model.norm.weight":"model-00001-of-00002.safetensors"}}"#;
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).expect("writable");
    assert!(refuse(folder.path()).contains("model-00001-of-00002.safetensors"));
    let index = r#"{"weight_map":{"model.norm.weight":"../../etc/passwd"}}"#;
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).expect("writable");
    assert!(refuse(folder.path()).contains("no plain file name"));
}

#[test]
fn sharded_weights_load_like_whole_ones() {
    let folder = copy_of("llama-mha-tied");
    let whole = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&whole).expect("weights");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
    let mut map = Vec::new();
    for (i, shard) in ["a.safetensors", "b.safetensors"].into_iter().enumerate() {
        let part = file.iter().filter(|(name, _)| name.contains("layers.0") == (i == 0));
        let part: Vec<(String, _)> = part.map(|(name, view)| (name.to_owned(), view)).collect();
        map.extend(part.iter().map(|(name, _)| format!("\"{name}\":\"{shard}\"")));
        let bytes = safetensors::serialize(part, None).expect("a shard");
        std::fs::write(folder.path().join(shard), bytes).expect("writable");
    }
    let index = format!("{{\"weight_map\":{{{}}}}}", map.join(","));
    let logits = |name: &str| {
        let out = folder.path().join(name);
        let (folder, out_arg) =
            (folder.path().to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
        crate::support::stdout(&[
            "logits",
            "--model",
            folder,
            "--tokens",
            "3,1,4,1,5",
            "--out",
            out_arg,
        ]);
        std::fs::read(&out).expect("logits")
    };
    let want = logits("whole.out");
    std::fs::remove_file(&whole).expect("it was copied");
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).expect("writable");
    assert_eq!(logits("sharded.out"), want);
}

#[test]
fn tokenizers_of_another_model() {
    let folder = copy_of("llama-mha-tied");
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/mini/tokenizer.json");
    std::fs::copy(tokenizer, folder.path().join("tokenizer.json")).expect("mini's tokenizer");
    assert!(refuse(folder.path()).contains("320 rows"));
}

#[test]
fn texts_that_can_not_be_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writable");
        let path = path.to_str().expect("UTF-8").to_owned();
        let said = mistake(&["eval", "--dataset", &path]);
        (path, said)
    };
    let (path, said) = text("empty.txt", b"");
    assert!(said.contains(&path) && said.contains("empty"), "{said}");
    let (path, said) = text("latin1.txt", b"caf\xe9");
    assert!(said.contains(&path) && said.contains("UTF-8"), "{said}");
    let (_, said) = text("short.txt", b"A few words.");
    assert!(said.contains("less than one window of 512"), "{said}");
    assert!(mistake(&["eval", "--dataset", "no-such.txt"]).contains("no-such.txt"));
    let path = folder.path().join("latin1.txt");
    std::fs::write(&path, b"not WikiText").expect("writable");
    let said = mistake(&["eval", "--dataset", &format!("wikitext-2:{}", path.display())]);
    assert!(said.contains("SHA-256"), "{said}");
}

#[test]
fn settings_that_can_not_be_used() {
    for ctx in ["0", "1"] {
        assert!(mistake(&["eval", "--ctx", ctx]).contains("nothing to score"));
    }
    assert!(mistake(&["eval", "--ctx", "4096"]).contains("2048"));
    assert!(mistake(&["eval", "--batch", "0"]).contains("--batch"));
    assert!(mistake(&["eval", "--chunks", "0"]).contains("--chunks"));
    assert!(mistake(&["eval", "--threads", "0"]).contains("--threads"));
    let said = mistake(&["eval", "--policy", "k8v3"]);
    assert!(said.contains("'k8v3'") && said.contains("k8v4"), "{said}");
    let said = mistake(&["eval", "--model", "minni"]);
    assert!(said.contains("'minni'") && said.contains("mini"), "{said}");
    assert!(mistake(&["memory", "--model", "tinylama"]).contains("tinyllama"));
    assert!(mistake(&["memory", "--tokens", "0"]).contains("--tokens"));
    assert!(mistake(&["eval", "--model", "random:gpt-5"]).contains("gpt-5"));
}

#[test]
fn a_block_that_does_not_divide_head_dim() {
    let folder = copy_of("llama-gqa");
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).expect("a config");
    std::fs::write(&path, text.replace("\"head_dim\": 32", "\"head_dim\": 48")).expect("writable");
    let said =
        mistake(&["memory", "--model", folder.path().to_str().expect("UTF-8"), "--policy", "k8v4"]);
    assert!(said.contains("q8_0") && said.contains("48"), "{said}");
}

#[test]
fn folders_that_can_not_be_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").expect("writable");
    let out = file.join("out");
    let said = mistake(&["eval", "--out", out.to_str().expect("UTF-8")]);
    assert!(said.contains(out.to_str().expect("UTF-8")) && said.contains("written"), "{said}");
    let said = mistake(&[
        "logits",
        "--tokens",
        "1",
        "--backend",
        "cpu",
        "--out",
        out.to_str().expect("UTF-8"),
    ]);
    assert!(said.contains("written"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "in the way");
}
