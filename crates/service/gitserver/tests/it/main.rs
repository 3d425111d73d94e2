//! The server with the real git program and with our own client, over a socket.

mod history;
mod hostile;
mod process;
mod pushes;

use std::{path::Path, process::Output, sync::Arc, time::Duration};

use galley_git::{
    Author, Repo, init_work_tree,
    remote::{Proposal, Remote, RemoteError},
};
use galley_gitserver::{Config, Deps, Push, Service};
use galley_units::Secret;
use jiff::Timestamp;
use tokio::sync::broadcast::Receiver;

const TOKEN: &str = "correct-token";

struct Server {
    folder: tempfile::TempDir,
    url: String,
    pushes: Receiver<Push>,
    service: Service,
}

impl Server {
    /// A server with one repository of one commit.
    async fn start() -> (Server, String) {
        Server::start_with(Config::default()).await
    }

    async fn start_with(config: Config) -> (Server, String) {
        let folder = tempfile::tempdir().expect("scratch");
        let files = [("a.txt", "one\n"), ("deep/er/b.txt", "two\n"), ("run.sh", "#!/bin/sh\n")]
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        let id = init_work_tree(&folder.path().join("work"), &files.into(), "begin", &author())
            .await
            .expect("a first commit");
        let repo = Repo::init_or_open(folder.path().join("git/pipeline.git")).await.expect("bare");
        repo.import(&folder.path().join("work"), "HEAD", "main").await.expect("imports");
        let config = Config { folder: folder.path().join("git"), ..config };
        let verify = Arc::new(|token: &str| token == TOKEN);
        let service = Service::new(config, Deps { verify }).expect("a service");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/pipeline.git", listener.local_addr().expect("an address"));
        let router = service.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Server { folder, url, pushes: service.pushes(), service }, id)
    }

    fn remote(&self, token: &str) -> Remote {
        Remote::new(&self.url, Some(("galley".into(), Secret::new(token.into())))).expect("a URL")
    }

    /// The address with the token in it.
    fn with_token(&self) -> String {
        self.url.replace("http://", &format!("http://galley:{TOKEN}@"))
    }

    /// The repository on the server's disk.
    fn bare(&self) -> std::path::PathBuf {
        self.folder.path().join("git/pipeline.git")
    }

    async fn news(&mut self) -> Push {
        let news = tokio::time::timeout(Duration::from_secs(10), self.pushes.recv()).await;
        news.expect("news in time").expect("news")
    }
}

fn author() -> Author {
    Author {
        name: "Ada".into(),
        email: "ada@example.com".into(),
        time: Timestamp::constant(1_700_000_000, 0),
    }
}

async fn git(folder: &Path, arguments: &[&str]) -> Output {
    git_command(folder, arguments).output().await.expect("git runs")
}

fn git_command(folder: &Path, arguments: &[&str]) -> tokio::process::Command {
    let mut command = galley_git::command(&[]);
    command.env("GIT_AUTHOR_NAME", "T").env("GIT_AUTHOR_EMAIL", "t@example.com");
    command.env("GIT_COMMITTER_NAME", "T").env("GIT_COMMITTER_EMAIL", "t@example.com");
    command.env("GIT_AUTHOR_DATE", "1700000000 +0000").env("GIT_COMMITTER_DATE", "1700000000 +0000");
    command.current_dir(folder).args(arguments);
    command
}

/// Runs git, which must succeed; what it printed.
async fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = git(folder, arguments).await;
    assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs git, which must fail; what it complained of.
async fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = git(folder, arguments).await;
    assert!(!output.status.success(), "git {arguments:?} went through");
    said(&output)
}

