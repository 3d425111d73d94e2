//! Commits and tags as they are kept, and as a history shows them.

use std::rc::Rc;

use gix_hash::ObjectId;
use jiff::Timestamp;

use crate::CommitInfo;

/// What walks need of a commit.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The commits before it.
    pub parents: Rc<[ObjectId]>,
    /// Its files.
    pub tree: ObjectId,
    /// Seconds since 1970 at which it was committed.
    pub time: i64,
}

/// Lenient: what is in the repository was checked when it came, or is a person's own.
pub(super) fn parse(bytes: &[u8]) -> Option<Commit> {
    let (mut tree, mut parents, mut time) = (None, Vec::new(), 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            break;
        } else if let Some(id) = line.strip_prefix(b"tree ") {
            tree = tree.or(ObjectId::from_hex(id).ok());
        } else if let Some(id) = line.strip_prefix(b"parent ") {
            parents.push(ObjectId::from_hex(id).ok()?);
        } else if let Some(who) = line.strip_prefix(b"committer ") {
            time = person(who).2;
        }
    }
    Some(Commit { parents: parents.into(), tree: tree?, time })
}

/// The object that a tag names.
pub(super) fn tag_target(bytes: &[u8]) -> Option<ObjectId> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    ObjectId::from_hex(line.strip_prefix(b"object ")?).ok()
}

/// Name, address and seconds of `Name <address> seconds zone`.
fn person(line: &[u8]) -> (String, String, i64) {
    let text = String::from_utf8_lossy(line);
    let (name, rest) = text.split_once('<').unwrap_or((&text, ""));
    let (email, rest) = rest.rsplit_once('>').unwrap_or((rest, ""));
    let seconds = rest.split_whitespace().next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    (name.trim().to_owned(), email.trim().to_owned(), seconds)
}

/// The commit as a history shows it.
pub(super) fn info(id: &ObjectId, bytes: &[u8]) -> CommitInfo {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, message) = end.map_or((bytes, &b""[..]), |end| (&bytes[..end], &bytes[end + 2..]));
    let line = |key: &[u8]| {
        let mut lines = head.split(|byte| *byte == b'\n');
        lines.find_map(|line| line.strip_prefix(key)).map(person).unwrap_or_default()
    };
    let (author, email, _) = line(b"author ");
    let (_, _, seconds) = line(b"committer ");
    let message = String::from_utf8_lossy(message);
    let message = message.trim_start_matches('\n');
    let (subject, body) = message.split_once("\n\n").unwrap_or((message, ""));
    CommitInfo {
        id: id.to_string(),
        author,
        email,
        time: Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH),
        subject: subject.lines().map(str::trim_end).collect::<Vec<_>>().join(" ").trim_end().to_owned(),
        body: body.trim_start_matches('\n').trim_end().to_owned(),
        trailers: trailers(body),
    }
}

/// `Key: value` lines of the last paragraph, by git's rule: all of its lines are such, or a quarter of them and one that
/// git itself writes. Lines that begin with a blank continue the one before.
fn trailers(body: &str) -> Vec<(String, String)> {
    let paragraph = body.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let (mut found, mut others, mut gits): (Vec<(String, String)>, usize, bool) = (Vec::new(), 0, false);
    for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
        gits |= line.starts_with("Signed-off-by: ") || line.starts_with("(cherry picked from commit ");
        if line.starts_with([' ', '\t']) {
            match found.last_mut() {
                Some((_, value)) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                None => others += 1,
            }
        } else if let Some(trailer) = trailer(line) {
            found.push(trailer);
        } else {
            others += 1;
        }
    }
    if others == 0 || gits && found.len() * 3 >= others { found } else { Vec::new() }
}

fn trailer(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(':')?;
    let key = key.trim_end();
    let fine = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    fine.then(|| (key.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> CommitInfo {
        let head = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor Ä B <a@b> 5 +0100\ncommitter C <c@d> 7 +0000\n";
        info(&ObjectId::empty_tree(gix_hash::Kind::Sha1), format!("{head}\n{message}").as_bytes())
    }

    #[test]
    fn messages_are_told_apart_as_git_does() {
        let commit = shown("one\nline\n\nbody\ntext\n\nKey: v\n more\nOther-Key:w\n");
        assert_eq!((commit.author.as_str(), commit.email.as_str()), ("Ä B", "a@b"));
        assert_eq!(commit.time.as_second(), 7);
        assert_eq!(commit.subject, "one line");
        assert_eq!(commit.body, "body\ntext\n\nKey: v\n more\nOther-Key:w");
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(commit.trailers, [pair("Key", "v more"), pair("Other-Key", "w")]);
        assert!(shown("Key: value\n").trailers.is_empty());
        assert!(shown("s\n\nKey: value\nand prose\n").trailers.is_empty());
        assert_eq!(shown("s\n\nprose\nSigned-off-by: x\n").trailers.len(), 1);
        assert_eq!(shown("").subject, "");
    }
}
