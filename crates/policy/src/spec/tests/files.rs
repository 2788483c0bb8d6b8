//! Files in names, read from a map instead of a disk.

use std::collections::BTreeMap;
use std::path::Path;

use super::parse;
use crate::PolicyError;
use crate::spec::PolicySpec;

fn read(files: &[(&str, &str)], name: &str) -> Result<PolicySpec, PolicyError> {
    let files: BTreeMap<String, &str> =
        files.iter().map(|(path, text)| ((*path).to_owned(), *text)).collect();
    parse(name).read_files(&mut |path: &Path| {
        let text = files.get(&path.display().to_string().replace('\\', "/"));
        text.map(|text| (*text).to_owned()).ok_or_else(|| "is not there".to_owned())
    })
}

#[test]
fn files_stand_wherever_a_policy_may() {
    let files = [
        ("dir/a.toml", "name = \"A\"\nmethod = \"window\"\npolicy = \"../b.toml\"\nfull = \"f32\""),
        (
            "b.toml",
            "method = \"m\"\nx = [1, \"c.toml\"]\n\
             rules = [{ select = \"0\", policy = \"dir/c.toml\" }]",
        ),
        ("c.toml", "method = \"rotate\"\n[policy]\nmethod = \"n\"\nname = \"inner\""),
        ("dir/c.toml", "method = \"o\"\nlevels = [0.5, 1.5]\nseven = \"7\""),
    ];
    let spec = read(&files, "dir/a.toml[0=window(k4v4;policy=./c.toml)]").expect("files");
    assert_eq!(spec.to_string(), "dir/a.toml[0=window(k4v4;policy=./c.toml)]");
    assert_eq!(
        spec.without_files().to_string(),
        "window(full=f32;policy=m(rules=[{policy=o(levels=[0.5,1.5];seven=\"7\");select=\"0\"}];\
         x=[1,rotate(policy=n())]))[0=window(k4v4;policy=rotate(policy=n()))]"
    );
}

#[test]
fn what_is_wrong_with_files_is_said() {
    let said = |files: &[(&str, &str)], name: &str| read(files, name).expect_err(name).to_string();
    let absent = said(&[], "k8v4[0=x/mine.toml]");
    let carets = "       ^^^^^^^^^^^ policy file x/mine.toml: is not there";
    assert_eq!(absent, format!("k8v4[0=x/mine.toml]\n{carets}"));
    let alone = [("a.toml", "method = \"m\"\np = \"./x/../a.toml\"")];
    assert!(said(&alone, "a.toml").contains("names itself: a.toml names a.toml"));
    let pair = [
        ("a.toml", "method = \"m\"\np = \"m(b.toml)\""),
        ("b.toml", "method = \"m\"\np = \"a.toml\""),
    ];
    let cycle = said(&pair, "window(a.toml)");
    assert!(
        cycle.contains("policy file b.toml") && cycle.contains("a.toml names b.toml names a.toml"),
        "{cycle}"
    );
    let chain: Vec<(String, String)> = (0..2000)
        .map(|i| (format!("{i}.toml"), format!("method = \"m\"\np = \"{}.toml\"", i + 1)))
        .collect();
    let chain: Vec<_> = chain.iter().map(|(path, text)| (&**path, &**text)).collect();
    assert!(said(&chain, "0.toml").contains("too many files"));
    // Each file names the next one twice: 2^20 readings.
    let twice = |i: usize| format!("p = \"{0}.toml\"\nq = \"{0}.toml\"", i + 1);
    let twice: Vec<(String, String)> = (0..21)
        .map(|i| (i, if i < 20 { twice(i) } else { String::new() }))
        .map(|(i, settings)| (format!("{i}.toml"), format!("method = \"m\"\n{settings}")))
        .collect();
    let twice: Vec<_> = twice.iter().map(|(path, text)| (&**path, &**text)).collect();
    assert!(said(&twice, "0.toml").contains("too many files"));
    assert!(said(&[("a.toml", "policy = 3")], "a.toml").contains("no `method"));
    assert!(said(&[("a.toml", "method = \"m\"\n= 4")], "a.toml").contains("TOML parse error"));
    assert!(said(&[("a.toml", "method = \"m\"\nx = nan")], "a.toml").contains("no finite number"));
    assert!(said(&[("a.toml", "method = 4")], "a.toml").contains("method = 4 is no text"));
}

#[test]
fn trees_are_told_apart_by_what_files_say() {
    let files = |recent: &str| [("a.toml", format!("method = \"window\"\nrecent = {recent}"))];
    let [one, other] = ["1", "2"].map(|recent| {
        let files = files(recent);
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        read(&files, "k4v4[0=a.toml]").expect("a file")
    });
    assert_eq!(one.to_string(), other.to_string());
    assert_ne!(one, other);
}
