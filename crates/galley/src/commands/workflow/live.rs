//! A workflow as it runs: the node tree on a terminal, a line for each end elsewhere, and the output of containers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use galley_problem::{Kind, Problem};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, LogParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use owo_colors::OwoColorize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{boundary_depth, mark};
use crate::commands::objects::{text, workflows};
use crate::voice;

/// At most so many lines of the tree are drawn at a time.
const MAX_LINES: usize = 40;
/// A terminal is drawn anew at most so often.
const FRAME: Duration = Duration::from_millis(60);
/// Output of ended containers is waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// The engine's last labels are waited for so long.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// Lines shown of a container that failed.
const TAIL: i64 = 12;
/// Failed containers whose output is shown.
const TAILS: usize = 3;

/// What to follow, and how it is shown.
pub struct Follow<'a> {
    /// The API.
    pub client: &'a Client,
    /// Where.
    pub namespace: &'a str,
    /// Which workflow.
    pub name: &'a str,
    /// Show the output of containers.
    pub log: bool,
    /// Let suspended nodes go on at once.
    pub resume: bool,
    /// Show nothing.
    pub quiet: bool,
    /// Output of containers is data: it goes to standard output.
    pub on_stdout: bool,
}

/// A workflow that has ended.
pub struct Followed {
    /// The object.
    pub workflow: DynamicObject,
    /// The last words of containers that failed.
    pub tails: Vec<String>,
}

