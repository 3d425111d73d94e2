//! Takes away exactly what the inventory says is ours.
//!
//! Order: Applications with everything that they manage; claimed objects in our namespaces, while their controllers still
//! run; our objects in the reverse order of bringing; our namespaces; our definitions; the inventory; the home namespace.
//! Every deletion names the uid that we created. What has somebody else's objects in it stays and is listed, and the
//! inventory keeps it for the next run.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt as _;
use galley_problem::{Kind, Problem};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions},
    runtime::{WatchStreamExt as _, watcher},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Cluster, Entry, Home, How, Lock, Phase, Progress,
    inventory::Stored,
    object::{MANAGER, ObjectRef, Wave, list, tell, text},
    problem::{absent, refused},
    retry::retried,
};

/// Has Argo CD take an Application's objects away before the Application goes.
const CASCADE: &str = "resources-finalizer.argocd.argoproj.io";
/// At most so many foreign objects are named.
const NAMED: usize = 10;
/// How long reading may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Objects of one kind read at once when looking for foreign ones.
const PAGE: u32 = 500;

/// A kind whose objects in our own namespaces count as ours: they were made by what we brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl Claim {
    /// Claims a kind.
    pub fn of(group: &str, kind: &str) -> Claim {
        Claim { group: group.into(), kind: kind.into() }
    }
}

/// How things are taken away.
#[derive(Clone, Debug)]
pub struct RemoveOptions {
    /// How long one object may take to go.
    pub object: Duration,
    /// How long Applications may take, with all that they manage.
    pub applications: Duration,
    /// Kinds that count as ours within namespaces that we created.
    pub claims: Vec<Claim>,
}

impl Default for RemoveOptions {
    fn default() -> Self {
        RemoveOptions {
            object: Duration::from_secs(60),
            applications: Duration::from_secs(300),
            claims: Vec::new(),
        }
    }
}

/// Something that stays, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The object.
    pub object: ObjectRef,
    /// A sentence.
    pub why: String,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Objects that we had created and that are gone.
    pub deleted: Vec<ObjectRef>,
    /// Objects that we had changed and that have their fields back.
    pub released: Vec<ObjectRef>,
    /// Objects that we had created and that stay.
    pub kept: Vec<Kept>,
}

/// One run of removing.
struct Run<'a> {
    cluster: &'a Cluster,
    lock: &'a Lock,
    options: &'a RemoveOptions,
    progress: &'a dyn Progress,
    stored: Stored,
    removed: Removed,
}

impl Cluster {
    /// What [`Cluster::remove`] would take away, in no particular order; nothing if nothing is remembered.
    ///
    /// # Errors
    /// As [`Cluster::inventory`].
    pub async fn removable(&self, home: &Home) -> Result<Vec<Entry>, Problem> {
        let mut entries = self.inventory(home).await?.unwrap_or_default().entries;
        if let Some(own) = self.own_home(home).await?
            && !entries.iter().any(|entry| entry.object.same(&own.object))
        {
            entries.push(own);
        }
        Ok(entries)
    }

    /// Takes away what we brought. Can be killed at any moment and run again; the lease is given back at the end.
    ///
    /// # Errors
    /// G1119 if an object does not go by its deadline, with what holds it; G1114 if the lease is lost; G1104 to G1108 if
    /// the cluster refuses. What is gone until then is no longer remembered.
    pub async fn remove(
        &self,
        lock: Lock,
        options: &RemoveOptions,
        progress: &dyn Progress,
    ) -> Result<Removed, Problem> {
        lock.check()?;
        let mut stored = self.stored_or_new(lock.home()).await?;
        self.settle(&mut stored.inventory).await?;
        let mut run =
            Run { cluster: self, lock: &lock, options, progress, stored, removed: Removed::default() };
        run.everything().await?;
        let Run { stored, mut removed, .. } = run;
        if !removed.kept.is_empty() {
            lock.release().await?;
            return Ok(removed);
        }
        self.discard(lock.home(), &stored).await?;
        let home = lock.home().clone();
        lock.release().await?;
        self.leave_home(&home, options, progress, &mut removed).await?;
        Ok(removed)
    }

