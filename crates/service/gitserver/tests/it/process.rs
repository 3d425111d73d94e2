//! The server as a process of its own: without the git program, and killed at any moment.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use galley_git::Repo;
use galley_gitserver::{Config, Deps, Service};
use tokio::process::{Child, Command};

use super::{TOKEN, done, git};

/// Not a test: the server that the tests below start as a process. It serves `git` in the current folder, says where in
/// the file `port`, and ends when its standard input does.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by other tests"]
async fn serves_the_current_folder() {
    if Command::new("git").arg("--version").output().await.is_ok() {
        return; // Somebody runs all ignored tests: there is nothing to serve.
    }
    let here = PathBuf::from(".");
    let config = Config { folder: here.join("git"), ..Config::default() };
    Repo::init_or_open(here.join("git/x.git")).await.expect("a repository");
    let service = Service::new(config, Deps { verify: Arc::new(|token| token == TOKEN) }).expect("a service");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::fs::write(here.join("port.new"), port.to_string()).expect("writes");
    std::fs::rename(here.join("port.new"), here.join("port")).expect("writes");
    let router = service.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut end = [0; 1];
    let read = move || std::io::Read::read(&mut std::io::stdin(), &mut end);
    let _ = tokio::task::spawn_blocking(read).await;
    serving.abort();
}

struct Process {
    child: Child,
    url: String,
}

impl Process {
    async fn start(folder: &Path) -> Process {
        let _ = std::fs::remove_file(folder.join("port"));
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "--ignored", "process::serves_the_current_folder"])
            .current_dir(folder)
            .env("PATH", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        let until = Instant::now() + Duration::from_secs(30);
        let port = loop {
            if let Ok(port) = std::fs::read_to_string(folder.join("port")) {
                break port;
            }
            assert!(Instant::now() < until, "the server does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        Process { child, url: format!("http://galley:{TOKEN}@127.0.0.1:{port}/x.git") }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_needs_no_git_program() {
    let folder = tempfile::tempdir().expect("scratch");
    let root = folder.path().canonicalize().expect("a path");
    let server = Process::start(&root).await;
    done(&root, &["clone", "-q", &server.url, "clone"]).await;
    let clone = root.join("clone");
    for n in 0..3 {
        std::fs::write(clone.join("a.txt"), format!("{n}\n")).expect("writes");
        done(&clone, &["add", "."]).await;
        done(&clone, &["commit", "-qm", &format!("c{n}")]).await;
        done(&clone, &["push", "-q", "origin", "HEAD:refs/heads/main"]).await;
    }
    let tip = done(&clone, &["rev-parse", "HEAD"]).await;
    for arguments in
        [&["clone", "-q"][..], &["clone", "-q", "--depth=1"], &["clone", "-q", "--filter=blob:none"]]
    {
        let name = arguments.last().expect("one").trim_start_matches('-').replace(':', "-");
        done(&root, &[arguments, &[&server.url, &name]].concat()).await;
        assert_eq!(done(&root.join(&name), &["rev-parse", "HEAD"]).await, tip);
    }
    drop(server);
    let repo = Repo::init_or_open(root.join("git/x.git")).await.expect("opens");
    assert_eq!(repo.resolve("main").await.expect("reads"), Some(tip));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_the_old_or_the_new() {
    let folder = tempfile::tempdir().expect("scratch");
    let root = folder.path().canonicalize().expect("a path");
    let clone = root.join("clone");
    std::fs::create_dir_all(&clone).expect("makes");
    done(&clone, &["init", "-q", "-b", "main", "."]).await;
    let bare = root.join("git/x.git");
    let mut before = String::new();
    // Alternately small pushes (loose objects) and large ones (a pack), killed ever later.
    for round in 0..14u32 {
        for n in 0..(if round % 2 == 0 { 2 } else { 120 }) {
            std::fs::write(clone.join(format!("{n}.txt")), format!("{round} {n}\n").repeat(50))
                .expect("writes");
        }
        done(&clone, &["add", "."]).await;
        done(&clone, &["commit", "-qm", &format!("c{round}")]).await;
        let tip = done(&clone, &["rev-parse", "HEAD"]).await;
        let mut server = Process::start(&root).await;
        let url = server.url.clone();
        let arguments = ["push", "-q", &url, "HEAD:refs/heads/main"];
        let push = git(&clone, &arguments);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(u64::from(round) * 12)).await;
            server.child.kill().await.expect("kills");
        };
        let (pushed, ()) = tokio::join!(push, kill);
        let now = git(&bare, &["rev-parse", "--verify", "--quiet", "refs/heads/main"]).await;
        let now = String::from_utf8_lossy(&now.stdout).trim().to_owned();
        assert!(now == before || now == tip, "round {round}: `{now}`");
        assert!(!pushed.status.success() || now == tip, "round {round}: what was reported did not last");
        done(&bare, &["fsck", "--strict", "--full", "--no-dangling"]).await;
        before = now;
        let lock = bare.join("refs/heads/main.lock");
        if lock.exists() {
            // Left by the kill; after ten seconds it is taken over. The test does not wait for that.
            std::fs::remove_file(lock).expect("removes");
        }
    }
    // The next start clears away what was cut short, and all goes through.
    let server = Process::start(&root).await;
    done(&clone, &["push", "-q", &server.url, "HEAD:refs/heads/main"]).await;
    let left = std::fs::read_dir(bare.join("objects")).expect("a folder").flatten();
    assert!(left.map(|e| e.file_name()).all(|name| !name.to_string_lossy().starts_with("tmp_objdir")));
    done(&bare, &["fsck", "--strict", "--full", "--no-dangling"]).await;
}
