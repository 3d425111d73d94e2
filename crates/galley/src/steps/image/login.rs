//! What to present to somebody else's registry: what `docker login` left, or two environment variables.

use std::path::PathBuf;

use base64::Engine;
use galley_oci::Credentials;
use galley_problem::{Kind, Problem};
use galley_units::Secret;
use serde_json::Value;

use crate::ground::environment;

/// Credentials for a registry, if there are any.
///
/// # Errors
/// G0123 if docker's file is there and cannot be read.
pub fn credentials(registry: &str) -> Result<Option<Credentials>, Problem> {
    if let (Some(user), Some(password)) =
        (environment("GALLEY_REGISTRY_USER"), environment("GALLEY_REGISTRY_PASSWORD"))
    {
        return Ok(Some(Credentials::Basic { user, password: Secret::new(password) }));
    }
    let folder = environment("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".docker")));
    let Some(path) = folder.map(|folder| folder.join("config.json")) else { return Ok(None) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(crate::io(&path, "reading", &error)),
    };
    let config: Value = serde_json::from_str(&text).map_err(|error| {
        Problem::new("G0123", Kind::Config, format!("{} is not what `docker login` writes.", path.display()))
            .because(&error)
    })?;
    Ok(of_config(&config, registry))
}

/// The entry of a registry; Docker's own has an old-fashioned name.
fn of_config(config: &Value, registry: &str) -> Option<Credentials> {
    let auths = config["auths"].as_object()?;
    let names: &[&str] = match registry {
        "docker.io" => &["docker.io", "https://index.docker.io/v1/"],
        other => &[other],
    };
    let entry = names.iter().find_map(|name| auths.get(*name))?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(entry["auth"].as_str()?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dockers_file_is_understood() {
        let config = json!({ "auths": {
            "registry.example:5000": { "auth": "dXNlcjpwYTpzcw==" },
            "https://index.docker.io/v1/": { "auth": "bWU6aXQ=" },
            "helper.example": {},
        } });
        let of = |registry: &str| match of_config(&config, registry) {
            Some(Credentials::Basic { user, password }) => Some(format!("{user} {}", password.expose())),
            _ => None,
        };
        assert_eq!(of("registry.example:5000").as_deref(), Some("user pa:ss"));
        assert_eq!(of("docker.io").as_deref(), Some("me it"));
        assert_eq!(of("helper.example"), None);
        assert_eq!(of("other.example"), None);
    }
}
