//! Getting a configuration ready, and what can be learnt of it without running anything.

use std::{collections::BTreeMap, path::Path};

use regex::Regex;
use serde_json::Value;

use super::{Backend, Progress, Workspace};
use crate::{Diagnostic, Error, Severity};

/// Largest file of a configuration that is looked into.
const FILE: u64 = 4 << 20;

impl Workspace {
    /// Fetches what the configuration needs, unless that was done for this very configuration before.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn init(&self, progress: &dyn Progress) -> Result<(), Error> {
        let data = self.options.home.join(format!("data-{}", self.tool.kind.program()));
        let mark = self.options.home.join(format!("ready-{}", self.tool.kind.program()));
        let wanted = format!("{} {:08x}", self.tool.version, fingerprint(&self.options.dir)?);
        if std::fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        let mut args: Vec<String> = ["init", "-input=false", "-no-color"].map(str::to_owned).into();
        if data.exists() && self.backend != Backend::Local {
            // Another address of the backend: the state there is the one that counts, nothing is copied.
            args.push("-reconfigure".to_owned());
        }
        self.stream("init", &self.program(args), progress).await?;
        // `init` writes the lock file, so what counts is how the folder looks after it.
        let wanted = format!("{} {:08x}", self.tool.version, fingerprint(&self.options.dir)?);
        super::private(&mark, wanted.as_bytes())
    }

    /// What `validate` finds.
    ///
    /// # Errors
    /// [`Error::Refused`] if it cannot be run.
    pub async fn validate(&self, progress: &dyn Progress) -> Result<Vec<Diagnostic>, Error> {
        let args = ["validate", "-json"].map(str::to_owned).into();
        match self.document("validate", args, progress).await {
            Ok(value) => {
                Ok(value["diagnostics"].as_array().into_iter().flatten().map(Diagnostic::read).collect())
            }
            // It ends with 1 when something is invalid, and has printed its document.
            Err(Error::Refused { stderr, command, .. }) => {
                Err(Error::Refused { command, changed: false, diagnostics: from_text(&stderr), stderr })
            }
            Err(other) => Err(other),
        }
    }

    /// The values of variables that the configuration has, of those that are asked for.
    ///
    /// # Errors
    /// [`Error::Refused`] if a value is missing or invalid.
    pub async fn values(
        &self,
        names: &[&str],
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, Value>, Error> {
        let declared = variables(&self.options.dir)?;
        let pairs: Vec<String> = names
            .iter()
            .filter(|name| declared.iter().any(|one| one == *name))
            .map(|name| format!("{name} = var.{name}"))
            .collect();
        if pairs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let question = self.options.home.join("question");
        super::private(&question, format!("jsonencode({{{}}})\n", pairs.join(", ")).as_bytes())?;
        let mut args = vec!["console".to_owned()];
        args.extend(self.state_flag());
        args.extend(self.variables());
        let mut program = self.program(args);
        program.input = Some(question.clone());
        let said = self.stream("console", &program, &super::Quiet(progress)).await;
        let _ = std::fs::remove_file(&question);
        let said = said?;
        let text = std::fs::read_to_string(&said.out).map_err(Error::file("reading", &said.out))?;
        let unreadable = |why: String| Error::Output { command: program.short(), why };
        // The console prints a string with its quotes: JSON in JSON.
        let line = text
            .lines()
            .rev()
            .find(|line| line.starts_with('"'))
            .ok_or_else(|| unreadable("no value".into()))?;
        let inner: String = serde_json::from_str(line).map_err(|e| unreadable(e.to_string()))?;
        serde_json::from_str(&inner).map_err(|e| unreadable(e.to_string()))
    }
}

