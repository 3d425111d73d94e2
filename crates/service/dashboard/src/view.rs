//! From objects to what a page shows. Everything here is a pure function of objects and the time.

mod applications;
mod environments;
mod home;
mod releases;
mod tree;
mod workflows;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use applications::{ApplicationPage, application};
pub(crate) use environments::Environment;
pub(crate) use home::{Home, home};
pub(crate) use releases::{ReleaseCard, ReleasePage, ReleaseRow, release};
pub(crate) use tree::TreeNode;
pub(crate) use workflows::{WorkflowCard, WorkflowPage, phase as phase_badge, workflow};

/// How something is doing, and so how it is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Well, done.
    Good,
    /// Broken, failed.
    Bad,
    /// At work.
    Busy,
    /// Wants attention.
    Warn,
    /// Nothing to say.
    #[default]
    Idle,
}

impl Tone {
    /// The class in the style sheet.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Bad => "bad",
            Tone::Busy => "busy",
            Tone::Warn => "warn",
            Tone::Idle => "idle",
        }
    }

    /// A sign that can be told apart without colours.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Tone::Good => "✓",
            Tone::Bad => "✕",
            Tone::Busy => "◐",
            Tone::Warn => "!",
            Tone::Idle => "–",
        }
    }
}

/// A word with a colour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Badge {
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

impl Badge {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Badge { tone, text: text.into() }
    }
}

/// A moment, for people and for machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// RFC 3339, empty if unknown.
    pub(crate) iso: String,
    /// `3 min ago`.
    pub(crate) ago: String,
}

impl Moment {
    /// The moment that a text names, seen from `now`.
    pub(crate) fn of(text: &str, now: Timestamp) -> Self {
        match text.parse::<Timestamp>() {
            Ok(moment) => {
                Moment { iso: text.to_owned(), ago: ago(now.duration_since(moment).unsigned_abs()) }
            }
            Err(_) => Moment::default(),
        }
    }
}

fn ago(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0 => "just now".into(),
        1..=59 => format!("{minutes} min ago"),
        60..=2879 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

/// Time between two moments; until now if the second is not known yet. Empty if the first is unknown.
pub(crate) fn elapsed(from: &str, to: &str, now: Timestamp) -> String {
    let Ok(from) = from.parse::<Timestamp>() else { return String::new() };
    let to = to.parse::<Timestamp>().unwrap_or(now);
    let seconds = to.duration_since(from).as_secs().max(0).unsigned_abs();
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The text at a JSON pointer, empty if there is none.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The number at a JSON pointer, 0 if there is none.
pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The list at a JSON pointer, empty if there is none.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Name of an object.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Namespace of an object.
pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// A commit or digest, short.
pub(crate) fn short(id: &str) -> String {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    if id.len() > 12 && id.chars().all(|c| c.is_ascii_hexdigit()) {
        id[..8].to_owned()
    } else {
        id.to_owned()
    }
}

/// An image reference with its digest shortened.
pub(crate) fn short_image(image: &str) -> String {
    match image.split_once("@sha256:") {
        Some((repository, digest)) => format!("{repository}@{}", short(digest)),
        None => image.to_owned(),
    }
}

/// A JSON value as a person reads it.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".into(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => trimmed(float),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Four significant digits are enough for a page.
fn trimmed(float: f64) -> String {
    let digits = if float == 0.0 { 0 } else { (3 - float.abs().log10().floor() as i32).clamp(0, 9) };
    let text = format!("{float:.*}", usize::try_from(digits).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_and_figures_are_short() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a moment");
        assert_eq!(Moment::of("2026-11-23T11:57:00Z", now).ago, "3 min ago");
        assert_eq!(Moment::of("2026-11-20T11:57:00Z", now).ago, "3 days ago");
        assert_eq!(Moment::of("soon", now), Moment::default());
        assert_eq!(elapsed("2026-11-23T11:58:55Z", "", now), "1 min 05 s");
        assert_eq!(elapsed("2026-11-23T11:58:55Z", "2026-11-23T11:58:59Z", now), "4 s");
        assert_eq!(plain(&json!(0.873_219_4)), "0.8732");
        assert_eq!(plain(&json!(1234.5678)), "1235");
        assert_eq!(plain(&json!(0.0)), "0");
        assert_eq!(plain(&json!(12)), "12");
        assert_eq!(short(&"a1b2c3d4e5f6".repeat(4)), "a1b2c3d4");
        assert_eq!(short_image("registry/food@sha256:0123456789abcdef"), "registry/food@01234567");
    }
}
