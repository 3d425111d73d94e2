//! The scenarios on Galley's own API server.

use crate::{scenarios, support::local};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_moves_nothing() {
    scenarios::a_second_run_moves_nothing(&local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_nothing_is_lost() {
    scenarios::killed_anywhere_nothing_is_lost(&local(), 1..=16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_removal_is_completed() {
    scenarios::a_killed_removal_is_completed(&local(), 1..=16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_takes_exactly_what_is_ours() {
    scenarios::removal_takes_exactly_what_is_ours(&local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bootstrap_at_a_time() {
    scenarios::one_bootstrap_at_a_time(&local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_named() {
    scenarios::conflicts_are_named(&local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_come_and_go() {
    scenarios::applications_come_and_go(&local(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_around() {
    scenarios::looking_around(&local()).await;
}
