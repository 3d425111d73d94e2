//! What a run is about to make, written down before it does.
//!
//! A tool writes a resource to its state when the provider has answered; killed in between, it leaves something in the
//! cloud that no state knows. And a resource that programs of the configuration make (provisioners) stands in the state
//! before they have run. The journal, together with the run's own stream, tells afterwards which resources were begun and
//! not finished: those are in doubt, and the next run settles each before it plans.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Event,
    plan::{Action, Plan},
    tool::Kind,
};

/// Something that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Address in the configuration.
    pub address: String,
    /// Type of the resource.
    pub kind: String,
    /// Name or description in the cloud.
    pub name: Option<String>,
    /// Whether programs make it.
    pub provisioned: bool,
}

/// A run that may have changed the cloud.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Journal {
    /// Which tool.
    pub tool: Kind,
    /// The tool's process id; 0 until it is started.
    pub pid: u32,
    /// When that process was started, in the kernel's count.
    pub started: u64,
    /// When, for people.
    pub begun: String,
    /// The command, short.
    pub command: String,
    /// The run's standard output.
    pub out: PathBuf,
    /// The run's standard error.
    pub err: PathBuf,
    /// What it is to make.
    pub creates: Vec<Planned>,
    /// Ids that existed before, of the same type and name: never ours to remove.
    pub before: BTreeMap<String, Vec<String>>,
    /// What earlier runs left in doubt and was not settled yet.
    pub doubts: Vec<Doubt>,
}

/// A resource of which nobody knows whether it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What was to be made.
    pub planned: Planned,
    /// Ids that existed before, of the same type and name.
    pub before: Vec<String>,
}

impl Journal {
    /// What a plan is to make.
    pub fn creates(plan: &Plan) -> Vec<Planned> {
        let made = plan.changes.iter().filter(|change| change.action.creates());
        made.map(|change| Planned {
            address: change.address.clone(),
            kind: change.kind.clone(),
            name: change.name.clone(),
            provisioned: change.provisioned,
        })
        .collect()
    }

    /// Under which name what existed before is kept.
    pub fn key(planned: &Planned) -> String {
        format!("{}/{}", planned.kind, planned.name.as_deref().unwrap_or_default())
    }

    /// Reads the journal of a run that did not end well, if there is one.
    ///
    /// # Errors
    /// [`Error::File`] if it is there and cannot be read.
    pub fn read(path: &Path) -> Result<Option<Journal>, Error> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| Error::file("understanding", path)(std::io::Error::other(e))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("reading", path)(error)),
        }
    }

    /// Writes it, whole or not at all, and on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::file("writing", path)(std::io::Error::other(e)))?;
        crate::private(path, &bytes)
    }

    /// What was begun and not finished, by this run or one before it.
    pub fn in_doubt(&self) -> Vec<Doubt> {
        let (begun, finished) = self.told();
        let mut doubts: Vec<Doubt> =
            self.doubts.iter().filter(|doubt| !finished.contains(&doubt.planned.address)).cloned().collect();
        for planned in &self.creates {
            // A program's resource stands in the state a moment before its beginning is told, so all of them count.
            let maybe = begun.contains(&planned.address) || planned.provisioned;
            if maybe && !finished.contains(&planned.address) {
                let before = self.before.get(&Journal::key(planned)).cloned().unwrap_or_default();
                doubts.retain(|doubt| doubt.planned.address != planned.address);
                doubts.push(Doubt { planned: planned.clone(), before });
            }
        }
        doubts
    }

    /// Addresses whose creation began, and those where it was completed.
    fn told(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut begun, mut finished) = (BTreeSet::new(), BTreeSet::new());
        let Ok(file) = std::fs::File::open(&self.out) else { return (begun, finished) };
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            match Event::read(&line) {
                Event::Start { address, action: Action::Create } => {
                    begun.insert(address);
                }
                Event::Complete { address, action: Action::Create, .. } => {
                    finished.insert(address);
                }
                _ => {}
            }
        }
        (begun, finished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_and_not_finished_is_in_doubt() {
        let dir = tempfile::tempdir().expect("a folder");
        let out = dir.path().join("out");
        let line = |kind: &str, address: &str| {
            format!(
                "{{\"type\":\"{kind}\",\"hook\":{{\"resource\":{{\"addr\":\"{address}\"}},\"action\":\"create\"}}}}\n"
            )
        };
        let text = line("apply_start", "a.one")
            + &line("apply_start", "a.two")
            + &line("apply_complete", "a.one")
            + "{\"type\":\"appl";
        std::fs::write(&out, text).expect("writes");
        let planned = |address: &str, provisioned| Planned {
            address: address.into(),
            kind: "a".into(),
            name: Some(address.into()),
            provisioned,
        };
        let journal = Journal {
            tool: Kind::Tofu,
            pid: 1,
            started: 1,
            begun: String::new(),
            command: String::new(),
            out,
            err: dir.path().join("err"),
            creates: vec![
                planned("a.one", true),
                planned("a.two", false),
                planned("a.three", false),
                planned("a.four", true),
            ],
            before: [("a/a.two".to_owned(), vec!["old".to_owned()])].into(),
            doubts: vec![
                Doubt { planned: planned("a.one", false), before: vec![] },
                Doubt { planned: planned("a.zero", false), before: vec![] },
            ],
        };
        let path = dir.path().join("journal.json");
        journal.write(&path).expect("writes");
        let journal = Journal::read(&path).expect("reads").expect("is there");
        let doubts = journal.in_doubt();
        let addresses: Vec<_> = doubts.iter().map(|doubt| doubt.planned.address.as_str()).collect();
        assert_eq!(addresses, ["a.zero", "a.two", "a.four"]);
        assert_eq!(doubts[1].before, ["old"]);
        assert!(Journal::read(&dir.path().join("none")).expect("reads").is_none());
    }
}
