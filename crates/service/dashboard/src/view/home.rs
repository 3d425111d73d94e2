//! The first page.

use jiff::Timestamp;

use super::{
    Environment, ReleaseCard, ReleaseRow, WorkflowCard,
    applications::{self, ApplicationRow},
    environments, releases, workflows,
};
use crate::{config::Link, snapshot::Snapshot};

/// Everything on the first page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) environments: Vec<Environment>,
    pub(crate) current: Option<ReleaseCard>,
    pub(crate) releases: Vec<ReleaseRow>,
    pub(crate) workflows: Vec<WorkflowCard>,
    pub(crate) applications: Vec<ApplicationRow>,
    /// Kinds that cannot be read, and why.
    pub(crate) problems: Vec<(&'static str, String)>,
}

/// The first page.
pub(crate) fn home(snapshot: &Snapshot, links: &[Link], now: Timestamp) -> Home {
    Home {
        environments: environments::environments(snapshot, links),
        current: releases::current(snapshot, now),
        releases: releases::rows(snapshot, now),
        workflows: workflows::cards(snapshot, now),
        applications: applications::rows(snapshot),
        problems: snapshot.problems.iter().map(|(kind, why)| (kind.plural(), why.clone())).collect(),
    }
}