impl Follow<'_> {
    /// Follows the workflow until it has ended.
    ///
    /// # Errors
    /// G0510 if it is deleted meanwhile.
    pub async fn to_the_end(&self) -> Result<Followed, Problem> {
        let one = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let api = workflows(self.client, Some(self.namespace));
        let mut events = watcher(api, one).default_backoff().boxed();
        let mut screen = Screen::new(self.quiet, self.log);
        let mut logs = Logs::default();
        let pods = Api::<Pod>::namespaced(self.client.clone(), self.namespace);
        let label = format!("workflows.argoproj.io/workflow={}", self.name);
        let mut started = watcher(pods, watcher::Config::default().labels(&label)).default_backoff().boxed();
        let mut enter = None;
        let mut asked = BTreeSet::new();
        let mut latest: Option<DynamicObject> = None;
        let mut drawn = Instant::now();
        let mut deadline = None;
        loop {
            let due = latest.is_some() && screen.terminal;
            tokio::select! {
                event = events.try_next() => match event {
                    Ok(Some(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => {
                        screen.lines(&object.data);
                        self.suspended(&object.data, &mut asked).await;
                        let ended = object.data["status"]["phase"].as_str().is_some_and(|phase| matches!(phase, "Succeeded" | "Failed" | "Error"));
                        if drawn.elapsed() > FRAME || ended {
                            screen.draw(&object);
                            drawn = Instant::now();
                        }
                        let labels = object.labels();
                        let settled = labels.get("workflows.argoproj.io/completed").is_some_and(|done| done == "true");
                        latest = Some(object);
                        if ended && settled {
                            break;
                        }
                        if ended && deadline.is_none() {
                            deadline = Some(Instant::now() + LAST_WRITE);
                        }
                    }
                    Ok(Some(watcher::Event::Delete(_)) | None) => return Err(gone(self.name)),
                    Ok(Some(_)) => {}
                    Err(error) => tracing::debug!(%error, "the watch was interrupted"),
                },
                event = started.try_next(), if self.log => {
                    if let Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) = event {
                        logs.begin(self, &pod);
                    }
                }
                Some(()) = pressed(&mut enter), if !asked.is_empty() && !self.resume => {
                    let _ = galley_workflows::resume(self.client, self.namespace, self.name).await;
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => break,
                () = tokio::time::sleep(FRAME.max(Duration::from_millis(200))), if due => {
                    if let Some(object) = &latest {
                        screen.draw(object);
                        drawn = Instant::now();
                    }
                }
            }
        }
        screen.clear();
        logs.end().await;
        let workflow = latest.ok_or_else(|| gone(self.name))?;
        let tails = if self.log || self.quiet { Vec::new() } else { self.tails(&workflow.data).await };
        Ok(Followed { workflow, tails })
    }

    /// Says what waits for a person, once for each node, or lets it go on.
    async fn suspended(&self, workflow: &Value, asked: &mut BTreeSet<String>) {
        let nodes = workflow["status"]["nodes"].as_object();
        let waiting: Vec<(String, String)> = nodes
            .into_iter()
            .flatten()
            .filter(|(_, node)| {
                node["type"] == "Suspend" && node["phase"] == "Running" && !is_timed(workflow, node)
            })
            .map(|(id, node)| (id.clone(), text(node, &["displayName"])))
            .collect();
        asked.retain(|id| waiting.iter().any(|(waits, _)| waits == id));
        let new: Vec<&str> = waiting
            .iter()
            .filter(|(id, _)| asked.insert(id.clone()))
            .map(|(_, name)| name.as_str())
            .collect();
        if new.is_empty() {
            return;
        }
        if self.resume {
            if let Err(problem) = galley_workflows::resume(self.client, self.namespace, self.name).await {
                voice::problem(&problem);
            }
        } else {
            voice::talk(&format!("{} waits for a person: Enter lets it go on.", new.join(", ")));
        }
    }

    async fn tails(&self, workflow: &Value) -> Vec<String> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), self.namespace);
        let nodes = workflow["status"]["nodes"].as_object();
        let failed = nodes.into_iter().flatten().filter(|(_, node)| {
            node["type"] == "Pod" && matches!(node["phase"].as_str(), Some("Failed" | "Error"))
        });
        let label = format!("workflows.argoproj.io/workflow={}", self.name);
        let all = pods.list(&kube::api::ListParams::default().labels(&label)).await;
        let all = all.map(|list| list.items).unwrap_or_default();
        let mut tails = Vec::new();
        for (id, node) in failed.take(TAILS) {
            let Some(pod) =
                all.iter().find(|pod| pod.annotations().get("workflows.argoproj.io/node-id") == Some(id))
            else {
                continue;
            };
            let params =
                LogParams { container: Some("main".into()), tail_lines: Some(TAIL), ..LogParams::default() };
            let Ok(said) = pods.logs(&pod.name_any(), &params).await else { continue };
            if !said.trim().is_empty() {
                let said: String = said.lines().map(|line| format!("  {line}\n")).collect();
                tails.push(format!("{} said at its end:\n{}", text(node, &["displayName"]), said.trim_end()));
            }
        }
        tails
    }
}

/// A node's name without the workflow's and without the groups of steps.
fn short(node: &str) -> String {
    let below = node.find(['.', '[']).map_or("", |at| &node[at..]);
    let is_node = |part: &&str| !(part.is_empty() || part.starts_with('[') && part.ends_with(']'));
    let parts = below.split('.').map(|part| match part.rfind('[') {
        Some(at) if part.ends_with(']') => &part[..at],
        _ => part,
    });
    parts.filter(is_node).collect::<Vec<_>>().join(".")
}

/// Waits for a line of standard input; never again once that has ended. Reading begins with the first call: a program
/// that is asked nothing takes nothing.
async fn pressed(enter: &mut Option<mpsc::Receiver<()>>) -> Option<()> {
    let lines = enter.get_or_insert_with(|| {
        let (send, receive) = mpsc::channel(1);
        // A blocked read cannot be cancelled; the thread ends with the process.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines() {
                if line.is_err() || send.blocking_send(()).is_err() {
                    return;
                }
            }
        });
        receive
    });
    match lines.recv().await {
        Some(()) => Some(()),
        None => std::future::pending().await,
    }
}

fn gone(name: &str) -> Problem {
    Problem::new("G0510", Kind::NotFound, format!("Workflow `{name}` was deleted before it ended."))
}

