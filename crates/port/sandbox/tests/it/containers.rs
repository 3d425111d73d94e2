//! One container: its output, files, exit code and isolation.

use std::time::Duration;

use galley_sandbox::{Mode, Mount, User};

use crate::support::bed;

async fn runs_to_its_end(mode: Mode) {
    let Some(bed) = bed(mode).await else { return };
    let pod = bed.pod("one").await;
    let mut spec = bed.spec(&["print", "out", ",", "warn", "err", ",", "env", "GREETING", ",", "exit", "7"]);
    let id = spec.id.clone();
    spec.working_dir = "/work".to_owned();
    let (exit, said) = bed.finish(&pod, spec).await;
    assert_eq!(exit.code, 7, "{said}");
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["GREETING=hello", "err", "out"]);
    bed.sandbox.remove_container(&id, &bed.dir.path().join("containers").join(&id)).await.unwrap();
    bed.sandbox.remove_pod(&pod).await.unwrap();
    assert!(!bed.dir.path().join("containers").join(&id).exists());
}

#[tokio::test]
async fn runs_to_its_end_in_namespaces() {
    runs_to_its_end(Mode::Namespaces).await;
}

#[tokio::test]
async fn runs_to_its_end_as_a_plain_process() {
    runs_to_its_end(Mode::Plain).await;
}

#[tokio::test]
async fn sees_its_own_world_only() {
    let Some(bed) = bed(Mode::Namespaces).await else { return };
    let pod = bed.pod("world").await;
    let volume = bed.dir.path().join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("given"), "given").unwrap();
    let mut spec = bed.spec(&[
        "ls",
        "/",
        ",",
        "ls",
        "/dev",
        ",",
        "cat",
        "/etc/hostname",
        ",",
        "cat",
        "/etc/resolv.conf",
        ",",
        "id",
        ",",
        "cat",
        "/vol/deep/given",
        ",",
        "write",
        "/tmp/result.txt",
        "42",
        ",",
        "write",
        "/dev/null",
        "x",
        ",",
        "write",
        "/testbed",
        "gone",
        ",",
        "write",
        "/vol/deep/refused",
        "x",
    ]);
    let id = spec.id.clone();
    spec.mounts = vec![Mount { source: volume.clone(), target: "/vol/deep".to_owned(), read_only: true }];
    let (exit, said) = bed.finish(&pod, spec).await;
    assert!(said.contains("dev etc proc sys testbed tmp vol\n"), "{said}");
    assert!(said.contains("null") && !said.contains("sda") && !said.contains("kmsg"), "{said}");
    assert!(said.contains("world\n") && said.contains("nameserver 10.96.0.10"), "{said}");
    assert!(said.contains("uid=0 pid=1") && said.contains("given"), "{said}");
    // Executing file is busy in overlay or not, the layer below must stay as it was.
    assert!(exit.code == 99, "{said}");
    assert_ne!(std::fs::read(bed.layer.join("testbed")).unwrap(), b"gone");
    assert!(!volume.join("refused").exists());
    assert_eq!(bed.sandbox.read_file(&id, "/tmp/result.txt", 100).await.unwrap(), b"42");
    assert_eq!(bed.sandbox.read_file(&id, "/vol/deep/given", 3).await.unwrap(), b"giv");
    let missing = bed.sandbox.read_file(&id, "/tmp/none", 100).await.unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn links_do_not_lead_out_of_the_root() {
    for mode in [Mode::Namespaces, Mode::Plain] {
        let Some(bed) = bed(mode).await else { continue };
        let secret = bed.dir.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        std::os::unix::fs::symlink(&secret, bed.layer.join("link")).unwrap();
        std::os::unix::fs::symlink("../../../../../../../../etc/passwd", bed.layer.join("up")).unwrap();
        let pod = bed.pod("links").await;
        let spec = bed.spec(&["print", "x"]);
        let id = spec.id.clone();
        bed.finish(&pod, spec).await;
        for path in ["/link", "/up", "/proc/self/root/etc/passwd", "/../../etc/passwd"] {
            assert!(bed.sandbox.read_file(&id, path, 100).await.is_err(), "{path}");
        }
    }
}

#[tokio::test]
async fn files_of_a_plain_process_are_found() {
    let Some(bed) = bed(Mode::Plain).await else { return };
    let pod = bed.pod("plain").await;
    let volume = bed.dir.path().join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    let mut spec = bed.spec(&["write", "result.txt", "42", ",", "write", "../vol/x", "in volume"]);
    spec.working_dir = "/tmp".to_owned();
    spec.mounts = vec![Mount { source: volume.clone(), target: "/vol".to_owned(), read_only: false }];
    let id = spec.id.clone();
    let (exit, said) = bed.finish(&pod, spec).await;
    assert_eq!(exit.code, 0, "{said}");
    assert_eq!(bed.sandbox.read_file(&id, "/tmp/result.txt", 100).await.unwrap(), b"42");
    assert_eq!(bed.sandbox.read_file(&id, "/vol/x", 100).await.unwrap(), b"in volume");
}

#[tokio::test]
async fn a_bad_command_is_the_images_fault() {
    for mode in [Mode::Namespaces, Mode::Plain] {
        let Some(bed) = bed(mode).await else { continue };
        let pod = bed.pod("bad").await;
        let mut spec = bed.spec(&[]);
        spec.args = vec!["no-such-program".to_owned()];
        let error = bed.sandbox.start_container(&pod, spec).await.err().unwrap();
        assert!(error.is_exec_failure(), "{error}");
        assert!(error.to_string().contains("executable file not found in $PATH"), "{error}");
    }
}

