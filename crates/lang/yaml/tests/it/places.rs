//! Where things are written.

use galley_yaml::{locate, locate_key};

const TEXT: &str =
    "spec:\n  template:\n    containers:\n    - name: a\n      image: \"x\"\n    - {name: b}\n  a/b: 1\n";

#[test]
fn values_and_keys_have_places() {
    for (pointer, value, key) in [
        ("", (1, 1), (1, 1)),
        ("/spec", (2, 3), (1, 1)),
        ("/spec/template/containers", (4, 7), (3, 5)),
        ("/spec/template/containers/0", (4, 7), (4, 7)),
        ("/spec/template/containers/0/image", (5, 14), (5, 7)),
        ("/spec/template/containers/1/name", (6, 14), (6, 8)),
        ("/spec/template/containers/7/name", (4, 7), (3, 5)),
        ("/spec/a~1b", (7, 8), (7, 3)),
        ("/nothing/here", (1, 1), (1, 1)),
    ] {
        assert_eq!(locate(TEXT, pointer), Some(value), "{pointer}");
        assert_eq!(locate_key(TEXT, pointer), Some(key), "key of {pointer}");
    }
    assert_eq!(locate("", "/a"), None);
    assert_eq!(locate("a: [", "/a"), None);
}
