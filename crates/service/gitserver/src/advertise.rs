//! What the server has and can: the answer to `GET info/refs`, and to `ls-refs`.

use std::io::Write;

use galley_git::{
    Error,
    bare::{Bare, Kind, ObjectId, Target},
};

use crate::pkt::{self, DELIMITER, FLUSH, Odd, Packet};

const AGENT: &str = concat!("agent=git/galley-", env!("CARGO_PKG_VERSION"));
/// What can be asked of version 0 of upload-pack.
const FETCH: &str = "multi_ack thin-pack side-band side-band-64k ofs-delta shallow deepen-since deepen-not \
                     deepen-relative no-progress include-tag multi_ack_detailed allow-tip-sha1-in-want \
                     allow-reachable-sha1-in-want no-done filter";
const PUSH: &str = "report-status delete-refs side-band-64k quiet atomic ofs-delta";
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// Which of git's two services is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    UploadPack,
    ReceivePack,
}

impl Program {
    pub(crate) fn parse(service: &str) -> Option<Self> {
        match service {
            "git-upload-pack" => Some(Program::UploadPack),
            "git-receive-pack" => Some(Program::ReceivePack),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::UploadPack => "upload-pack",
            Program::ReceivePack => "receive-pack",
        }
    }
}

/// The protocol's version that a client asks for in `Git-Protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    #[default]
    Zero,
    One,
    Two,
}

impl Version {
    pub(crate) fn of(headers: &http::HeaderMap) -> Self {
        let text = headers.get("git-protocol").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let versions = text.split(':').filter_map(|part| match part.trim() {
            "version=2" => Some(Version::Two),
            "version=1" => Some(Version::One),
            _ => None,
        });
        versions.max().unwrap_or_default()
    }
}

/// One reference as it is told.
struct Shown {
    name: String,
    id: ObjectId,
    peeled: Option<ObjectId>,
    symbolic: Option<String>,
}

/// `HEAD` and all references whose objects are there, in order.
fn shown(bare: &Bare, head: bool) -> Result<Vec<Shown>, Error> {
    let mut names: Vec<(String, ObjectId)> = Vec::new();
    if let (true, Some(id)) = (head, bare.follow("HEAD")?) {
        names.push(("HEAD".into(), id));
    }
    names.extend(bare.refs()?);
    let mut shown = Vec::new();
    for (name, id) in names {
        let Some((kind, _)) = bare.objects().header(&id)? else { continue };
        let peeled = match kind {
            Kind::Tag => bare.objects().peel(&id)?.map(|(_, id)| id),
            _ => None,
        };
        let symbolic = match name.as_str() {
            "HEAD" => bare.head()?.and_then(|target| match target {
                Target::Symbolic(name) => Some(name),
                Target::Id(_) => None,
            }),
            _ => None,
        };
        shown.push(Shown { name, id, peeled, symbolic });
    }
    Ok(shown)
}

/// Writing into memory cannot fail.
fn put(to: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    let _ = pkt::line(to, text);
}