#[tokio::test]
async fn other_users_have_no_rights() {
    let Some(bed) = bed(Mode::Namespaces).await else { return };
    let pod = bed.pod("user").await;
    let mut spec = bed.spec(&["id", ",", "write", "/forbidden", "x"]);
    spec.user = User { user: "1234:1234".to_owned(), ..User::default() };
    let (exit, said) = bed.finish(&pod, spec).await;
    if bed.report.notices.iter().any(|notice| notice.contains("not run as root")) {
        return;
    }
    assert!(said.contains("uid=1234"), "{said}");
    assert_eq!(exit.code, 99, "{said}");
}

async fn signals_and_further_processes(mode: Mode) {
    let Some(bed) = bed(mode).await else { return };
    let pod = bed.pod("signals").await;
    let address =
        format!("{}:80{}", if mode == Mode::Plain { pod.ip.to_string() } else { "0.0.0.0".into() }, 81);
    let spec = bed.spec(&["http", &address, "hi"]);
    let (id, log) = (spec.id.clone(), spec.log.clone());
    let running = bed.sandbox.start_container(&pod, spec).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !crate::support::said(&log).contains("listening") {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let exec = galley_sandbox::ExecSpec {
        id: "probe".to_owned(),
        container: id.clone(),
        args: ["/testbed", "print", "inside", ",", "exit", "3"].map(str::to_owned).to_vec(),
        env: Vec::new(),
        working_dir: String::new(),
        user: User::default(),
    };
    let process = bed.sandbox.exec(exec).await.unwrap();
    let (exit, output) = tokio::time::timeout(Duration::from_secs(10), process.output()).await.unwrap();
    assert_eq!((exit.code, output.as_slice()), (3, &b"inside\n"[..]));
    bed.sandbox.signal(&id, 15).await.unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(10), running.wait()).await.unwrap();
    assert_eq!(exit.code, 0);
    let running = bed.start(&pod, &["sleep", "100000"]).await;
    bed.sandbox.kill(&running.id).await.unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(10), running.wait()).await.unwrap();
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
}

#[tokio::test]
async fn signals_and_further_processes_in_namespaces() {
    signals_and_further_processes(Mode::Namespaces).await;
}

#[tokio::test]
async fn signals_and_further_processes_of_plain_processes() {
    signals_and_further_processes(Mode::Plain).await;
}

#[tokio::test]
async fn nothing_outlives_galley() {
    for mode in [Mode::Namespaces, Mode::Plain] {
        let Some(bed) = bed(mode).await else { continue };
        let pod = bed.pod("orphan").await;
        let token =
            format!("{}", 100_000_000 + u64::from(std::process::id()) * 10 + u64::from(mode == Mode::Plain));
        let running = bed.start(&pod, &["sleep", &token]).await;
        let alive = || {
            std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                std::fs::read(entry.path().join("cmdline"))
                    .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&token))
            })
        };
        assert!(alive());
        drop(bed.sandbox);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while alive() {
            assert!(tokio::time::Instant::now() < deadline, "{mode:?}: the process lives on");
            tokio::task::yield_now().await;
        }
        assert_eq!(running.wait().await.code, 137);
    }
}

/// Not a test: the process that `nothing_outlives_a_killed_galley` kills.
#[tokio::test]
#[ignore = "runs inside of another test"]
async fn owner() {
    use std::io::Write;
    let mode = if std::env::args().any(|arg| arg == "owner-is-plain") { Mode::Plain } else { Mode::Auto };
    let bed = bed(mode).await.unwrap();
    let pod = bed.pod("owned").await;
    let running = bed.start(&pod, &["sleep", "100000"]).await;
    let mut out = std::io::stderr();
    writeln!(out, "running").unwrap();
    running.wait().await;
}

#[test]
fn nothing_outlives_a_killed_galley() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    for mode in ["owner-is-plain", "owner-is-auto"] {
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "containers::owner", "--skip", mode])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(owner.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "running"), "the owner did not start");
        let family = descendants(owner.id());
        assert!(family.len() >= 2, "{family:?}");
        owner.kill().unwrap();
        owner.wait().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while family.iter().any(|pid| is_alive(*pid)) {
            assert!(std::time::Instant::now() < deadline, "{mode}: something lives on");
            std::thread::yield_now();
        }
    }
}

fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn below_a_first_process_a_program_ends_when_it_is_told() {
    let Some(bed) = bed(Mode::Namespaces).await else { return };
    let pod = bed.pod("first").await;
    let mut spec = bed.spec(&["print", "begun", ",", "sleep", "100000"]);
    spec.first_process = true;
    let id = spec.id.clone();
    let running = bed.sandbox.start_container(&pod, spec).await.unwrap();
    bed.sandbox.signal(&id, 15).await.unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(20), running.wait()).await.unwrap();
    assert_eq!(exit.code, 143);
    let mut spec = bed.spec(&["print", "said", ",", "exit", "9"]);
    spec.first_process = true;
    let (exit, said) = bed.finish(&pod, spec).await;
    assert_eq!((exit.code, said.as_str()), (9, "said\n"));
}
