//! Every tree prints to a text that reads back to it, and no text does harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::argument;
use crate::spec::parse::literal;
use crate::spec::{
    PolicyFile, PolicySpec, Rule, Selector, Span, Tree, Value, is_word, split_names,
};

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Zé#*/+_.0-9-]{1,8}( [a-z0-9]{1,3})?".prop_filter("a plain word", |word| {
        is_word(word) && literal(word).is_none() && !word.ends_with(".toml")
    })
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![
        Just(Span::All),
        (0..usize::MAX - 1).prop_map(|i| Span::Indices(i..=i)),
        (0usize..9, 0usize..9).prop_map(|(from, more)| Span::Indices(from..=from + more)),
        (1usize..99).prop_map(Span::First),
        (1usize..99).prop_map(Span::Last),
    ]
}

fn rule(policy: BoxedStrategy<PolicySpec>) -> impl Strategy<Value = Rule> {
    let selector = (span(), span()).prop_map(|(layers, heads)| Selector { layers, heads });
    (selector, policy).prop_map(|(select, policy)| Rule { select, policy })
}

fn value(policy: BoxedStrategy<PolicySpec>) -> BoxedStrategy<Value> {
    let text = any::<String>().prop_filter("no file", |text| !text.ends_with(".toml"));
    let float = any::<f64>().prop_filter("finite", |number| number.is_finite());
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        float.prop_map(Value::Float),
        any::<bool>().prop_map(Value::Boolean),
        text.prop_map(Value::Text),
        policy.prop_map(Value::Policy),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let fields = prop::collection::btree_map(".{1,6}", inner.clone(), 0..3);
        prop_oneof![
            vec(inner, 0..3).prop_map(Value::List),
            fields.prop_map(|fields| Value::Table(fields.into_iter().collect())),
        ]
    })
    .boxed()
}

fn policy() -> BoxedStrategy<PolicySpec> {
    let leaf = prop_oneof![
        name().prop_map(|name| PolicySpec::name(&name)),
        (name(), name()).prop_map(|(keys, values)| {
            Tree::Pair { keys: (&*keys).into(), values: (&*values).into() }.into()
        }),
        ".{0,8}".prop_map(|path| Tree::File { path: path + ".toml", says: None }.into()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let inner = inner.boxed();
        let settings = prop::collection::btree_map(".{1,6}", value(inner.clone()), 0..3);
        let first = prop::option::of(inner.clone());
        let method = (name(), first, settings).prop_map(|(name, first, settings)| {
            let first = first.map(|policy| argument(None, Value::Policy(policy)));
            let named = settings.into_iter().map(|(name, value)| argument(Some(&name), value));
            let arguments = first.into_iter().chain(named).collect();
            Tree::Method { name: (&*name).into(), arguments }.into()
        });
        let rules = vec(rule(inner.clone()), 1..3);
        let mixed = (inner, rules).prop_map(|(base, rules)| PolicySpec::by_layer(base, rules));
        prop_oneof![method, mixed]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn printed_trees_read_back(spec in policy()) {
        let text = spec.to_string();
        prop_assert_eq!(text.parse::<PolicySpec>().expect("what was printed"), spec, "{}", text);
    }

    #[test]
    fn random_text_is_read_or_refused(
        text in prop_oneof![
            any::<String>(),
            vec(prop::sample::select(vec![
                "(", ")", "[", "]", "{", "}", ";", ",", "=", "\"", ":", "-", ".", " ", "\n", "é",
                "k8v4", "window", "first 2", "0-3", "18446744073709551615", "x.toml", "0.5",
                "true", "1e999",
            ]), 0..40).prop_map(|parts| parts.concat()),
        ],
    ) {
        match text.parse::<PolicySpec>() {
            Ok(spec) => {
                let printed = spec.to_string();
                prop_assert_eq!(printed.parse::<PolicySpec>().expect("what was printed"), spec);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        let joined = split_names(&text).join(",");
        prop_assert!(joined.len() <= text.len());
        let value = toml::Value::String(text).to_string();
        let file = format!("method = 'm'\npolicy = {value}");
        prop_assert!(PolicyFile::parse(&file).is_ok());
    }
}