/// Feeds git and waits for it.
async fn fed(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    use tokio::io::AsyncWriteExt as _;
    let mut child =
        git_command(folder, arguments).stdin(std::process::Stdio::piped()).spawn().expect("git runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let (output, ()) = tokio::join!(child.wait_with_output(), async {
        // A git that refuses says so itself.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    });
    let output = output.expect("git ends");
    assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_with_both_protocols_and_pushes_with_the_token() {
    let (mut server, id) = Server::start().await;
    let root = server.folder.path().to_owned();
    for version in ["0", "2"] {
        let setting = format!("protocol.version={version}");
        let output =
            git(&root, &["-c", &setting, "clone", "-q", &server.url, &format!("clone{version}")]).await;
        assert!(output.status.success(), "{}", said(&output));
    }
    let clone = root.join("clone2");
    assert_eq!(std::fs::read_to_string(clone.join("deep/er/b.txt")).expect("a file"), "two\n");
    // Larger than git's post buffer, so that the request is chunked.
    let noise: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(clone.join("large"), noise).expect("writes");
    for arguments in [&["add", "."][..], &["commit", "-qm", "more"]] {
        assert!(git(&clone, arguments).await.status.success());
    }
    let without = git(&clone, &["push", "-q", "origin", "main"]).await;
    assert!(!without.status.success(), "a push without the token went through");
    let with = server.url.replace("http://", &format!("http://galley:{TOKEN}@"));
    let output = git(&clone, &["push", "-q", &with, "main", "main:refs/heads/other"]).await;
    assert!(output.status.success(), "{}", said(&output));

    let push = server.news().await;
    assert_eq!((push.repository.as_str(), push.reference.as_str()), ("pipeline.git", "refs/heads/main"));
    assert_eq!(push.old, Some(id));
    let second = server.news().await;
    assert_eq!((second.reference.as_str(), second.old, &second.new), ("refs/heads/other", None, &push.new));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_reads_what_git_packed() {
    let (server, first) = Server::start().await;
    // A history with differences between versions of a file, packed as git likes it.
    let root = server.folder.path().to_owned();
    let work = root.join("work");
    for n in 0..20 {
        let text: String =
            (0..2000).map(|line| format!("line {line} of {}\n", if line == n { n } else { 0 })).collect();
        std::fs::write(work.join(format!("long{n}.txt")), text).expect("writes");
    }
    assert!(git(&work, &["add", "."]).await.status.success());
    assert!(git(&work, &["commit", "-qm", "long"]).await.status.success());
    let bare = Repo::init_or_open(root.join("git/pipeline.git")).await.expect("bare");
    bare.import(&work, "HEAD", "main").await.expect("imports");
    assert!(git(bare.path(), &["repack", "-adfq", "--depth=50"]).await.status.success());

    let remote = server.remote(TOKEN);
    let tip = remote.tip("main").await.expect("a tip").expect("main");
    assert_ne!(tip, first);
    assert_eq!(remote.tip("HEAD").await.expect("a tip"), Some(tip.clone()));
    assert_eq!(remote.tip("absent").await.expect("no tip"), None);
    let snapshot = remote.snapshot("main").await.expect("a snapshot");
    let ours: Vec<(String, Vec<u8>)> =
        snapshot.files.iter().map(|(path, file)| (path.clone(), file.bytes.to_vec())).collect();
    let theirs: Vec<_> = bare.read_tree(&tip, "").await.expect("a tree").into_iter().collect();
    assert_eq!(ours, theirs);
    // An older commit by its id.
    let old = remote.snapshot(&first).await.expect("a snapshot");
    assert_eq!(old.files.len(), 3);
    let absent = remote.snapshot("0123456789012345678901234567890123456789").await;
    assert!(matches!(absent, Err(RemoteError::Absent { .. })), "{absent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_commits_what_git_accepts() {
    let (mut server, first) = Server::start().await;
    let remote = server.remote(TOKEN);
    let changes: [(&str, Option<&[u8]>); 4] = [
        ("a.txt", Some(b"changed\n")),
        ("deep/er/b.txt", None),
        ("deep/new/c.txt", Some(b"c\n")),
        ("deep.txt", Some(b"sorts between\n")),
    ];
    let message = "promote\n\nGalley-Release: r-1";
    let id = remote.commit("main", &first, &changes, message, &author()).await.expect("commits");
    assert_eq!(server.news().await.new, Some(id.clone()));

    let bare = Repo::init_or_open(server.folder.path().join("git/pipeline.git")).await.expect("bare");
    let check = git(bare.path(), &["fsck", "--strict", "--full"]).await;
    assert!(check.status.success(), "{}", said(&check));
    let names: Vec<String> = bare.read_tree(&id, "").await.expect("a tree").into_keys().collect();
    assert_eq!(names, ["a.txt", "deep.txt", "deep/new/c.txt", "run.sh"]);
    let mode = git(bare.path(), &["ls-tree", &id, "run.sh"]).await;
    assert!(mode.stdout.starts_with(b"100755"));
    let log = bare.log("main", None, 5).await.expect("a log");
    assert_eq!(log[0].trailers, [("Galley-Release".to_owned(), "r-1".to_owned())]);

    // Nothing to change is no commit; a stale parent is told so; a wrong token is refused.
    let same = remote.commit("main", &id, &[("a.txt", Some(b"changed\n"))], "again", &author()).await;
    assert_eq!(same.expect("nothing to do"), id);
    let stale = remote.commit("main", &first, &[("x", Some(b"x"))], "late", &author()).await;
    assert!(matches!(&stale, Err(RemoteError::Moved { tip, .. }) if *tip == id), "{stale:?}");
    let denied = server.remote("wrong").commit("main", &id, &[("x", Some(b"x"))], "no", &author()).await;
    assert!(matches!(denied, Err(RemoteError::Denied { .. })), "{denied:?}");
    let clash = remote.commit("main", &id, &[("deep", Some(b"x"))], "no", &author()).await;
    assert!(matches!(clash, Err(RemoteError::Path(_))), "{clash:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_one_time_lose_nothing() {
    let (server, _) = Server::start().await;
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let remote = server.remote(TOKEN);
            tokio::spawn(async move {
                remote
                    .commit_with_retry("main", &author(), |snapshot| {
                        let mut text = snapshot.read("a.txt").unwrap_or_default().to_vec();
                        text.extend(format!("writer {n}\n").bytes());
                        let changes = [("a.txt".to_owned(), Some(text))].into();
                        Ok(Some(Proposal { changes, message: format!("by {n}") }))
                    })
                    .await
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic").expect("commits");
    }
    let snapshot = server.remote(TOKEN).snapshot("main").await.expect("a snapshot");
    let text = String::from_utf8_lossy(snapshot.read("a.txt").expect("the file")).into_owned();
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_repositories_below_the_folder_are_served() {
    let (server, _) = Server::start().await;
    let base = server.url.trim_end_matches("/pipeline.git").to_owned();
    for name in ["..", "absent.git", "%2e%2e%2fwork", "work"] {
        let url = format!("{base}/{name}/info/refs?service=git-upload-pack");
        let remote = Remote::new(&format!("{base}/{name}"), None);
        let Ok(remote) = remote else { continue };
        assert!(remote.tip("main").await.is_err(), "{url}");
    }
    assert!(server.service.pushes().is_empty());
}
