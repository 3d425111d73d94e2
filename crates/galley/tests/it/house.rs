//! A whole Galley for a test: its own folders, its own ports, the real binary.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
const GALLEY: &str = env!("CARGO_BIN_EXE_galley");
/// Unoptimised programs on a busy machine are slow; a wait that takes longer than this is a failure.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A pipeline repository and the control plane that runs it.
pub struct House {
    scratch: TempDir,
    child: Option<Child>,
}

impl House {
    /// A fresh pipeline repository; nothing runs yet. Its limits on response times are wide: an unoptimised
    /// application on a busy machine is slow, and how slow is not what these tests ask.
    pub fn new() -> House {
        let house = House { scratch: tempfile::tempdir().expect("a scratch folder"), child: None };
        let made = house.run(&["init", &house.dir().display().to_string()]);
        assert!(made.status.success(), "{}", text(&made));
        let settings = house.dir().join("galley.yaml");
        let shipped = std::fs::read_to_string(&settings).expect("the pipeline's settings");
        let wide = shipped
            .replace("maxP95Ms: 2000", "maxP95Ms: 30000")
            .replace("maxLatencyMs: 500", "maxLatencyMs: 9000");
        assert_ne!(wide, shipped, "the settings name the limit");
        std::fs::write(settings, wide).expect("the settings can be written");
        house.git(&["commit", "--quiet", "--all", "--message", "pipeline: patience"]);
        house
    }

    /// The pipeline repository.
    pub fn dir(&self) -> PathBuf {
        self.scratch.path().join("pipeline")
    }

    /// Runs a command to its end, in the pipeline repository.
    pub fn run(&self, args: &[&str]) -> Output {
        let here = if self.dir().exists() { self.dir() } else { self.scratch.path().to_owned() };
        Command::new(GALLEY).args(args).current_dir(here).output().expect("the binary runs")
    }

    /// Starts `galley up`; its talk goes to a file.
    pub fn up(&mut self, more: &[&str]) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.scratch.path().join("up.log"))
            .expect("a log file");
        let child = Command::new(GALLEY)
            .args(["up", "--ports", "auto"])
            .args(more)
            .arg(self.dir())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    /// Kills the control plane without a warning.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Waits for `galley up --once` to end by itself; its exit code.
    pub fn ended(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let child = self.child.as_mut().expect("it runs");
            if let Some(status) = child.try_wait().expect("it can be asked") {
                self.child = None;
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "still running:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What `galley up` said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("up.log")).unwrap_or_default()
    }

    /// `galley status -o json`, if anything runs.
    pub fn status(&self) -> Option<Value> {
        let output = self.run(&["status", "-o", "json"]);
        if output.status.success() { serde_json::from_slice(&output.stdout).ok() } else { None }
    }

    /// Waits until the status is as wanted.
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < deadline {
            if let Some(status) = self.status() {
                if wanted(&status) {
                    return status;
                }
                last = Some(status);
            }
            if let Some(child) = self.child.as_mut()
                && let Some(code) = child.try_wait().expect("it can be asked")
            {
                panic!("galley up ended with {code} while waiting for {what}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what} did not come:\n{}\nlast status: {last:#?}", self.log());
    }

    /// Waits until the newest release has come to an end that `wanted` accepts.
    pub fn release(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let status = self.wait(what, |status| wanted(&status["release"]));
        status["release"].clone()
    }

    /// The address of an endpoint.
    pub fn endpoint(&self, name: &str) -> String {
        let status = self.status().expect("it runs");
        status["endpoints"][name]
            .as_str()
            .unwrap_or_else(|| panic!("no endpoint {name}: {status:#}"))
            .to_owned()
    }

    /// Runs git in the pipeline repository.
    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
            .args(args)
            .current_dir(self.dir())
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {args:?}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Changes a file, commits and pushes.
    pub fn change(&self, file: &str, from: &str, to: &str) {
        self.git(&["pull", "--quiet", "--rebase"]);
        let path = self.dir().join(file);
        let before = std::fs::read_to_string(&path).expect("the file is there");
        assert!(before.contains(from), "{file} has no `{from}`");
        std::fs::write(&path, before.replacen(from, to, 1)).expect("it can be written");
        self.git(&["commit", "--quiet", "--all", "--message", &format!("{to} instead of {from}")]);
        self.git(&["push", "--quiet"]);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Everything a program said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// An answer over HTTP: status and body.
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Head as text.
    pub head: String,
    /// Body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// One request over a connection of its own, written by hand so that the test trusts no client of ours.
pub fn http(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
    let rest = url.strip_prefix("http://").expect("a plain address");
    let (host, path) =
        rest.split_once('/').map_or((rest, String::from("/")), |(host, path)| (host, format!("/{path}")));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let body = answer.get(end + 4..).unwrap_or_default().to_vec();
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") { unchunk(&body) } else { body };
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok(Answer { status, head, body })
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&body[..end]).trim(), 16).unwrap_or(0);
        if size == 0 || body.len() < end + 2 + size {
            break;
        }
        whole.extend(&body[end + 2..end + 2 + size]);
        body = body.get(end + 4 + size..).unwrap_or_default();
    }
    whole
}

/// The version an environment answers with.
pub fn version(url: &str) -> Option<String> {
    let answer = http("GET", &format!("{url}/version"), &[("accept", "application/json")], b"").ok()?;
    answer.json()["version"].as_str().map(str::to_owned)
}

/// Real photos with their class, if they are on this machine: the hires validation part, spread over all classes.
pub fn photos(count: usize) -> Option<Vec<(PathBuf, String)>> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/food11-mini/hires/validation");
    let mut classes: Vec<PathBuf> =
        std::fs::read_dir(root).ok()?.flatten().map(|entry| entry.path()).collect();
    classes.sort();
    let mut photos = Vec::new();
    for round in 0..count {
        let folder = &classes[round % classes.len()];
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        let index = folder.file_name()?.to_str()?.split('_').next()?.to_owned();
        photos.push((files.get(round / classes.len())?.clone(), index));
    }
    Some(photos)
}
