//! Documents as trees of nodes that know their places.
//!
//! The tree is built from parser events without recursion. Aliases share nodes; every node knows how deep and how
//! heavy it is when written out, and the builder refuses what is too deep or too heavy, so everything that walks a
//! tree may recurse and copy without counting.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use galley_problem::{Kind as ProblemKind, Problem};
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

use crate::number::float_g;
use crate::resolve::{self, Scalar};

/// Deepest nesting, counted through aliases.
const MAX_DEPTH: usize = 256;
/// Heaviest document, counted through aliases: one per node and per sixteen bytes of text.
const MAX_WEIGHT: usize = 8_000_000;
/// Largest text read.
const MAX_BYTES: usize = 64 << 20;

/// A line and a column, from 1.
pub(crate) type At = (usize, usize);

/// One value of a document.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) at: At,
    /// The bytes of the value in the text (without tag and anchor).
    pub(crate) range: Range<usize>,
    depth: usize,
    weight: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind {
    Scalar { text: String, style: ScalarStyle, scalar: Scalar },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Rc<str>,
    pub(crate) key_at: At,
    pub(crate) value: Rc<Node>,
    /// The value is an alias, or came from a merged mapping.
    pub(crate) shared: bool,
}

/// A document: its root and which bytes and line of the text it takes.
pub(crate) struct Tree {
    pub(crate) root: Rc<Node>,
    pub(crate) bytes: Range<usize>,
    pub(crate) first_line: usize,
}

impl Kind {
    fn len(&self) -> usize {
        match self {
            Kind::Scalar { .. } => 1,
            Kind::Sequence(items) => items.len(),
            Kind::Mapping(entries) => entries.len(),
        }
    }
}

impl Node {
    /// What an empty text holds.
    pub(crate) fn null() -> Node {
        let kind = Kind::Scalar { text: String::new(), style: ScalarStyle::Plain, scalar: Scalar::Null };
        Node { kind, at: (1, 1), range: 0..0, depth: 1, weight: 1 }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar { scalar: Scalar::Null, .. })
    }

    /// The child that one token of a JSON pointer names, with the place of its key.
    pub(crate) fn child(&self, token: &str) -> Option<(&Rc<Node>, At, bool)> {
        match &self.kind {
            Kind::Mapping(entries) => entries
                .iter()
                .find(|entry| &*entry.name == token)
                .map(|entry| (&entry.value, entry.key_at, entry.shared)),
            Kind::Sequence(items) => {
                items.get(token.parse::<usize>().ok()?).map(|item| (item, item.at, false))
            }
            Kind::Scalar { .. } => None,
        }
    }
}

/// The trees of all documents, or of the first one only.
pub(crate) fn load(file: &str, text: &str, first_only: bool) -> Result<Vec<Tree>, Problem> {
    load_with(file, text, first_only, Reading::default())
}

/// How a text is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// The last of several equal keys counts.
    pub(crate) lenient: bool,
    /// `yes`, `no`, `on` and `off` are text, as in YAML 1.2.
    pub(crate) words: bool,
}

/// As [`load`], read in some way.
pub(crate) fn load_with(
    file: &str,
    text: &str,
    first_only: bool,
    reading: Reading,
) -> Result<Vec<Tree>, Problem> {
    if text.len() > MAX_BYTES {
        return Err(too_large(file, 1, 1, "The file is larger than 64 MiB."));
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.simple_key_max_lookahead = 64 * 1024;
    options.block_scalar_eof_without_line_feed = true;
    options.bom_inside_document_as_content = true;
    let mut builder = Builder {
        file,
        text,
        trees: Vec::new(),
        stack: Vec::new(),
        anchors: HashMap::new(),
        start: 0,
        lines: (0, 1),
        root: None,
        weight: 0,
        reading,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) =
            event.map_err(|error| {
                let mark = error.marker();
                Problem::new("G0301", ProblemKind::Invalid, sentence("This is not valid YAML", &error.info()))
                    .at(file, mark.line(), mark.col() + 1)
            })?;
        builder.event(event, &span)?;
        if first_only && !builder.trees.is_empty() {
            break;
        }
    }
    Ok(builder.trees)
}

