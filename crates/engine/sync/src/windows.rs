//! Sync windows of projects: when Applications may be synced, by themselves and by hand.

use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

/// What a window is held against.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Name of the Application.
    pub application: String,
    /// Where its objects go.
    pub namespace: String,
    /// The API server.
    pub server: String,
    /// The cluster by its name.
    pub cluster: String,
}

/// A window as it is at one moment.
struct Window {
    denies: bool,
    manual: bool,
    active: bool,
}

/// Whether the windows of a project (`spec.syncWindows`) keep an Application from being synced now. `manual`: somebody
/// asks for it, rather than the policy. Windows that cannot be read are as if they were not there.
pub fn blocked(windows: &[Value], subject: &Subject, manual: bool, now: Timestamp) -> bool {
    let found: Vec<Window> = windows
        .iter()
        .filter(|window| concerns(window, subject))
        .filter_map(|window| read(window, now))
        .collect();
    let denying: Vec<&Window> = found.iter().filter(|window| window.denies && window.active).collect();
    if !denying.is_empty() {
        return !(manual && denying.iter().all(|window| window.manual));
    }
    let mut allowing = found.iter().filter(|window| !window.denies).peekable();
    if allowing.peek().is_none() || found.iter().any(|window| !window.denies && window.active) {
        return false;
    }
    !(manual && allowing.all(|window| window.manual))
}

fn concerns(window: &Value, subject: &Subject) -> bool {
    let any = |field: &str, texts: &[&str]| {
        let patterns = window.get(field).and_then(Value::as_array)?;
        let fits = |pattern: &Value| pattern.as_str().is_some_and(|p| texts.iter().any(|text| glob(p, text)));
        (!patterns.is_empty()).then(|| patterns.iter().any(fits))
    };
    let answers = [
        any("applications", &[&subject.application]),
        any("clusters", &[&subject.server, &subject.cluster]),
        any("namespaces", &[&subject.namespace]),
    ];
    let mut answers = answers.into_iter().flatten().peekable();
    if window["andOperator"] == true {
        return answers.peek().is_some() && answers.all(|fits| fits);
    }
    answers.any(|fits| fits)
}

fn read(window: &Value, now: Timestamp) -> Option<Window> {
    let text = |field: &str| window.get(field).and_then(Value::as_str);
    let schedule = Cron::from_str(text("schedule")?).ok()?;
    let duration: Duration = galley_units::parse_duration(text("duration")?).ok()?;
    let zone = match text("timeZone") {
        None | Some("") => TimeZone::UTC,
        Some(name) => TimeZone::get(name).ok()?,
    };
    let begin = now.checked_sub(duration).ok()?;
    // The first beginning within the last so many hours, if there is one.
    let start = schedule.find_next_occurrence(&begin.to_zoned(zone), false).ok()?;
    Some(Window {
        denies: text("kind") == Some("deny"),
        manual: window["manualSync"] == true,
        active: start.timestamp() < now,
    })
}

/// `*` is any text, `?` any letter.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            rest.is_empty()
                || text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| glob(rest, &text[at..]))
        }
        Some(letter) => {
            let mut letters = text.chars();
            letters.next().is_some_and(|other| letter == '?' || letter == other)
                && glob(&pattern[letter.len_utf8()..], letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is_blocked(windows: Value, manual: bool) -> bool {
        let subject = Subject { application: "menu".into(), namespace: "ns".into(), ..Subject::default() };
        let now = "2026-01-05T12:30:00Z".parse().unwrap();
        blocked(windows.as_array().unwrap(), &subject, manual, now)
    }

    #[test]
    fn denying_windows() {
        let deny = |manual: bool| json!([{"kind": "deny", "schedule": "* * * * *", "duration": "24h", "applications": ["*"], "manualSync": manual}]);
        assert!(is_blocked(deny(false), false) && is_blocked(deny(false), true));
        assert!(is_blocked(deny(true), false) && !is_blocked(deny(true), true));
    }

    #[test]
    fn allowing_windows() {
        let allow = |schedule: &str| json!([{"kind": "allow", "schedule": schedule, "duration": "1h", "namespaces": ["n?"]}]);
        assert!(!is_blocked(allow("0 12 * * *"), false));
        assert!(is_blocked(allow("0 13 * * *"), false) && is_blocked(allow("0 11 * * *"), true));
        let other =
            json!([{"kind": "allow", "schedule": "0 1 * * *", "duration": "1h", "applications": ["other"]}]);
        assert!(!is_blocked(other, false));
    }
}