/// Whether a suspended node ends by itself: its template says after how long.
fn is_timed(workflow: &Value, node: &Value) -> bool {
    let name = &node["templateName"];
    let status = &workflow["status"];
    let own = workflow["spec"]["templates"].as_array().into_iter().flatten();
    let base = status["storedWorkflowTemplateSpec"]["templates"].as_array().into_iter().flatten();
    let stored = status["storedTemplates"].as_object().into_iter().flat_map(|all| all.values());
    let mut templates = own.chain(base).chain(stored).filter(|template| template["name"] == *name);
    templates.any(|template| template["suspend"]["duration"].is_string())
}

/// The output of containers as it comes.
#[derive(Default)]
struct Logs {
    begun: BTreeSet<String>,
    tasks: JoinSet<()>,
}

impl Logs {
    fn begin(&mut self, follow: &Follow<'_>, pod: &Pod) {
        let name = pod.name_any();
        let node = pod.annotations().get("workflows.argoproj.io/node-name").cloned().unwrap_or_default();
        let short = short(&node);
        let short = if short.is_empty() { follow.name.to_owned() } else { short };
        let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let spec = pod.spec.as_ref().map_or(1, |spec| spec.containers.len());
        for one in containers {
            let state = one.state.clone().unwrap_or_default();
            let began =
                state.running.is_some() || state.terminated.is_some_and(|ended| ended.container_id.is_some());
            if !began || !self.begun.insert(format!("{name}/{}", one.name)) {
                continue;
            }
            let title = if spec > 1 && one.name != "main" {
                format!("{short}/{}", one.name)
            } else {
                short.to_owned()
            };
            let api = Api::<Pod>::namespaced(follow.client.clone(), follow.namespace);
            let (name, container, data) = (name.clone(), one.name.clone(), follow.on_stdout);
            self.tasks.spawn(async move {
                let params = LogParams { container: Some(container), follow: true, ..LogParams::default() };
                let Ok(stream) = api.log_stream(&name, &params).await else { return };
                let mut lines = stream.lines();
                while let Ok(Some(line)) = lines.try_next().await {
                    let line = format!("{}: {line}", title.dimmed());
                    if data { voice::data(&line) } else { voice::talk(&line) }
                }
            });
        }
    }

    /// Waits for what ended containers have still to say.
    async fn end(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
        self.tasks.abort_all();
    }
}

/// Where progress is shown.
struct Screen {
    quiet: bool,
    terminal: bool,
    height: usize,
    begun: Instant,
    phases: BTreeMap<String, (String, Instant)>,
    told: BTreeSet<(String, String)>,
}