/// A collection that is still open.
struct Open {
    at: At,
    begin: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Rc<Node>>),
    Mapping { entries: Vec<Entry>, names: HashSet<Rc<str>>, key: Option<Key>, merges: Vec<(At, Rc<Node>)> },
}

enum Key {
    /// The name, its place and the byte after it.
    Name(Rc<str>, At, usize),
    /// A name that was there before, in a lenient reading.
    Again(Rc<str>, At),
    Merge,
}

struct Builder<'a> {
    file: &'a str,
    text: &'a str,
    trees: Vec<Tree>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    /// Where the current document's text begins.
    start: usize,
    /// A byte and the line it is on; moves on with the documents.
    lines: (usize, usize),
    root: Option<Rc<Node>>,
    /// Entries and items held so far, over all documents; merging copies them.
    weight: usize,
    reading: Reading,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let at = (span.start.line(), span.start.col() + 1);
        let begin = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(begin);
        match event {
            Event::DocumentStart(explicit, _) => {
                if explicit {
                    self.finish_text(begin);
                    self.start = after_marker(self.text, begin);
                }
                self.anchors.clear();
                self.root = None;
            }
            Event::DocumentEnd => self.finish_document(begin, end),
            Event::StreamEnd => self.finish_text(self.text.len()),
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = self.scalar(&text, style, tag.as_deref(), at)?;
                let weight = 1 + text.len() / 16;
                let kind = Kind::Scalar { text: text.into_owned(), style, scalar };
                let (at, begin, end) = self.scalar_place(&kind, at, begin, end);
                let node = Rc::new(Node { kind, at, range: begin..end, depth: 1, weight });
                self.anchor(anchor, &node);
                self.place(node, false)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.stack.push(Open { at, begin, anchor, content: Content::Sequence(Vec::new()) });
            }
            Event::MappingStart(_, anchor, _) => {
                let content = Content::Mapping {
                    entries: Vec::new(),
                    names: HashSet::new(),
                    key: None,
                    merges: Vec::new(),
                };
                self.stack.push(Open { at, begin, anchor, content });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(end)?,
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    self.invalid(at, "An alias refers to a value that contains it.".to_owned())
                })?;
                self.place(node, true)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn invalid(&self, at: At, what: String) -> Problem {
        Problem::new("G0301", ProblemKind::Invalid, what).at(self.file, at.0, at.1)
    }

    fn anchor(&mut self, id: usize, node: &Rc<Node>) {
        if id > 0 {
            self.anchors.insert(id, Rc::clone(node));
        }
    }

    /// Decides what a scalar means, with its tag.
    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: At) -> Result<Scalar, Problem> {
        let plain = style == ScalarStyle::Plain;
        let Some(tag) = tag.filter(|tag| tag.handle() == "tag:yaml.org,2002:") else {
            let resolved = if plain && tag.is_none() { resolve::resolve(text) } else { Scalar::Text };
            let is_word = || !matches!(text.to_ascii_lowercase().as_str(), "true" | "false");
            return Ok(match resolved {
                Scalar::Bool(_) if self.reading.words && is_word() => Scalar::Text,
                resolved => resolved,
            });
        };
        let resolved = resolve::resolve(text);
        let fits = match (tag.suffix(), resolved) {
            ("str", _) => Some(Scalar::Text),
            ("float", Scalar::Int(value)) => Some(Scalar::Float(value as f64)),
            ("null", found @ Scalar::Null)
            | ("bool", found @ Scalar::Bool(_))
            | ("int", found @ (Scalar::Int(_) | Scalar::Uint(_)))
            | ("float", found @ Scalar::Float(_)) => Some(found),
            ("timestamp", Scalar::Text) => Some(Scalar::Text),
            ("null" | "bool" | "int" | "float" | "timestamp" | "binary" | "merge", _) => None,
            // A tag that nobody knows changes nothing but that the value is text.
            _ => Some(Scalar::Text),
        };
        fits.ok_or_else(|| self.invalid(at, format!("`{text}` cannot be read as `!!{}`.", tag.suffix())))
    }

    /// Where a scalar stands: the parser places nothing at the token after it, and blocks after their header.
    fn scalar_place(&self, kind: &Kind, at: At, begin: usize, end: usize) -> (At, usize, usize) {
        let Kind::Scalar { style, .. } = kind else { return (at, begin, end) };
        match style {
            ScalarStyle::Plain if begin == end => match self.stack.last().map(|open| &open.content) {
                Some(Content::Mapping { key: Some(Key::Name(_, key_at, key_end)), .. }) => {
                    let after = self.text[*key_end..].find(':').map_or(begin, |colon| key_end + colon + 1);
                    (*key_at, after, after)
                }
                _ => (at, begin, end),
            },
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let before = self.text[..begin].trim_end();
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                let line = &before[line_start..];
                let header = &line[..line.find(" #").unwrap_or(line.len())];
                match header.rfind(['|', '>']) {
                    Some(found) => {
                        let line_number = at.0.saturating_sub(newlines(&self.text[line_start..begin]));
                        ((line_number, header[..found].chars().count() + 1), line_start + found, end)
                    }
                    None => (at, begin, end),
                }
            }
            _ => (at, begin, end),
        }
    }

    /// Puts a finished node where it belongs: a key, a value, an item or the root.
    fn place(&mut self, node: Rc<Node>, shared: bool) -> Result<(), Problem> {
        let (file, at, lenient) = (self.file, node.at, self.reading.lenient);
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, names, key, merges } => match key.take() {
                None => *key = Some(key_of(file, &node, names, lenient)?),
                Some(Key::Again(name, key_at)) => {
                    if let Some(old) = entries.iter_mut().find(|entry| entry.name == name) {
                        *old = Entry { name, key_at, value: node, shared };
                    }
                }
                Some(Key::Name(name, key_at, _)) => entries.push(Entry { name, key_at, value: node, shared }),
                Some(Key::Merge) => merges.push((at, node)),
            },
        }
        Ok(())
    }

    /// Closes the innermost collection and places it.
    fn close(&mut self, end: usize) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let kind = match open.content {
            Content::Sequence(items) => Kind::Sequence(items),
            Content::Mapping { mut entries, mut names, merges, .. } => {
                for (at, node) in merges {
                    merge(self.file, at, &node, &mut entries, &mut names)?;
                }
                Kind::Mapping(entries)
            }
        };
        let (depth, weight) = measure(&kind);
        self.weight += kind.len();
        if depth > MAX_DEPTH || weight.max(self.weight) > MAX_WEIGHT || self.stack.len() > MAX_DEPTH {
            return Err(too_large(
                self.file,
                open.at.0,
                open.at.1,
                "The document is nested too deeply, or grows too large when its aliases are written out.",
            ));
        }
        let node = Rc::new(Node { kind, at: open.at, range: open.begin..end.max(open.begin), depth, weight });
        self.anchor(open.anchor, &node);
        self.place(node, false)
    }

    fn finish_document(&mut self, begin: usize, end: usize) {
        let Some(root) = self.root.take() else { return };
        self.finish_text(begin);
        let (counted, line) = self.lines;
        self.lines = (self.start, line + newlines(&self.text[counted..self.start]));
        let first_line = self.lines.1;
        self.trees.push(Tree { root, bytes: self.start..self.text.len(), first_line });
        let explicit = self.text.get(begin..end).is_some_and(|marker| marker == "...");
        if explicit {
            self.finish_text(begin);
            self.start = line_after(self.text, end);
        }
    }

    /// The text of the last document ends here at the latest.
    fn finish_text(&mut self, end: usize) {
        if let Some(last) = self.trees.last_mut()
            && last.bytes.start == self.start
            && last.bytes.end == self.text.len()
        {
            last.bytes.end = end.max(last.bytes.start);
        }
    }
}

