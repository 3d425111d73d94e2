//! Releases: the line of stages with gates, commits and figures.

use galley_release_types::{Environment, Gate, PIPELINE_NAMESPACE, Phase, Release, ReleaseStatus, Verdict};
use jiff::Timestamp;
use serde_json::Value;

use super::{Badge, Moment, Tone, elapsed, name, plain, short, short_image, text};
use crate::snapshot::{Kind, Snapshot};

/// Most releases in a list.
const MAX_ROWS: usize = 20;
/// The stages of the line.
const STAGES: [(&str, Phase); 5] = [
    ("Train", Phase::Training),
    ("Build", Phase::Building),
    ("Staging", Phase::Staging),
    ("Canary", Phase::Canary),
    ("Production", Phase::Promoted),
];

/// How far one stage of the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Behind us.
    Done,
    /// Here we are.
    Now,
    /// Here it ended.
    Stopped,
    /// Not reached.
    Ahead,
}

impl Mark {
    /// The class in the style sheet.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Mark::Done => "done",
            Mark::Now => "now",
            Mark::Stopped => "stopped",
            Mark::Ahead => "ahead",
        }
    }

    /// What a screen reader says.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Mark::Done => "done",
            Mark::Now => "in progress",
            Mark::Stopped => "stopped here",
            Mark::Ahead => "not reached",
        }
    }
}

/// One stage of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) mark: Mark,
    /// What there is to say: run, version, image, commit.
    pub(crate) detail: String,
    /// Verdicts of its gates.
    pub(crate) gates: Vec<Badge>,
}

/// A gate with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GateRow {
    pub(crate) name: String,
    pub(crate) verdict: Badge,
    pub(crate) reason: String,
    /// Figure and value.
    pub(crate) figures: Vec<(String, String)>,
    pub(crate) at: Moment,
}

/// A release as a card with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReleaseCard {
    pub(crate) name: String,
    pub(crate) phase: Badge,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) took: String,
    pub(crate) started: Moment,
    pub(crate) stages: Vec<Stage>,
    pub(crate) gates: Vec<GateRow>,
}

/// A line in the list of releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReleaseRow {
    pub(crate) name: String,
    pub(crate) phase: Badge,
    pub(crate) version: String,
    pub(crate) commit: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) took: String,
    pub(crate) created: Moment,
}

/// The page of one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReleasePage {
    pub(crate) card: ReleaseCard,
    /// Name and value.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) workflow: String,
    /// Environment, commit and time.
    pub(crate) commits: Vec<(&'static str, String, Moment)>,
}

/// A release and the object it was read from.
struct Read<'v> {
    object: &'v Value,
    release: Release,
}

/// A release whose object cannot be understood is shown as failed rather than left out.
fn read(object: &Value) -> Read<'_> {
    let release = serde_json::from_value(object.clone()).unwrap_or_else(|error| Release {
        status: ReleaseStatus {
            phase: Phase::Failed,
            message: format!("This release cannot be read: {error}"),
            ..ReleaseStatus::default()
        },
        ..Release::default()
    });
    Read { object, release }
}

/// The newest first.
fn newest(snapshot: &Snapshot) -> Vec<Read<'_>> {
    let mut all: Vec<Read<'_>> = snapshot
        .of(Kind::Release)
        .filter(|object| super::namespace(object) == PIPELINE_NAMESPACE)
        .map(read)
        .collect();
    let key = |read: &Read<'_>| {
        (text(read.object, "/metadata/creationTimestamp").to_owned(), name(read.object).to_owned())
    };
    all.sort_by_key(|read| std::cmp::Reverse(key(read)));
    all
}

/// The release that is under way, or else the newest one.
pub(super) fn current(snapshot: &Snapshot, now: Timestamp) -> Option<ReleaseCard> {
    let all = newest(snapshot);
    let current = all.iter().find(|read| !read.release.status.phase.is_final()).or(all.first())?;
    Some(card(current, now))
}

/// The newest releases.
pub(super) fn rows(snapshot: &Snapshot, now: Timestamp) -> Vec<ReleaseRow> {
    let row = |read: &Read<'_>| {
        let (spec, status) = (&read.release.spec, &read.release.status);
        ReleaseRow {
            name: name(read.object).to_owned(),
            phase: phase(status.phase),
            version: status.version.clone().unwrap_or_default(),
            commit: short(&spec.commit),
            reason: spec.reason.clone(),
            message: status.message.clone(),
            took: took(status, now),
            created: Moment::of(text(read.object, "/metadata/creationTimestamp"), now),
        }
    };
    newest(snapshot).iter().take(MAX_ROWS).map(row).collect()
}

