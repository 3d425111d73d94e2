//! Commits as a history shows them.

use jiff::Timestamp;
use serde::Serialize;

use crate::Error;

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

/// What `git log` is asked to print: seven fields, each ended by NUL when `-z` ends the commit.
pub(crate) const FORMAT: &str =
    "--format=tformat:%H%x00%an%x00%ae%x00%ct%x00%s%x00%b%x00%(trailers:only=true,unfold=true)";
const FIELDS: usize = 7;

pub(crate) fn parse(output: &[u8]) -> Result<Vec<CommitInfo>, Error> {
    let text = String::from_utf8_lossy(output);
    let mut fields: Vec<&str> = text.split('\0').collect();
    fields.pop();
    let odd = |detail: String| Error::Output { action: "log", detail };
    if !fields.len().is_multiple_of(FIELDS) {
        return Err(odd(format!("{} fields", fields.len())));
    }
    fields
        .chunks_exact(FIELDS)
        .map(|commit| {
            let seconds: i64 = commit[3].parse().map_err(|_| odd(format!("time `{}`", commit[3])))?;
            Ok(CommitInfo {
                id: commit[0].to_owned(),
                author: commit[1].to_owned(),
                email: commit[2].to_owned(),
                time: Timestamp::from_second(seconds).map_err(|_| odd(format!("time `{seconds}`")))?,
                subject: commit[4].to_owned(),
                body: commit[5].trim_end().to_owned(),
                trailers: commit[6].lines().filter_map(trailer).collect(),
            })
        })
        .collect()
}

fn trailer(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(':')?;
    Some((key.trim().to_owned(), value.trim().to_owned()))
}
