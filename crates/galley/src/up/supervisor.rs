//! Owns every task: each has a name, none may end before its time, and all are stopped within one deadline.

use std::{future::Future, sync::Mutex, time::Duration};

use galley_problem::{Kind, Problem};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Everything is told to stop and then has this long.
const DRAIN: Duration = Duration::from_secs(20);

/// The owner of all tasks.
pub struct Supervisor {
    shutdown: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
    ended: mpsc::UnboundedSender<Problem>,
    failures: Mutex<Option<mpsc::UnboundedReceiver<Problem>>>,
}

impl Supervisor {
    /// A supervisor whose tasks stop when the token is cancelled.
    pub fn new(shutdown: CancellationToken) -> Supervisor {
        // One message a task at most, so the channel is bounded by the number of tasks.
        let (ended, failures) = mpsc::unbounded_channel();
        Supervisor { shutdown, tasks: Vec::new(), ended, failures: Mutex::new(Some(failures)) }
    }

    /// Starts a task that ends only when told to.
    pub fn start<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = task(self.shutdown.clone());
        self.spawn(name, async move {
            work.await;
            Ok(())
        });
    }

    /// Starts a task that can fail.
    pub fn try_start<F, E>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let work = task(self.shutdown.clone());
        self.spawn(name, async move { work.await.map_err(|error| gone(name).because(&error)) });
    }

    /// Serves a router until told to stop; requests under way may end.
    pub fn serve(&mut self, name: &'static str, listener: TcpListener, router: axum::Router) {
        self.try_start(name, move |stop| async move {
            let service = router.into_make_service_with_connect_info::<super::owner::Ends>();
            axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await
        });
    }

    fn spawn(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<(), Problem>> + Send + 'static,
    ) {
        let (shutdown, ended) = (self.shutdown.clone(), self.ended.clone());
        let inner = tokio::spawn(work);
        let watched = tokio::spawn(async move {
            let problem = match inner.await {
                Ok(Ok(())) => gone(name),
                Ok(Err(problem)) => problem,
                Err(error) => gone(name).because(&error),
            };
            if !shutdown.is_cancelled() {
                tracing::error!(%problem, "task ended");
                let _ = ended.send(problem);
            }
        });
        self.tasks.push((name, watched));
    }

    /// Waits until a task ends that should not have.
    pub fn failed(&self) -> impl Future<Output = Problem> + use<> {
        let failures = self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        async move {
            let problem = match failures {
                Some(mut failures) => failures.recv().await,
                None => None,
            };
            match problem {
                Some(problem) => problem,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops every task; those that do not end in time are left behind.
    pub async fn stop(self) {
        self.shutdown.cancel();
        let deadline = tokio::time::Instant::now() + DRAIN;
        for (name, task) in self.tasks {
            if tokio::time::timeout_at(deadline, task).await.is_err() {
                tracing::warn!(name, "task did not stop in time");
            }
        }
    }
}

fn gone(name: &str) -> Problem {
    Problem::new("G0113", Kind::Internal, format!("The service `{name}` has ended by itself."))
        .try_this("Start again with `galley up`; everything is kept. `-v` shows more.")
}
