//! A queue of keys: each key is worked on by one task at a time, and again if it came up meanwhile or is due later.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many keys wait in the channel; senders wait when it is full.
const CAPACITY: usize = 4096;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What came of working on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing more until the key comes up again.
    Done,
    /// Look again after this time.
    After(Duration),
    /// It failed: try again, later and later.
    Failed,
}

#[derive(Debug, Default)]
struct Slot {
    busy: bool,
    again: bool,
    due: Option<Instant>,
    failures: u32,
}

/// A way into the queue.
pub(crate) fn channel<K>() -> (mpsc::Sender<K>, mpsc::Receiver<K>) {
    mpsc::channel(CAPACITY)
}

/// Works until cancelled. At most `limit` keys are worked on at one time; the tasks under way are ended on
/// cancellation (what they do is idempotent).
pub(crate) async fn run<K, F, Fut>(
    mut keys: mpsc::Receiver<K>,
    limit: usize,
    work: F,
    shutdown: CancellationToken,
) where
    K: Clone + Eq + Hash + Debug + Send + 'static,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let mut slots: HashMap<K, Slot> = HashMap::new();
    let mut tasks: JoinSet<(K, Outcome)> = JoinSet::new();
    loop {
        begin_due(&mut slots, &mut tasks, limit, &work);
        let next = slots.values().filter(|slot| !slot.busy).filter_map(|slot| slot.due).min();
        // With all hands busy a task that ends is the next event.
        let next = next.filter(|_| tasks.len() < limit);
        let wake = async {
            match next {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            key = keys.recv() => match key {
                Some(key) => {
                    let slot = slots.entry(key).or_default();
                    slot.again |= slot.busy;
                    slot.due = Some(Instant::now());
                }
                None => break,
            },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => match ended {
                Ok((key, outcome)) => settle(&mut slots, key, outcome),
                Err(error) => tracing::error!(%error, "a look at an object was cut off"),
            },
            () = wake => {}
        }
    }
    tasks.shutdown().await;
}

fn begin_due<K, F, Fut>(
    slots: &mut HashMap<K, Slot>,
    tasks: &mut JoinSet<(K, Outcome)>,
    limit: usize,
    work: &F,
) where
    K: Clone + Eq + Hash + Send + 'static,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let now = Instant::now();
    for (key, slot) in slots.iter_mut() {
        if tasks.len() >= limit {
            return;
        }
        if !slot.busy && slot.due.is_some_and(|due| due <= now) {
            slot.busy = true;
            slot.again = false;
            slot.due = None;
            let look = work(key.clone());
            let key = key.clone();
            tasks.spawn(async move {
                // A panic in one look is the failure of that look; the others go on.
                let outcome = AssertUnwindSafe(look).catch_unwind().await.unwrap_or(Outcome::Failed);
                (key, outcome)
            });
        }
    }
}

fn settle<K: Eq + Hash>(slots: &mut HashMap<K, Slot>, key: K, outcome: Outcome) {
    let Some(slot) = slots.get_mut(&key) else { return };
    slot.busy = false;
    let now = Instant::now();
    let mut due = match outcome {
        Outcome::Done => None,
        Outcome::After(wait) => Some(now + wait),
        Outcome::Failed => {
            Some(now + (FIRST_RETRY * 2u32.saturating_pow(slot.failures.min(16))).min(LONGEST_RETRY))
        }
    };
    slot.failures = if outcome == Outcome::Failed { slot.failures + 1 } else { 0 };
    if slot.again {
        due = Some(now);
    }
    slot.due = due;
    if due.is_none() && slot.failures == 0 {
        slots.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_and_again_when_asked_meanwhile() {
        let (send, receive) = channel();
        let (inside, most, total) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (Arc::clone(&inside), Arc::clone(&most), Arc::clone(&total));
        let work = move |_key: &'static str| {
            let (inside, most, total) =
                (Arc::clone(&counters.0), Arc::clone(&counters.1), Arc::clone(&counters.2));
            async move {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                // The first look fails, the second wants to be repeated, the rest are done.
                match total.fetch_add(1, Ordering::SeqCst) {
                    0 => Outcome::Failed,
                    1 => Outcome::After(Duration::from_secs(60)),
                    _ => Outcome::Done,
                }
            }
        };
        let stop = CancellationToken::new();
        let queue = tokio::spawn(run(receive, 4, work, stop.clone()));
        for _ in 0..5 {
            send.send("a").await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert!(total.load(Ordering::SeqCst) >= 3, "failed, delayed, done");
        let before = total.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(total.load(Ordering::SeqCst), before, "nothing is polled");
        stop.cancel();
        queue.await.unwrap();
    }
}
