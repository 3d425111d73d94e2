//! Looking at one thing and doing what is due. Everything here may be done twice.

use std::sync::Arc;

use futures::{TryStreamExt, stream};
use galley_store::objects::{ObjectKey, Query, Stored};
use serde_json::{Value, json};

use crate::{
    ApiServer,
    kinds::ResourceDef,
    object::{CUSTOM_CLEANUP, FOREGROUND, ORPHAN, finalizers, is_deleting, metadata_mut, text},
    rest::{ApiError, Deletion, Propagation, delete_stored, modify_stored, parse_stored},
};

/// Deletions under way at a time.
const AT_A_TIME: usize = 64;

fn def_of(server: &ApiServer, key: &ObjectKey) -> Option<Arc<ResourceDef>> {
    server.kinds().any_version(&key.kind.group, &key.kind.plural).cloned()
}

fn read(server: &ApiServer, key: &ObjectKey) -> Result<Option<(Stored, Value)>, ApiError> {
    let Some(stored) = server.objects().get(key)? else { return Ok(None) };
    let object = parse_stored(&stored.json)?;
    Ok(Some((stored, object)))
}

/// Deletes an object that is still the one that was seen.
async fn delete(server: &ApiServer, item: &Stored, propagation: Option<Propagation>) -> Result<(), ApiError> {
    let Some(def) = def_of(server, &item.key) else { return Ok(()) };
    let deletion = Deletion { propagation, uid: Some(item.uid.clone()), ..Deletion::default() };
    match delete_stored(server, &def, item.key.clone(), &deletion).await {
        Err(error) if !matches!(error.code(), 404 | 409) => Err(error),
        _ => Ok(()),
    }
}

async fn remove_finalizer(server: &ApiServer, key: &ObjectKey, finalizer: &str) -> Result<(), ApiError> {
    let Some(def) = def_of(server, key) else { return Ok(()) };
    let change = |object: &mut Value| {
        let metadata = metadata_mut(object);
        let list = metadata.get_mut("finalizers").and_then(Value::as_array_mut);
        if let Some(list) = list {
            list.retain(|held| held != finalizer);
            if list.is_empty() {
                metadata.shift_remove("finalizers");
            }
        }
    };
    modify_stored(server, &def, key.clone(), change).await.map(|_| ())
}

/// Looks at the dependents of a uid: of an owner that is gone, or of one that waits for them.
pub(super) async fn owner(server: &ApiServer, uid: &str) -> Result<(), ApiError> {
    if uid.is_empty() {
        return Ok(());
    }
    if let Some(owner) = server.objects().by_uid(uid)? {
        return if crate::selector::says_deleting(&owner.facts) {
            leaving(server, &owner.key).await
        } else {
            Ok(())
        };
    }
    stream::iter(server.objects().dependents(uid)?.into_iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, |item| async move { dependent(server, &item.key).await })
        .await
}

/// Looks at an object with owners: if all of them are gone it goes, if some are it forgets those.
pub(super) async fn dependent(server: &ApiServer, key: &ObjectKey) -> Result<(), ApiError> {
    let Some((stored, object)) = read(server, key)? else { return Ok(()) };
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let uids: Vec<String> =
        owners.into_iter().flatten().filter_map(|owner| owner["uid"].as_str()).map(str::to_owned).collect();
    let mut gone = Vec::new();
    for uid in &uids {
        if server.objects().by_uid(uid)?.is_none() {
            gone.push(uid.clone());
        }
    }
    if gone.is_empty() || is_deleting(&object) {
        return Ok(());
    }
    if gone.len() == uids.len() {
        return delete(
            server,
            &stored,
            Some(Propagation::Background).filter(|_| !held_by_collector(&object)),
        )
        .await;
    }
    let Some(def) = def_of(server, key) else { return Ok(()) };
    modify_stored(server, &def, key.clone(), |object| forget(object, &gone)).await.map(|_| ())
}

fn held_by_collector(object: &Value) -> bool {
    finalizers(object).iter().any(|finalizer| *finalizer == FOREGROUND || *finalizer == ORPHAN)
}

fn forget(object: &mut Value, uids: &[String]) {
    let metadata = metadata_mut(object);
    let Some(list) = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut) else { return };
    list.retain(|owner| !uids.iter().any(|uid| owner["uid"] == uid.as_str()));
    if list.is_empty() {
        metadata.shift_remove("ownerReferences");
    }
}

