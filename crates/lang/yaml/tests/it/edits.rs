//! Changing scalars in place.

use galley_yaml::set_scalars;

fn set(text: &str, changes: &[(&str, &str)]) -> String {
    match set_scalars("v.yaml", text, changes) {
        Ok(text) => text,
        Err(problem) => format!("{} {problem}", problem.code),
    }
}

#[test]
fn only_the_value_changes() {
    let text =
        "# values\nimage:   # the image\n  tag: 1.0.0   # keep me\n  digest: 'sha256:a'\n\n\nport: 80\n";
    assert_eq!(
        set(text, &[("/port", "81"), ("/image/digest", "sha256:b"), ("/image/tag", "1.1")]),
        "# values\nimage:   # the image\n  tag: \"1.1\"   # keep me\n  digest: 'sha256:b'\n\n\nport: \"81\"\n"
    );
    assert_eq!(set("a: b\r\nc: d\r\n", &[("/a", "e")]), "a: e\r\nc: d\r\n");
    assert_eq!(set("é: [ü, x] # ö\n", &[("/é/1", "z")]), "é: [ü, z] # ö\n");
}

#[test]
fn quotes_come_where_needed() {
    for (new, written) in [
        ("plain", "plain"),
        ("v1.2.3", "v1.2.3"),
        ("registry.local:5000/app@sha256:00ff", "registry.local:5000/app@sha256:00ff"),
        ("yes", "\"yes\""),
        ("", "\"\""),
        ("1", "\"1\""),
        ("a: b", "\"a: b\""),
        ("two\nlines", "\"two\\nlines\""),
        ("2024-01-01", "\"2024-01-01\""),
        ("say \"hi\" \u{85}", "\"say \\\"hi\\\" \\N\""),
    ] {
        assert_eq!(set("k: old # c\n", &[("/k", new)]), format!("k: {written} # c\n"));
    }
    assert_eq!(set("k: 'old'\n", &[("/k", "it's")]), "k: 'it''s'\n");
    assert_eq!(set("k: \"old\"\n", &[("/k", "new")]), "k: \"new\"\n");
}

#[test]
fn empty_and_block_values() {
    assert_eq!(set("k:\nl: 1\n", &[("/k", "v")]), "k: v\nl: 1\n");
    assert_eq!(set("k: # c\nl: 1\n", &[("/k", "v")]).lines().last(), Some("l: 1"));
    assert_eq!(set("k: |\n  a\n  b\nl: 1\n", &[("/k", "v")]), "k: v\nl: 1\n");
    assert_eq!(set("k: |\n  a\n\n# c\nl: 1\n", &[("/k", "v")]), "k: v\n\n# c\nl: 1\n");
}

#[test]
fn what_cannot_be_changed_is_told() {
    assert_eq!(
        set("a: {b: 1}\n", &[("/a/c", "x")]),
        "G0306 v.yaml:1:4: There is no value at `/a/c` to change."
    );
    assert_eq!(
        set("a: {b: 1}\n", &[("/a", "x")]),
        "G0306 v.yaml:1:4: `/a` is a list or a mapping, not a single value."
    );
    assert!(set("a: &x 1\nb: *x\n", &[("/b", "2")]).starts_with("G0306"));
    assert!(set("a: &x 1\nb: *x\n", &[("/a", "2")]).starts_with("G0306"));
}
