//! The plan as a value: what is to be done with each resource and why, without anything that is marked sensitive.
//!
//! Read from `show -json PLANFILE`; the format is described by the tools as "JSON output format".

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stream::short;

/// Longest value that is shown.
const VALUE: usize = 160;
/// The tools' word for what was begun and not finished.
const UNFINISHED: &str = "replace_because_tainted";

/// What is done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Made.
    Create,
    /// Changed as it stands.
    Update,
    /// Destroyed and made anew.
    Replace,
    /// Destroyed.
    Delete,
    /// Let go of, without being destroyed.
    Forget,
    /// Taken into the state.
    Import,
    /// Only read.
    Read,
    /// Nothing.
    None,
}

impl Action {
    /// Whether something is lost by it.
    pub const fn destroys(self) -> bool {
        matches!(self, Action::Replace | Action::Delete)
    }

    /// Whether something is made by it.
    pub const fn creates(self) -> bool {
        matches!(self, Action::Create | Action::Replace)
    }

    /// A verb for a table.
    pub const fn word(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Update => "change",
            Action::Replace => "replace",
            Action::Delete => "destroy",
            Action::Forget => "forget",
            Action::Import => "import",
            Action::Read => "read",
            Action::None => "keep",
        }
    }
}

/// An action by the word that streams use.
pub(crate) fn action_word(word: &str) -> Action {
    match word {
        "create" => Action::Create,
        "update" => Action::Update,
        "replace" => Action::Replace,
        "delete" | "remove" => Action::Delete,
        "forget" => Action::Forget,
        "import" => Action::Import,
        "read" => Action::Read,
        _ => Action::None,
    }
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Where, as in `network.0.port`.
    pub path: String,
    /// Before.
    pub old: String,
    /// After.
    pub new: String,
    /// Whether it is the reason for a replacement.
    pub replaces: bool,
}

/// What is planned for one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its address.
    pub address: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The key of `for_each`, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its name in the cloud, where it will have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is done.
    pub action: Action,
    /// Why, in the tool's word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What differs; only for what is changed or replaced.
    pub fields: Vec<Field>,
    /// Whether programs of the configuration make it (provisioners), so that state may claim what they never made.
    pub provisioned: bool,
}

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What is done, in the order of the addresses; what stays is not here.
    pub changes: Vec<Change>,
    /// Outputs that change, by name.
    pub outputs: Vec<String>,
    /// What differs in the cloud from what state says, by address.
    pub drift: Vec<String>,
}

impl Plan {
    /// Reads what `show -json` prints of a plan.
    pub fn read(value: &Value) -> Plan {
        let programs = provisioned(&value["configuration"]["root_module"], "");
        let mut changes: Vec<Change> = list(&value["resource_changes"])
            .map(|entry| change(entry, &programs))
            .filter(|change| !matches!(change.action, Action::None | Action::Read))
            .collect();
        changes.sort_by(|a, b| a.address.cmp(&b.address));
        let outputs = value["output_changes"].as_object().into_iter().flatten();
        let outputs =
            outputs.filter(|(_, change)| change["actions"][0] != "no-op").map(|(name, _)| name.clone());
        let drift = list(&value["resource_drift"]).map(|entry| text(&entry["address"])).collect();
        Plan { changes, outputs: outputs.collect(), drift }
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.outputs.is_empty()
    }

