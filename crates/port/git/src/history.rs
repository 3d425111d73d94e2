//! Commits as a history shows them.

use jiff::Timestamp;
use serde::Serialize;

/// One commit of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitInfo {
    /// The full id.
    pub id: String,
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub email: String,
    /// When it was committed.
    pub time: Timestamp,
    /// The first line of the message.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
    /// `Key: value` lines at the end of the message, in order.
    pub trailers: Vec<(String, String)>,
}
