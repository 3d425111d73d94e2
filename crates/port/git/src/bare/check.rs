//! What a received object must be: the rules of `git fsck --strict` that keep those safe who check it out, and those that
//! keep it readable.
//!
//! Not checked: the content of `.gitmodules` (git itself refuses dangerous ones when it reads them).

use std::collections::HashSet;

use gix_hash::ObjectId;
use gix_object::Kind;

/// Longest name of one entry.
const NAME: usize = 4096;

/// Says what is wrong with an object.
pub(super) fn object(kind: Kind, bytes: &[u8]) -> Result<(), String> {
    match kind {
        Kind::Blob => Ok(()),
        Kind::Tree => tree(bytes),
        Kind::Commit => commit(bytes),
        Kind::Tag => tag(bytes),
    }
}

fn tree(mut rest: &[u8]) -> Result<(), String> {
    let mut names = HashSet::new();
    let mut last: Vec<u8> = Vec::new();
    while !rest.is_empty() {
        let cut = |at: Option<usize>| at.ok_or("a tree ends early");
        let space = cut(rest.iter().position(|byte| *byte == b' '))?;
        let (mode, after) = (&rest[..space], &rest[space + 1..]);
        let end = cut(after.iter().position(|byte| *byte == 0))?;
        let (name, after) = (&after[..end], &after[end + 1..]);
        let id = after.get(..20).ok_or("a tree ends early")?;
        rest = &after[20..];
        let shown = String::from_utf8_lossy(name);
        let folder = match mode {
            b"40000" => true,
            b"120000" if shown.eq_ignore_ascii_case(".gitmodules") => {
                return Err("a tree has `.gitmodules` as a link".into());
            }
            b"100644" | b"100755" | b"100664" | b"120000" | b"160000" => false,
            _ => return Err(format!("a tree has a bad mode for `{shown}`")),
        };
        if let Some(why) = bad_name(name) {
            return Err(format!("a tree has an entry with a bad name ({why}): `{}`", shown.escape_debug()));
        }
        if id.iter().all(|byte| *byte == 0) {
            return Err(format!("a tree has no object for `{shown}`"));
        }
        let mut place = name.to_vec();
        if folder {
            place.push(b'/');
        }
        if !names.insert(name) || !last.is_empty() && last >= place {
            return Err(format!("a tree is not in order, or has twice, `{shown}`"));
        }
        last = place;
    }
    Ok(())
}

/// Why a name must not be in a tree, on any file system.
fn bad_name(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => return Some("empty"),
        b"." | b".." => return Some("leads elsewhere"),
        name if name.contains(&b'/') => return Some("a slash"),
        name if name.len() > NAME => return Some("too long"),
        _ => {}
    }
    let text = String::from_utf8_lossy(name);
    // macOS does not see these characters in names.
    let hidden = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let plain: String = text.chars().filter(|c| !hidden(c)).collect();
    // Windows takes `\` for `/`, stops at `:`, and drops blanks and points at the end.
    let windows = |part: &str| {
        let part = part.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
        part.eq_ignore_ascii_case(".git") || part.eq_ignore_ascii_case("git~1")
    };
    (plain.eq_ignore_ascii_case(".git") || plain.split('\\').any(windows)).then_some("git's own folder")
}

/// Takes lines of a header one by one.
struct Header<'a>(&'a [u8]);

impl<'a> Header<'a> {
    /// The header of a commit or tag, ended by an empty line or by the object's end.
    fn of(bytes: &'a [u8], what: &str) -> Result<Self, String> {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").map_or(bytes.len(), |at| at + 1);
        let header = &bytes[..end];
        if header.contains(&0) || !header.ends_with(b"\n") {
            return Err(format!("the header of a {what} is damaged"));
        }
        Ok(Header(header))
    }

    fn line(&mut self, key: &[u8]) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(key)?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        self.0 = &rest[end + 1..];
        Some(&rest[..end])
    }

    fn id(&mut self, key: &[u8], what: &str) -> Result<Option<ObjectId>, String> {
        let Some(hex) = self.line(key) else { return Ok(None) };
        let lower = hex.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        match ObjectId::from_hex(hex) {
            Ok(id) if lower && hex.len() == 40 => Ok(Some(id)),
            _ => Err(format!("a {what} has a bad id")),
        }
    }
}

fn commit(bytes: &[u8]) -> Result<(), String> {
    let mut header = Header::of(bytes, "commit")?;
    header.id(b"tree ", "commit")?.ok_or("a commit has no tree")?;
    while header.id(b"parent ", "commit")?.is_some() {}
    person(header.line(b"author ").ok_or("a commit has no author")?)?;
    person(header.line(b"committer ").ok_or("a commit has no committer")?)
}