/// Depth and weight of a new collection over its children.
fn measure(kind: &Kind) -> (usize, usize) {
    let add = |(depth, weight): (usize, usize), node: &Rc<Node>| {
        (depth.max(node.depth + 1), weight.saturating_add(node.weight))
    };
    match kind {
        Kind::Scalar { .. } => (1, 1),
        Kind::Sequence(items) => items.iter().fold((1, 1), add),
        Kind::Mapping(entries) => entries.iter().map(|entry| &entry.value).fold((1, 1 + entries.len()), add),
    }
}

/// Turns a node in key position into a name, which must be new in its mapping.
fn key_of(file: &str, node: &Node, names: &mut HashSet<Rc<str>>, lenient: bool) -> Result<Key, Problem> {
    let at = node.at;
    let Kind::Scalar { text, style, scalar } = &node.kind else {
        return Err(Problem::new(
            "G0301",
            ProblemKind::Invalid,
            "A key must be a single word or text, not a list or a mapping.",
        )
        .at(file, at.0, at.1)
        .try_this("Put text with braces, such as a template, in quotes."));
    };
    if text == "<<" && *style == ScalarStyle::Plain {
        return Ok(Key::Merge);
    }
    let name: Rc<str> = match scalar {
        Scalar::Text => Rc::from(text.as_str()),
        Scalar::Bool(value) => Rc::from(value.to_string()),
        Scalar::Int(value) => Rc::from(value.to_string()),
        Scalar::Uint(value) => Rc::from(value.to_string()),
        Scalar::Float(value) => Rc::from(float_g(*value)),
        Scalar::Null => {
            return Err(Problem::new("G0301", ProblemKind::Invalid, "A key is missing.").at(file, at.0, at.1));
        }
    };
    if !names.insert(Rc::clone(&name)) {
        if lenient {
            return Ok(Key::Again(name, at));
        }
        return Err(Problem::new("G0302", ProblemKind::Invalid, format!("The key `{name}` is there twice."))
            .at(file, at.0, at.1)
            .try_this("Keep one of the two."));
    }
    Ok(Key::Name(name, at, node.range.end))
}

