//! `galley compare`: the same commit on this machine and on a cluster, side by side.
//!
//! Both sides are reduced to facts, a name and a value each. Two facts that differ are a difference, unless it is known why
//! they must: then the reason is told. The answer is yes if every difference has its reason.

mod facts;

use std::collections::{BTreeMap, BTreeSet};

use galley_problem::{Kind, Problem};
use serde::Serialize;

use super::release::defaults;
use crate::{
    Answer,
    cli::{Global, cluster::Compare},
    ground::Ground,
    voice,
};

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    /// What is compared.
    fact: String,
    /// What is so on this machine.
    local: Option<String>,
    /// What is so on the cluster.
    cluster: Option<String>,
    /// `equal`, `different`, or `explained`.
    verdict: &'static str,
    /// Why they must differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// `galley compare`
///
/// # Errors
/// G0106 if nothing runs on the state folder, G11xx if the cluster cannot be reached, G0117 without `--kubeconfig`.
pub async fn run(global: &Global, args: &Compare) -> Result<Answer, Problem> {
    if global.kubeconfig.is_none() {
        return Err(Problem::new("G0117", Kind::Usage, "A comparison needs a cluster.")
            .try_this("Name it: `galley compare --local STATE --kubeconfig FILE`."));
    }
    let here = Global { state: Some(args.local.clone()), kubeconfig: None, context: None, ..global.clone() };
    let services = defaults();
    let (here, there) = tokio::try_join!(Ground::find(&here, &services), Ground::find(global, &services))?;
    let release = match &args.release {
        Some(release) => release.clone(),
        None => facts::common_release(&here, &there).await?,
    };
    let (local, cluster) = tokio::try_join!(facts::of(&here, &release), facts::of(&there, &release))?;
    let lines = lines(&local, &cluster);
    let count = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    let (equal, different, explained) = (count("equal"), count("different"), count("explained"));
    let shown = lines.iter().filter(|line| args.all || line.verdict != "equal");
    let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let rows = shown
        .map(|line| {
            vec![
                line.fact.clone(),
                line.verdict.to_owned(),
                or(&line.local),
                or(&line.cluster),
                line.reason.unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    let columns = vec!["fact", "verdict", "local", "cluster", "reason"];
    voice::list(args.output.output, &lines, voice::Table { columns, wide: vec![], rows })?;
    voice::talk(&format!("Release {release}: {equal} equal, {explained} explained, {different} different."));
    Ok(if different == 0 { Answer::Yes } else { Answer::No })
}

fn lines(local: &BTreeMap<String, String>, cluster: &BTreeMap<String, String>) -> Vec<Line> {
    let names: BTreeSet<_> = local.keys().chain(cluster.keys()).collect();
    names
        .into_iter()
        .map(|fact| {
            let (here, there) = (local.get(fact).cloned(), cluster.get(fact).cloned());
            let reason = if here == there { None } else { facts::reason(fact) };
            let verdict = match (here == there, reason) {
                (true, _) => "equal",
                (false, Some(_)) => "explained",
                (false, None) => "different",
            };
            Line { fact: fact.clone(), local: here, cluster: there, verdict, reason }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differences_that_must_be_are_explained() {
        let of = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let local = of(&[
            ("application gourmetgram-staging health", "Healthy"),
            ("node [0].begin output release", "r-1"),
            ("version production modelDigest", "aa"),
            ("version production runId", "1"),
        ]);
        let cluster = of(&[
            ("application gourmetgram-staging health", "Healthy"),
            ("application gourmetgram-platform resource Deployment git", "there"),
            ("version production modelDigest", "bb"),
            ("version production runId", "2"),
        ]);
        let verdicts: BTreeMap<_, _> =
            lines(&local, &cluster).into_iter().map(|line| (line.fact, line.verdict)).collect();
        assert_eq!(verdicts["application gourmetgram-staging health"], "equal");
        assert_eq!(verdicts["application gourmetgram-platform resource Deployment git"], "explained");
        assert_eq!(verdicts["node [0].begin output release"], "different");
        assert_eq!(verdicts["version production modelDigest"], "different");
        assert_eq!(verdicts["version production runId"], "explained");
    }
}