/// The page of one release, if it exists.
pub(crate) fn release(snapshot: &Snapshot, wanted: &str, now: Timestamp) -> Option<ReleasePage> {
    let read = read(snapshot.get(Kind::Release, PIPELINE_NAMESPACE, wanted)?);
    let (spec, status) = (&read.release.spec, &read.release.status);
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let facts = [
        ("Reason", spec.reason.clone()),
        ("Commit", spec.commit.clone()),
        ("Training digest", spec.training_digest.clone()),
        ("Run", given(&status.run_id)),
        ("Model version", given(&status.version)),
        ("Image", given(&status.image)),
        ("Started", given(&status.started_at)),
        ("Finished", given(&status.finished_at)),
    ];
    Some(ReleasePage {
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        workflow: given(&status.workflow),
        commits: status
            .commits
            .iter()
            .map(|commit| (commit.environment.name(), commit.commit.clone(), Moment::of(&commit.at, now)))
            .collect(),
        card: card(&read, now),
    })
}

fn took(status: &ReleaseStatus, now: Timestamp) -> String {
    elapsed(status.started_at.as_deref().unwrap_or(""), status.finished_at.as_deref().unwrap_or(""), now)
}

fn phase(phase: Phase) -> Badge {
    let (tone, text) = match phase {
        Phase::Pending => (Tone::Idle, "Pending"),
        Phase::Training => (Tone::Busy, "Training"),
        Phase::Building => (Tone::Busy, "Building"),
        Phase::Staging => (Tone::Busy, "In staging"),
        Phase::Canary => (Tone::Busy, "In canary"),
        Phase::Promoted => (Tone::Good, "Promoted"),
        Phase::Stopped => (Tone::Warn, "Stopped"),
        Phase::Failed => (Tone::Bad, "Failed"),
    };
    Badge::new(tone, text)
}

fn verdict(verdict: Verdict, text: impl Into<String>) -> Badge {
    let tone = match verdict {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::Inconclusive => Tone::Warn,
    };
    Badge::new(tone, text)
}

fn card(read: &Read<'_>, now: Timestamp) -> ReleaseCard {
    let (spec, status) = (&read.release.spec, &read.release.status);
    ReleaseCard {
        name: name(read.object).to_owned(),
        phase: phase(status.phase),
        reason: spec.reason.clone(),
        message: status.message.clone(),
        took: took(status, now),
        started: Moment::of(status.started_at.as_deref().unwrap_or(""), now),
        stages: stages(status),
        gates: status.gates.iter().map(|gate| gate_row(gate, now)).collect(),
    }
}

fn gate_row(gate: &Gate, now: Timestamp) -> GateRow {
    let word = match gate.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
    };
    GateRow {
        name: gate.name.clone(),
        verdict: verdict(gate.verdict, word),
        reason: gate.reason.clone(),
        figures: gate.evidence.iter().map(|(figure, value)| (figure.clone(), plain(value))).collect(),
        at: Moment::of(&gate.at, now),
    }
}

/// The stage of the line that a gate belongs to.
fn stage_of(gate: &str) -> usize {
    match gate {
        gate if gate.starts_with("staging") => 2,
        gate if gate.starts_with("canary") || gate.starts_with("shadow") => 3,
        gate if gate.starts_with("production") => 4,
        gate if gate.starts_with("build") || gate.starts_with("image") => 1,
        _ => 0,
    }
}

/// The stage that a release has reached: its phase says so while it is under way, what it has made afterwards.
fn reached(status: &ReleaseStatus) -> usize {
    if let Some(at) = STAGES.iter().position(|(_, phase)| *phase == status.phase) {
        return at;
    }
    let commit_to = |place: Environment| status.commits.iter().any(|commit| commit.environment == place);
    let by_gate = status.stopped_by().map_or(0, |gate| stage_of(&gate.name));
    let by_commit = match () {
        () if commit_to(Environment::Production) => 4,
        () if commit_to(Environment::Canary) => 3,
        () if commit_to(Environment::Staging) => 2,
        () if status.version.is_some() => 1,
        () => 0,
    };
    by_gate.max(by_commit)
}

