//! What the server does on its own: objects whose owners are gone go, owners that wait for their dependents wait,
//! and namespaces and custom kinds take their contents with them.
//!
//! One loop reads the log of all kinds and turns each event into things to look at; looking reads the objects
//! again and acts on what is there, so nothing depends on having seen every event. At the start and whenever the
//! log was too short, everything is looked at once.

mod look;

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use galley_store::objects::{Change, Event, ObjectError, ObjectKey, Query};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::ApiServer;

/// Events read from the log at a time.
const BATCH: usize = 512;
/// Things looked at at a time.
const AT_A_TIME: usize = 32;
/// After this time everything that did not work, or was missed, is looked at again.
const AGAIN: Duration = Duration::from_secs(30);
/// After a failure it is tried again this soon.
const RETRY: Duration = Duration::from_secs(1);

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// Objects that name this uid as an owner, which is gone.
    Owner(String),
    /// This object names owners: are they there? And is an owner waiting for it?
    Dependent(ObjectKey),
    /// This object is on its way out and held.
    Leaving(ObjectKey),
    /// Something in this namespace went; the namespace may be waiting for that.
    Namespace(String),
}

/// The part of an object that is of interest here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: String,
    deletion_timestamp: Option<String>,
    owner_references: Vec<Owner>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Owner {
    uid: String,
}

impl Head {
    fn of(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }
}

/// Runs until cancelled.
pub(crate) async fn run(server: ApiServer, shutdown: CancellationToken) {
    if let Err(error) = server.founded().await {
        tracing::error!(?error, "the first namespaces could not be made");
    }
    let mut wakes = server.objects().subscribe(None);
    let mut tasks: BTreeSet<Task> = BTreeSet::new();
    let mut since = None;
    loop {
        let now_at = match since {
            Some(since) => follow(&server, since, &mut tasks),
            None => sweep(&server, &mut tasks),
        };
        let (next, more) = match now_at {
            Ok((revision, more)) => (Some(revision), more),
            Err(ObjectError::Compacted { .. }) => (None, true),
            Err(error) => {
                tracing::warn!(%error, "the garbage collector could not read the log");
                (since, false)
            }
        };
        since = next;
        let failed = work(&server, &mut tasks, &shutdown).await;
        if more && !shutdown.is_cancelled() {
            continue;
        }
        let pause = if failed { RETRY } else { AGAIN };
        tokio::select! {
            changed = wakes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => if !failed { since = None },
            () = shutdown.cancelled() => return,
        }
    }
}

/// Turns what happened since a revision into tasks; answers how far it came and whether there is more.
fn follow(server: &ApiServer, since: u64, tasks: &mut BTreeSet<Task>) -> Result<(u64, bool), ObjectError> {
    let (events, complete) = server.objects().events(None, since, BATCH)?;
    events.iter().for_each(|event| note(event, tasks));
    Ok((complete, events.len() == BATCH))
}

fn note(event: &Event, tasks: &mut BTreeSet<Task>) {
    let head = Head::of(&event.json);
    match event.change {
        Change::Deleted => {
            tasks.insert(Task::Owner(head.metadata.uid));
            for owner in head.metadata.owner_references {
                // An owner that is deleted in the foreground may have waited for this object.
                tasks.insert(Task::Owner(owner.uid));
            }
            if event.key.namespace.is_empty() {
                return;
            }
            tasks.insert(Task::Namespace(event.key.namespace.clone()));
        }
        Change::Added | Change::Modified => {
            if !head.metadata.owner_references.is_empty() {
                tasks.insert(Task::Dependent(event.key.clone()));
            }
            if head.metadata.deletion_timestamp.is_some() {
                tasks.insert(Task::Leaving(event.key.clone()));
            }
        }
    }
}

/// Looks at everything: objects without their owners, and objects on their way out.
fn sweep(server: &ApiServer, tasks: &mut BTreeSet<Task>) -> Result<(u64, bool), ObjectError> {
    let objects = server.objects();
    let revision = objects.revision()?;
    tasks.extend(objects.orphans()?.into_iter().map(|(_, key)| Task::Dependent(key)));
    for kind in objects.kinds(None)? {
        let page = objects.list(&kind, &Query::default(), crate::selector::says_deleting)?;
        tasks.extend(page.items.into_iter().map(|item| Task::Leaving(item.key)));
    }
    Ok((revision, false))
}

/// Looks at all tasks; those that failed stay. Answers whether any did.
async fn work(server: &ApiServer, tasks: &mut BTreeSet<Task>, shutdown: &CancellationToken) -> bool {
    let batch = std::mem::take(tasks);
    if batch.is_empty() {
        return false;
    }
    let outcomes: Vec<_> = stream::iter(batch)
        .take_until(shutdown.cancelled())
        .map(|task| async move {
            let outcome = match &task {
                Task::Owner(uid) => look::owner(server, uid).await,
                Task::Dependent(key) => look::dependent(server, key).await,
                Task::Leaving(key) => look::leaving(server, key).await,
                Task::Namespace(name) => look::namespace(server, name).await,
            };
            (task, outcome)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let mut failed = false;
    for (task, outcome) in outcomes {
        if let Err(error) = outcome {
            tracing::debug!(?task, ?error, "looked in vain, will look again");
            tasks.insert(task);
            failed = true;
        }
    }
    failed
}