impl Screen {
    fn new(quiet: bool, log: bool) -> Screen {
        // Lines of containers and a tree that moves would tear each other apart.
        let terminal = !quiet && !log && std::io::stderr().is_terminal();
        Screen {
            quiet,
            terminal,
            height: 0,
            begun: Instant::now(),
            phases: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// Elsewhere than on a terminal: a line for each node that has ended.
    fn lines(&mut self, workflow: &Value) {
        let empty = serde_json::Map::new();
        let nodes = workflow["status"]["nodes"].as_object().unwrap_or(&empty);
        for (id, node) in nodes {
            let phase = text(node, &["phase"]);
            let now = Instant::now();
            self.waiting(id, node, &phase);
            let before = self.phases.get(id).cloned();
            if before.as_ref().is_some_and(|(before, _)| *before == phase) {
                continue;
            }
            let since = before.as_ref().map_or(now, |(_, since)| *since);
            self.phases.insert(id.clone(), (phase.clone(), since));
            let leaf = matches!(
                node["type"].as_str(),
                Some("Pod" | "Suspend" | "HTTP" | "Plugin" | "Skipped" | "Container")
            );
            let ended = matches!(phase.as_str(), "Succeeded" | "Failed" | "Error" | "Skipped" | "Omitted");
            if self.quiet || self.terminal || !leaf || !ended {
                continue;
            }
            let took = galley_units::format_duration(rounded(now.duration_since(since)));
            let message = match text(node, &["message"]).as_str() {
                "" => String::new(),
                message => format!(": {message}"),
            };
            let at = self.begun.elapsed().as_secs_f64();
            voice::talk(&format!(
                "{at:7.2}s {} {} {phase} ({took}){message}",
                mark(&phase),
                text(node, &["displayName"])
            ));
        }
    }

    /// Says why a node does not begin, once for each reason: what is missing may never come.
    fn waiting(&mut self, id: &str, node: &Value, phase: &str) {
        let message = text(node, &["message"]);
        let usual = ["", "ContainerCreating", "PodInitializing"].contains(&message.as_str());
        if self.quiet || self.terminal || phase != "Pending" || usual {
            return;
        }
        if self.told.insert((id.to_owned(), message.clone())) {
            voice::talk(&format!("{} {} waits: {message}", mark(phase), text(node, &["displayName"])));
        }
    }

    /// On a terminal: the tree, in place of the former one.
    fn draw(&mut self, workflow: &DynamicObject) {
        if !self.terminal {
            return;
        }
        let lines = self.tree(workflow);
        let mut out = anstream::stderr().lock();
        let mut text = String::new();
        if self.height > 0 {
            text.push_str(&format!("\x1b[{}A\x1b[J", self.height));
        }
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.height = lines.len();
    }

    fn tree(&self, workflow: &DynamicObject) -> Vec<String> {
        let empty = serde_json::Map::new();
        let status = &workflow.data["status"];
        let nodes = status["nodes"].as_object().unwrap_or(&empty);
        let mut rows: Vec<(&str, &Value)> = nodes
            .iter()
            .filter(|(_, node)| !matches!(node["type"].as_str(), Some("StepGroup")))
            .map(|(id, node)| (id.as_str(), node))
            .collect();
        rows.sort_by_key(|(id, node)| {
            (text(node, &["startedAt"]), boundary_depth(nodes, node), (*id).to_owned())
        });
        if rows.len() > MAX_LINES {
            // What runs or went wrong is what people look for.
            rows.retain(|(_, node)| {
                !matches!(node["phase"].as_str(), Some("Succeeded" | "Skipped" | "Omitted"))
            });
            rows.truncate(MAX_LINES);
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut lines = vec![format!(
            "{} {} {} {seconds:.1}s",
            workflow.name_any().bold(),
            text(status, &["phase"]),
            text(status, &["progress"])
        )];
        let width = 100;
        lines.extend(rows.into_iter().map(|(id, node)| {
            let phase = text(node, &["phase"]);
            let depth = boundary_depth(nodes, node) + 1;
            let running = self.phases.get(id).filter(|_| phase == "Running");
            let took = running
                .map(|(_, since)| format!(" {:.1}s", since.elapsed().as_secs_f64()))
                .unwrap_or_default();
            let message = text(node, &["message"]);
            let message = if message.is_empty() { message } else { format!(" {message}") };
            let line = format!("{} {}{took}{message}", mark(&phase), text(node, &["displayName"]));
            let line: String = line.chars().take(width).collect::<String>().replace('\n', " ");
            let line = match phase.as_str() {
                "Failed" | "Error" => line.red().to_string(),
                "Running" => line.cyan().to_string(),
                "Succeeded" => line.green().to_string(),
                _ => line.dimmed().to_string(),
            };
            format!("{}{line}", "  ".repeat(depth))
        }));
        lines
    }

    /// Takes the tree away; the result is printed in its place.
    fn clear(&mut self) {
        if self.terminal && self.height > 0 {
            let mut out = anstream::stderr().lock();
            let _ = write!(out, "\x1b[{}A\x1b[J", self.height).and_then(|()| out.flush());
            self.height = 0;
        }
    }
}

fn rounded(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn names_are_short() {
        let check = |node: &str, expected: &str| assert_eq!(short(node), expected, "{node}");
        check("wf", "");
        check("wf[0].a", "a");
        check("wf.build.test(0:x)", "build.test(0:x)");
        check("wf.build[1].unit(1)", "build.unit(1)");
    }
}
