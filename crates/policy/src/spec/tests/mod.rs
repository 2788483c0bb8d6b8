//! What names mean, and what is said of broken ones.

mod arbitrary;
mod files;

use super::{Argument, PolicySpec, Rule, Selector, Span, Tree, Value, Word};
use crate::Place;

fn parse(text: &str) -> PolicySpec {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn said(text: &str) -> String {
    text.parse::<PolicySpec>().expect_err(text).to_string()
}

fn argument(setting: Option<&str>, value: Value) -> Argument {
    Argument { setting: setting.map(Word::from), value, place: Place::default() }
}

#[test]
fn every_form_is_read() {
    assert_eq!(parse(" k8v4 "), PolicySpec::name("k8v4"));
    let pair = Tree::Pair { keys: "nf4+4".into(), values: "a4g64".into() };
    assert_eq!(parse("nf4+4:a4g64"), pair.clone().into());
    let inner = Value::Policy(PolicySpec::name("k4v4"));
    let tree = Tree::Method { name: "window".into(), arguments: vec![argument(None, inner)] };
    assert_eq!(parse("window(k4v4)"), tree.into());
    let values = [
        ("a", Value::Integer(-4)),
        ("b", Value::Float(0.5)),
        ("c", Value::Boolean(true)),
        ("d", Value::Text("a; \"b\"".to_owned())),
        ("e", Value::List(vec![Value::Integer(1), Value::Policy(pair.into())])),
        ("f", Value::Table(vec![("x".to_owned(), Value::Float(1e300))])),
        ("g", Value::Policy(PolicySpec::name("adaptive"))),
        ("h", Value::Policy(parse("k4v4[0=fp16]"))),
    ];
    let arguments = values.into_iter().map(|(name, value)| argument(Some(name), value)).collect();
    let text = "m(a=-4; b = 0.5;c=true;d=\"a; \"\"b\"\"\";e=[1, nf4+4:a4g64];f={x=1e300};\
                g=adaptive;h=k4v4[0=fp16];)";
    assert_eq!(parse(text), Tree::Method { name: "m".into(), arguments }.into());
    let rules = vec![
        Rule {
            select: Selector { layers: Span::First(2), heads: Span::All },
            policy: PolicySpec::name("fp16"),
        },
        Rule { select: "5.0".parse().expect("a selector"), policy: parse("window(mine.toml)") },
    ];
    let mixed = PolicySpec::by_layer(parse("a b/mine.toml"), rules);
    assert_eq!(parse("a b/mine.toml[first 2=fp16; 5.0 = window(mine.toml)]"), mixed);
}

#[test]
fn typed_names_print_as_they_were_typed() {
    for text in [
        "k8v4",
        "q5_1:q4_0",
        "adakv(expected-attention(ratio=0.5;policy=k8v4))",
        "adakv(snapkv(ratio=0.5))",
        "window(block=1;policy=rotate(policy=k4v4[0=fp16;last 1=k8v4]);recent=64;share=0.5)",
        "window(policy=mine.toml)",
        "mine.toml[0=fp16]",
        "\"a (copy).toml\"[0-3.*=fp16]",
        "k8v4[0=fp16][1=window()]",
    ] {
        assert_eq!(parse(text).to_string(), text.replace(".*", ""));
    }
}

#[test]
fn errors_point_at_their_place() {
    for (text, carets) in [
        ("k8v4[1=fp16", "    ^ this bracket is not closed: ']' is missing"),
        ("k8v4[1]", "     ^ the rule '1' has no '=': write selector=policy"),
        ("k8v4[x=fp16]", "     ^ 'x' is no index, range such as 0-3, 'first 2', 'last 2' or '*'"),
        ("k8v4[0=]", "       ^ a policy is missing here"),
        ("k8v4[]", "    ^^ a rule is missing: write [selector=policy]"),
        ("k8v4[0=fp16,1=fp32]", "           ^ ';' belongs here, not ','"),
        ("window(recent=4,sinks=2)", "               ^ ';' belongs here, not ','"),
        ("window(recent=4", "      ^ this bracket is not closed: ')' is missing"),
        (
            "window(recent=4;k4v4)",
            "                ^^^^ the setting 'k4v4' has no '=': write setting=value",
        ),
        ("window(recent=4;recent=5)", "                ^^^^^^ the setting 'recent' is given twice"),
        ("window(recent=)", "              ^ a value is missing here"),
        ("window(=4)", "       ^ the name of a setting is missing before '='"),
        ("k8v4)", "    ^ ')' closes a bracket that was not opened"),
        ("k8v4[0=fp16] k4v4", "             ^ unexpected 'k' after a policy"),
        ("m(a=[1;2])", "      ^ ',' belongs here, not ';'"),
        ("m(a=\"b)", "    ^ these quotes are not closed"),
        ("m(a=1e999)", "    ^^^^^ 1e999 is beyond the largest number"),
        ("m(a={b})", "     ^ a table is {name=value;…}: '=' is missing"),
        ("x[0=q8_0:]", "    ^^^^^ a pair is <key format>:<value format>, such as q5_1:q4_0"),
        ("mine.toml(a=1)", "^^^^^^^^^ a file takes no settings: write them into it"),
    ] {
        assert_eq!(said(text), format!("{text}\n{carets}"));
    }
    assert!(said("window(4)").contains("write setting=4"));
    assert_eq!(said(""), "a policy is missing here");
    assert!(said("k8v4[0-18446744073709551615=fp16]").contains("more than can be counted"));
}

#[test]
fn lists_split_at_outer_commas_only() {
    let list = "fp16, a(x=[1,2];y=\"(,\"),k8v4[0=fp16,1=fp32] ,b";
    assert_eq!(
        super::split_names(list),
        ["fp16", "a(x=[1,2];y=\"(,\")", "k8v4[0=fp16,1=fp32]", "b"]
    );
}

#[test]
fn depth_ends_with_an_error_not_with_the_stack() {
    let many = 100_000;
    for [open, close] in [
        ["window(", ")"],
        ["a[0=", "]"],
        ["a(x=[", "])"],
        ["a(x={y=", "})"],
        ["a(\"x.toml\"[0=", "])"],
    ] {
        let deep = format!("{}k4v4{}", open.repeat(many), close.repeat(many));
        assert!(said(&deep).contains("more than 32 policies inside each other"), "{open}");
    }
    let behind = format!("a{}", "[0=b]".repeat(many));
    assert!(said(&behind).contains("more than 32"));
    // Brackets behind a policy make what is inside them no shallower.
    let inner = format!("{}b{}", "a[0=".repeat(20), "]".repeat(20));
    assert!(said(&format!("{inner}{}", "[0=b]".repeat(20))).contains("more than 32"));
    let fine = format!("{}k4v4{}", "window(".repeat(31), ")".repeat(31));
    assert_eq!(parse(&fine).depth(), 32);
}

#[test]
fn long_lists_of_numbers_are_digests_for_people() {
    let list = |last: f64| {
        let numbers = (0..40).map(f64::from).chain([last]).map(Value::Float).collect();
        let levels = Value::Table(vec![("levels".to_owned(), Value::List(numbers))]);
        let layers = Value::List(vec![levels]);
        let arguments = vec![
            argument(Some("layers"), layers),
            argument(Some("n"), Value::List(vec![Value::Integer(2)])),
        ];
        PolicySpec::from(Tree::Method { name: "kvquant".into(), arguments })
    };
    let digest = list(1.0).digested();
    assert!(digest.starts_with("kvquant(layers=#") && digest.ends_with(";n=[2])"), "{digest}");
    assert_eq!(digest.len(), "kvquant(layers=#0123456789abcdef;n=[2])".len());
    assert_ne!(digest, list(1.5).digested());
    assert_eq!(parse(&list(1.0).to_string()), list(1.0));
}

#[test]
fn settings_pass_through_serde() {
    #[derive(serde::Deserialize, serde::Serialize)]
    struct Settings {
        policy: PolicySpec,
        full: String,
        rules: Vec<Rule>,
    }
    let text = "full = \"f32\"\nrules = [{ select = \"0-3\", policy = \"k4v4[0=fp16]\" }]\n\
                policy = { method = \"rotate\", policy = \"q8_0:q4_0\", signs = true }";
    let settings: Settings = toml::from_str(text).expect("settings");
    assert_eq!(settings.policy.to_string(), "rotate(policy=q8_0:q4_0;signs=true)");
    assert_eq!(settings.rules[0].policy, parse("k4v4[0=fp16]"));
    let again = toml::to_string(&settings).expect("TOML");
    let again: Settings = toml::from_str(&again).expect("settings");
    assert_eq!((again.policy, again.full.as_str()), (settings.policy, "f32"));
    let broken = toml::from_str::<Settings>(&text.replace("k4v4[0", "k4v4[x")).err().expect("'x'");
    assert!(broken.to_string().contains("'x' is no index"), "{broken}");
    let value = |text: &str| Value::from_toml(toml::Value::String(text.to_owned()));
    for text in ["f32", "window(k4v4)", "a, b", "5", "", "x=[", "\"quoted\""] {
        let value = value(text).expect("a value");
        assert_eq!(value.to_toml().as_str(), Some(text), "{value:?}");
        let printed = format!("m(a={value})");
        assert_eq!(
            parse(&printed),
            Tree::Method { name: "m".into(), arguments: vec![argument(Some("a"), value)] }.into()
        );
    }
}
