//! Requests that are made again when the cluster is busy or away.
//!
//! Made again: 409 (other than conflicts of field managers), 429, 5xx and broken connections; at most [`ATTEMPTS`] times
//! and never past the deadline.

use std::time::Duration;

use galley_problem::Problem;
use tokio::time::Instant;

use crate::problem::{late, refused};

/// How often a request is made at most.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Makes a request until it succeeds, is refused for good, or `deadline` has passed; `doing` completes "could not ...".
pub(crate) async fn retried<T, F>(
    doing: &str,
    deadline: Duration,
    on_retry: impl Fn(&kube::Error),
    mut request: impl FnMut() -> F,
) -> Result<T, Problem>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        let outcome = tokio::time::timeout_at(end, request())
            .await
            .map_err(|_| late(format!("Galley could not {doing} within {} s.", deadline.as_secs())))?;
        match outcome {
            Ok(value) => return Ok(value),
            Err(error) if attempt < ATTEMPTS && passing(&error) && Instant::now() + pause < end => {
                tracing::debug!(%error, attempt, doing, "again");
                on_retry(&error);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(refused(doing, &error)),
        }
    }
    unreachable!("the loop ends by returning")
}

/// Whether the same request may well succeed a little later.
pub(crate) fn passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => match status.code {
            409 => !crate::plan::is_manager_conflict(status) && !status.is_already_exists(),
            // The namespace is on its way out, or its service account is on its way in.
            403 => {
                status.message.contains("being terminated") || status.message.contains("no API token found")
            }
            code => code == 429 || code >= 500,
        },
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}