    /// What is lost by it. What was never finished is no loss.
    pub fn destroyed(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| {
            change.action == Action::Delete || change.action.destroys() && change.reason != UNFINISHED
        })
    }

    /// Marks what is known not to be finished, whatever the state says.
    pub fn unfinished(&mut self, addresses: &[&str]) {
        for change in self.changes.iter_mut().filter(|change| addresses.contains(&change.address.as_str())) {
            UNFINISHED.clone_into(&mut change.reason);
        }
    }

    /// How many are made, changed and destroyed. A replacement counts as made and as destroyed.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count =
            |fits: fn(Action) -> bool| self.changes.iter().filter(|change| fits(change.action)).count();
        (count(Action::creates), count(|action| action == Action::Update), count(Action::destroys))
    }

    /// What a person types to agree to what is lost: the node, if it is all of one; else `all`.
    pub fn word(&self) -> Option<String> {
        let mut keys: BTreeSet<Option<&str>> = self.destroyed().map(|change| change.key.as_deref()).collect();
        match (keys.pop_first(), keys.is_empty()) {
            (None, _) => None,
            (Some(Some(key)), true) => Some(key.to_owned()),
            _ => Some("all".to_owned()),
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    short(value.as_str().unwrap_or_default())
}

/// Addresses in the configuration whose resources have provisioners; a `terraform_data` without any makes nothing.
fn provisioned(module: &Value, prefix: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = list(&module["resources"])
        .filter(|resource| list(&resource["provisioners"]).next().is_some())
        .map(|resource| format!("{prefix}{}", text(&resource["address"])))
        .collect();
    for (name, call) in module["module_calls"].as_object().into_iter().flatten() {
        found.extend(provisioned(&call["module"], &format!("{prefix}module.{name}.")));
    }
    found
}

/// An address without the keys of its instances.
fn bare(address: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted) = (0, false);
    for letter in address.chars() {
        match letter {
            '"' if depth > 0 => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth -= 1,
            _ if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out
}

fn change(entry: &Value, programs: &BTreeSet<String>) -> Change {
    let change = &entry["change"];
    let actions: Vec<&str> = list(&change["actions"]).filter_map(Value::as_str).collect();
    let action = match actions.as_slice() {
        ["delete", "create"] | ["create", "delete"] => Action::Replace,
        ["no-op"] if change["importing"].is_object() => Action::Import,
        [one, ..] => action_word(one),
        [] => Action::None,
    };
    let address = text(&entry["address"]);
    let key = match &entry["index"] {
        Value::String(key) => Some(key.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let name = ["name", "description"].iter().find_map(|field| {
        let of = |side: &Value| side[field].as_str().map(str::to_owned);
        of(&change["after"]).or_else(|| of(&change["before"]))
    });
    let fields = if matches!(action, Action::Update | Action::Replace) { fields(change) } else { Vec::new() };
    Change {
        kind: text(&entry["type"]),
        key,
        name,
        action,
        reason: text(&entry["action_reason"]),
        fields,
        provisioned: programs.contains(&bare(&address)),
        address,
    }
}

fn fields(change: &Value) -> Vec<Field> {
    let reasons: Vec<String> = list(&change["replace_paths"])
        .map(|path| list(path).map(plain).collect::<Vec<_>>().join("."))
        .collect();
    let mut found = Vec::new();
    let sides = Sides {
        unknown: &change["after_unknown"],
        hidden: [&change["before_sensitive"], &change["after_sensitive"]],
        replaces: &reasons,
    };
    sides.compare(&change["before"], &change["after"], &mut Vec::new(), &mut found);
    found
}

/// A step of a path.
fn plain(step: &Value) -> String {
    step.as_str().map_or_else(|| step.to_string(), str::to_owned)
}

/// What is known besides the values.
struct Sides<'a> {
    unknown: &'a Value,
    hidden: [&'a Value; 2],
    replaces: &'a [String],
}

impl Sides<'_> {
    fn compare(&self, old: &Value, new: &Value, path: &mut Vec<String>, found: &mut Vec<Field>) {
        let unknown = marked(self.unknown, path);
        if old == new && !unknown {
            // What is not known yet stands below, and not in `new`.
            if !at(self.unknown, path).is_object() {
                return;
            }
        }
        let hidden = self.hidden.iter().any(|side| marked(side, path));
        if !unknown && !hidden && old.is_object() && new.is_object() {
            let mut names: BTreeSet<&String> =
                old.as_object().into_iter().flatten().map(|(name, _)| name).collect();
            names.extend(new.as_object().into_iter().flatten().map(|(name, _)| name));
            for name in names {
                path.push(name.clone());
                self.compare(&old[name], &new[name], path, found);
                path.pop();
            }
            return;
        }
        if old == new && !unknown {
            return;
        }
        let joined = path.join(".");
        let show = |value: &Value, unknown: bool| match (hidden, unknown) {
            (true, _) => "(sensitive)".to_owned(),
            (_, true) => "(known after apply)".to_owned(),
            _ => shown(value),
        };
        let replaces =
            self.replaces.iter().any(|reason| joined.starts_with(reason.as_str()) && !reason.is_empty());
        found.push(Field { old: show(old, false), new: show(new, unknown), path: joined, replaces });
    }
}

fn at<'a>(mut value: &'a Value, path: &[String]) -> &'a Value {
    for step in path {
        value = match value {
            Value::Array(items) => {
                step.parse::<usize>().ok().and_then(|index| items.get(index)).unwrap_or(&Value::Null)
            }
            _ => &value[step.as_str()],
        };
    }
    value
}

/// Whether `true` stands at the path, or above it.
fn marked(marks: &Value, path: &[String]) -> bool {
    let mut value = marks;
    for step in path {
        if value == &Value::Bool(true) {
            return true;
        }
        value = &value[step.as_str()];
    }
    // A list is compared whole, so a mark inside marks all of it.
    value == &Value::Bool(true) || value.is_array() && holds_true(value)
}

fn holds_true(value: &Value) -> bool {
    match value {
        Value::Bool(is) => *is,
        Value::Array(items) => items.iter().any(holds_true),
        Value::Object(fields) => fields.values().any(holds_true),
        _ => false,
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.split('\n').next().unwrap_or_default().to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() > VALUE { text.chars().take(VALUE).collect::<String>() + "..." } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::read(&serde_json::json!({
            "resource_changes": [
                {"address": "x.node[\"node2\"]", "type": "x", "name": "node", "index": "node2", "action_reason": "replace_because_cannot_update",
                 "change": {"actions": ["delete", "create"], "before": {"name": "n2", "flavor": "a", "secret": "s1", "id": "1"},
                            "after": {"name": "n2", "flavor": "b", "secret": "s2"}, "after_unknown": {"id": true},
                            "before_sensitive": {"secret": true}, "after_sensitive": {"secret": true}, "replace_paths": [["flavor"]]}},
                {"address": "x.net", "type": "x", "name": "net", "change": {"actions": ["no-op"], "before": {}, "after": {}}},
                {"address": "x.new", "type": "x", "name": "new", "change": {"actions": ["create"], "before": null, "after": {"name": "new"}}},
            ],
            "output_changes": {"a": {"actions": ["no-op"]}, "b": {"actions": ["update"]}},
            "configuration": {"root_module": {"resources": [{"address": "x.node", "provisioners": [{"type": "local-exec"}]}]}},
        }))
    }

    #[test]
    fn a_replacement_shows_why_and_hides_what_is_sensitive() {
        let plan = plan();
        assert_eq!(plan.counts(), (2, 0, 1));
        let node = &plan.changes[1];
        assert_eq!(
            (node.action, node.key.as_deref(), node.provisioned),
            (Action::Replace, Some("node2"), true)
        );
        let shown: Vec<_> = node
            .fields
            .iter()
            .map(|f| (f.path.as_str(), f.old.as_str(), f.new.as_str(), f.replaces))
            .collect();
        let wanted = [
            ("flavor", "a", "b", true),
            ("id", "1", "(known after apply)", false),
            ("secret", "(sensitive)", "(sensitive)", false),
        ];
        assert_eq!(shown, wanted);
        assert_eq!(plan.outputs, ["b"]);
    }

    #[test]
    fn what_is_lost_is_agreed_to_by_name() {
        let mut plan = plan();
        assert_eq!(plan.word().as_deref(), Some("node2"));
        let mut other = plan.changes[1].clone();
        other.key = Some("node3".into());
        plan.changes.push(other);
        assert_eq!(plan.word().as_deref(), Some("all"));
        plan.unfinished(&["x.node[\"node2\"]"]);
        assert_eq!(plan.destroyed().count(), 0, "what was never finished is no loss");
        assert_eq!(Plan::default().word(), None);
    }

    #[test]
    fn keys_are_taken_off_an_address() {
        assert_eq!(bare("module.a[0].x.node[\"a.b]c\"]"), "module.a.x.node");
    }
}