/// Adds the entries of a merged mapping (`<<`) that are not there already.
fn merge(
    file: &str,
    at: At,
    node: &Rc<Node>,
    entries: &mut Vec<Entry>,
    names: &mut HashSet<Rc<str>>,
) -> Result<(), Problem> {
    match &node.kind {
        Kind::Mapping(merged) => {
            for entry in merged {
                if names.insert(Rc::clone(&entry.name)) {
                    entries.push(Entry { shared: true, ..entry.clone() });
                }
            }
            Ok(())
        }
        Kind::Sequence(items) if items.iter().all(|item| matches!(item.kind, Kind::Mapping(_))) => {
            items.iter().try_for_each(|item| merge(file, at, item, entries, names))
        }
        _ => Err(Problem::new(
            "G0301",
            ProblemKind::Invalid,
            "Only a mapping, or a list of mappings, can be merged with `<<`.",
        )
        .at(file, at.0, at.1)),
    }
}

fn too_large(file: &str, line: usize, column: usize, what: &str) -> Problem {
    Problem::new("G0305", ProblemKind::Invalid, what).at(file, line, column)
}

/// A sentence from a lead and a parser's message.
fn sentence(lead: &str, message: &str) -> String {
    format!("{lead}: {}.", message.trim_end_matches('.'))
}

/// Where the text of a document begins whose `---` is at `marker`: on the next line if nothing else is on this one.
fn after_marker(text: &str, marker: usize) -> usize {
    let rest = text.get(marker + 3..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default().trim();
    if line.is_empty() || line.starts_with('#') { line_after(text, marker) } else { marker }
}

/// The start of the line after the one that holds byte `at`.
fn line_after(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}
