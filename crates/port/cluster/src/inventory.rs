//! What we brought, remembered in the cluster itself: a ConfigMap, written before the first object is created and
//! completed afterwards. Whoever reads it after a kill at any moment can tell our objects from everybody else's.

use std::time::Duration;

use galley_problem::{Kind, Problem};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, PostParams, Preconditions},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Cluster,
    object::{MANAGER, ObjectRef, list, text},
    problem::{absent, refused},
    retry::retried,
};

/// The ConfigMap's key.
const KEY: &str = "inventory.json";
/// Marks the home namespace if we made it: that happens before there is an inventory to say so.
pub(crate) const OURS: &str = "galley.dev/created-by-bootstrap";
/// On every object that we created. An object without any field of ours would not show us among its managers, and a kill
/// right after its creation would leave nobody to say whose it is.
pub(crate) const MARK: &str = "galley.dev/brought-by";
/// Makes the home namespace; another name than [`MANAGER`], so that applying the namespace later leaves the mark alone.
const HOME_MANAGER: &str = "galley-bootstrap-home";
const DEADLINE: Duration = Duration::from_secs(30);

/// Where inventory and lease live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Namespace; made if it is not there.
    pub namespace: String,
    /// Name of the ConfigMap and of the Lease.
    pub name: String,
}

impl Default for Home {
    fn default() -> Self {
        Home { namespace: "gourmetgram-platform".into(), name: "galley-bootstrap".into() }
    }
}

/// What we did to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// It was not there before.
    Created,
    /// It was there, we set fields of it.
    Changed,
}

/// One object that we brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// Its uid, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// What we did, or are about to do.
    pub how: How,
    /// Whether it has been done; until then it is an intention.
    pub done: bool,
}

/// Everything that we brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// Version of this format.
    version: u32,
    /// The objects, in the order in which they were brought.
    pub entries: Vec<Entry>,
}

impl Inventory {
    const VERSION: u32 = 1;

    /// The entry of an object.
    pub fn find(&self, object: &ObjectRef) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.object.same(object))
    }

    /// Replaces the object's entry, or adds it at the end.
    pub(crate) fn put(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|known| known.object.same(&entry.object)) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    pub(crate) fn drop_entry(&mut self, object: &ObjectRef) {
        self.entries.retain(|entry| !entry.object.same(object));
    }
}

/// An inventory as it was read, with what it takes to write it back.
pub(crate) struct Stored {
    pub(crate) inventory: Inventory,
    resource_version: Option<String>,
    uid: Option<String>,
}

impl Cluster {
    /// What is remembered there; nothing if nothing was ever brought.
    ///
    /// # Errors
    /// G1115 if the ConfigMap is not an inventory; G1104 to G1108 if it cannot be read.
    pub async fn inventory(&self, home: &Home) -> Result<Option<Inventory>, Problem> {
        Ok(self.stored(home).await?.filter(|s| s.resource_version.is_some()).map(|stored| stored.inventory))
    }

    pub(crate) async fn stored(&self, home: &Home) -> Result<Option<Stored>, Problem> {
        let api: Api<ConfigMap> = Api::namespaced(self.client(), &home.namespace);
        let map = retried("read what was brought", DEADLINE, |_| {}, || api.get_opt(&home.name)).await?;
        let Some(map) = map else { return Ok(None) };
        let broken = |why: String| {
            Problem::new(
                "G1115",
                Kind::Invalid,
                format!("ConfigMap {}/{} does not hold what was brought.", home.namespace, home.name),
            )
            .because_of(why)
            .try_this("Restore it from a backup; without it Galley cannot tell its objects from others.")
        };
        let data = map
            .data
            .as_ref()
            .and_then(|data| data.get(KEY))
            .ok_or_else(|| broken(format!("`{KEY}` is missing.")))?;
        let inventory: Inventory = serde_json::from_str(data).map_err(|e| broken(e.to_string()))?;
        if inventory.version > Inventory::VERSION {
            return Err(broken("A newer Galley wrote it.".into()));
        }
        Ok(Some(Stored { inventory, resource_version: map.metadata.resource_version, uid: map.metadata.uid }))
    }

    /// Reads the inventory, or makes an empty one that is not stored yet.
    pub(crate) async fn stored_or_new(&self, home: &Home) -> Result<Stored, Problem> {
        let empty = Stored { inventory: Inventory::default(), resource_version: None, uid: None };
        let mut stored = self.stored(home).await?.unwrap_or(empty);
        if let Some(namespace) = self.own_home(home).await? {
            stored.inventory.put(namespace);
        }
        Ok(stored)
    }

