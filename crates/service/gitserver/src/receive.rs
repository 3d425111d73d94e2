//! A push: the commands, the pack, and the report.
//!
//! The pack is taken into quarantine without the repository's lock, so that a slow client keeps nobody waiting; checking
//! the tips against the references, keeping the objects and changing the references happens under it.

use std::{
    collections::HashSet,
    io::{Read, Write as _},
};

use galley_git::{
    Error,
    bare::{Bare, Kind, ObjectId, PackLimits, Pulse, Quarantine, RefChange, Target, acceptable_name},
};

use crate::pkt::{self, Bands, FLUSH, Odd, Packet, odd};

/// References changed by one push.
const COMMANDS: usize = 20_000;
/// Bytes read on after a refusal, so that the client is listening when it is told.
const DRAINED: u64 = 1 << 30;

/// What a client sends before the pack.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    changes: Vec<RefChange>,
    report: bool,
    bands: bool,
    atomic: bool,
}

/// Runs work while nobody else changes the repository's references.
pub(crate) type Locked<'a> = &'a dyn Fn(&mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error>;

/// A reference that a push has changed: its name, where it was, and where it is.
pub(crate) type Changed = (String, Option<ObjectId>, Option<ObjectId>);

/// Why a push came to nothing, other than by the client's reading of the report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    #[error(transparent)]
    Odd(#[from] Odd),
    #[error(transparent)]
    Repository(#[from] Error),
}

impl Commands {
    fn read(input: &mut dyn Read) -> Result<Self, Odd> {
        let mut commands = Commands::default();
        while let Some(packet) = pkt::read(input)? {
            let Packet::Line(line) = packet else { return Ok(commands) };
            let line = String::from_utf8(line).map_err(|_| odd("a reference's name is no UTF-8"))?;
            if line.starts_with("shallow ") {
                // That the history is whole here is checked anyway.
                continue;
            }
            let (order, able) = line.split_once('\0').unwrap_or((&line, ""));
            if commands.changes.is_empty() {
                able.split_whitespace().try_for_each(|word| commands.able(word))?;
            }
            commands.changes.push(change(order)?);
            if commands.changes.len() > COMMANDS {
                return Err(odd("too many references"));
            }
        }
        Err(odd("the commands end early"))
    }

    fn able(&mut self, word: &str) -> Result<(), Odd> {
        match word {
            "report-status" => self.report = true,
            "side-band-64k" => self.bands = true,
            "atomic" => self.atomic = true,
            other if other.strip_prefix("object-format=").is_some_and(|format| format != "sha1") => {
                return Err(odd("only sha1 objects are here"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn change(order: &str) -> Result<RefChange, Odd> {
    let mut parts = order.splitn(3, ' ');
    let mut id = || {
        let id = parts.next().and_then(|hex| ObjectId::from_hex(hex.as_bytes()).ok());
        id.map(|id| (!id.is_null()).then_some(id)).ok_or_else(|| odd("a command has no object id"))
    };
    let (old, new) = (id()?, id()?);
    let name = parts.next().ok_or_else(|| odd("a command has no reference"))?.to_owned();
    Ok(RefChange { name, old, new })
}

/// Takes a push to its end. `locked` runs what it is given while nobody else changes the repository's references; `told`
/// hears of each change after it has happened. Answers the report.
pub(crate) fn receive(
    bare: &Bare,
    input: &mut dyn Read,
    limits: &PackLimits,
    pulse: Pulse<'_>,
    locked: Locked<'_>,
    told: &mut dyn FnMut(Changed),
) -> Result<Vec<u8>, PushError> {
    let commands = Commands::read(input)?;
    if commands.changes.is_empty() {
        return Ok(Vec::new());
    }
    let pack = commands.changes.iter().any(|change| change.new.is_some());
    let quarantine = match pack {
        true => match Quarantine::receive(bare, input, limits, pulse) {
            Ok(quarantine) => Some(quarantine),
            Err(error @ (Error::Pack(_) | Error::TooLarge { .. })) => {
                let _ = std::io::copy(&mut input.take(DRAINED), &mut std::io::sink());
                return Ok(report(&commands, &error.to_string(), &[]));
            }
            Err(error) => return Err(error.into()),
        },
        false => None,
    };
    let mut work = Work { bare, commands: &commands, pulse, verdicts: Vec::new() };
    let mut quarantine = quarantine;
    locked(&mut || work.apply(quarantine.take(), told))?;
    Ok(report(&commands, "ok", &work.verdicts))
}

struct Work<'a> {
    bare: &'a Bare,
    commands: &'a Commands,
    pulse: Pulse<'a>,
    /// By command: why it was refused.
    verdicts: Vec<Option<String>>,
}

impl Work<'_> {
    fn apply(&mut self, quarantine: Option<Quarantine>, told: &mut dyn FnMut(Changed)) -> Result<(), Error> {
        let changes = &self.commands.changes;
        self.verdicts = changes
            .iter()
            .map(|change| self.refusal(change, quarantine.as_ref()))
            .collect::<Result<_, _>>()?;
        self.check_connected(quarantine.as_ref())?;
        let refused = self.verdicts.iter().filter(|verdict| verdict.is_some()).count();
        if self.commands.atomic && refused > 0 {
            self.refuse_rest("atomic push failure");
            return Ok(());
        }
        if refused == changes.len() {
            return Ok(());
        }
        if let Some(quarantine) = quarantine {
            quarantine.keep(self.bare)?;
        }
        // What is gone already needs no change.
        let mut wanted = Vec::new();
        for (at, change) in changes.iter().enumerate() {
            let there = self.bare.reference(&change.name)?.is_some();
            if self.verdicts[at].is_none() && (change.new.is_some() || there) {
                wanted.push((at, change.clone()));
            }
        }
        let mut done = if self.commands.atomic { self.together(wanted)? } else { self.one_by_one(wanted)? };
        done.sort_by(|a, b| a.name.cmp(&b.name));
        done.into_iter().filter(|c| c.old != c.new).for_each(|c| told((c.name, c.old, c.new)));
        Ok(())
    }

    fn together(&mut self, wanted: Vec<(usize, RefChange)>) -> Result<Vec<RefChange>, Error> {
        let (places, changes): (Vec<usize>, Vec<RefChange>) = wanted.into_iter().unzip();
        match self.bare.change_refs(&changes)? {
            Ok(()) => Ok(changes),
            Err((at, why)) => {
                self.verdicts[places[at]] = Some(why);
                self.refuse_rest("atomic push failure");
                Ok(Vec::new())
            }
        }
    }

    fn one_by_one(&mut self, wanted: Vec<(usize, RefChange)>) -> Result<Vec<RefChange>, Error> {
        let mut done = Vec::new();
        for (at, change) in wanted {
            // One that fails must not hide that others have happened.
            match self.bare.change_refs(std::slice::from_ref(&change)) {
                Ok(Ok(())) => done.push(change),
                Ok(Err((_, why))) => self.verdicts[at] = Some(why),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a reference could not be changed"
                    );
                    self.verdicts[at] = Some("failed to update ref".into());
                }
            }
        }
        Ok(done)
    }

    fn refuse_rest(&mut self, why: &str) {
        for verdict in &mut self.verdicts {
            verdict.get_or_insert_with(|| why.to_owned());
        }
    }

    /// Why a command cannot be, whatever the objects.
    fn refusal(&self, change: &RefChange, quarantine: Option<&Quarantine>) -> Result<Option<String>, Error> {
        if !acceptable_name(&change.name) {
            return Ok(Some("funny refname".into()));
        }
        if self.commands.changes.iter().filter(|other| other.name == change.name).count() > 1 {
            return Ok(Some("multiple updates for ref not allowed".into()));
        }
        let Some(new) = change.new else {
            let current = self.bare.head()? == Some(Target::Symbolic(change.name.clone()));
            return Ok(current.then(|| "deletion of the current branch prohibited".into()));
        };
        let objects = quarantine.map_or(self.bare.objects(), Quarantine::objects);
        Ok(match objects.header(&new)? {
            None => Some("missing necessary objects".into()),
            Some((kind, _)) if change.name.starts_with("refs/heads/") && kind != Kind::Commit => {
                Some("cannot update a branch to something that is no commit".into())
            }
            Some(_) => None,
        })
    }

    /// Sees that all is there that the new tips name: at once, and one by one if something is not.
    fn check_connected(&mut self, quarantine: Option<&Quarantine>) -> Result<(), Error> {
        let open = |verdicts: &[Option<String>], at: usize| verdicts[at].is_none();
        let tips: Vec<(usize, ObjectId)> = self
            .commands
            .changes
            .iter()
            .enumerate()
            .filter_map(|(at, change)| Some((at, change.new?)).filter(|_| open(&self.verdicts, at)))
            .collect();
        let all: Vec<ObjectId> = tips.iter().map(|(_, id)| *id).collect::<HashSet<_>>().into_iter().collect();
        if self.bare.check_connected(quarantine, &all, self.pulse).is_ok() {
            return Ok(());
        }
        for (at, id) in tips {
            match self.bare.check_connected(quarantine, &[id], self.pulse) {
                Ok(()) => {}
                Err(Error::Absent { .. } | Error::Damaged { .. }) => {
                    self.verdicts[at] = Some("missing necessary objects".into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What the client is told, as it wants to be told.
fn report(commands: &Commands, unpacked: &str, verdicts: &[Option<String>]) -> Vec<u8> {
    let mut report = Vec::new();
    // Writing into memory cannot fail, here and below.
    let _ = pkt::line(&mut report, format!("unpack {unpacked}\n"));
    for (at, change) in commands.changes.iter().enumerate() {
        let verdict = if unpacked == "ok" {
            verdicts.get(at).cloned().flatten()
        } else {
            Some("unpacker error".into())
        };
        let line = match verdict {
            None => format!("ok {}\n", change.name),
            Some(why) => format!("ng {} {why}\n", change.name),
        };
        let _ = pkt::line(&mut report, line);
    }
    report.extend_from_slice(FLUSH);
    if !commands.report {
        return Vec::new();
    }
    if !commands.bands {
        return report;
    }
    let mut answer = Vec::new();
    let mut bands = Bands::new(&mut answer, Some(pkt::LONGEST));
    let _ = bands.write_all(&report);
    let _ = bands.end();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_what_the_client_can() {
        let (a, b, zero) = ("1".repeat(40), "2".repeat(40), "0".repeat(40));
        let mut body = Vec::new();
        let first = format!("{a} {b} refs/heads/main\0 report-status atomic side-band-64k agent=x");
        for line in [format!("shallow {a}"), first, format!("{b} {zero} refs/heads/old name")] {
            pkt::line(&mut body, line).expect("writes");
        }
        body.extend_from_slice(FLUSH);
        let commands = Commands::read(&mut body.as_slice()).expect("reads");
        assert!(commands.report && commands.atomic && commands.bands);
        assert_eq!(commands.changes.len(), 2);
        assert_eq!(commands.changes[1].name, "refs/heads/old name");
        assert!(commands.changes[1].new.is_none());
        assert!(Commands::read(&mut &body[..body.len() - 4]).is_err());
        assert!(Commands::read(&mut &b"0009junk\n0000"[..]).is_err());
        assert!(Commands::read(&mut &b"0000"[..]).expect("a probe").changes.is_empty());
    }
}