    /// Deletes the home namespace if it is marked as ours and nobody else lives there.
    async fn leave_home(
        &self,
        home: &Home,
        options: &RemoveOptions,
        progress: &dyn Progress,
        removed: &mut Removed,
    ) -> Result<(), Problem> {
        let Some(own) = self.own_home(home).await? else { return Ok(()) };
        if let Some(why) = self.inhabited(&home.namespace, &options.claims).await? {
            tell(progress, &own.object, Phase::Kept(why.clone()));
            removed.kept.push(Kept { object: own.object, why });
            return Ok(());
        }
        self.delete(&own.object, own.uid.as_deref(), options.object, progress).await?;
        removed.deleted.push(own.object);
        Ok(())
    }

    /// Deletes an object and waits until it is gone. False if it is not there, or is not the one with this uid.
    async fn delete(
        &self,
        object: &ObjectRef,
        uid: Option<&str>,
        deadline: Duration,
        progress: &dyn Progress,
    ) -> Result<bool, Problem> {
        let Some(api) = self.mapping.api(object).await? else { return Ok(false) };
        let preconditions = Preconditions { uid: uid.map(str::to_owned), resource_version: None };
        let params = DeleteParams::background().preconditions(preconditions);
        tell(progress, object, Phase::Deleting);
        let doing = format!("delete {object}");
        let there = retried(
            &doing,
            deadline,
            |_| {},
            || async {
                match api.delete(&object.name, &params).await {
                    Ok(_) => Ok(true),
                    Err(error) if absent(&error) => Ok(false),
                    Err(error) if is_other(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            },
        );
        if !there.await? {
            return Ok(false);
        }
        self.gone(&api, object, uid, deadline).await?;
        tell(progress, object, Phase::Deleted);
        Ok(true)
    }

    async fn gone(
        &self,
        api: &Api<DynamicObject>,
        object: &ObjectRef,
        uid: Option<&str>,
        deadline: Duration,
    ) -> Result<(), Problem> {
        let mut states = Box::pin(watcher::watch_object(api.clone(), &object.name).default_backoff());
        let mut last = None;
        let waited = tokio::time::timeout(deadline, async {
            while let Some(state) = states.next().await {
                match state {
                    Ok(None) => return,
                    Ok(Some(live)) if uid.is_some() && live.metadata.uid.as_deref() != uid => return,
                    Ok(Some(live)) => last = Some(live),
                    // The kind itself may have gone.
                    Err(watcher::Error::InitialListFailed(error)) if absent(&error) => return,
                    Err(error) => tracing::debug!(%error, %object, "watching it go"),
                }
            }
        });
        if waited.await.is_ok() {
            return Ok(());
        }
        let mut problem = Problem::new(
            "G1119",
            Kind::Timeout,
            format!("{object} is not gone after {} s.", deadline.as_secs()),
        )
        .try_this("Mend what holds it, then run the same command again: it goes on where it stopped.");
        if let Some(live) = last {
            problem.causes = holding(&serde_json::to_value(live).unwrap_or_default());
        }
        Err(problem)
    }

    /// Takes our fields back from an object that was there before us.
    async fn release(
        &self,
        object: &ObjectRef,
        uid: Option<&str>,
        deadline: Duration,
    ) -> Result<bool, Problem> {
        let Some(mapped) = self.mapping.find(&object.api_version, &object.kind).await? else {
            return Ok(false);
        };
        let api = self.mapping.open(&mapped, object)?;
        let live = retried(&format!("read {object}"), deadline, |_| {}, || api.get_opt(&object.name)).await?;
        if live.is_none_or(|live| uid.is_some() && live.metadata.uid.as_deref() != uid) {
            return Ok(false);
        }
        let mut metadata = json!({ "name": object.name });
        if let Some(namespace) = &object.namespace {
            metadata["namespace"] = json!(namespace);
        }
        if let Some(uid) = uid {
            metadata["uid"] = json!(uid);
        }
        let empty = json!({ "apiVersion": object.api_version, "kind": object.kind, "metadata": metadata });
        let params = PatchParams::apply(MANAGER);
        let doing = format!("take Galley's fields back from {object}");
        retried(&doing, deadline, |_| {}, || self.patch(&mapped, object, &empty, &params)).await?;
        Ok(true)
    }

    /// Who else lives in a namespace, as a sentence; nothing if nobody does.
    async fn inhabited(&self, namespace: &str, claims: &[Claim]) -> Result<Option<String>, Problem> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for api_version in self.api_versions().await? {
            for mapped in self.mapping.served(&api_version).await? {
                let listable =
                    ["list", "delete"].iter().all(|verb| mapped.verbs.iter().any(|known| known == verb));
                let (group, kind) = (mapped.resource.group.as_str(), mapped.resource.kind.as_str());
                let claimed = claims.iter().any(|claim| claim.group == group && claim.kind == kind);
                let known = !seen.insert((group.to_owned(), kind.to_owned()));
                if !mapped.namespaced || !listable || known || claimed || automatic_kind(group, kind) {
                    continue;
                }
                let api: Api<DynamicObject> =
                    Api::namespaced_with(self.client(), namespace, &mapped.resource);
                let listed = match api.list(&ListParams::default().limit(PAGE)).await {
                    Ok(listed) => listed,
                    Err(error) if absent(&error) => continue,
                    // Served by an extension that is away or not allowed: what cannot be seen is not deleted.
                    Err(error) => {
                        return Err(refused(
                            format!("list {} of `{namespace}`", mapped.resource.plural),
                            &error,
                        ));
                    }
                };
                found.extend(
                    listed
                        .into_iter()
                        .filter(|o| !automatic(kind, o))
                        .map(|o| format!("{kind} {}", o.metadata.name.unwrap_or_default())),
                );
            }
        }
        Ok(sentence("It holds objects that Galley did not bring", found))
    }

    /// All versions of all groups, preferred ones first: a kind may be served in one version only.
    async fn api_versions(&self) -> Result<Vec<String>, Problem> {
        let groups = retried(
            "ask which kinds there are",
            PATIENCE,
            |_| {},
            || {
                let client = self.client();
                async move { client.list_api_groups().await }
            },
        );
        let mut versions = vec!["v1".to_owned()];
        for group in groups.await?.groups {
            // Measurements, not objects; and their server is the one that is away most often.
            if group.name.ends_with("metrics.k8s.io") {
                continue;
            }
            let preferred = group.preferred_version.map(|version| version.group_version);
            versions.extend(preferred.clone());
            let all = group.versions.into_iter().map(|version| version.group_version);
            versions.extend(all.filter(|version| Some(version) != preferred.as_ref()));
        }
        Ok(versions)
    }
}

impl Run<'_> {
    async fn everything(&mut self) -> Result<(), Problem> {
        self.applications().await?;
        self.claimed().await?;
        let mut ordered = self.stored.inventory.entries.clone();
        ordered.reverse();
        ordered.sort_by_key(|entry| std::cmp::Reverse(entry.object.wave()));
        let first_of =
            |wave: fn(Wave) -> bool| ordered.iter().filter(move |e| wave(e.object.wave())).cloned();
        let plain: Vec<Entry> = first_of(|w| !matches!(w, Wave::Namespaces | Wave::Definitions)).collect();
        let namespaces: Vec<Entry> = first_of(|w| w == Wave::Namespaces).collect();
        let definitions: Vec<Entry> = first_of(|w| w == Wave::Definitions).collect();
        for entry in plain {
            self.take_away(entry).await?;
        }
        self.save().await?;
        for entry in namespaces {
            self.namespace(entry).await?;
        }
        self.save().await?;
        for entry in definitions {
            self.definition(entry).await?;
        }
        self.cluster.mapping.forget().await;
        self.save().await
    }