fn tag(bytes: &[u8]) -> Result<(), String> {
    let mut header = Header::of(bytes, "tag")?;
    header.id(b"object ", "tag")?.ok_or("a tag has no object")?;
    if !matches!(header.line(b"type "), Some(b"commit" | b"tree" | b"blob" | b"tag")) {
        return Err("a tag has a bad type".into());
    }
    if header.line(b"tag ").is_none_or(<[u8]>::is_empty) {
        return Err("a tag has no name".into());
    }
    header.line(b"tagger ").map_or(Ok(()), person)
}

/// `Name <address> seconds zone`.
fn person(line: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(line);
    let bad = || format!("a commit or tag has a bad author, committer or tagger: `{}`", text.escape_debug());
    let (name, rest) = text.split_once('<').ok_or_else(bad)?;
    let (address, rest) = rest.split_once('>').ok_or_else(bad)?;
    let (seconds, zone) = rest.strip_prefix(' ').and_then(|r| r.split_once(' ')).ok_or_else(bad)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let fine = name.ends_with(' ')
        && !name.contains('>')
        && !address.contains('<')
        && digits(seconds)
        && (seconds == "0" || !seconds.starts_with('0'))
        && seconds.parse::<i64>().is_ok()
        && zone.len() == 5
        && zone.starts_with(['+', '-'])
        && digits(&zone[1..]);
    if fine { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: &str, name: &[u8]) -> Vec<u8> {
        [mode.as_bytes(), b" ", name, b"\0", &[7; 20]].concat()
    }

    #[test]
    fn names_that_lead_out_of_a_work_tree_are_refused() {
        let bad: [&[u8]; 14] = [
            b"",
            b".",
            b"..",
            b"a/b",
            b"../x",
            b".git",
            b".GIT",
            b".git ",
            b".git...",
            b"git~1",
            b"GIT~1",
            b"a\\.git\\x",
            b".git::$INDEX",
            ".g\u{200c}it".as_bytes(),
        ];
        for name in bad {
            assert!(tree(&entry("100644", name)).is_err(), "{}", String::from_utf8_lossy(name));
        }
        for name in [&b".gitignore"[..], b"git", b"a b", b"..a", b"\xff\xfe", b".gitmodules"] {
            assert_eq!(tree(&entry("100644", name)), Ok(()), "{}", String::from_utf8_lossy(name));
        }
        assert!(tree(&entry("120000", b".gitmodules")).is_err());
    }

    #[test]
    fn trees_are_in_gits_order_and_whole() {
        let both = |a: Vec<u8>, b: Vec<u8>| tree(&[a, b].concat());
        assert_eq!(both(entry("100644", b"a.b"), entry("40000", b"a")), Ok(()));
        assert!(both(entry("40000", b"a"), entry("100644", b"a.b")).is_err());
        assert!(both(entry("100644", b"a"), entry("40000", b"a")).is_err());
        assert!(both(entry("100644", b"a"), entry("100644", b"a")).is_err());
        assert!(tree(&entry("040000", b"a")).is_err());
        assert!(tree(&entry("100644", b"a")[..20]).is_err());
        assert!(tree(b"100644 a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").is_err());
    }

    #[test]
    fn commits_and_tags_have_what_readers_need() {
        let id = "1".repeat(40);
        let head = format!("tree {id}\nparent {id}\n");
        let fine = format!("{head}author A <a> 1 +0000\ncommitter A <a> 1 +0000\nencoding x\n\nm\0");
        assert_eq!(commit(fine.as_bytes()), Ok(()));
        for who in
            ["A <a> 01 +0000", "A a 1 +0000", "A <a>1 +0000", "A <a> x +0000", "A <a> 1 0000", "A <a> 1"]
        {
            let bad = format!("{head}author {who}\ncommitter A <a> 1 +0000\n\nm");
            assert!(commit(bad.as_bytes()).is_err(), "{who}");
        }
        assert!(commit(b"author A <a> 1 +0000\n\n").is_err());
        assert!(commit(&fine.as_bytes()[..60]).is_err());
        let tagged = format!("object {id}\ntype commit\ntag v1\ntagger A <a> 1 +0000\n\nm");
        assert_eq!(tag(tagged.as_bytes()), Ok(()));
        assert!(tag(tagged.replace("commit", "folder").as_bytes()).is_err());
    }
}