    /// Writes the inventory; refuses if somebody else wrote it meanwhile.
    pub(crate) async fn store(&self, home: &Home, stored: &mut Stored) -> Result<(), Problem> {
        stored.inventory.version = Inventory::VERSION;
        let text = serde_json::to_string(&stored.inventory).map_err(|e| {
            Problem::new("G1115", Kind::Internal, "What was brought cannot be written down.").because(&e)
        })?;
        let api: Api<ConfigMap> = Api::namespaced(self.client(), &home.namespace);
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(home.name.clone()),
                resource_version: stored.resource_version.clone(),
                ..Default::default()
            },
            data: Some([(KEY.to_owned(), text)].into()),
            ..Default::default()
        };
        let params = PostParams { field_manager: Some(MANAGER.into()), ..Default::default() };
        let written = match stored.resource_version {
            Some(_) => api.replace(&home.name, &params, &map).await,
            None => api.create(&params, &map).await,
        };
        let written = written.map_err(|e| refused("write down what is being brought", &e))?;
        stored.resource_version = written.metadata.resource_version;
        stored.uid = written.metadata.uid;
        Ok(())
    }

    /// Deletes the inventory, if it is the one that was read.
    pub(crate) async fn discard(&self, home: &Home, stored: &Stored) -> Result<(), Problem> {
        let Some(uid) = &stored.uid else { return Ok(()) };
        let api: Api<ConfigMap> = Api::namespaced(self.client(), &home.namespace);
        let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
        match api.delete(&home.name, &DeleteParams::background().preconditions(preconditions)).await {
            Ok(_) => Ok(()),
            Err(error) if absent(&error) => Ok(()),
            Err(error) => Err(refused("delete the list of what was brought", &error)),
        }
    }

    /// Makes the home namespace if it is not there. Creation is atomic and carries the mark, so that a kill right after
    /// it leaves no doubt who made it.
    pub(crate) async fn ensure_home(&self, home: &Home) -> Result<(), Problem> {
        let api: Api<Namespace> = Api::all(self.client());
        let doing = format!("make the namespace `{}`", home.namespace);
        if retried(&doing, DEADLINE, |_| {}, || api.get_opt(&home.namespace)).await?.is_some() {
            return Ok(());
        }
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(home.namespace.clone()),
                annotations: Some([(OURS.to_owned(), "true".to_owned())].into()),
                ..Default::default()
            },
            ..Default::default()
        };
        let params = PostParams { field_manager: Some(HOME_MANAGER.into()), ..Default::default() };
        let made = retried(
            &doing,
            DEADLINE,
            |_| {},
            || async {
                match api.create(&params, &namespace).await {
                    Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                    other => other.map(drop),
                }
            },
        );
        made.await
    }

    /// The home namespace's entry, if we made it.
    pub(crate) async fn own_home(&self, home: &Home) -> Result<Option<Entry>, Problem> {
        let api: Api<Namespace> = Api::all(self.client());
        let doing = format!("read the namespace `{}`", home.namespace);
        let Some(found) = retried(&doing, DEADLINE, |_| {}, || api.get_opt(&home.namespace)).await? else {
            return Ok(None);
        };
        let marked = found.metadata.annotations.as_ref().is_some_and(|map| map.contains_key(OURS));
        let object = ObjectRef {
            api_version: "v1".into(),
            kind: "Namespace".into(),
            namespace: None,
            name: home.namespace.clone(),
        };
        Ok(marked.then_some(Entry { object, uid: found.metadata.uid, how: How::Created, done: true }))
    }

    /// Decides what became of intentions after a kill: entries get their uid or go.
    pub(crate) async fn settle(&self, inventory: &mut Inventory) -> Result<(), Problem> {
        let open: Vec<Entry> = inventory.entries.iter().filter(|entry| !entry.done).cloned().collect();
        for entry in open {
            let live = match self.mapping.api(&entry.object).await? {
                None => None,
                Some(api) => {
                    let doing = format!("read {}", entry.object);
                    retried(&doing, DEADLINE, |_| {}, || api.get_opt(&entry.object.name)).await?
                }
            };
            let live = live.map(|live| serde_json::to_value(live).unwrap_or_default());
            match live.map(|live| (evidence(&live), text(&live, "/metadata/uid").map(str::to_owned))) {
                None | Some((None, _)) => inventory.drop_entry(&entry.object),
                Some((Some(how), uid)) => {
                    let how = if entry.how == How::Changed { How::Changed } else { how };
                    inventory.put(Entry { uid, how, done: true, ..entry });
                }
            }
        }
        Ok(())
    }
}

/// What the object itself says about our part in it: we created it if it has our mark, which only planned creations
/// give, and our first application is as old as the object.
pub(crate) fn evidence(live: &Value) -> Option<How> {
    let applied = list(live, "/metadata/managedFields")
        .iter()
        .find(|entry| entry["manager"] == MANAGER && entry["operation"] == "Apply")?;
    let born = text(live, "/metadata/creationTimestamp")?;
    // Somebody else's entry from the same moment: then it was theirs first.
    let others = list(live, "/metadata/managedFields").iter().any(|entry| {
        entry["manager"] != MANAGER
            && entry["subresource"].is_null()
            && entry["time"] == born
            && !is_controller(entry)
    });
    let marked = live["metadata"]["annotations"][MARK] == MANAGER;
    if marked && applied["time"] == born && !others { Some(How::Created) } else { Some(How::Changed) }
}

/// Kubernetes' own controllers touch objects right after their creation.
fn is_controller(entry: &Value) -> bool {
    let manager = entry["manager"].as_str().unwrap_or_default();
    manager.starts_with("kube-") || manager.contains("controller")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_object_tells_who_made_it() {
        let check = |entries: Value, expected: Option<How>| {
            let mut live = json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z",
                "managedFields": entries, "annotations": {MARK: MANAGER}}});
            assert_eq!(evidence(&live), expected, "{live}");
            live["metadata"]["annotations"] = json!({});
            assert_ne!(evidence(&live), Some(How::Created), "without a mark: {live}");
        };
        let ours = |time: &str| json!({"manager": MANAGER, "operation": "Apply", "time": time});
        let first = "2026-01-01T00:00:00Z";
        check(json!([ours(first)]), Some(How::Created));
        check(json!([ours("2026-01-01T00:05:00Z")]), Some(How::Changed));
        check(json!([]), None);
        check(
            json!([ours(first), {"manager": "kubectl", "operation": "Update", "time": first}]),
            Some(How::Changed),
        );
        check(
            json!([ours(first), {"manager": "kube-controller-manager", "operation": "Update", "time": first}]),
            Some(How::Created),
        );
    }
}
