//! A fetch: finding out what client and server have in common, and the pack of what the client lacks.

use std::{collections::HashSet, io::Write};

use galley_git::{
    Error,
    bare::{Bare, Boundary, Kind, ObjectId, PackStyle, Pulse, Selected, Selection, write_pack},
};

use crate::{
    advertise::{Version, section},
    ask::{Acks, Ask, Step},
    pkt::{self, Bands, FLUSH},
};

/// What is answered before the pack, and the pack, unless the client has to say more.
pub(crate) struct Answer {
    pub(crate) head: Vec<u8>,
    pack: Option<(Selected, PackStyle)>,
    bands: Option<usize>,
}

/// Complaints that are the client's to read.
fn refuse(why: impl AsRef<str>) -> Answer {
    let mut head = Vec::new();
    let why = why.as_ref();
    // Writing into memory cannot fail.
    let _ = pkt::line(&mut head, format!("ERR upload-pack: {}\n", why.get(..900).unwrap_or(why)));
    Answer { head, pack: None, bands: None }
}

/// Works out the answer to a request.
pub(crate) fn answer(bare: &Bare, ask: &Ask, version: Version, pulse: Pulse<'_>) -> Result<Answer, Error> {
    if let Some(absent) = ask.wants.iter().find(|id| !bare.objects().has(id)) {
        return Ok(refuse(format!("not our ref {absent}")));
    }
    let nothing = Answer { head: Vec::new(), pack: None, bands: None };
    if ask.wants.is_empty() {
        return Ok(nothing);
    }
    let Some(boundary) = boundary(bare, ask, pulse)? else {
        return Ok(refuse("no commits selected for shallow requests"));
    };
    let mut talk = Talk::new(bare, ask, pulse)?;
    let mut head = Vec::new();
    let ready = match version {
        Version::Two => {
            let ready = talk.two(&mut head)?;
            if ready && (ask.deepens() || !ask.shallow.is_empty()) {
                let _ = pkt::line(&mut head, "shallow-info\n");
                put_boundary(&mut head, &boundary);
                let _ = section(&mut head);
            }
            if ready {
                let _ = pkt::line(&mut head, "packfile\n");
            }
            ready
        }
        Version::Zero | Version::One => {
            if ask.deepens() {
                put_boundary(&mut head, &boundary);
                head.extend_from_slice(FLUSH);
            }
            talk.zero(&mut head)?
        }
    };
    if !ready {
        return Ok(Answer { head, ..nothing });
    }
    let selected = bare.select(&selection(bare, ask, &boundary, talk.common)?, pulse)?;
    // A client that left files out may lack the bases.
    let style = PackStyle { offsets: ask.offsets, thin: ask.thin && !ask.filtered };
    Ok(Answer { head, pack: Some((selected, style)), bands: ask.bands })
}

impl Answer {
    /// Sends the pack, if there is one. What goes wrong is told to the client if it knows bands.
    pub(crate) fn send(self, bare: &Bare, to: &mut dyn Write, pulse: Pulse<'_>) -> Result<(), Error> {
        let gone = |source| Error::Io { path: "the client".into(), source };
        to.write_all(&self.head).map_err(gone)?;
        let Some((selected, style)) = self.pack else { return to.flush().map_err(gone) };
        let mut bands = Bands::new(to, self.bands);
        match write_pack(bare.objects(), &selected, style, &mut bands, pulse) {
            Ok(()) => bands.end().map_err(gone),
            Err(error) => {
                let told = bands.complain("the pack could not be made").map_err(gone)?;
                tracing::warn!(error = &error as &dyn std::error::Error, "a pack could not be made");
                if told { Ok(()) } else { Err(error) }
            }
        }
    }
}

fn put_boundary(to: &mut Vec<u8>, boundary: &Boundary) {
    for (word, ids) in [("shallow", &boundary.shallow), ("unshallow", &boundary.unshallow)] {
        for id in ids {
            // Writing into memory cannot fail.
            let _ = pkt::line(to, format!("{word} {id}\n"));
        }
    }
}

fn commits(bare: &Bare, ids: impl IntoIterator<Item = ObjectId>) -> Result<Vec<ObjectId>, Error> {
    let mut commits = Vec::new();
    for id in ids {
        if let Some((Kind::Commit, id)) = bare.objects().peel(&id)? {
            commits.push(id);
        }
    }
    Ok(commits)
}

/// How the client's boundary changes; nothing if its limits leave no commits.
fn boundary(bare: &Bare, ask: &Ask, pulse: Pulse<'_>) -> Result<Option<Boundary>, Error> {
    let history = bare.history();
    let wants = commits(bare, ask.wants.iter().copied())?;
    if ask.depth > 0 && ask.relative {
        let tips = commits(bare, ask.shallow.iter().copied())?;
        return history.deepened(&tips, ask.depth.saturating_add(1), &ask.shallow, pulse).map(Some);
    }
    if ask.depth > 0 {
        return history.deepened(&wants, ask.depth, &ask.shallow, pulse).map(Some);
    }
    if !ask.deepens() {
        return Ok(Some(Boundary::default()));
    }
    let mut not = Vec::new();
    for name in &ask.not {
        match bare.commit_of(name)? {
            Some(id) => not.push(id),
            None => return Ok(None),
        }
    }
    history.limited(&wants, ask.since, &not, &ask.shallow, pulse)
}

