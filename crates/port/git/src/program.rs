//! One call of the `git` program.
//!
//! Every call gets the same surroundings: no configuration but its own, no questions, English messages, no hooks,
//! no locks for reading, a deadline and a limit on what it prints. A call that is dropped is killed.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use galley_problem::{Kind, Problem};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use crate::Error;

/// The oldest git whose environment configuration and `init -b` are what we rely on.
const OLDEST: (u32, u32) = (2, 32);
/// Standard error kept for messages.
const STDERR_KEPT: u64 = 16 * 1024;

/// Variables of the caller that would change which repository git works on, or how.
const UNWANTED: [&str; 22] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_TEMPLATE_DIR",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_CURL_VERBOSE",
    "GIT_SSH_COMMAND",
    "GIT_EXTERNAL_DIFF",
    "GIT_PROTOCOL",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
    "GIT_DEFAULT_HASH",
];

/// Configuration that every call gets.
const SETTINGS: [(&str, &str); 8] = [
    ("safe.directory", "*"),
    ("core.hooksPath", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.quotePath", "false"),
    ("commit.gpgSign", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.detachedHead", "false"),
];

/// The `git` program with the surroundings every call gets; killed when dropped. `extra` is further configuration;
/// it travels in the environment, so it may hold secrets.
pub fn command(extra: &[(String, String)]) -> Command {
    let mut command = Command::new("git");
    surround(command.as_std_mut(), extra);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn surround(command: &mut std::process::Command, extra: &[(String, String)]) {
    for name in UNWANTED {
        command.env_remove(name);
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env("SSH_ASKPASS", "true")
        .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=10")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_ALLOW_PROTOCOL", "file:http:https:ssh:git")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    let settings = SETTINGS.iter().map(|(key, value)| (*key, *value));
    let extra = extra.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut count = 0;
    for (key, value) in settings.chain(extra) {
        command.env(format!("GIT_CONFIG_KEY_{count}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
        count += 1;
    }
    command.env("GIT_CONFIG_COUNT", count.to_string());
}

/// One call that is run to its end.
pub(crate) struct Call<'a> {
    pub(crate) repository: &'a Path,
    pub(crate) arguments: Vec<&'a OsStr>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) deadline: Duration,
    pub(crate) limit: u64,
}

/// How a call ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl<'a> Call<'a> {
    /// A call in a repository (or in any folder) with the usual limits: 20 s and 64 MiB.
    pub(crate) fn new(repository: &'a Path, arguments: &[&'a str]) -> Self {
        Call {
            repository,
            arguments: arguments.iter().map(|a| OsStr::new(*a)).collect(),
            settings: Vec::new(),
            environment: Vec::new(),
            stdin: None,
            deadline: Duration::from_secs(20),
            limit: 64 << 20,
        }
    }

    pub(crate) fn arg(mut self, argument: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        self.arguments.push(argument.as_ref());
        self
    }

    pub(crate) fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = Some(bytes);
        self
    }

    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    #[cfg(test)]
    pub(crate) fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    fn action(&self) -> String {
        self.arguments.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Runs it; a refusal is an error.
    pub(crate) async fn run(self) -> Result<Vec<u8>, Error> {
        let (action, repository) = (self.action(), self.repository.to_owned());
        let ended = self.ended().await?;
        if ended.code == Some(0) {
            return Ok(ended.stdout);
        }
        Err(Error::Failed { action, repository, said: ended.stderr })
    }

    /// Runs it and tells how it ended.
    pub(crate) async fn ended(self) -> Result<Ended, Error> {
        let late = Error::Deadline {
            action: self.action(),
            repository: self.repository.to_owned(),
            seconds: self.deadline.as_secs(),
        };
        tokio::time::timeout(self.deadline, self.play()).await.unwrap_or(Err(late))
    }

    async fn play(self) -> Result<Ended, Error> {
        let action = self.action();
        let mut command = command(&self.settings);
        command.current_dir(self.repository).args(&self.arguments).envs(self.environment);
        if self.stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(Error::Start)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let bytes = self.stdin.unwrap_or_default();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A child that ends early closes its end: its exit status says what was wrong.
                let _ = stdin.write_all(&bytes).await;
                let _ = stdin.shutdown().await;
            }
        };
        let ((), stdout, stderr) =
            tokio::join!(feed, read_some(stdout, self.limit + 1), read_and_drop(stderr, STDERR_KEPT));
        let stdout = stdout.map_err(Error::Start)?;
        if stdout.len() as u64 > self.limit {
            return Err(Error::TooLarge { what: format!("the output of `git {action}`"), limit: self.limit });
        }
        let status = child.wait().await.map_err(Error::Start)?;
        let stderr = last_lines(&String::from_utf8_lossy(&stderr.unwrap_or_default()));
        Ok(Ended { code: status.code(), stdout, stderr })
    }
}

async fn read_some(from: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Keeps the first `kept` bytes and reads on, so that a talkative child does not block.
async fn read_and_drop(from: Option<impl AsyncRead + Unpin>, kept: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        (&mut from).take(kept).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

/// The last few lines of what git said, on one line.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}

/// Whether `git` is there and new enough; its version.
///
/// # Errors
/// G0401, with what to do.
pub fn check_git() -> Result<String, Problem> {
    let mut command = std::process::Command::new("git");
    surround(&mut command, &[]);
    let output = command
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing(&Error::Start(error)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().strip_prefix("git version ").unwrap_or_default();
    let version = version.split_whitespace().next().unwrap_or_default().to_owned();
    match parse_version(&version) {
        Some(found) if found >= OLDEST => Ok(version),
        _ => Err(Problem::new(
            "G0401",
            Kind::Unavailable,
            format!("The installed git (`{version}`) is too old."),
        )
        .because_of(format!("Version {}.{} or newer is needed.", OLDEST.0, OLDEST.1))
        .try_this("Install a newer git with your system's package manager and try again.")),
    }
}

pub(crate) fn missing(error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new("G0401", Kind::Unavailable, "The `git` program could not be started.").because(error).try_this(
        "Install git with your system's package manager (`apt install git`, `dnf install git`, `brew install git`) \
         and see that it is on the PATH.",
    )
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_makers_are_read() {
        for (text, version) in [("2.39.5", (2, 39)), ("2.50.1.windows.1", (2, 50)), ("3.0.0-rc1", (3, 0))] {
            assert_eq!(parse_version(text), Some(version), "{text}");
        }
        assert_eq!(parse_version("unknown"), None);
    }

    #[tokio::test]
    async fn output_has_a_limit_and_refusals_are_told() {
        let here = Path::new(".");
        let large = Call::new(here, &["help", "-a"]).limit(10).run().await;
        assert!(matches!(large, Err(Error::TooLarge { limit: 10, .. })), "{:?}", large.map(|b| b.len()));
        let refused = Call::new(here, &["no-such-subcommand"]).run().await;
        assert!(matches!(&refused, Err(Error::Failed { said, .. }) if said.contains("no-such-subcommand")));
    }
}
