//! What a client asks of a fetch, in either version of the protocol.

use std::collections::HashSet;

use galley_git::bare::{Filter, ObjectId};

use crate::pkt::{self, Odd, Packet, odd};

/// Lines of one request; each names a commit, and a client names the newest of what it has.
const LINES: usize = 300_000;

/// How a client that speaks version 0 wants to hear of common commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Of the first only.
    #[default]
    One,
    /// Of each, as `continue`.
    All,
    /// Of each, as `common` or `ready`.
    Detailed,
}

/// One step of the negotiation in version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Have(ObjectId),
    Flush,
    Done,
}

/// A request for a pack.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    pub(crate) wants: Vec<ObjectId>,
    pub(crate) steps: Vec<Step>,
    pub(crate) shallow: HashSet<ObjectId>,
    pub(crate) depth: usize,
    pub(crate) relative: bool,
    pub(crate) since: Option<i64>,
    pub(crate) not: Vec<String>,
    pub(crate) filter: Filter,
    pub(crate) filtered: bool,
    pub(crate) done: bool,
    pub(crate) acks: Acks,
    pub(crate) no_done: bool,
    /// The longest packet with a band, if there are bands.
    pub(crate) bands: Option<usize>,
    pub(crate) thin: bool,
    pub(crate) offsets: bool,
    pub(crate) tags: bool,
}

fn id(hex: &str) -> Result<ObjectId, Odd> {
    ObjectId::from_hex(hex.as_bytes()).map_err(|_| odd(format!("`{}` is no object id", hex.escape_debug())))
}

fn filter(text: &str) -> Result<Filter, Odd> {
    let size = |text: &str| {
        let (digits, unit) = match text.as_bytes().last()? {
            b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
            b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
            b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
            _ => (text, 1),
        };
        digits.parse::<u64>().ok()?.checked_mul(unit)
    };
    let known = match text {
        "blob:none" => Some(Filter::Blobs(0)),
        "tree:0" => Some(Filter::Trees),
        other => other.strip_prefix("blob:limit=").and_then(size).map(Filter::Blobs),
    };
    known.ok_or_else(|| odd(format!("the filter `{}` is not supported", text.escape_debug())))
}

impl Ask {
    /// Whether the client wants another boundary of its shallow history.
    pub(crate) fn deepens(&self) -> bool {
        self.depth > 0 || self.since.is_some() || !self.not.is_empty()
    }

