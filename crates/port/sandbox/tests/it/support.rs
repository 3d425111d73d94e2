//! A sandbox with a pod, and containers of the testbed program.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use galley_sandbox::{
    Config, ContainerSpec, Error, Exit, Mode, PodHandle, PodSandboxSpec, Report, Running, Sandbox, User,
};
use galley_units::SystemClock;

pub const TESTBED: &str = env!("CARGO_BIN_EXE_galley-sandbox-testbed");

pub struct Bed {
    pub sandbox: Sandbox,
    pub report: Report,
    pub dir: tempfile::TempDir,
    pub layer: PathBuf,
    next: AtomicU32,
}

/// A sandbox in the mode, or `None` (with a line that says so) where the kernel refuses.
pub async fn bed(mode: Mode) -> Option<Bed> {
    let dir = tempfile::tempdir().unwrap();
    let layer = dir.path().join("layer");
    std::fs::create_dir_all(&layer).unwrap();
    std::fs::copy(TESTBED, layer.join("testbed")).unwrap();
    let config = Config {
        helper: TESTBED.into(),
        state_dir: dir.path().join("state"),
        mode,
        clock: Arc::new(SystemClock),
    };
    match Sandbox::start(config).await {
        Ok((sandbox, report)) => Some(Bed { sandbox, report, dir, layer, next: AtomicU32::new(0) }),
        Err(Error::Refused { reason }) => {
            #[expect(clippy::disallowed_macros, reason = "a skipped test must say so")]
            {
                eprintln!("skipped: {reason}");
            }
            None
        }
        Err(error) => panic!("{error:?}"),
    }
}

impl Bed {
    pub async fn pod(&self, name: &str) -> PodHandle {
        let spec = PodSandboxSpec {
            id: name.to_owned(),
            hostname: name.to_owned(),
            dir: self.dir.path().join("pods").join(name),
            hosts: Vec::new(),
            search: vec!["default.svc.cluster.local".to_owned()],
            aliases: Vec::new(),
        };
        self.sandbox.create_pod(spec).await.unwrap()
    }

    pub fn spec(&self, args: &[&str]) -> ContainerSpec {
        let id = format!("c{}", self.next.fetch_add(1, Ordering::Relaxed));
        let dir = self.dir.path().join("containers").join(&id);
        let args = ["/testbed"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        ContainerSpec {
            log: self.dir.path().join(format!("{id}.log")),
            id,
            dir,
            layers: vec![self.layer.clone()],
            args,
            env: vec![("GREETING".to_owned(), "hello".to_owned())],
            working_dir: String::new(),
            user: User::default(),
            mounts: Vec::new(),
            first_process: false,
            read_only_root: false,
            drop_capabilities: Vec::new(),
            log_limit: 1 << 20,
        }
    }

    pub async fn start(&self, pod: &PodHandle, args: &[&str]) -> Running {
        self.sandbox.start_container(pod, self.spec(args)).await.unwrap()
    }

    /// Runs a container to its end; returns how it ended, and what it said on both streams.
    pub async fn finish(&self, pod: &PodHandle, spec: ContainerSpec) -> (Exit, String) {
        let log = spec.log.clone();
        let running = self.sandbox.start_container(pod, spec).await.unwrap();
        let exit = tokio::time::timeout(Duration::from_secs(20), running.wait()).await.unwrap();
        (exit, said(&log))
    }
}

/// The text of a log file.
pub fn said(log: &std::path::Path) -> String {
    let bytes = std::fs::read(log).unwrap();
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(galley_sandbox::parse_line);
    lines.map(|line| String::from_utf8_lossy(line.text).into_owned() + "\n").collect()
}
