//! Laws that hold for any object: a patch applied twice is applied once, and a difference leads home.

use galley_patch::{
    Schema, apply_merge_patch, apply_strategic_patch, diff, merge_patch_between, three_way, three_way_patch,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0i64..4).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from)
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn container() -> impl Strategy<Value = Value> {
    let env = prop::collection::btree_map("[A-C]", "[0-9]", 0..3).prop_map(|env| {
        env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>()
    });
    (prop::option::of("[x-z]"), env).prop_map(|(image, env)| {
        let mut container = json!({});
        if let Some(image) = image {
            container["image"] = Value::from(image);
        }
        if !env.is_empty() {
            container["env"] = Value::from(env);
        }
        container
    })
}

fn pod() -> impl Strategy<Value = Value> {
    let containers = prop::collection::btree_map("[a-c]", container(), 0..3);
    let labels = prop::collection::btree_map("[k-m]", "[0-9]", 0..3);
    (containers, labels, prop::collection::btree_set("[f-h]", 0..3)).prop_map(
        |(containers, labels, finalizers)| {
            let named = containers.into_iter().map(|(name, mut container)| {
                container["name"] = Value::from(name);
                container
            });
            json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"labels": labels, "finalizers": finalizers},
            "spec": {"containers": named.collect::<Vec<_>>()}})
        },
    )
}

proptest! {
    #[test]
    fn merge_patches_are_idempotent(target in value(), patch in value()) {
        let mut once = target;
        apply_merge_patch(&mut once, &patch);
        let mut twice = once.clone();
        apply_merge_patch(&mut twice, &patch);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_patch_between_leads_there(from in value(), to in value()) {
        let mut done = from.clone();
        apply_merge_patch(&mut done, &merge_patch_between(&from, &to));
        prop_assert_eq!(done, to);
    }

    #[test]
    fn strategic_patches_are_idempotent_and_contain_what_they_say(target in pod(), patch in pod()) {
        let schema = Schema::of(&target);
        let mut once = target;
        apply_strategic_patch(schema, &mut once, &patch).expect("well-formed");
        prop_assert!(diff(&patch, &once).is_empty(), "{:?}", diff(&patch, &once));
        let mut twice = once.clone();
        apply_strategic_patch(schema, &mut twice, &patch).expect("well-formed");
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_three_way_merge_contains_what_is_wanted_and_settles(original in pod(), modified in pod(), current in pod()) {
        let result = three_way(Some(&original), &modified, &current).expect("objects");
        prop_assert!(diff(&modified, &result).is_empty(), "{:?}", diff(&modified, &result));
        prop_assert_eq!(three_way_patch(Some(&modified), &modified, &result).expect("objects"), json!({}));
        let nothing_else = three_way(Some(&current), &modified, &current).expect("objects");
        prop_assert!(diff(&nothing_else, &modified).is_empty(), "what was ours and is not wanted is gone");
    }

    #[test]
    fn nothing_differs_from_itself(object in pod()) {
        prop_assert!(diff(&object, &object).is_empty());
    }
}
