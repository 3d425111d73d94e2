//! A repository on this disk, written with the git program and read without it.

mod oracle;

use std::{collections::BTreeMap, path::Path};

use galley_git::{Author, Error, Limits, Repo, init_work_tree};
use jiff::Timestamp;

fn author() -> Author {
    Author {
        name: "Ada".into(),
        email: "ada@example.com".into(),
        time: Timestamp::constant(1_700_000_000, 0),
    }
}

fn files(list: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    list.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

async fn imported(folder: &Path, list: &[(&str, &str)], message: &str) -> (Repo, String) {
    let work = folder.join("work");
    let id = init_work_tree(&work, &files(list), message, &author()).await.expect("a first commit");
    let repo = Repo::init_or_open(folder.join("bare.git")).await.expect("a bare repository");
    repo.import(&work, "HEAD", "main").await.expect("imports");
    (repo, id)
}

#[tokio::test]
async fn the_first_commit_is_the_same_everywhere() {
    let (a, b) = (tempfile::tempdir().expect("scratch"), tempfile::tempdir().expect("scratch"));
    let list = [("galley.yaml", "name: x\n"), ("k8s/a/b.yaml", "b\n"), ("run.sh", "#!/bin/sh\n")];
    let (_, first) = imported(a.path(), &list, "begin").await;
    let (_, second) = imported(b.path(), &list, "begin").await;
    assert_eq!(first, second);
    assert_eq!(first.len(), 40);
}

#[tokio::test]
async fn files_of_a_folder_are_read_relative_to_it() {
    let folder = tempfile::tempdir().expect("scratch");
    let list = [("chart/Chart.yaml", "name: c\n"), ("chart/templates/ü x.yaml", "kind: X\n"), ("other", "o")];
    let (repo, id) = imported(folder.path(), &list, "begin").await;
    assert_eq!(repo.resolve("HEAD").await.expect("resolves"), Some(id.clone()));
    assert_eq!(repo.resolve("main").await.expect("resolves"), Some(id.clone()));
    assert_eq!(repo.resolve("absent").await.expect("resolves"), None);

    let chart = repo.read_tree(&id, "./chart/").await.expect("reads");
    assert_eq!(chart, files(&[("Chart.yaml", "name: c\n"), ("templates/ü x.yaml", "kind: X\n")]));
    assert_eq!(repo.read_tree(&id, "").await.expect("reads").len(), 3);
    assert!(repo.read_tree(&id, "chart/Chart").await.expect("reads").is_empty());
    assert_eq!(repo.read_file(&id, "other").await.expect("reads").as_deref(), Some(&b"o"[..]));
    assert_eq!(repo.read_file(&id, "chart").await.expect("reads"), None);
    assert_eq!(repo.read_file(&id, "no/such file").await.expect("reads"), None);
    assert!(repo.read_tree(&id, "../x").await.is_err());

    let small = repo.with_limits(Limits { tree_bytes: 10, ..Limits::default() });
    assert!(matches!(small.read_tree(&id, "").await, Err(Error::TooLarge { .. })));
}

#[tokio::test]
async fn history_has_authors_times_and_trailers() {
    let folder = tempfile::tempdir().expect("scratch");
    let message = "promote v3\n\nBecause the gates passed.\n\nGalley-Release: r-3\nGalley-Gate: load";
    let (repo, id) = imported(folder.path(), &[("a/x", "1")], message).await;
    let log = repo.log("main", None, 10).await.expect("a log");
    assert_eq!(log.len(), 1);
    assert_eq!(
        (log[0].id.as_str(), log[0].author.as_str(), log[0].email.as_str()),
        (&*id, "Ada", "ada@example.com")
    );
    assert_eq!(log[0].subject, "promote v3");
    assert!(log[0].body.starts_with("Because the gates passed."), "{}", log[0].body);
    assert_eq!(log[0].time, Timestamp::constant(1_700_000_000, 0));
    let trailers =
        [("Galley-Release", "r-3"), ("Galley-Gate", "load")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(log[0].trailers, trailers);
    assert_eq!(repo.log("main", Some("a"), 10).await.expect("a log").len(), 1);
    assert!(repo.log("main", Some("b"), 10).await.expect("a log").is_empty());
    assert!(repo.log("absent", None, 10).await.expect("a log").is_empty());
    assert_eq!(repo.changed_paths(None, &id).await.expect("paths"), ["a/x"]);
}

#[tokio::test]
async fn a_mirror_follows_its_origin() {
    let folder = tempfile::tempdir().expect("scratch");
    let (origin, id) = imported(folder.path(), &[("x", "1")], "one").await;
    let mirror = Repo::init_or_open(folder.path().join("mirror.git")).await.expect("a mirror");
    assert_eq!(mirror.resolve("HEAD").await.expect("resolves"), None);
    let url = origin.path().to_string_lossy().into_owned();
    mirror.fetch_mirror(&url, None).await.expect("fetches");
    assert_eq!(mirror.resolve("HEAD").await.expect("resolves"), Some(id.clone()));
    assert_eq!(mirror.refs().await.expect("refs"), BTreeMap::from([("refs/heads/main".to_owned(), id)]));
    assert!(matches!(mirror.fetch_mirror("ext::sh -c true", None).await, Err(Error::Unacceptable { .. })));
    let absent = folder.path().join("absent.git").to_string_lossy().into_owned();
    assert!(matches!(mirror.fetch_mirror(&absent, None).await, Err(Error::Failed { .. })));
}

#[tokio::test]
async fn a_path_cannot_leave_the_new_repository() {
    let folder = tempfile::tempdir().expect("scratch");
    for bad in ["../x", "/etc/x", ".git/config", ""] {
        let result = init_work_tree(folder.path(), &files(&[(bad, "x")]), "m", &author()).await;
        assert!(matches!(result, Err(Error::Unacceptable { .. })), "{bad}");
    }
}