fn selection(bare: &Bare, ask: &Ask, boundary: &Boundary, common: Vec<ObjectId>) -> Result<Selection, Error> {
    let mut wants = ask.wants.clone();
    // The walk stops at commits without parents in the client: what is behind those that get theirs is wanted by name.
    let history = bare.history();
    for id in &boundary.unshallow {
        wants.extend(history.commit(id)?.iter().flat_map(|commit| commit.parents.iter().copied()));
    }
    let shallow = ask.shallow.iter().chain(&boundary.shallow).copied().collect();
    Ok(Selection { wants, haves: common, shallow, filter: ask.filter, tags: ask.tags })
}

/// Finding out what both have.
struct Talk<'a> {
    bare: &'a Bare,
    ask: &'a Ask,
    pulse: Pulse<'a>,
    common: Vec<ObjectId>,
    /// Whether every wanted commit has a common one in its past, as of so many common ones.
    enough: (bool, usize),
    wanted: Vec<ObjectId>,
}

impl<'a> Talk<'a> {
    fn new(bare: &'a Bare, ask: &'a Ask, pulse: Pulse<'a>) -> Result<Self, Error> {
        let wanted = commits(bare, ask.wants.iter().copied())?;
        Ok(Talk { bare, ask, pulse, common: Vec::new(), enough: (false, 0), wanted })
    }

    fn enough(&mut self) -> Result<bool, Error> {
        if !self.enough.0 && self.enough.1 != self.common.len() {
            let goals: HashSet<ObjectId> =
                commits(self.bare, self.common.iter().copied())?.into_iter().collect();
            let enough = self.bare.history().all_reach(&self.wanted, &goals, self.pulse)?;
            self.enough = (enough, self.common.len());
        }
        Ok(self.enough.0)
    }

    /// Version 2: answers whether a pack follows.
    fn two(&mut self, head: &mut Vec<u8>) -> Result<bool, Error> {
        for step in &self.ask.steps {
            if let Step::Have(id) = step
                && self.bare.objects().has(id)
            {
                self.common.push(*id);
            }
        }
        if self.ask.done || self.ask.steps.is_empty() {
            return Ok(true);
        }
        // Writing into memory cannot fail, here and below.
        let _ = pkt::line(head, "acknowledgments\n");
        if self.common.is_empty() {
            let _ = pkt::line(head, "NAK\n");
        }
        for id in &self.common {
            let _ = pkt::line(head, format!("ACK {id}\n"));
        }
        let ready = self.enough()?;
        if ready {
            let _ = pkt::line(head, "ready\n");
            let _ = section(head);
        } else {
            head.extend_from_slice(FLUSH);
        }
        Ok(ready)
    }

    /// Version 0 without a connection that lasts: every request repeats what was common before.
    fn zero(&mut self, head: &mut Vec<u8>) -> Result<bool, Error> {
        let acks = self.ask.acks;
        let (mut new, mut other, mut ready, mut last) = (false, false, false, None);
        for step in &self.ask.steps {
            match step {
                Step::Have(id) if self.bare.objects().has(id) => {
                    self.common.push(*id);
                    (new, last) = (true, Some(*id));
                    let _ = match acks {
                        Acks::Detailed => pkt::line(head, format!("ACK {id} common\n")),
                        Acks::All => pkt::line(head, format!("ACK {id} continue\n")),
                        Acks::One if self.common.len() == 1 => pkt::line(head, format!("ACK {id}\n")),
                        Acks::One => Ok(()),
                    };
                }
                Step::Have(id) => {
                    other = true;
                    if acks != Acks::One && self.enough()? {
                        ready |= acks == Acks::Detailed;
                        let word = if acks == Acks::Detailed { "ready" } else { "continue" };
                        let _ = pkt::line(head, format!("ACK {id} {word}\n"));
                    }
                }
                Step::Flush => {
                    if let (Acks::Detailed, true, false, Some(last)) = (acks, new, other, last)
                        && self.enough()?
                    {
                        ready = true;
                        let _ = pkt::line(head, format!("ACK {last} ready\n"));
                    }
                    if self.common.is_empty() || acks != Acks::One {
                        let _ = pkt::line(head, "NAK\n");
                    }
                    if let (true, true, Some(last)) = (self.ask.no_done, ready, last) {
                        let _ = pkt::line(head, format!("ACK {last}\n"));
                        return Ok(true);
                    }
                    return Ok(false);
                }
                Step::Done => {
                    let _ = match (last, acks) {
                        (Some(last), Acks::Detailed | Acks::All) => pkt::line(head, format!("ACK {last}\n")),
                        (Some(_), Acks::One) => Ok(()),
                        (None, _) => pkt::line(head, "NAK\n"),
                    };
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