fn stages(status: &ReleaseStatus) -> Vec<Stage> {
    let reached = reached(status);
    let ended = matches!(status.phase, Phase::Stopped | Phase::Failed);
    STAGES
        .iter()
        .enumerate()
        .map(|(at, (stage, _))| Stage {
            name: stage,
            mark: match at.cmp(&reached) {
                _ if status.phase == Phase::Promoted => Mark::Done,
                _ if status.phase == Phase::Pending => Mark::Ahead,
                std::cmp::Ordering::Less => Mark::Done,
                std::cmp::Ordering::Equal if ended => Mark::Stopped,
                std::cmp::Ordering::Equal => Mark::Now,
                std::cmp::Ordering::Greater => Mark::Ahead,
            },
            detail: detail(status, at),
            gates: status
                .gates
                .iter()
                .filter(|gate| stage_of(&gate.name) == at)
                .map(|gate| verdict(gate.verdict, &gate.name))
                .collect(),
        })
        .collect()
}

fn detail(status: &ReleaseStatus, stage: usize) -> String {
    let commit = |place: Environment| {
        let found = status.commits.iter().rev().find(|commit| commit.environment == place);
        found.map(|commit| format!("commit {}", short(&commit.commit)))
    };
    match stage {
        0 => status.run_id.as_ref().map(|run| format!("run {}", short(run))),
        1 => match (&status.version, &status.image) {
            (Some(version), None) => Some(format!("version {version}")),
            (Some(version), Some(image)) => {
                let short = short_image(image);
                Some(format!(
                    "version {version}, {}",
                    short.rsplit_once('@').map_or("image", |(_, digest)| digest)
                ))
            }
            (None, _) => None,
        },
        2 => commit(Environment::Staging),
        3 => commit(Environment::Canary),
        _ => commit(Environment::Production),
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, created: &str, status: Value) -> Value {
        json!({ "kind": "Release",
            "metadata": { "name": name, "namespace": "gourmetgram-pipeline", "creationTimestamp": created },
            "spec": { "commit": "c", "trainingDigest": "d", "reason": "better head" }, "status": status })
    }

    fn marks(status: Value) -> Vec<Mark> {
        let snapshot = Snapshot::made_of(&[object("r", "2026-01-01T00:00:00Z", status)]);
        let card = current(&snapshot, Timestamp::UNIX_EPOCH).expect("a release");
        card.stages.iter().map(|stage| stage.mark).collect()
    }

    #[test]
    fn the_line_shows_where_a_release_is_or_ended() {
        use Mark::{Ahead, Done, Now, Stopped};
        assert_eq!(marks(json!({})), [Ahead; 5]);
        assert_eq!(marks(json!({ "phase": "Training" })), [Now, Ahead, Ahead, Ahead, Ahead]);
        assert_eq!(marks(json!({ "phase": "Canary" })), [Done, Done, Done, Now, Ahead]);
        assert_eq!(marks(json!({ "phase": "Promoted" })), [Done; 5]);
        let gate = json!({ "name": "evaluation", "verdict": "fail", "reason": "0.61 < 0.75", "at": "" });
        assert_eq!(
            marks(json!({ "phase": "Stopped", "gates": [gate] })),
            [Stopped, Ahead, Ahead, Ahead, Ahead]
        );
        let commit = json!({ "environment": "staging", "commit": "abc", "at": "" });
        let failed = json!({ "phase": "Failed", "version": "3", "commits": [commit] });
        assert_eq!(marks(failed), [Done, Done, Stopped, Ahead, Ahead]);
    }

    #[test]
    fn the_current_release_is_the_one_under_way() {
        let snapshot = Snapshot::made_of(&[
            object("old", "2026-01-01T00:00:00Z", json!({ "phase": "Promoted" })),
            object("running", "2026-01-02T00:00:00Z", json!({ "phase": "Staging" })),
            object("newest", "2026-01-03T00:00:00Z", json!({ "phase": "Stopped" })),
            object("odd", "2026-01-04T00:00:00Z", json!({ "phase": "Sideways" })),
        ]);
        assert_eq!(current(&snapshot, Timestamp::UNIX_EPOCH).expect("one").name, "running");
        let rows = rows(&snapshot, Timestamp::UNIX_EPOCH);
        assert_eq!(
            rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
            ["odd", "newest", "running", "old"]
        );
        assert!(rows[0].message.contains("cannot be read") && rows[0].phase.tone == Tone::Bad);
    }
}
