//! What a person sees of `galley up`: stages as they happen, gates with their figures, and at the end the addresses. On a
//! terminal a last line tells what is going on now; elsewhere it is a plain log.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::StreamExt;
use galley_problem::Problem;
use galley_release_types::{Environment, Phase, Verdict};
use galley_releases::{Recorded, Records};
use indicatif::{ProgressBar, ProgressStyle};
use kube::runtime::{WatchStreamExt, watcher};
use owo_colors::OwoColorize;

use super::house::House;
use crate::{Answer, cli::Global, state::Running, voice};

/// Tells the story of a control plane.
pub struct Show {
    began: Instant,
    quiet: bool,
    spinner: Option<ProgressBar>,
    told: BTreeSet<String>,
}

impl Show {
    /// A teller that counts from `began`.
    pub fn new(global: &Global, began: Instant) -> Show {
        let spinner = (voice::on_terminal() && !global.quiet).then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("        {spinner:.cyan} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Show { began, quiet: global.quiet, spinner, told: BTreeSet::new() }
    }

    /// The control plane answers.
    pub fn ready(&self, running: &Running) {
        self.line("ready", &format!("control plane, pods in {}", running.isolation));
        for notice in &running.notices {
            self.line("notice", notice);
        }
        if let Some(dashboard) = running.endpoints.get("dashboard") {
            self.line("watch", &format!("{dashboard} shows everything as it happens"));
        }
    }

    /// The end begins.
    pub fn stopping(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        self.line("stop", "everything is kept; `galley up` goes on from here");
    }

    /// Tells until the process is asked to stop.
    pub async fn follow(&mut self, house: &mut House) {
        let mut changes = self.changes(house);
        let mut addresses_of = None;
        loop {
            let latest = self.look(house).await;
            if let Ok(Some(latest)) = latest
                && latest.release.status.phase == Phase::Promoted
                && addresses_of.as_ref() != Some(&latest.name)
                && house.production_answers(&latest).await
            {
                self.addresses(house, &latest);
                addresses_of = Some(latest.name);
            }
            changes.next().await;
        }
    }

    /// Tells until nothing further is asked for; whether production was reached.
    ///
    /// # Errors
    /// What is wrong with the pipeline repository, if it cannot be followed.
    pub async fn until_settled(&mut self, house: &mut House) -> Result<Answer, Problem> {
        let mut changes = self.changes(house);
        loop {
            let latest = self.look(house).await?;
            if house.settled()
                && let Some(latest) = latest
                && latest.release.status.phase.is_final()
            {
                if latest.release.status.phase == Phase::Promoted {
                    // The workflow's last step still closes its books when the version is in production already.
                    if house.production_answers(&latest).await && house.workflow_ended(&latest).await {
                        self.addresses(house, &latest);
                        return Ok(Answer::Yes);
                    }
                } else {
                    self.line("result", &format!("{}", latest.release.status.message.red()));
                    return Ok(Answer::No);
                }
            }
            if let Some(trouble) = house.lasting_trouble() {
                return Err(trouble);
            }
            changes.next().await;
        }
    }

    fn changes(&self, house: &House) -> futures::stream::BoxStream<'static, ()> {
        let releases = watcher(Records::new(house.client()).api().clone(), watcher::Config::default())
            .default_backoff()
            .touched_objects()
            .map(drop);
        let ticks = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Some(((), ()))
        });
        futures::stream::select(releases, ticks).boxed()
    }

    /// Reads the newest release and tells what is new in it.
    async fn look(&mut self, house: &House) -> Result<Option<Recorded>, Problem> {
        if let Some(trouble) = house.trouble() {
            self.once(&format!("trouble {trouble}"), "wait", &trouble.to_string());
        }
        let releases = Records::new(house.client()).list().await?;
        for recorded in releases.iter().rev() {
            self.tell(recorded);
        }
        Ok(releases.into_iter().next())
    }

    fn tell(&mut self, recorded: &Recorded) {
        let status = &recorded.release.status;
        let name = &recorded.name;
        let commit = recorded.release.spec.commit.get(..10).unwrap_or_default();
        self.once(
            &format!("{name} begins"),
            "release",
            &format!("{name}, commit {commit}: {}", recorded.release.spec.reason),
        );
        for gate in &status.gates {
            let mark = match gate.verdict {
                Verdict::Pass => "pass".green().to_string(),
                Verdict::Fail => "FAIL".red().bold().to_string(),
                Verdict::Inconclusive => "unsure".yellow().to_string(),
            };
            let text = format!("{} {mark}: {}", gate.name, gate.reason);
            self.once(&format!("{name} gate {} {}", gate.name, gate.at), "gate", &text);
        }
        if let (Some(version), Some(image)) = (&status.version, &status.image) {
            self.once(&format!("{name} image"), "image", &format!("version {version}: {image}"));
        }
        for commit in &status.commits {
            let id = commit.commit.get(..10).unwrap_or(&commit.commit);
            self.once(
                &format!("{name} {}", commit.commit),
                "commit",
                &format!("{id} delivers to {}", commit.environment),
            );
        }
        if !status.message.is_empty() {
            self.once(&format!("{name} {}", status.message), "state", &status.message);
        }
        if let Some(spinner) = &self.spinner {
            let message = if status.phase.is_final() { String::new() } else { status.message.clone() };
            spinner.set_message(message);
        }
    }

    fn addresses(&self, house: &House, recorded: &Recorded) {
        let version = recorded.release.status.version.as_deref().unwrap_or("?");
        let headline = format!("version {version} is in production");
        self.line("done", &headline.green().bold().to_string());
        let running = house.endpoints();
        let order =
            ["production", "canary", "staging", "gateway", "dashboard", "tracking", "registry", "git", "api"];
        for name in order {
            if let Some(address) = running.get(name) {
                self.line("", &format!("{name:<11}{address}"));
            }
        }
        self.line("", &format!("{:<11}{}", "kubectl", "galley kubectl get pods -A"));
        self.line(
            "try",
            &format!(
                "curl -F file=@photo.jpg {}/predict",
                running.get(Environment::Production.name()).map_or("", String::as_str)
            ),
        );
    }

    fn once(&mut self, key: &str, tag: &str, text: &str) {
        if self.told.insert(key.to_owned()) {
            self.line(tag, text);
        }
    }

    fn line(&self, tag: &str, text: &str) {
        if self.quiet {
            return;
        }
        let since = self.began.elapsed().as_secs_f64();
        let line = format!("{since:>6.1}s {:<8} {text}", tag.cyan());
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| voice::talk(&line)),
            None => voice::talk(&line),
        }
    }
}
