//! Locks: what `synchronization` asks for and how a run's status says what it holds.
//!
//! A lock's name is `NAMESPACE/Mutex/NAME`, `NAMESPACE/ConfigMap/NAME/KEY` or `NAMESPACE/Database/NAME`; a holder's
//! is `NAMESPACE/WORKFLOW` for a whole run and `NAMESPACE/WORKFLOW/NODE-ID` for a node, as in Argo.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The locks of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockStatus {
    /// Semaphores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semaphore: Option<Locks<SemaphoreHolding>>,
    /// Mutexes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutex: Option<Locks<MutexHolding>>,
}

/// Locks of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks<T> {
    /// What is held.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub holding: Vec<T>,
    /// What is waited for. For semaphores `holders` are those that hold it meanwhile.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<T>,
}

/// A semaphore and its holders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SemaphoreHolding {
    /// Its name.
    pub semaphore: String,
    /// Who.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<String>,
}

/// A mutex and its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MutexHolding {
    /// Its name.
    pub mutex: String,
    /// Who.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub holder: String,
}

/// What a node waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeLockStatus {
    /// The lock; empty when it has been taken.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub waiting: String,
}

impl LockStatus {
    /// Whether nothing is held or waited for.
    pub fn is_empty(&self) -> bool {
        self.all_held().is_empty() && self.all_waiting().is_empty()
    }

    /// Everything held: lock and holder.
    pub fn all_held(&self) -> Vec<(&str, &str)> {
        let semaphores =
            self.semaphore.iter().flat_map(|kind| &kind.holding).flat_map(|lock| {
                lock.holders.iter().map(|holder| (lock.semaphore.as_str(), holder.as_str()))
            });
        let mutexes = self.mutex.iter().flat_map(|kind| &kind.holding);
        semaphores.chain(mutexes.map(|lock| (lock.mutex.as_str(), lock.holder.as_str()))).collect()
    }

    /// Names of all locks that are waited for.
    pub fn all_waiting(&self) -> Vec<&str> {
        let semaphores = self.semaphore.iter().flat_map(|kind| &kind.waiting);
        let mutexes = self.mutex.iter().flat_map(|kind| &kind.waiting);
        semaphores
            .map(|lock| lock.semaphore.as_str())
            .chain(mutexes.map(|lock| lock.mutex.as_str()))
            .collect()
    }

    /// Notes that `holder` holds a lock.
    pub fn hold(&mut self, lock: &str, holder: &str) {
        if self.all_held().contains(&(lock, holder)) {
            return;
        }
        if is_semaphore(lock) {
            let all = &mut self.semaphore.get_or_insert_default().holding;
            match all.iter_mut().find(|known| known.semaphore == lock) {
                Some(known) => known.holders.push(holder.to_owned()),
                None => all
                    .push(SemaphoreHolding { semaphore: lock.to_owned(), holders: vec![holder.to_owned()] }),
            }
        } else {
            let all = &mut self.mutex.get_or_insert_default().holding;
            all.push(MutexHolding { mutex: lock.to_owned(), holder: holder.to_owned() });
        }
    }

    /// Notes that a lock is waited for.
    pub fn wait_for(&mut self, lock: &str) {
        if self.all_waiting().contains(&lock) {
            return;
        }
        if is_semaphore(lock) {
            let all = &mut self.semaphore.get_or_insert_default().waiting;
            all.push(SemaphoreHolding { semaphore: lock.to_owned(), holders: Vec::new() });
        } else {
            let all = &mut self.mutex.get_or_insert_default().waiting;
            all.push(MutexHolding { mutex: lock.to_owned(), holder: String::new() });
        }
    }