    /// Deletes our Applications and waits for what they manage. All are asked first, then waited for.
    async fn applications(&mut self) -> Result<(), Problem> {
        let ours: Vec<Entry> =
            self.entries(|entry| entry.object.is_application() && entry.how == How::Created);
        for entry in &ours {
            self.lock.check()?;
            self.cascade(&entry.object, entry.uid.as_deref(), &mut BTreeSet::new()).await?;
        }
        for entry in ours {
            self.lock.check()?;
            let uid = entry.uid.as_deref();
            let deadline = self.options.applications;
            let gone = self.cluster.delete(&entry.object, uid, deadline, self.progress).await?;
            self.gone(entry, gone);
        }
        self.save().await
    }

    /// Sees to it that an Application and those that it manages take their objects with them.
    async fn cascade(
        &self,
        object: &ObjectRef,
        uid: Option<&str>,
        seen: &mut BTreeSet<ObjectRef>,
    ) -> Result<(), Problem> {
        let mut open = vec![(object.clone(), uid.map(str::to_owned))];
        while let Some((object, uid)) = open.pop() {
            if !seen.insert(object.clone()) {
                continue;
            }
            let Some(api) = self.cluster.mapping.api(&object).await? else { continue };
            let doing = format!("read {object}");
            let live = retried(&doing, self.options.object, |_| {}, || api.get_opt(&object.name)).await?;
            let Some(live) = live.filter(|live| uid.is_none() || live.metadata.uid == uid) else { continue };
            let children = list(&live.data, "/status/resources")
                .iter()
                .filter(|child| child["group"] == "argoproj.io" && child["kind"] == "Application")
                .filter_map(|child| {
                    Some(ObjectRef {
                        namespace: text(child, "/namespace").map(str::to_owned),
                        name: text(child, "/name")?.to_owned(),
                        ..object.clone()
                    })
                });
            open.extend(children.map(|child| (child, None)));
            let mut finalizers = live.metadata.finalizers.clone().unwrap_or_default();
            if live.metadata.deletion_timestamp.is_some()
                || finalizers.iter().any(|name| name.starts_with(CASCADE))
            {
                continue;
            }
            finalizers.push(CASCADE.to_owned());
            let patch = json!({ "metadata": {
                "finalizers": finalizers, "uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version,
            } });
            let doing = format!("have {object} take its objects with it");
            let params = PatchParams::default();
            let patch = Patch::Merge(patch);
            api.patch(&object.name, &params, &patch).await.map_err(|e| refused(doing, &e))?;
        }
        Ok(())
    }

