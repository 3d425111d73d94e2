//! Who the server is and who its callers are: certificates, tokens, and the kubeconfig that joins them.

mod authority;
mod files;
mod tokens;

use base64::{Engine, engine::general_purpose::STANDARD};
use galley_units::Secret;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use authority::{CertificateAuthority, ServerTls};
pub use tokens::TokenAuthority;

/// A caller that is known.
#[derive(Clone, Debug)]
pub struct User {
    /// `system:serviceaccount:NAMESPACE:NAME`, or another name.
    pub name: String,
    /// The groups that the caller is in.
    pub groups: Vec<String>,
    /// Cancelled when the door through which the caller came closes.
    pub(crate) closing: CancellationToken,
}

impl User {
    pub(crate) fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        User {
            name: name.into(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            closing: CancellationToken::new(),
        }
    }

    /// The program itself.
    pub(crate) fn in_process() -> Self {
        User::new("system:galley", &["system:masters", "system:authenticated"])
    }
}

/// A kubeconfig with one cluster, user and context, all named `galley`. It holds the token: keep it private.
pub fn kubeconfig(server_url: &str, ca_pem: &str, token: &Secret<String>, namespace: &str) -> String {
    // JSON strings are YAML strings; nothing in them can end the line they are on.
    let quoted = |text: &str| json!(text).to_string();
    // A word stands as it is, as people's scripts expect a token to.
    let word = |text: &str| {
        let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain { text.to_owned() } else { quoted(text) }
    };
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: galley\n\
         clusters:\n- name: galley\n  cluster:\n    server: {}\n    certificate-authority-data: {}\n\
         users:\n- name: galley\n  user:\n    token: {}\n\
         contexts:\n- name: galley\n  context:\n    cluster: galley\n    user: galley\n    namespace: {}\n",
        quoted(server_url),
        STANDARD.encode(ca_pem),
        word(token.expose()),
        quoted(namespace),
    )
}
