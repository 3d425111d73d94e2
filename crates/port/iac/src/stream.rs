//! The lines that `-json` prints, typed. What is unknown is passed over: newer tools say more.
//!
//! The format is described by OpenTofu and Terraform as "machine-readable UI"; both speak it alike.

use serde_json::Value;

use crate::{
    diagnostic::Diagnostic,
    plan::{Action, action_word},
};

/// Longest text of a line that is kept.
const TEXT: usize = 4096;

/// Something that a tool said.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A change that is planned.
    Planned {
        /// Resource.
        address: String,
        /// What is to be done with it.
        action: Action,
    },
    /// Work on a resource begins.
    Start {
        /// Resource.
        address: String,
        /// What is done.
        action: Action,
    },
    /// It goes on.
    Still {
        /// Resource.
        address: String,
        /// Seconds so far.
        seconds: u64,
    },
    /// It is done.
    Complete {
        /// Resource.
        address: String,
        /// What was done.
        action: Action,
        /// Seconds it took.
        seconds: u64,
    },
    /// It failed.
    Errored {
        /// Resource.
        address: String,
        /// What was tried.
        action: Action,
        /// Seconds it took.
        seconds: u64,
    },
    /// What a provisioner printed.
    Said {
        /// Resource.
        address: String,
        /// A line.
        text: String,
    },
    /// The state of a resource is being asked of the cloud.
    Refresh {
        /// Resource.
        address: String,
    },
    /// Counts.
    Summary(Summary),
    /// A complaint.
    Diagnostic(Box<Diagnostic>),
    /// A message without a type.
    Message(String),
    /// Anything else.
    Other,
}

/// What a plan holds, or an apply did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Created.
    pub add: u64,
    /// Changed in place.
    pub change: u64,
    /// Destroyed.
    pub remove: u64,
    /// `plan`, `apply` or `destroy`.
    pub operation: String,
}

impl Event {
    /// Reads a line. A line that is not JSON is a message: provisioners and wrappers print such.
    pub fn read(line: &str) -> Event {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            return Event::Message(short(line));
        };
        let kind = value["type"].as_str().unwrap_or_default();
        let hook = &value["hook"];
        let address = text(&hook["resource"]["addr"]);
        let action = || action_word(hook["action"].as_str().unwrap_or_default());
        let seconds = hook["elapsed_seconds"].as_f64().unwrap_or_default().max(0.0) as u64;
        match kind {
            "planned_change" => Event::Planned {
                address: text(&value["change"]["resource"]["addr"]),
                action: action_word(value["change"]["action"].as_str().unwrap_or_default()),
            },
            "apply_start" => Event::Start { address, action: action() },
            "apply_progress" => Event::Still { address, seconds },
            "apply_complete" => Event::Complete { address, action: action(), seconds },
            "apply_errored" => Event::Errored { address, action: action(), seconds },
            "provision_progress" => Event::Said { address, text: text(&hook["output"]) },
            "refresh_start" => Event::Refresh { address },
            "change_summary" => Event::Summary(summary(&value["changes"])),
            "diagnostic" => Event::Diagnostic(Box::new(Diagnostic::read(&value["diagnostic"]))),
            "" | "log" => Event::Message(text(&value["@message"])),
            _ => Event::Other,
        }
    }
}

fn summary(value: &Value) -> Summary {
    let count = |name: &str| value[name].as_u64().unwrap_or_default();
    Summary {
        add: count("add"),
        change: count("change"),
        remove: count("remove"),
        operation: text(&value["operation"]),
    }
}

fn text(value: &Value) -> String {
    short(value.as_str().unwrap_or_default())
}

pub(crate) fn short(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_owned();
    }
    let end = (0..=TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_tools_are_read() {
        let start = r#"{"@level":"info","@message":"x","hook":{"resource":{"addr":"terraform_data.node[\"node1\"]","resource_key":"node1"},"action":"create"},"type":"apply_start"}"#;
        assert_eq!(
            Event::read(start),
            Event::Start { address: "terraform_data.node[\"node1\"]".into(), action: Action::Create }
        );
        let done = r#"{"hook":{"resource":{"addr":"a.b"},"action":"delete","elapsed_seconds":9},"type":"apply_complete"}"#;
        assert_eq!(
            Event::read(done),
            Event::Complete { address: "a.b".into(), action: Action::Delete, seconds: 9 }
        );
        let counts = r#"{"changes":{"add":11,"change":0,"import":0,"remove":2,"operation":"plan"},"type":"change_summary"}"#;
        let wanted = Summary { add: 11, change: 0, remove: 2, operation: "plan".into() };
        assert_eq!(Event::read(counts), Event::Summary(wanted));
        assert_eq!(Event::read("plain words"), Event::Message("plain words".into()));
        assert_eq!(Event::read(r#"{"type":"something_new"}"#), Event::Other);
    }

    #[test]
    fn long_texts_are_cut_at_a_letter() {
        let line = "ä".repeat(TEXT);
        let Event::Message(text) = Event::read(&line) else { panic!("a message") };
        assert!(text.len() <= TEXT + 3 && text.ends_with("..."));
    }
}
