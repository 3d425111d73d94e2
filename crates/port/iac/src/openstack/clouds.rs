//! clouds.yaml: one entry of it.

use std::path::{Path, PathBuf};

use galley_units::Secret;
use serde_json::Value;

use super::CloudError;

/// Largest file that is read.
const FILE: u64 = 1 << 20;

/// An entry.
#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) auth_url: String,
    pub(super) auth: Auth,
    pub(super) region: Option<String>,
    pub(super) interface: String,
    pub(super) cacert: Option<PathBuf>,
}

/// How to sign in.
#[derive(Debug)]
pub(super) enum Auth {
    Application {
        id: String,
        secret: Secret<String>,
    },
    ApplicationName {
        name: String,
        user: String,
        domain: String,
        secret: Secret<String>,
    },
    Password {
        user: String,
        user_domain: String,
        password: Secret<String>,
        project: String,
        project_domain: String,
    },
}

impl Cloud {
    /// Reads the entry `name`.
    pub(super) fn read(file: &Path, name: &str) -> Result<Cloud, CloudError> {
        let shown = file.display();
        let text = || {
            let size = std::fs::metadata(file)?.len();
            if size > FILE {
                return Err(std::io::Error::other("it is too large"));
            }
            std::fs::read_to_string(file)
        };
        let text = text().map_err(|e| CloudError::Config(format!("{shown} cannot be read: {e}")))?;
        // The parser's message would quote the line, which may hold a password.
        let whole = galley_yaml::parse_value("clouds.yaml", &text)
            .map_err(|_| CloudError::Config(format!("{shown} is not YAML")))?;
        let entry = &whole["clouds"][name];
        if entry.is_null() {
            let names: Vec<_> =
                whole["clouds"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            return Err(CloudError::Config(format!(
                "{shown} has no cloud `{name}`; it has: {}",
                names.join(", ")
            )));
        }
        Cloud::of(entry)
            .map_err(|lacks| CloudError::Config(format!("cloud `{name}` in {shown} lacks {lacks}")))
    }

    fn of(entry: &Value) -> Result<Cloud, &'static str> {
        let auth = &entry["auth"];
        // A password of digits is a number to YAML.
        let text = |value: &Value| match value {
            Value::Number(number) => Some(number.to_string()),
            other => other.as_str().map(str::to_owned),
        };
        let get = |name: &'static str| text(&auth[name]).filter(|value| !value.is_empty()).ok_or(name);
        let or_default = |name: &str| text(&auth[name]).unwrap_or_else(|| "Default".to_owned());
        let secret = |name| get(name).map(Secret::new);
        let method = if auth["application_credential_id"].is_string() {
            Auth::Application {
                id: get("application_credential_id")?,
                secret: secret("application_credential_secret")?,
            }
        } else if auth["application_credential_name"].is_string() {
            Auth::ApplicationName {
                name: get("application_credential_name")?,
                user: get("username")?,
                domain: or_default("user_domain_name"),
                secret: secret("application_credential_secret")?,
            }
        } else {
            Auth::Password {
                user: get("username")?,
                user_domain: or_default("user_domain_name"),
                password: secret("password")?,
                project: get("project_name")?,
                project_domain: or_default("project_domain_name"),
            }
        };
        Ok(Cloud {
            auth_url: get("auth_url")?,
            auth: method,
            region: text(&entry["region_name"]),
            interface: text(&entry["interface"])
                .unwrap_or_else(|| "public".to_owned())
                .trim_end_matches("URL")
                .to_owned(),
            cacert: text(&entry["cacert"]).map(PathBuf::from),
        })
    }

    /// Address of the identity service, version 3.
    pub(super) fn identity(&self) -> String {
        let url = self.auth_url.trim_end_matches('/');
        if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: &str) -> Result<Cloud, CloudError> {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("clouds.yaml");
        std::fs::write(&file, text).expect("writes");
        Cloud::read(&file, name)
    }

    #[test]
    fn both_ways_of_signing_in_are_read() {
        let text = "clouds:\n  a:\n    auth: {auth_url: 'http://x/identity/', application_credential_id: i, application_credential_secret: s}\n    region_name: R\n  b:\n    auth: {auth_url: http://x/v3, username: u, password: 123, project_name: team}\n    interface: internalURL\n";
        let a = read(text, "a").expect("reads");
        assert_eq!(a.identity(), "http://x/identity/v3");
        assert!(matches!(a.auth, Auth::Application { .. }));
        let b = read(text, "b").expect("reads");
        assert_eq!((b.identity().as_str(), b.interface.as_str()), ("http://x/v3", "internal"));
    }

    #[test]
    fn what_lacks_is_named_and_no_secret_is_shown() {
        let text = "clouds:\n  a:\n    auth: {auth_url: 'http://x', username: u, password: hush}\n";
        let error = read(text, "a").expect_err("lacks a project").to_string();
        assert!(error.contains("lacks project_name") && !error.contains("hush"), "{error}");
        assert!(read(text, "z").expect_err("no such").to_string().contains("it has: a"));
        let error = read("password: [hush\n  x: {", "a").expect_err("not YAML").to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}