    /// Keeps only holders for which `lives` holds. True when one was dropped.
    pub fn release(&mut self, lives: impl Fn(&str) -> bool) -> bool {
        let before = self.all_held().len();
        if let Some(kind) = &mut self.semaphore {
            kind.holding.iter_mut().for_each(|lock| lock.holders.retain(|holder| lives(holder)));
            kind.holding.retain(|lock| !lock.holders.is_empty());
        }
        if let Some(kind) = &mut self.mutex {
            kind.holding.retain(|lock| lives(&lock.holder));
        }
        self.all_held().len() < before
    }

    /// Forgets what is waited for, until the next look says it again.
    pub fn forget_waiting(&mut self) {
        self.semaphore.iter_mut().for_each(|kind| kind.waiting.clear());
        self.mutex.iter_mut().for_each(|kind| kind.waiting.clear());
    }
}

impl<T> Default for Locks<T> {
    fn default() -> Self {
        Locks { holding: Vec::new(), waiting: Vec::new() }
    }
}

/// Whether a lock's name is a semaphore's.
pub(crate) fn is_semaphore(lock: &str) -> bool {
    lock.split('/').nth(1) == Some("ConfigMap")
}

/// The names of the locks that a `synchronization` asks for, old fields (`mutex`, `semaphore`) included.
///
/// # Errors
/// When a semaphore says neither or both of where its size is.
pub fn lock_names(synchronization: &Value, namespace: &str) -> Result<Vec<String>, String> {
    let both = |one: &str, many: &str| {
        let many = synchronization[many].as_array().cloned().unwrap_or_default();
        many.into_iter().chain(synchronization.get(one).filter(|value| value.is_object()).cloned())
    };
    let space = |item: &Value| {
        item["namespace"].as_str().filter(|text| !text.is_empty()).unwrap_or(namespace).to_owned()
    };
    let mut names = Vec::new();
    for item in both("semaphore", "semaphores") {
        let map = &item["configMapKeyRef"];
        let database = item["database"]["key"].as_str();
        match (map["name"].as_str(), map["key"].as_str(), database) {
            (Some(name), Some(key), None) => names.push(format!("{}/ConfigMap/{name}/{key}", space(&item))),
            (None, None, Some(key)) => names.push(format!("{}/Database/{key}", space(&item))),
            (Some(_), _, Some(_)) => {
                return Err("invalid semaphore with both ConfigMapKeyRef and Database".to_owned());
            }
            _ => {
                return Err(
                    "cannot get LockName for a Semaphore without a ConfigMapRef or Database".to_owned()
                );
            }
        }
    }
    for item in both("mutex", "mutexes") {
        let kind = if item["database"] == true { "Database" } else { "Mutex" };
        names.push(format!("{}/{kind}/{}", space(&item), item["name"].as_str().unwrap_or_default()));
    }
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn locks_are_named_and_kept() {
        let asked = json!({"semaphores": [{"configMapKeyRef": {"name": "m", "key": "k"}}], "mutex": {"name": "x", "namespace": "o"}});
        assert_eq!(lock_names(&asked, "n").unwrap(), ["n/ConfigMap/m/k", "o/Mutex/x"]);
        assert!(lock_names(&json!({"semaphores": [{}]}), "n").is_err());
        let mut status = LockStatus::default();
        status.hold("n/ConfigMap/m/k", "n/w/w-1");
        status.hold("n/ConfigMap/m/k", "n/w/w-2");
        status.hold("o/Mutex/x", "n/w");
        status.wait_for("n/Mutex/y");
        let value = serde_json::to_value(&status).unwrap();
        assert_eq!(
            value,
            json!({"semaphore": {"holding": [{"semaphore": "n/ConfigMap/m/k", "holders": ["n/w/w-1", "n/w/w-2"]}]},
                "mutex": {"holding": [{"mutex": "o/Mutex/x", "holder": "n/w"}], "waiting": [{"mutex": "n/Mutex/y"}]}})
        );
        assert_eq!(serde_json::from_value::<LockStatus>(value).unwrap(), status);
        assert!(status.release(|holder| holder == "n/w"));
        assert_eq!(status.all_held(), [("o/Mutex/x", "n/w")]);
    }
}
