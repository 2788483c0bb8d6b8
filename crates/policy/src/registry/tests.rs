//! Names, what they are the same as, and what is said of those that do not exist.

use super::Registry;
use crate::spec::{PolicySpec, Rule};

fn said(name: &str) -> String {
    Registry::builtin().policy(name).err().expect(name).to_string()
}

fn canonical(name: &str) -> String {
    let spec: PolicySpec = name.parse().expect(name);
    Registry::builtin().canonical(&spec).expect(name).to_string()
}

#[test]
fn names_and_pairs_mean_the_same_formats() {
    let registry = Registry::builtin();
    let named = registry.policy("k8v4").expect("a built-in policy");
    let pair = registry.policy("q8_0:q4_0").expect("a pair of built-in formats");
    assert_eq!((named.config(), named.name()), (pair.config(), "k8v4".to_owned()));
    assert_eq!(pair.name(), "q8_0:q4_0");
    assert_eq!(registry.pair_of_bits(8, 4).as_deref(), Ok("k8v4"));
    assert_eq!(registry.pair_of_bits(16, 16).as_deref(), Ok("fp16"));
    assert!(registry.pair_of_bits(7, 4).is_err());
}

#[test]
fn canonical_forms_say_all_and_are_their_own() {
    for (name, full) in [
        ("k8v4", "q8_0:q4_0"),
        ("a4g64", "a4g64:a4g64"),
        ("pair(values=q4_0)", "q8_0:q4_0"),
        ("mlx-4", "m4g64:m4g64"),
        ("kivi", "kivi(key_bits=2;value_bits=2;group=32;residual=128)"),
        ("kivi-4", "kivi(key_bits=4;value_bits=4;group=32;residual=128)"),
        ("window(recent=9)", "window(sinks=4;recent=9;block=1;full=f16;policy=q4_0:q4_0)"),
        ("window(k8v4)", "window(sinks=4;recent=64;block=1;full=f16;policy=q8_0:q4_0)"),
        ("k8v4[first 2=fp16; 5.0 = a4g64]", "q8_0:q4_0[first 2=f16:f16;5.0=a4g64:a4g64]"),
        ("by-layer(k8v4;rules=[{select=\"0\";policy=fp16}])", "q8_0:q4_0[0=f16:f16]"),
        ("by-layer(k8v4)", "q8_0:q4_0"),
        (
            "window(rotate(k4v4[0=kivi])[1=fp16])",
            "window(sinks=4;recent=64;block=1;full=f16;policy=rotate(keys=true;values=true;\
             signs=false;policy=q4_0:q4_0[0=kivi(key_bits=2;value_bits=2;group=32;residual=128)])\
             [1=f16:f16])",
        ),
    ] {
        assert_eq!(canonical(name), full, "{name}");
        assert_eq!(canonical(full), full, "{name}");
    }
    assert_eq!(canonical("kivi-2"), canonical("kivi(residual=128;key_bits=2)"));
    assert_ne!(canonical("kivi-2"), canonical("kivi-2-no-residual"));
}

#[test]
fn policies_of_one_name_are_told_apart() {
    let registry = Registry::builtin();
    let impostor = registry.policy_of_toml("x", "name = \"fp16\"\nmethod = \"rotate\"\n");
    let impostor = impostor.expect("a policy");
    let fp16 = registry.policy("fp16").expect("built in");
    assert_eq!((impostor.name(), fp16.name()), ("x".to_owned(), "fp16".to_owned()));
    assert_ne!(impostor.config(), fp16.config());
    let same = registry.policy_of_toml("x", "name = \"kivi-2\"\nmethod = \"kivi\"\n");
    assert_eq!(same.expect("a policy").name(), "kivi-2");
}