    /// What is said in the same way in both versions.
    fn common(&mut self, line: &str) -> Result<bool, Odd> {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let number =
            || value.parse::<i64>().map_err(|_| odd(format!("`{}` is no number", value.escape_debug())));
        match key {
            "shallow" => {
                self.shallow.insert(id(value)?);
            }
            "deepen" => self.depth = usize::try_from(number()?).map_err(|_| odd("a depth below nothing"))?,
            "deepen-since" => self.since = Some(number()?),
            "deepen-not" => self.not.push(value.to_owned()),
            "filter" => (self.filter, self.filtered) = (filter(value)?, true),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The arguments of `fetch`.
    pub(crate) fn two(arguments: &[String]) -> Result<Self, Odd> {
        let mut ask = Ask { bands: Some(pkt::LONGEST), acks: Acks::Detailed, ..Ask::default() };
        if arguments.len() > LINES {
            return Err(odd("too many lines"));
        }
        for line in arguments {
            if ask.common(line)? {
                continue;
            }
            match line.split_once(' ').unwrap_or((line, "")) {
                ("want", hex) => ask.wants.push(id(hex)?),
                ("have", hex) => ask.steps.push(Step::Have(id(hex)?)),
                ("done", _) => ask.done = true,
                ("thin-pack", _) => ask.thin = true,
                ("ofs-delta", _) => ask.offsets = true,
                ("include-tag", _) => ask.tags = true,
                ("deepen-relative", _) => ask.relative = true,
                ("no-progress", _) => {}
                _ => return Err(odd(format!("unexpected argument of fetch: `{}`", line.escape_debug()))),
            }
        }
        Ok(ask)
    }

    /// A request of version 0 or 1.
    pub(crate) fn zero(mut body: &[u8]) -> Result<Self, Odd> {
        let mut ask = Ask::default();
        let mut first = true;
        let mut lines = 0;
        while let Some(packet) = pkt::read(&mut body)? {
            let Some(line) = packet.text() else { break };
            lines += 1;
            if lines > LINES {
                return Err(odd("too many lines"));
            }
            if ask.common(&line)? {
                continue;
            }
            let want = line.strip_prefix("want ").ok_or_else(|| odd("a line is no want"))?;
            let (hex, able) = want.split_once(['\0', ' ']).unwrap_or((want, ""));
            ask.wants.push(id(hex)?);
            if std::mem::take(&mut first) {
                able.split_whitespace().try_for_each(|word| ask.able(word))?;
            }
        }
        while let Some(packet) = pkt::read(&mut body)? {
            lines += 1;
            if lines > LINES {
                return Err(odd("too many lines"));
            }
            match (&packet, packet.text().as_deref().and_then(|line| line.split_once(' '))) {
                (Packet::Flush, _) => ask.steps.push(Step::Flush),
                (Packet::Line(line), None) if line == b"done" => {
                    ask.steps.push(Step::Done);
                    break;
                }
                (_, Some(("have", hex))) => ask.steps.push(Step::Have(id(hex)?)),
                _ => return Err(odd("a line is no have")),
            }
        }
        Ok(ask)
    }

    fn able(&mut self, word: &str) -> Result<(), Odd> {
        match word {
            "multi_ack_detailed" => self.acks = Acks::Detailed,
            "multi_ack" if self.acks == Acks::One => self.acks = Acks::All,
            "no-done" => self.no_done = true,
            "side-band-64k" => self.bands = Some(pkt::LONGEST),
            "side-band" => self.bands = self.bands.or(Some(1000)),
            "thin-pack" => self.thin = true,
            "ofs-delta" => self.offsets = true,
            "include-tag" => self.tags = true,
            "deepen-relative" => self.relative = true,
            other if other.strip_prefix("object-format=").is_some_and(|format| format != "sha1") => {
                return Err(odd("only sha1 objects are here"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_those_that_can_be_done() {
        assert_eq!(filter("blob:none").ok(), Some(Filter::Blobs(0)));
        assert_eq!(filter("blob:limit=2k").ok(), Some(Filter::Blobs(2048)));
        assert_eq!(filter("tree:0").ok(), Some(Filter::Trees));
        for bad in
            ["tree:1", "sparse:oid=x", "blob:limit=", "blob:limit=99999999999999999999", "blob:limit=ü"]
        {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn requests_of_both_versions_say_the_same() {
        let hex = "1".repeat(40);
        let mut body = Vec::new();
        for line in
            [format!("want {hex} multi_ack_detailed side-band-64k ofs-delta no-done\n"), "deepen 2\n".into()]
        {
            pkt::line(&mut body, line).expect("writes");
        }
        body.extend_from_slice(pkt::FLUSH);
        pkt::line(&mut body, format!("have {hex}\n")).expect("writes");
        pkt::line(&mut body, "done\n").expect("writes");
        let zero = Ask::zero(&body).expect("reads");
        let two = Ask::two(&[format!("want {hex}"), "deepen 2".into(), format!("have {hex}"), "done".into()]);
        let two = two.expect("reads");
        assert_eq!((zero.wants.clone(), zero.depth, zero.bands), (two.wants, two.depth, two.bands));
        assert_eq!(zero.steps, [Step::Have(zero.wants[0]), Step::Done]);
        assert!(zero.offsets && zero.no_done && two.done);
        assert!(Ask::two(&["want 12".into()]).is_err());
        assert!(Ask::two(&["deepen -1".into()]).is_err());
        assert!(Ask::zero(b"0009junk\n").is_err());
    }
}
