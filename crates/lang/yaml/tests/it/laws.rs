//! What holds for any input.

use galley_yaml::{parse_documents, parse_value, set_scalars, to_string};
use proptest::prelude::*;
use serde_json::Value;

fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[ -~]{0,200}",
        "[a-z \n\t:#'\"-]{0,40}",
        "[-+]?[0-9]{1,5}[-.:eE_x][0-9]{0,3}",
        Just("yes".to_owned()),
        Just("null".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6f64..1e6).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A text made of the pieces that YAML gives meaning to.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~\n]{0,6}",
        Just("\n".to_owned()),
        Just("  ".to_owned()),
        Just("- ".to_owned()),
        Just(": ".to_owned()),
        Just("? ".to_owned()),
        Just("&a ".to_owned()),
        Just("*a".to_owned()),
        Just("<<: ".to_owned()),
        Just("---\n".to_owned()),
        Just("...\n".to_owned()),
        Just("|+\n".to_owned()),
        Just("!!str ".to_owned()),
        Just("\"".to_owned()),
        Just("{[".to_owned()),
        Just("é\u{feff}\u{85}".to_owned()),
        Just("\t\r".to_owned()),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read_back(value in values()) {
        let text = to_string(&value);
        let read = parse_value("f", &text).map_err(|p| TestCaseError::fail(format!("{p}\n{text}")))?;
        // Strings with characters that YAML cannot hold in a block come back through escapes; all must be equal.
        prop_assert_eq!(&read, &value, "{}", text);
        prop_assert_eq!(to_string(&read), text);
    }

    #[test]
    fn the_parser_never_panics(text in soup()) {
        if let Ok(documents) = parse_documents("f", &text) {
            for document in documents {
                let again = parse_value("f", &document.text);
                prop_assert!(again.is_err() || again.is_ok_and(|value| value == document.value), "{}", document.text);
                let _ = document.locate("/a/0");
            }
        }
        let _ = set_scalars("f", &text, &[("/a", "x"), ("", "y")]);
    }

    #[test]
    fn any_string_can_be_set(new in any::<String>(), style in 0usize..4) {
        let text = ["k: old # c\nl: 1\n", "k: 'old'\nl: 1\n", "k: \"old\"\nl: 1\n", "{k: old, l: 1}\n"][style];
        let changed = set_scalars("f", text, &[("/k", &new)]).map_err(|p| TestCaseError::fail(p.to_string()))?;
        prop_assert_eq!(&parse_value("f", &changed).unwrap()["k"], &Value::from(new.as_str()));
    }
}