/// Everything that stands in the configuration's files.
fn sources(dir: &Path) -> Result<Vec<(String, String)>, Error> {
    let entries = std::fs::read_dir(dir).map_err(Error::file("reading", dir))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let small = entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= FILE);
        if small && (name.ends_with(".tf") || name.ends_with(".tofu") || name == ".terraform.lock.hcl") {
            let text = std::fs::read_to_string(entry.path()).map_err(Error::file("reading", entry.path()))?;
            found.push((name, text));
        }
    }
    if !found.iter().any(|(name, _)| !name.starts_with('.')) {
        let none = std::io::Error::new(std::io::ErrorKind::NotFound, "no file there ends with .tf");
        return Err(Error::file("finding a configuration in", dir)(none));
    }
    found.sort();
    Ok(found)
}

fn fingerprint(dir: &Path) -> Result<u32, Error> {
    let mut all = String::new();
    for (name, text) in sources(dir)? {
        all.push_str(&name);
        all.push_str(&text);
    }
    Ok(galley_units::fnv1a_32(&all))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant that the tests compile")
}

/// Names of the variables that are declared.
fn variables(dir: &Path) -> Result<Vec<String>, Error> {
    let declaration = pattern(r#"(?m)^\s*variable\s+"([A-Za-z0-9_-]+)""#);
    Ok(sources(dir)?
        .iter()
        .flat_map(|(_, text)| declaration.captures_iter(text).map(|found| found[1].to_owned()))
        .collect())
}

/// Where the configuration keeps its state.
pub(super) fn backend(dir: &Path) -> Result<Backend, Error> {
    let block = pattern(r#"(?m)^\s*backend\s+"([a-z0-9_-]+)"\s*\{"#);
    let address = pattern(r#"(?m)^\s*address\s*=\s*"([^"]+)""#);
    for (_, text) in sources(dir)? {
        if let Some(found) = block.captures(&text) {
            let rest = &text[found.get(0).map_or(0, |whole| whole.end())..];
            let address = address.captures(rest).map(|found| found[1].to_owned());
            return Ok(Backend::Configured { kind: found[1].to_owned(), address });
        }
    }
    Ok(Backend::Local)
}

/// Errors out of what a tool prints for people: commands without `-json` say them so.
pub(super) fn from_text(text: &str) -> Vec<Diagnostic> {
    let place = pattern(r"on (\S+) line (\d+)");
    let mut found: Vec<Diagnostic> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start_matches(['│', '╷', '╵', ' ']).trim_end();
        if let Some(summary) = line.strip_prefix("Error: ") {
            found.push(Diagnostic {
                severity: Severity::Error,
                summary: crate::stream::short(summary),
                detail: String::new(),
                address: None,
                file: None,
                line: 0,
                column: 0,
            });
        } else if let Some(last) = found.last_mut() {
            if let Some(at) = place.captures(line) {
                last.file = Some(at[1].to_owned());
                last.line = at[2].parse().unwrap_or_default();
            }
            if last.detail.len() < 4096 {
                last.detail.push_str(line);
                last.detail.push('\n');
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_and_variables_are_found() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(backend(dir.path()).is_err(), "no configuration");
        std::fs::write(dir.path().join("a.tf"), "variable \"suffix\" {\n}\n variable \"b\" {}\n")
            .expect("writes");
        assert_eq!(backend(dir.path()).expect("reads"), Backend::Local);
        assert_eq!(variables(dir.path()).expect("reads"), ["suffix", "b"]);
        let text = "terraform {\n  backend \"http\" {\n    address = \"http://x/y\"\n  }\n}\n";
        std::fs::write(dir.path().join("b.tf"), text).expect("writes");
        let wanted = Backend::Configured { kind: "http".into(), address: Some("http://x/y".into()) };
        assert_eq!(backend(dir.path()).expect("reads"), wanted);
    }

    #[test]
    fn errors_for_people_are_read_too() {
        let text = "╷\n│ Error: Unsupported argument\n│ \n│   on main.tf line 7, in resource \"x\" \"y\":\n│    7:   nosuch = 1\n╵\n";
        let found = from_text(text);
        assert_eq!(
            (found[0].summary.as_str(), found[0].file.as_deref(), found[0].line),
            ("Unsupported argument", Some("main.tf"), 7)
        );
    }
}