/// The answer to `GET info/refs`.
pub(crate) fn advertise(program: Program, bare: &Bare, version: Version) -> Result<Vec<u8>, Error> {
    let mut answer = Vec::new();
    if (program, version) == (Program::UploadPack, Version::Two) {
        for line in ["version 2", AGENT, "ls-refs=unborn", "fetch=shallow filter", "object-format=sha1"] {
            put(&mut answer, format!("{line}\n"));
        }
        answer.extend_from_slice(FLUSH);
        return Ok(answer);
    }
    put(&mut answer, format!("# service=git-{}\n", program.name()));
    answer.extend_from_slice(FLUSH);
    if version == Version::One {
        put(&mut answer, "version 1\n");
    }
    let fetch = program == Program::UploadPack;
    let refs = shown(bare, fetch)?;
    let symbolic = refs.first().and_then(|first| first.symbolic.as_ref());
    let symbolic = symbolic.map(|target| format!(" symref=HEAD:{target}")).unwrap_or_default();
    let able = format!("{}{symbolic} object-format=sha1 {AGENT}", if fetch { FETCH } else { PUSH });
    if refs.is_empty() {
        put(&mut answer, format!("{NOTHING} capabilities^{{}}\0{able}\n"));
    }
    for (at, shown) in refs.iter().enumerate() {
        let able = if at == 0 { format!("\0{able}") } else { String::new() };
        put(&mut answer, format!("{} {}{able}\n", shown.id, shown.name));
        if let (true, Some(peeled)) = (fetch, shown.peeled) {
            put(&mut answer, format!("{peeled} {}^{{}}\n", shown.name));
        }
    }
    for id in bare.shallow() {
        put(&mut answer, format!("shallow {id}\n"));
    }
    answer.extend_from_slice(FLUSH);
    Ok(answer)
}

/// What `ls-refs` asks for.
#[derive(Debug, Default)]
pub(crate) struct LsRefs {
    peel: bool,
    symrefs: bool,
    unborn: bool,
    prefixes: Vec<String>,
}

impl LsRefs {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Odd> {
        let mut asked = LsRefs::default();
        for argument in arguments {
            match argument.as_str() {
                "peel" => asked.peel = true,
                "symrefs" => asked.symrefs = true,
                "unborn" => asked.unborn = true,
                other => match other.strip_prefix("ref-prefix ") {
                    Some(prefix) => asked.prefixes.push(prefix.to_owned()),
                    None => return Err(pkt::odd(format!("unexpected argument of ls-refs: `{other}`"))),
                },
            }
        }
        Ok(asked)
    }

    pub(crate) fn answer(&self, bare: &Bare) -> Result<Vec<u8>, Error> {
        let wanted = |name: &str| {
            self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
        };
        let mut answer = Vec::new();
        if self.unborn
            && wanted("HEAD")
            && bare.follow("HEAD")?.is_none()
            && let Some(Target::Symbolic(target)) = bare.head()?
        {
            put(&mut answer, format!("unborn HEAD symref-target:{target}\n"));
        }
        for shown in shown(bare, true)?.iter().filter(|shown| wanted(&shown.name)) {
            let mut line = format!("{} {}", shown.id, shown.name);
            if let (true, Some(target)) = (self.symrefs, &shown.symbolic) {
                line.push_str(&format!(" symref-target:{target}"));
            }
            if let (true, Some(peeled)) = (self.peel, shown.peeled) {
                line.push_str(&format!(" peeled:{peeled}"));
            }
            put(&mut answer, line + "\n");
        }
        answer.extend_from_slice(FLUSH);
        Ok(answer)
    }
}

/// A request of version 2: a command and its arguments.
pub(crate) fn command(mut body: &[u8]) -> Result<Option<(String, Vec<String>)>, Odd> {
    let (mut name, mut arguments, mut inside) = (None, Vec::new(), false);
    while let Some(packet) = pkt::read(&mut body)? {
        match &packet {
            Packet::Flush => break,
            Packet::Delimiter => inside = true,
            Packet::Line(_) => {
                let line = packet.text().unwrap_or_default().into_owned();
                if inside {
                    arguments.push(line);
                } else if let Some(command) = line.strip_prefix("command=") {
                    name = Some(command.to_owned());
                } else if line.strip_prefix("object-format=").is_some_and(|format| format != "sha1") {
                    return Err(pkt::odd("only sha1 objects are here"));
                }
            }
        }
    }
    match (name, arguments.is_empty()) {
        (Some(name), _) => Ok(Some((name, arguments))),
        (None, true) => Ok(None),
        (None, false) => Err(pkt::odd("no command")),
    }
}

/// The delimiter between two sections of an answer.
pub(crate) fn section(to: &mut dyn Write) -> std::io::Result<()> {
    to.write_all(DELIMITER)
}