/// Looks at an object that is marked for deletion, and does what its finalizers of ours ask for.
pub(super) async fn leaving(server: &ApiServer, key: &ObjectKey) -> Result<(), ApiError> {
    let Some((stored, object)) = read(server, key)? else { return Ok(()) };
    if !is_deleting(&object) {
        return Ok(());
    }
    let held = finalizers(&object);
    if held.contains(&ORPHAN) {
        let uid = stored.uid.clone();
        for item in server.objects().dependents(&uid)? {
            let Some(def) = def_of(server, &item.key) else { continue };
            modify_stored(server, &def, item.key, |object| forget(object, std::slice::from_ref(&uid)))
                .await?;
        }
        remove_finalizer(server, key, ORPHAN).await?;
    }
    if held.contains(&FOREGROUND) {
        foreground(server, key, &stored.uid).await?;
    }
    if held.contains(&CUSTOM_CLEANUP) {
        custom_kind(server, key, &object).await?;
    }
    if key.kind.group.is_empty() && key.kind.plural == "namespaces" {
        namespace(server, &key.name).await?;
    }
    Ok(())
}

/// Deletes the dependents of an owner first; lets the owner go when none is left that blocks it.
async fn foreground(server: &ApiServer, key: &ObjectKey, uid: &str) -> Result<(), ApiError> {
    let dependents = server.objects().dependents(uid)?;
    let mut blocking = false;
    for item in &dependents {
        let object = parse_stored(&item.json)?;
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let blocks = owners
            .into_iter()
            .flatten()
            .any(|owner| owner["uid"] == uid && owner["blockOwnerDeletion"] == true);
        blocking |= blocks;
        if !is_deleting(&object) {
            let propagation = if server.objects().dependents(&item.uid)?.is_empty() {
                Propagation::Background
            } else {
                Propagation::Foreground
            };
            delete(server, item, Some(propagation)).await?;
        }
    }
    // What was deleted at once is gone by now; what is left will be heard of.
    let left = server.objects().dependents(uid)?;
    if left.is_empty() || !blocking {
        remove_finalizer(server, key, FOREGROUND).await?;
    }
    Ok(())
}

/// Deletes the objects of a custom kind, then lets its definition go.
async fn custom_kind(server: &ApiServer, key: &ObjectKey, definition: &Value) -> Result<(), ApiError> {
    let (group, plural) = (text(definition, "/spec/group"), text(definition, "/spec/names/plural"));
    let kind = galley_store::objects::KindKey { group: group.to_owned(), plural: plural.to_owned() };
    delete_all(server, &kind, None).await?;
    if server.objects().count(&kind, None)? == 0 {
        remove_finalizer(server, key, CUSTOM_CLEANUP).await?;
    }
    Ok(())
}

async fn delete_all(
    server: &ApiServer,
    kind: &galley_store::objects::KindKey,
    namespace: Option<&str>,
) -> Result<(), ApiError> {
    let query = Query { namespace: namespace.map(str::to_owned), ..Query::default() };
    let page = server.objects().list(kind, &query, |facts| !crate::selector::says_deleting(facts))?;
    stream::iter(page.items.into_iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, |item| async move { delete(server, &item, None).await })
        .await
}

/// If a namespace is on its way out: deletes what is in it, and lets it go when it is empty.
pub(super) async fn namespace(server: &ApiServer, name: &str) -> Result<(), ApiError> {
    let kinds = server.kinds();
    let Some(def) = kinds.get("", "v1", "namespaces") else { return Ok(()) };
    let key = ObjectKey { kind: def.key(), namespace: String::new(), name: name.to_owned() };
    let Some((_, object)) = read(server, &key)? else { return Ok(()) };
    if !is_deleting(&object) {
        return Ok(());
    }
    for kind in server.objects().kinds(Some(name))? {
        delete_all(server, &kind, Some(name)).await?;
    }
    if server.objects().kinds(Some(name))?.is_empty() {
        modify_stored(server, def, key, |namespace| {
            if let Some(spec) = namespace.get_mut("spec") {
                spec["finalizers"] = json!([]);
            }
        })
        .await?;
    }
    Ok(())
}
