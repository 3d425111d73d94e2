//! What is true of every sync.

use galley_argo_cd::{OperationPhase, SyncCode};
use galley_sync::{Options, Plan};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cluster::{Cluster, config_map, job, object};

fn anything() -> impl Strategy<Value = Value> {
    let annotations = prop_oneof![
        4 => (-2i64..3).prop_map(|wave| json!({"sync-wave": wave.to_string()})),
        1 => Just(json!({"hook": "PreSync"})),
        1 => Just(json!({"hook": "PostSync", "hook-delete-policy": "HookSucceeded"})),
        1 => Just(json!({"sync-options": "PruneLast=true"})),
    ];
    ("[a-d]", 0..4u8, annotations, "[xy]").prop_map(|(name, kind, annotations, text)| match kind {
        0 => job(&name, annotations),
        1 => object("apps/v1", "Deployment", &name, annotations),
        _ => {
            let mut map = config_map(&name, annotations);
            map["data"] = json!({text.clone(): text});
            map
        }
    })
}

/// Several of them, no object twice.
fn some() -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(anything(), 0..8).prop_map(|mut objects| {
        let mut seen = std::collections::BTreeSet::new();
        objects.retain(|object| {
            seen.insert((object["kind"].to_string(), object["metadata"]["name"].to_string()))
        });
        objects
    })
}

proptest! {
    #[test]
    fn a_plan_after_its_own_execution_changes_nothing(
        before in some(),
        after in some(),
    ) {
        let mut cluster = Cluster::new();
        cluster.sync(&before, &Options::default());
        let options = Options { prune: true, ..Options::default() };
        let done = cluster.sync(&after, &options);
        prop_assert_eq!(done.phase, OperationPhase::Succeeded);
        let comparison = cluster.compare(&after);
        prop_assert_eq!(comparison.sync_code(), SyncCode::Synced);
        let plan = Plan::new("app", &comparison, &options);
        prop_assert!(!plan.has_changes(), "{plan}");
    }

    #[test]
    fn nothing_is_pruned_unasked(before in some()) {
        let mut cluster = Cluster::new();
        cluster.sync(&before, &Options::default());
        let count = cluster.live.len();
        cluster.sync(&[], &Options::default());
        prop_assert_eq!(cluster.live.len(), count);
    }
}