    /// Deletes claimed objects in namespaces that we created.
    async fn claimed(&mut self) -> Result<(), Problem> {
        let namespaces = self.entries(|entry| entry.object.is_namespace() && entry.how == How::Created);
        if namespaces.is_empty() || self.options.claims.is_empty() {
            return Ok(());
        }
        for api_version in self.cluster.api_versions().await? {
            for mapped in self.cluster.mapping.served(&api_version).await? {
                let (group, kind) = (&mapped.resource.group, &mapped.resource.kind);
                if !mapped.namespaced
                    || !self.options.claims.iter().any(|c| c.group == *group && c.kind == *kind)
                {
                    continue;
                }
                for namespace in &namespaces {
                    self.claimed_in(&mapped.resource, &namespace.object.name).await?;
                }
            }
        }
        Ok(())
    }

    async fn claimed_in(&self, resource: &kube::api::ApiResource, namespace: &str) -> Result<(), Problem> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.cluster.client(), namespace, resource);
        let doing = format!("list {} of `{namespace}`", resource.plural);
        let listed = api.list(&ListParams::default()).await.map_err(|e| refused(doing, &e))?;
        let home = self.lock.home();
        for live in listed {
            self.lock.check()?;
            let name = live.metadata.name.as_deref().unwrap_or_default();
            if automatic(&resource.kind, &live) || (namespace == home.namespace && name == home.name) {
                continue;
            }
            let object = ObjectRef {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
                namespace: Some(namespace.to_owned()),
                name: live.metadata.name.unwrap_or_default(),
            };
            let uid = live.metadata.uid.as_deref();
            self.cluster.delete(&object, uid, self.options.object, self.progress).await?;
        }
        Ok(())
    }

    async fn take_away(&mut self, entry: Entry) -> Result<(), Problem> {
        self.lock.check()?;
        let (uid, deadline) = (entry.uid.as_deref(), self.options.object);
        if entry.how == How::Created {
            let gone = self.cluster.delete(&entry.object, uid, deadline, self.progress).await?;
            self.gone(entry, gone);
            return Ok(());
        }
        match self.cluster.release(&entry.object, uid, deadline).await {
            Ok(released) => {
                self.stored.inventory.drop_entry(&entry.object);
                if released {
                    tell(self.progress, &entry.object, Phase::Released);
                    self.removed.released.push(entry.object);
                }
                Ok(())
            }
            // The object cannot be without our fields; it is not ours to delete.
            Err(problem) if problem.code == "G1109" => {
                self.keep(entry, format!("Its fields cannot be taken back: {}", problem.causes.join(" ")));
                Ok(())
            }
            Err(problem) => Err(problem),
        }
    }

    async fn namespace(&mut self, entry: Entry) -> Result<(), Problem> {
        if entry.how == How::Created {
            // The inventory lives there until the very end; `leave_home` deletes it.
            if entry.object.name == self.lock.home().namespace {
                return Ok(());
            }
            if let Some(why) = self.cluster.inhabited(&entry.object.name, &self.options.claims).await? {
                self.keep(entry, why);
                return Ok(());
            }
        }
        self.take_away(entry).await
    }

    async fn definition(&mut self, entry: Entry) -> Result<(), Problem> {
        if entry.how == How::Created
            && let Some(why) = self.cluster.in_use(&entry.object).await?
        {
            self.keep(entry, why);
            return Ok(());
        }
        self.take_away(entry).await
    }

    fn entries(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.stored.inventory.entries.iter().rev().filter(|entry| wanted(entry)).cloned().collect()
    }

    fn gone(&mut self, entry: Entry, deleted: bool) {
        self.stored.inventory.drop_entry(&entry.object);
        if deleted {
            self.removed.deleted.push(entry.object);
        }
    }

    fn keep(&mut self, entry: Entry, why: String) {
        tell(self.progress, &entry.object, Phase::Kept(why.clone()));
        self.removed.kept.push(Kept { object: entry.object, why });
    }

    async fn save(&mut self) -> Result<(), Problem> {
        self.lock.check()?;
        self.cluster.store(self.lock.home(), &mut self.stored).await
    }
}

