//! Laws of the tracking tables that the interface's own tests do not reach.

use galley_mlflow::{KeyValue, LifecycleStage, Metric, ViewType, filter, order};

use super::*;

fn store() -> (tempfile::TempDir, Tracking) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let database = Database::open(&folder.path().join("t.db"), &[MIGRATION]).expect("opens");
    (folder, Tracking::new(database))
}

async fn run(store: &Tracking, id: &str, started: i64) {
    let new = NewRun {
        run_id: id.into(),
        experiment_id: "0".into(),
        name: id.into(),
        start_time: started,
        ..NewRun::default()
    };
    store.create_run(new).await.expect("a run");
}

async fn found(store: &Tracking, filter_text: &str, orders: &[&str]) -> Vec<String> {
    let orders: Vec<String> = orders.iter().map(|order| (*order).to_owned()).collect();
    let search = Search {
        filter: filter::parse(filter_text, &filter::RUNS).expect("a filter"),
        order: order::parse(&orders, &filter::RUNS).expect("an order"),
        view: ViewType::ActiveOnly,
        max_results: 100,
        offset: 0,
    };
    let page = store.search_runs(RunSearch { experiments: vec!["0".into()], search }).await.expect("found");
    page.items.into_iter().map(|run| run.info.run_id).collect()
}

fn metric(key: &str, value: f64, step: i64, timestamp: i64) -> Metric {
    Metric { key: key.into(), value, step, timestamp, ..Metric::default() }
}

#[tokio::test]
async fn the_latest_metric_is_the_one_with_the_highest_step_not_the_last_written() {
    let (_folder, store) = store();
    run(&store, "a", 1).await;
    let metrics = vec![metric("m", 3.0, 3, 10), metric("m", 9.0, 1, 99), metric("m", 3.0, 3, 10)];
    store.log("a".into(), metrics, vec![], vec![]).await.expect("logged");
    let run = store.run("a".into()).await.expect("the run");
    assert_eq!(run.metric("m"), Some(3.0));
    let page = Search { max_results: 10, ..Search::default() };
    let history = store.metric_history("a".into(), "m".into(), page).await.expect("history");
    assert_eq!(history.items.len(), 2, "the same value twice is one value");
}

#[tokio::test]
async fn a_batch_with_a_changed_parameter_changes_nothing() {
    let (_folder, store) = store();
    run(&store, "a", 1).await;
    let first = vec![KeyValue::new("lr", "1")];
    store.log("a".into(), vec![], first, vec![]).await.expect("logged");
    let again = vec![KeyValue::new("new", "x"), KeyValue::new("lr", "2")];
    let refused =
        store.log("a".into(), vec![metric("m", 1.0, 0, 0)], again, vec![KeyValue::new("t", "v")]).await;
    assert!(refused.expect_err("refused").to_string().contains("Changing param values is not allowed"));
    let run = store.run("a".into()).await.expect("the run");
    assert_eq!(
        (run.param("lr"), run.param("new"), run.metric("m"), run.tag("t")),
        (Some("1"), None, None, None)
    );
}

#[tokio::test]
async fn missing_values_and_nan_come_last_in_both_directions() {
    let (_folder, store) = store();
    for (at, id) in ["low", "high", "nan", "none"].into_iter().enumerate() {
        run(&store, id, at as i64).await;
    }
    for (id, value) in [("low", 1.0), ("high", 2.0), ("nan", f64::NAN)] {
        store.log(id.into(), vec![metric("m", value, 0, 0)], vec![], vec![]).await.expect("logged");
    }
    assert_eq!(found(&store, "", &["metrics.m"]).await, ["low", "high", "nan", "none"]);
    assert_eq!(found(&store, "", &["metrics.m DESC"]).await, ["high", "low", "nan", "none"]);
    assert_eq!(found(&store, "metrics.m != 1", &["start_time"]).await, ["high", "nan"]);
    assert_eq!(found(&store, "metrics.m < 10", &["start_time"]).await, ["low", "high"]);
    assert_eq!(found(&store, "", &[]).await, ["none", "nan", "high", "low"], "the latest first");
}

#[tokio::test]
async fn like_knows_case_and_takes_wildcards_of_the_shell_literally() {
    let (_folder, store) = store();
    for (id, value) in [("a", "Food-11"), ("b", "food-11"), ("c", "f*[od")] {
        run(&store, id, 0).await;
        store.log(id.into(), vec![], vec![KeyValue::new("data", value)], vec![]).await.expect("logged");
    }
    assert_eq!(found(&store, "params.data LIKE 'Food%'", &[]).await, ["a"]);
    assert_eq!(found(&store, "params.data ILIKE 'FOOD-__'", &[]).await, ["a", "b"]);
    assert_eq!(found(&store, "params.data LIKE 'f*[%'", &[]).await, ["c"]);
    assert_eq!(found(&store, "params.none IS NULL AND params.data != 'food-11'", &[]).await, ["a", "c"]);
}

#[tokio::test]
async fn a_deleted_version_keeps_its_number_and_a_rename_takes_everything_along() {
    let (_folder, store) = store();
    store
        .create_registered_model(NewModel { name: "m".into(), now: 1, ..NewModel::default() })
        .await
        .expect("made");
    let version = |source: &str| NewVersion {
        name: "m".into(),
        source: source.into(),
        tags: vec![KeyValue::new("k", "v")],
        ..NewVersion::default()
    };
    store.create_version(version("s1")).await.expect("one");
    store.create_version(version("s2")).await.expect("two");
    store.set_alias("m".into(), "prod".into(), 2).await.expect("alias");
    store.delete_version("m".into(), 2, 5).await.expect("gone");
    assert!(store.version_by_alias("m".into(), "prod".into()).await.is_err(), "the alias went along");
    assert_eq!(store.create_version(version("s3")).await.expect("three").version, "3");
    store.set_alias("m".into(), "prod".into(), 3).await.expect("alias");
    store.rename_registered_model("m".into(), "n".into(), 9).await.expect("renamed");
    let found = store.version_by_alias("n".into(), "prod".into()).await.expect("found");
    assert_eq!((found.version.as_str(), found.tag("k")), ("3", Some("v")));
    store.delete_registered_model("n".into()).await.expect("deleted");
    assert!(store.version("n".into(), 3).await.is_err());
}

#[tokio::test]
async fn deleting_an_experiment_takes_its_runs_along_and_back() {
    let (_folder, store) = store();
    run(&store, "a", 1).await;
    store.move_experiment("0".into(), LifecycleStage::Deleted, 1).await.expect("deleted");
    assert!(store.log("a".into(), vec![], vec![KeyValue::new("x", "y")], vec![]).await.is_err());
    assert!(store.move_experiment("0".into(), LifecycleStage::Deleted, 1).await.is_err(), "already deleted");
    store.move_experiment("0".into(), LifecycleStage::Active, 2).await.expect("restored");
    assert_eq!(found(&store, "", &[]).await, ["a"]);
}
