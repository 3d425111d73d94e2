//! The run loop: who is to be reconciled, and when.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use galley_sync::Key;
use galley_units::Clock;
use kube::Client;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Error, Repositories,
    observe::Eyes,
    reconcile::{Outcome, Reconciler},
    sets::Sets,
    watches::{Changed, News, Watches, applications},
};

/// The first pause after a turn that broke.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What the service is given.
pub struct Deps {
    /// The API server.
    pub client: Client,
    /// How a URL becomes a repository.
    pub repositories: Arc<dyn Repositories>,
    /// Changes whenever a repository of ours has been pushed to.
    pub wake: watch::Receiver<u64>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Reconciles all Applications of a namespace.
pub struct Service {
    reconciler: Arc<Reconciler>,
    sets: Sets,
    wake: watch::Receiver<u64>,
}

impl Service {
    /// Prepares the service; nothing is asked yet.
    ///
    /// # Errors
    /// None today; the signature is every service's.
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        let eyes = Eyes::new(deps.client.clone(), config, deps.repositories);
        let sets = Sets {
            client: deps.client.clone(),
            repositories: Arc::clone(&eyes.repositories),
            clock: Arc::clone(&deps.clock),
            namespace: eyes.config.namespace.clone(),
        };
        let reconciler = Arc::new(Reconciler { client: deps.client, eyes, clock: deps.clock });
        Ok(Service { reconciler, sets, wake: deps.wake })
    }

    /// Reconciles until cancelled. A turn that is cut off is taken up again by the next run: its progress is in the
    /// Application's status.
    ///
    /// # Errors
    /// None today: whatever breaks is tried again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut news = applications(self.reconciler.applications());
        let mut wake = self.wake;
        let mut sets = std::pin::pin!(self.sets.run(wake.clone(), shutdown.clone()));
        let mut desk = Desk::new(self.reconciler);
        let mut wakes = true;
        loop {
            let due = desk.start_what_is_due();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = &mut sets => return Ok(()),
                Some(news) = news.next() => desk.hear(news),
                changed = desk.watches.next() => desk.wake_owner(&changed),
                changed = wake.changed(), if wakes => {
                    wakes = changed.is_ok();
                    desk.wake_all();
                }
                Some((name, outcome)) = desk.running.next(), if !desk.running.is_empty() => desk.finish(&name, outcome),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }
}

type Turn = BoxFuture<'static, (String, Result<Outcome, Error>)>;

/// One Application as the loop knows it.
#[derive(Default)]
struct Entry {
    /// What mattered of it the last time.
    matter: String,
    /// When its next turn is.
    due: Option<Instant>,
    /// Turns that broke in a row.
    broken: u32,
    /// Whether it has been looked at since the start of the process.
    known: bool,
    running: bool,
}

struct Desk {
    reconciler: Arc<Reconciler>,
    entries: BTreeMap<String, Entry>,
    owners: HashMap<Key, HashSet<String>>,
    watches: Watches,
    running: FuturesUnordered<Turn>,
}

impl Desk {
    fn new(reconciler: Arc<Reconciler>) -> Self {
        Desk {
            reconciler,
            entries: BTreeMap::new(),
            owners: HashMap::new(),
            watches: Watches::default(),
            running: FuturesUnordered::new(),
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Is(name, matter) => {
                let entry = self.entries.entry(name.clone()).or_default();
                if entry.matter != matter {
                    entry.matter = matter;
                    self.wake(&name, Duration::ZERO);
                }
            }
            News::Gone(name) => {
                self.reconciler.eyes.cache.forget(&name);
                self.owners.retain(|_, owners| !owners.remove(&name) || !owners.is_empty());
                // One that is running is forgotten when its turn ends and finds nothing.
                if self.entries.get(&name).is_some_and(|entry| !entry.running) {
                    self.entries.remove(&name);
                }
            }
        }
    }

    /// Brings the next turn of an Application forward.
    fn wake(&mut self, name: &str, wait: Duration) {
        if let Some(entry) = self.entries.get_mut(name) {
            let at = Instant::now() + wait;
            entry.due = Some(entry.due.map_or(at, |due| due.min(at)));
        }
    }

    fn wake_all(&mut self) {
        let names: Vec<String> = self.entries.keys().cloned().collect();
        for name in names {
            self.wake(&name, Duration::ZERO);
        }
    }

    fn wake_owner(&mut self, changed: &Changed) {
        let wait = Duration::from_millis(self.reconciler.eyes.config.debounce_millis);
        let mut names: HashSet<String> = self.owners.get(&changed.key).cloned().unwrap_or_default();
        names.extend(changed.application.clone());
        for name in names {
            self.wake(&name, wait);
        }
    }

    /// Starts the turns that are due, as many as may run at one time; answers when the next one is due.
    fn start_what_is_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let free = self.reconciler.eyes.config.concurrency.max(1).saturating_sub(self.running.len());
        let due = |entry: &Entry| !entry.running && entry.due.is_some_and(|due| due <= now);
        let mut ready: Vec<(Instant, String)> = self
            .entries
            .iter()
            .filter(|(_, entry)| due(entry))
            .filter_map(|(name, entry)| Some((entry.due?, name.clone())))
            .collect();
        ready.sort();
        let waits = ready.len() > free;
        for (_, name) in ready.into_iter().take(free) {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.due = None;
                entry.running = true;
                self.running.push(turn(self.reconciler.clone(), name, !entry.known));
            }
        }
        if waits {
            // The end of a turn wakes the loop.
            return None;
        }
        self.entries.values().filter(|entry| !entry.running).filter_map(|entry| entry.due).min()
    }

    fn finish(&mut self, name: &str, outcome: Result<Outcome, Error>) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.running = false;
        let wait = match outcome {
            Ok(outcome) => {
                entry.broken = 0;
                entry.known = true;
                self.watches.add(&self.reconciler.eyes.kinds, &outcome.kinds);
                self.owners.retain(|_, owners| !owners.remove(name) || !owners.is_empty());
                for key in outcome.keys {
                    self.owners.entry(key).or_default().insert(name.to_owned());
                }
                outcome.again
            }
            Err(error) => {
                entry.broken += 1;
                let wait = (FIRST_PAUSE * 2u32.pow(entry.broken.min(8) - 1)).min(LONGEST_PAUSE);
                let error = &error as &dyn std::error::Error;
                tracing::warn!(application = name, error, ?wait, "a turn broke and is tried again");
                Some(wait)
            }
        };
        if let Some(wait) = wait {
            self.wake(name, wait);
        }
    }
}

fn turn(reconciler: Arc<Reconciler>, name: String, first: bool) -> Turn {
    Box::pin(async move {
        let seconds = reconciler.eyes.config.turn_seconds;
        let turn = reconciler.reconcile(&name, first);
        let outcome = tokio::time::timeout(Duration::from_secs(seconds), turn).await;
        (name, outcome.unwrap_or(Err(Error::Late(seconds))))
    })
}