impl Cluster {
    /// Objects of a definition that are left, as a sentence.
    async fn in_use(&self, definition: &ObjectRef) -> Result<Option<String>, Problem> {
        let Some(api) = self.mapping.api(definition).await? else { return Ok(None) };
        let doing = format!("read {definition}");
        let Some(live) = retried(&doing, PATIENCE, |_| {}, || api.get_opt(&definition.name)).await? else {
            return Ok(None);
        };
        let served = list(&live.data, "/spec/versions").iter().find(|version| version["served"] == true);
        let (Some(group), Some(version), Some(kind)) = (
            text(&live.data, "/spec/group"),
            served.and_then(|version| version["name"].as_str()),
            text(&live.data, "/spec/names/kind"),
        ) else {
            return Ok(None);
        };
        let Some(mapped) = self.mapping.find(&format!("{group}/{version}"), kind).await? else {
            return Ok(None);
        };
        let all: Api<DynamicObject> = Api::all_with(self.client(), &mapped.resource);
        let doing = format!("list {}", mapped.resource.plural);
        let page = ListParams::default().limit(PAGE);
        let listed = retried(&doing, PATIENCE, |_| {}, || all.list(&page)).await?;
        let names = listed.into_iter().map(|object| {
            let namespace =
                object.metadata.namespace.map_or(String::new(), |namespace| format!("{namespace}/"));
            format!("{kind} {namespace}{}", object.metadata.name.unwrap_or_default())
        });
        Ok(sentence("There are objects of it that Galley did not bring", names.collect()))
    }
}

/// The uid in the precondition is another's: the object that we created is gone.
fn is_other(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.message.contains("UID") && status.message.contains("precondition"))
}

fn sentence(start: &str, mut names: Vec<String>) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{start}: {}{rest}.", names.join(", ")))
}

/// Kinds whose objects come and go by themselves.
fn automatic_kind(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("" | "events.k8s.io", "Event")
            | ("", "Endpoints")
            | ("discovery.k8s.io", "EndpointSlice")
            | ("coordination.k8s.io", "Lease")
    )
}

/// Objects that Kubernetes makes in every namespace, that belong to another object, or that are on their way out.
fn automatic(kind: &str, object: &DynamicObject) -> bool {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    matches!((kind, name), ("ConfigMap", "kube-root-ca.crt") | ("ServiceAccount", "default"))
        || object.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
        || object.metadata.deletion_timestamp.is_some()
}

/// What keeps an object from going: finalizers, and what its status says.
fn holding(live: &Value) -> Vec<String> {
    let mut causes = Vec::new();
    let finalizers: Vec<&str> = list(live, "/metadata/finalizers").iter().filter_map(Value::as_str).collect();
    if !finalizers.is_empty() {
        causes.push(format!("It waits for: {}.", finalizers.join(", ")));
    }
    for condition in list(live, "/status/conditions") {
        let told = condition["status"] == "True" || condition["status"].is_null();
        if let Some(message) = condition["message"].as_str().filter(|text| told && !text.is_empty()) {
            causes.push(message.to_owned());
        }
    }
    let left = list(live, "/status/resources")
        .iter()
        .filter_map(|resource| Some(format!("{} {}", text(resource, "/kind")?, text(resource, "/name")?)));
    let left: Vec<String> = left.take(NAMED).collect();
    if !left.is_empty() {
        causes.push(format!("It manages: {}.", left.join(", ")));
    }
    causes.truncate(NAMED);
    causes
}
