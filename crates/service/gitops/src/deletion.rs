//! An Application's end: with the finalizer its objects go first, the last wave before the others.

use std::{collections::BTreeMap, time::Duration};

use galley_argo_cd::{Application, names};
use galley_sync::{Ignore, Key, annotation, tracking_of};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PropagationPolicy},
};
use serde_json::{Value, json};

use crate::{Error, apply::Hands, kinds::Served, observe::Eyes};

/// While objects go, their watch tells; this is for what no watch tells.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How far the deletion is.
pub(crate) enum Deletion {
    /// The Application may go.
    Done,
    /// Objects of these kinds are on their way.
    Waiting(Vec<Served>, Duration),
}

/// Does what the next turn of a deletion is.
pub(crate) async fn go_on(
    eyes: &Eyes,
    api: &Api<DynamicObject>,
    application: &Application,
) -> Result<Deletion, Error> {
    let ours = |finalizer: &&String| {
        [names::FINALIZER, names::FINALIZER_FOREGROUND, names::FINALIZER_BACKGROUND]
            .contains(&finalizer.as_str())
    };
    let metadata = &application.metadata;
    let Some(finalizer) = metadata.finalizers.iter().find(ours) else { return Ok(Deletion::Done) };
    let background = finalizer == names::FINALIZER_BACKGROUND;
    let (objects, kinds) = owned(eyes, &metadata.name).await?;
    if !objects.is_empty() {
        let ignore = Ignore::default();
        let hands = Hands {
            kinds: &eyes.kinds,
            ignore: &ignore,
            respect: false,
            propagation: if background {
                PropagationPolicy::Background
            } else {
                PropagationPolicy::Foreground
            },
            mark: String::new(),
        };
        let last = objects.values().map(wave).max().unwrap_or(0);
        for (key, object) in &objects {
            let going = object.pointer("/metadata/deletionTimestamp").is_some_and(|t| !t.is_null());
            if !going && (background || wave(object) == last) {
                hands.remove(key, Some(object)).await?;
            }
        }
        if !background {
            return Ok(Deletion::Waiting(kinds, LOOK_AGAIN));
        }
    }
    let others: Vec<&String> = metadata.finalizers.iter().filter(|f| !ours(f)).collect();
    let patch = json!({"metadata": {"finalizers": others, "resourceVersion": metadata.resource_version}});
    match api.patch(&metadata.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(Deletion::Done),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Deletion::Done),
        // Somebody wrote it meanwhile: the next turn reads it again.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Deletion::Waiting(kinds, Duration::ZERO)),
        Err(error) => Err(Error::api(format!("letting Application {} go", metadata.name))(error)),
    }
}

/// The objects that are to go, and their kinds.
async fn owned(eyes: &Eyes, application: &str) -> Result<(BTreeMap<Key, Value>, Vec<Served>), Error> {
    let (mut objects, mut kinds) = (BTreeMap::new(), Vec::new());
    for served in eyes.kinds.known().await?.all() {
        let found = objects.len();
        for object in eyes.kinds.list(&served).await? {
            let tracked = tracking_of(&object).is_some_and(|t| t.application == application);
            if tracked
                && !is_kept(&object)
                && let Some(key) = Key::of(&object)
            {
                objects.insert(key, object);
            }
        }
        if objects.len() > found {
            kinds.push(served);
        }
    }
    Ok((objects, kinds))
}

fn is_kept(object: &Value) -> bool {
    let options = annotation(object, names::SYNC_OPTIONS).unwrap_or_default();
    options.split(',').any(|option| option.trim() == "Delete=false")
        || annotation(object, names::HELM_RESOURCE_POLICY).is_some_and(|policy| policy.trim() == "keep")
}

fn wave(object: &Value) -> i64 {
    annotation(object, names::SYNC_WAVE).and_then(|wave| wave.trim().parse().ok()).unwrap_or(0)
}