#[test]
fn unknown_names_come_with_what_may_be_meant() {
    let lists = "(`kvr policies` lists all)";
    for (name, hint) in [
        (
            "k8v3",
            "keys 8 and values 3: widths are 4, 5, 8, 16, 32, nearest k8v4; 3 bits: q8_0:a3g32",
        ),
        (
            "k2v2",
            "keys 2 and values 2: widths are 4, 5, 8, 16, 32, nearest k4v4; 2 bits: a2g32:a2g32",
        ),
        ("k9v7", "keys 9 and values 7: widths are 4, 5, 8, 16, 32, nearest k16v8"),
        ("k16v16", "write fp16"),
        ("k32v16", "write f32:f16"),
        ("int8", "q8_0 or k8v8"),
        ("q4", "q4_0 or k4v4"),
        ("4bit", "q4_0 or k4v4"),
        ("half", "fp16"),
        ("bfloat16", "bf16"),
        ("K8V4", "names are in lower case: k8v4"),
        ("KIVI-2", "names are in lower case: kivi-2"),
        ("fp17", "nearest fp16"),
        ("windw", "nearest window"),
    ] {
        assert_eq!(said(name), format!("unknown policy '{name}': {hint} {lists}"));
    }
    assert!(said("zzzz").ends_with("`kvr policies` lists what there is"), "{}", said("zzzz"));
    for (name, carets) in [
        ("q8_0:q4_2", "     ^^^^ unknown format 'q4_2': nearest q4_0"),
        ("int4:q4_0", "^^^^ unknown format 'int4': q4_0 or q4_1"),
        ("Q8_0:q4_0", "^^^^ unknown format 'Q8_0': names are in lower case: q8_0"),
        ("a5g64:q8_0", "^^^^^ policy 'a5g64': "),
        ("nf9+4:q8_0", "^^^^^ unknown format 'nf9'"),
        ("k8v4[first 2=fp17]", "             ^^^^ unknown policy 'fp17': nearest fp16"),
        ("kivi-2(group=64)", "^^^^^^ unknown method 'kivi-2': kivi-2 is kivi(key_bits=2;"),
        ("windw(recent=4)", "^^^^^ unknown method 'windw': nearest window"),
    ] {
        let message = said(name);
        assert!(message.starts_with(&format!("{name}\n{carets}")), "{message}");
    }
}

#[test]
fn wrong_settings_are_pointed_at() {
    for (name, carets) in [
        ("window(recnt=4)", "       ^^^^^ window has no setting 'recnt', nearest: 'recent'"),
        ("window(recent 4)", "       ^^^^^^^^ the setting 'recent' has no '=': write recent=4"),
        ("window(recent)", "       ^^^^^^ the setting 'recent' has no '=': write recent=…"),
        ("kivi(k4v4)", "     ^^^^ kivi takes no inner policy: write setting=value"),
        ("window(k4v4;policy=k8v8)", "            ^^^^^^ 'policy' is given twice"),
        ("window(recent=four)", "              ^^^^ invalid type: string \"four\""),
        ("window(sinks=1;recent=-4)", "                      ^^ invalid value"),
        ("window(policy=5)", "              ^ 5 is no policy"),
        ("window(rotate(k4v5x))", "              ^^^^^ unknown policy 'k4v5x'"),
        ("window(mine.toml)", "       ^^^^^^^^^ policy file mine.toml: it was not read"),
    ] {
        let message = said(name);
        assert!(message.starts_with(&format!("{name}\n{carets}")), "{message}");
    }
    let registry = Registry::builtin();
    let text = "method = \"by-layer\"\n[[rules]]\nselect = \"0\"\npolicy = \"k4v4[x=fp16]\"\n";
    let error = registry.policy_of_toml("mine", text).err().expect("an error").to_string();
    assert!(error.starts_with("policy file mine:\nk4v4[x=fp16]\n     ^ 'x' is no"), "{error}");
    let error = registry.policy_of_toml("mine", "method = \"window\"\nrecnt = 4\n");
    assert!(error.err().expect("an error").to_string().contains("'recent'"));
    let error = registry.policy_of_toml("mine", "method = \"window\"\npolicy = \"k4v4[0=fp17]\"");
    let error = error.err().expect("an error").to_string();
    assert!(
        error.ends_with(
            "k4v4[0=fp17]\n       ^^^^ unknown policy 'fp17': nearest fp16 \
                             (`kvr policies` lists all)"
        ),
        "{error}"
    );
}

#[test]
fn trees_that_were_built_too_deep_are_refused() {
    let deep = (0..40).fold(PolicySpec::default(), |base, _| {
        PolicySpec::by_layer(
            base,
            vec![Rule { select: "0".parse().expect("a layer"), policy: PolicySpec::name("fp16") }],
        )
    });
    let error = Registry::builtin().build(&deep).err().expect("too deep").to_string();
    assert!(error.contains("more than 32"), "{error}");
}

#[test]
fn every_setting_is_explained_and_every_method_stands_by_its_defaults() {
    let registry = Registry::builtin();
    for method in registry.methods() {
        let known: Vec<_> = method.settings.iter().map(|s| s.name).collect();
        let mut fields = method.defaults.keys();
        assert!(fields.all(|field| known.contains(&field.as_str())), "{}", method.name);
    }
}
