//! What can be configured.

use serde::Deserialize;

/// An address shown on every page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Link {
    /// What a person reads. A link named like an environment is also shown on that environment's card.
    pub name: String,
    /// Where it leads; `http` or `https`.
    pub url: String,
}

/// Configuration of the dashboard.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Title of the pages.
    pub title: String,
    /// Addresses shown on every page.
    pub links: Vec<Link>,
    /// Host names it may be reached by, besides `localhost`, addresses and cluster-local names.
    pub hosts: Vec<String>,
    /// Most browsers that follow a page at one time.
    pub max_streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { title: "Galley".into(), links: Vec::new(), hosts: Vec::new(), max_streams: 64 }
    }
}
