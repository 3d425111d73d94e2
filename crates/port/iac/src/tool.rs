//! Which of OpenTofu and Terraform is there, and its version.

use std::{path::PathBuf, time::Duration};

use semver::Version;

use crate::Error;

/// The oldest version that the configuration is written for.
const OLDEST: &str = "1.6.0";
/// How long a tool may take to say its version.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// OpenTofu.
    Tofu,
    /// Terraform.
    Terraform,
}

impl Kind {
    /// Its name, as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Tofu => "OpenTofu",
            Kind::Terraform => "Terraform",
        }
    }

    /// Its program.
    pub const fn program(self) -> &'static str {
        match self {
            Kind::Tofu => "tofu",
            Kind::Terraform => "terraform",
        }
    }
}

/// A tool that was found.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Name or path of the program.
    pub program: PathBuf,
    /// Which of the two it is, by its own word.
    pub kind: Kind,
    /// Its version.
    pub version: Version,
}

impl Tool {
    /// The tool that was asked for, by name or path; else tofu, else terraform.
    ///
    /// # Errors
    /// [`Error::Missing`] if none is there, [`Error::Old`] if it is too old.
    pub async fn find(asked: Option<&str>) -> Result<Tool, Error> {
        let names = asked.map_or_else(|| vec!["tofu", "terraform"], |name| vec![name]);
        for name in &names {
            if let Some(said) = version_of(name).await? {
                return read(name, &said);
            }
        }
        Err(Error::Missing(names.join("` or `")))
    }
}

/// What a program prints for `version`; nothing if it is not there.
async fn version_of(name: &str) -> Result<Option<String>, Error> {
    let mut command = tokio::process::Command::new(name);
    command
        .arg("version")
        .env("CHECKPOINT_DISABLE", "1")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Err(_) => return Err(Error::Deadline { command: format!("{name} version"), limit: PATIENCE }),
        Ok(Err(source)) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(Err(source)) => return Err(Error::Start { program: name.to_owned(), source }),
        Ok(Ok(output)) => output,
    };
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn read(name: &str, said: &str) -> Result<Tool, Error> {
    let unknown = || Error::Output {
        command: format!("{name} version"),
        why: format!("`{}` names neither OpenTofu nor Terraform", said.lines().next().unwrap_or_default()),
    };
    let line = said.lines().find(|line| line.starts_with("OpenTofu v") || line.starts_with("Terraform v"));
    let (kind, version) = line.and_then(|line| line.split_once(" v")).ok_or_else(unknown)?;
    let kind = if kind == "OpenTofu" { Kind::Tofu } else { Kind::Terraform };
    let version = Version::parse(version.trim()).map_err(|_| unknown())?;
    let oldest = Version::parse(OLDEST).map_err(|_| unknown())?;
    if version < oldest {
        return Err(Error::Old {
            name: kind.name().to_owned(),
            version: version.to_string(),
            wanted: OLDEST,
        });
    }
    Ok(Tool { program: name.into(), kind, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_both_by_what_they_say() {
        let tool =
            read("x", "Terraform v1.11.4\non linux_amd64\n\nYour version is out of date").expect("is read");
        assert_eq!((tool.kind, tool.version.to_string().as_str()), (Kind::Terraform, "1.11.4"));
        let tool = read("x", "OpenTofu v1.12.6\non linux_amd64\n").expect("is read");
        assert_eq!(tool.kind, Kind::Tofu);
        assert!(matches!(read("x", "Terraform v1.5.7\n"), Err(Error::Old { .. })));
        assert!(matches!(read("x", "hello\n"), Err(Error::Output { .. })));
    }

    #[tokio::test]
    async fn a_tool_that_is_not_there_is_missing() {
        assert!(matches!(Tool::find(Some("no-such-tool-here")).await, Err(Error::Missing(_))));
    }
}
