//! What the store of objects promises.

use std::time::Duration;

use super::*;

struct Fixture {
    objects: Objects,
    database: Database,
    dir: tempfile::TempDir,
}

fn open(retention: Retention) -> Fixture {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let database = Database::open(&dir.path().join("objects.db"), &[MIGRATION]).expect("opens");
    Fixture { objects: Objects::new(database.clone(), retention), database, dir }
}

fn pods() -> KindKey {
    KindKey { group: String::new(), plural: "pods".into() }
}

fn pod(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: pods(), namespace: namespace.into(), name: name.into() }
}

fn draft(uid: &str, facts: &str) -> Draft {
    let uid = uid.to_owned();
    Draft {
        uid: uid.clone(),
        facts: facts.into(),
        owners: vec![format!("owner-of-{uid}")],
        encode: Box::new(move |revision| format!("{uid}@{revision}")),
    }
}

#[tokio::test]
async fn revisions_grow_by_one_and_are_written_into_the_objects() {
    let Fixture { objects, dir: _dir, database: _database } = open(Retention::default());
    let start = objects.revision().expect("a revision");
    let a = objects.create(pod("n", "a"), draft("1", "x")).await.expect("created");
    assert_eq!((a.revision, a.json.as_str()), (start + 1, format!("1@{}", start + 1).as_str()));
    assert!(matches!(objects.create(pod("n", "a"), draft("2", "x")).await, Err(ObjectError::Exists)));
    let again = objects.update(pod("n", "a"), a.revision, draft("1", "y")).await.expect("updated");
    assert_eq!(again.revision, start + 2, "a refused change takes no revision");
    let late = objects.update(pod("n", "a"), a.revision, draft("1", "z")).await;
    assert!(matches!(late, Err(ObjectError::Changed { current }) if current == start + 2));
    let gone = objects.delete(pod("n", "a"), again.revision, Box::new(|r| format!("gone@{r}"))).await;
    assert_eq!(gone.expect("deleted").json, format!("gone@{}", start + 3));
    assert!(objects.get(&pod("n", "a")).expect("reads").is_none());
    assert!(objects.dependents("owner-of-1").expect("reads").is_empty());

    let (events, complete) = objects.events(Some(&pods()), start, 10).expect("in the log");
    let changes: Vec<_> = events.iter().map(|e| (e.change, e.before.as_deref(), e.facts.as_str())).collect();
    assert_eq!(
        changes,
        [(Change::Added, None, "x"), (Change::Modified, Some("x"), "y"), (Change::Deleted, Some("y"), "y")]
    );
    assert_eq!(complete, start + 3);
}

#[tokio::test]
async fn lists_are_ordered_filtered_and_paged() {
    let Fixture { objects, dir: _dir, database: _database } = open(Retention::default());
    for (namespace, name) in [("b", "1"), ("a", "2"), ("a", "1"), ("a", "3")] {
        objects
            .create(pod(namespace, name), draft(&format!("{namespace}{name}"), name))
            .await
            .expect("created");
    }
    let names = |page: &Page| page.items.iter().map(|item| item.uid.clone()).collect::<Vec<_>>();
    let all = objects.list(&pods(), &Query::default(), |_| true).expect("lists");
    assert_eq!(names(&all), ["a1", "a2", "a3", "b1"]);
    let ones = objects.list(&pods(), &Query::default(), |facts| facts == "1").expect("lists");
    assert_eq!(names(&ones), ["a1", "b1"]);
    let query = Query { limit: 2, ..Query::default() };
    let first = objects.list(&pods(), &query, |_| true).expect("lists");
    assert!(first.more);
    let last = &first.items[1].key;
    let query = Query { after: Some((last.namespace.clone(), last.name.clone())), limit: 2, ..query };
    let rest = objects.list(&pods(), &query, |_| true).expect("lists");
    assert_eq!((names(&rest), rest.more), (vec!["a3".to_owned(), "b1".to_owned()], false));
    let query = Query { namespace: Some("a".into()), ..Query::default() };
    assert_eq!(objects.list(&pods(), &query, |_| true).expect("lists").items.len(), 3);
    assert_eq!(objects.count(&pods(), Some("a")).expect("counts"), 3);
    assert_eq!(objects.orphans().expect("reads").len(), 4);
}

#[tokio::test]
async fn watchers_wake_after_the_commit_even_if_the_caller_left() {
    let Fixture { objects, dir: _dir, database: _database } = open(Retention::default());
    let start = objects.revision().expect("a revision");
    let mut wakes = objects.subscribe(Some(&pods()));
    // Polled once: the change is queued and then nobody waits for its answer.
    let create = objects.create(pod("n", "a"), draft("1", ""));
    let _ = tokio::time::timeout(Duration::ZERO, create).await;
    tokio::time::timeout(Duration::from_secs(10), wakes.changed()).await.expect("wakes").expect("open");
    assert_eq!(objects.events(None, start, 10).expect("in the log").0.len(), 1);
}

#[tokio::test]
async fn the_log_is_bounded_and_says_when_it_is_too_short() {
    let Fixture { objects, dir: _dir, database: _database } = open(Retention { events: 10, bytes: 1 << 20 });
    let start = objects.revision().expect("a revision");
    let mut last = objects.create(pod("n", "a"), draft("1", "")).await.expect("created");
    for _ in 0..2 * TRIM_EVERY {
        last = objects.update(pod("n", "a"), last.revision, draft("1", "")).await.expect("updated");
    }
    assert!(matches!(objects.events(None, start, 10), Err(ObjectError::Compacted { .. })));
    let Err(ObjectError::Compacted { oldest }) = objects.events(None, start, 10) else {
        panic!("still there")
    };
    let (events, complete) = objects.events(None, oldest, 10_000).expect("in the log");
    assert!(events.len() >= 10 && events.len() <= 10 + usize::try_from(TRIM_EVERY).expect("small"));
    assert_eq!(complete, last.revision);
    assert!(objects.events(None, last.revision + 1, 10).is_err(), "a revision of another database");
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let Fixture { objects, database, dir } = open(Retention::default());
    let a = objects.create(pod("n", "a"), draft("1", "f")).await.expect("created");
    database.close();
    let database = Database::open(&dir.path().join("objects.db"), &[MIGRATION]).expect("opens again");
    let objects = Objects::new(database, Retention::default());
    assert_eq!(objects.get(&pod("n", "a")).expect("reads"), Some(a.clone()));
    assert_eq!(objects.revision().expect("a revision"), a.revision);
    assert_eq!(objects.dependents("owner-of-1").expect("reads"), [a]);
}
