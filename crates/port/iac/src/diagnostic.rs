//! What a tool complains of, made readable: the place in the configuration, the cloud's own message out of the
//! provider's many words, and what to do about it.

use galley_problem::{Kind, Problem};
use serde::Serialize;
use serde_json::Value;

use crate::stream::short;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something was refused or failed.
    Error,
    /// Something should be known.
    Warning,
}

/// One complaint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// One line.
    pub summary: String,
    /// More lines; may be empty.
    pub detail: String,
    /// The resource it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// File of the configuration, as the tool names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in it, from 1; 0 if unknown.
    pub line: usize,
    /// Column in it, from 1; 0 if unknown.
    pub column: usize,
}

impl Diagnostic {
    /// Reads what stands under `diagnostic` in a line, or in the list that `validate -json` prints.
    pub fn read(value: &Value) -> Diagnostic {
        let text = |value: &Value| short(value.as_str().unwrap_or_default());
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or_default()).unwrap_or_default();
        Diagnostic {
            severity: if value["severity"] == "warning" { Severity::Warning } else { Severity::Error },
            summary: text(&value["summary"]),
            detail: text(&value["detail"]),
            address: value["address"].as_str().map(short),
            file: value["range"]["filename"].as_str().map(short),
            line: number(&value["range"]["start"]["line"]),
            column: number(&value["range"]["start"]["column"]),
        }
    }

    /// Whether it says only that we use an option which works and is not liked.
    pub fn is_noise(&self) -> bool {
        self.summary.starts_with("Deprecated flag")
    }

    /// The sentence that matters: the cloud's own where there is one, else the tool's.
    pub fn message(&self) -> String {
        let all = format!("{}\n{}", self.summary, self.detail);
        if let Some(said) = cloud_said(&all) {
            return said;
        }
        if self.summary == "local-exec provisioner error" {
            let output =
                self.detail.split_once("Output: ").map_or(self.detail.as_str(), |(_, output)| output);
            return plain(output.trim_start_matches("error: "));
        }
        // Of these the detail holds the sentence and the summary only the sort.
        let sort =
            ["Invalid value for variable", "Resource precondition failed", "Check block assertion failed"];
        if sort.contains(&self.summary.as_str()) || self.summary.is_empty() {
            let sentence = self.detail.split("\n\nThis was checked by").next().unwrap_or_default();
            return plain(sentence);
        }
        let first = plain(self.detail.split("\n\n").next().unwrap_or_default());
        match first.chars().count() {
            1..=300 if !self.summary.contains(&first) => format!("{}: {first}", plain(&self.summary)),
            _ => plain(&self.summary),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        remedy(&format!("{}\n{}", self.summary, self.detail).to_lowercase())
    }
}

/// White space made one space.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// OpenStack's message out of an answer that a provider quotes: `{"forbidden": {"code": 403, "message": "..."}}`, or
/// neutron's `{"NeutronError": {"type": "...", "message": "..."}}`.
fn cloud_said(text: &str) -> Option<String> {
    let code = text.split("but got ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let start = text.find("{\"")?;
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
    let body = values.next()?.ok()?;
    let message = body.as_object()?.values().find_map(|value| value["message"].as_str())?;
    let code = code.map_or_else(String::new, |code| format!(" (HTTP {code})"));
    Some(format!("{}{code}", plain(message)))
}

/// Words to look for, all of them, and what to do then. The first that fits counts.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["state lock"],
        "Wait until the one who holds it is done. If that one is gone for good: `tofu force-unlock ID`.",
    ),
    (&["state blob is already locked"], "Wait until the one who holds it is done."),
    (
        &["quota"],
        "Ask for a larger quota, choose a smaller `flavor`, or name fewer `nodes`; `galley infra check` shows what is left.",
    ),
    (
        &["no valid host"],
        "The cloud has no room for this flavour now: choose another `flavor`, or give the reservation of your lease.",
    ),
    (
        &["401"],
        "The credentials are wrong or have expired: make a new application credential and put it into clouds.yaml.",
    ),
    (
        &["authentication failed"],
        "The credentials are wrong or have expired: make a new application credential and put it into clouds.yaml.",
    ),
    (
        &["requires authentication"],
        "The credentials are wrong or have expired: make a new application credential and put it into clouds.yaml.",
    ),
    (
        &["clouds.yaml"],
        "Put your credentials into ~/.config/openstack/clouds.yaml, or name another file with `OS_CLIENT_CONFIG_FILE`.",
    ),
    (&["cloud", "does not exist"], "Correct `cloud`, or add that entry to clouds.yaml."),
    (
        &["no usable cloud"],
        "Correct the entry in clouds.yaml; `galley infra check` says what is wrong with it.",
    ),
    (
        &["not allowed", "policy"],
        "Your role in the project does not allow this; ask whoever administers the project.",
    ),
    (&["403"], "The cloud refuses this to your account: see its message, and `galley infra check`."),
    (&["no image"], "Correct `image`; `openstack image list` shows those there are."),
    (&["images", "called"], "Correct `image`; `openstack image list` shows those there are."),
    (&["image called"], "Correct `image`; `openstack image list` shows those there are."),
    (&["flavo", "called"], "Correct `flavor`; `openstack flavor list` shows those there are."),
    (&["flavor"], "Correct `flavor`; `openstack flavor list` shows those there are."),
    (
        &["keypair"],
        "Correct `key_pair`, or give `ssh_public_key`; `openstack keypair list` shows those there are.",
    ),
    (
        &["key_name"],
        "Correct `key_pair`, or give `ssh_public_key`; `openstack keypair list` shows those there are.",
    ),
    (
        &["security group"],
        "Correct `security_groups`, or leave it empty and set `ssh_cidrs`; `openstack security group list` shows those there are.",
    ),
    (&["network called"], "Correct `shared_network`; `openstack network list` shows those there are."),
    (&["no network"], "Correct `shared_network`; `openstack network list` shows those there are."),
    (
        &["query returned no results"],
        "Correct the name; `openstack network list`, `openstack flavor list` and so on show those there are.",
    ),
    (&["outside"], "Give the nodes addresses inside `private_cidr`."),
    (&["is not in"], "Give the nodes addresses inside `private_cidr`."),
    (
        &["already exists"],
        "Something of that name is there and not in the state: choose another `suffix`, or delete it in the cloud.",
    ),
    (&["rename or delete"], "Choose another `suffix`, or delete what has the name already."),
    (&["429"], "The cloud asks for patience: run it again in a minute, with `--parallelism 2`."),
    (
        &["too many requests"],
        "The cloud asks for patience: run it again in a minute, with `--parallelism 2`.",
    ),
    (
        &["no answer"],
        "The cloud does not answer: look at its address in clouds.yaml and at the network, then run it again; it goes on where it stopped.",
    ),
    (
        &["connection refused"],
        "The cloud does not answer: look at its address in clouds.yaml and at the network, then run it again; it goes on where it stopped.",
    ),
    (&["timeout"], "The cloud is slow or in trouble: run it again; it goes on where it stopped."),
    (&["500"], "The cloud is in trouble: run it again; it goes on where it stopped."),
    (&["503"], "The cloud is in trouble: run it again; it goes on where it stopped."),
    (&["504"], "The cloud is in trouble: run it again; it goes on where it stopped."),
    (&["409"], "Something else works on the same thing: run it again."),
    (
        &["no value for required variable"],
        "Give the variable in `terraform.tfvars`, or with `--var NAME=VALUE`.",
    ),
    (&["undeclared"], "Correct the name of the variable; `variables.tf` has them all."),
    (&["duplicate"], "Give each its own name."),
    (
        &["failed to query available provider"],
        "The provider cannot be fetched: look at the network, or name a mirror in the tool's own settings (`TF_CLI_CONFIG_FILE`).",
    ),
    (
        &["inconsistent dependency lock file"],
        "Run `galley infra check`, which fetches what the configuration needs.",
    ),
];

fn remedy(text: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(words, _)| words.iter().all(|word| text.contains(word))).map(|(_, remedy)| *remedy)
}

/// What a refused or failed run is to a person: the first error in full, the others as causes.
pub(crate) fn problem(command: &str, changed: bool, diagnostics: &[Diagnostic], stderr: &str) -> Problem {
    let errors: Vec<_> = diagnostics.iter().filter(|one| one.severity == Severity::Error).collect();
    let (code, kind) = if changed { ("G1204", Kind::Unavailable) } else { ("G1203", Kind::Invalid) };
    let Some(first) = errors.first() else {
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        return Problem::new(code, kind, format!("`{command}` failed."))
            .because_of(plain(last))
            .try_this("Run it with `-v`, and run the command that is shown by hand.");
    };
    if first.summary.to_lowercase().contains("state lock") {
        return locked(first);
    }
    let about = first.address.as_ref().map_or_else(String::new, |address| format!("{address}: "));
    let mut what = format!("{about}{}", first.message());
    if !what.ends_with(['.', '!', '?']) {
        what.push('.');
    }
    let mut problem = Problem::new(code, kind, what);
    if let Some(file) = &first.file {
        problem = problem.at(file.clone(), first.line, first.column);
    }
    for other in errors.iter().skip(1).take(8) {
        let about = other.address.as_deref().or(other.file.as_deref()).unwrap_or("also");
        let cause = format!("{about}: {}", other.message());
        if !problem.causes.contains(&cause) {
            problem.causes.push(cause);
        }
    }
    if errors.len() > 9 {
        problem.causes.push(format!("and {} more", errors.len() - 9));
    }
    match first.remedy() {
        Some(remedy) => problem.try_this(remedy),
        None if changed => problem.try_this("Mend that and run it again; it goes on where it stopped."),
        None if problem.place.is_some() => problem.try_this("Correct that line and run it again."),
        None => {
            problem.try_this("Mend that and run it again; `galley infra check` looks at everything at once.")
        }
    }
}

/// The state is held by somebody else; the lock says by whom.
fn locked(diagnostic: &Diagnostic) -> Problem {
    let info = |name: &str| {
        diagnostic
            .detail
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .map(|value| value.trim().to_owned())
    };
    let who = info("Who:").unwrap_or_else(|| "somebody else".to_owned());
    let mut problem = Problem::new("G1205", Kind::Conflict, format!("The state is locked by {who}."));
    for name in ["Operation:", "Created:", "ID:"] {
        if let Some(value) = info(name).filter(|value| !value.is_empty()) {
            problem.causes.push(format!("{} {value}", name.to_lowercase()));
        }
    }
    problem.try_this("Wait until that one is done, or let this one wait: `--lock-timeout 10m`. If that one is gone for good: `galley infra unlock ID`.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(summary: &str, detail: &str) -> Diagnostic {
        Diagnostic::read(&serde_json::json!({
            "severity": "error", "summary": summary, "detail": detail, "address": "x.y",
            "range": {"filename": "main.tf", "start": {"line": 3, "column": 5}},
        }))
    }

    #[test]
    fn the_clouds_own_message_is_taken_out_of_the_providers_words() {
        let one = error(
            "Error creating openstack_compute_instance_v2: Expected HTTP response code [200 202] when accessing [POST http://c/v2.1/servers], but got 403 instead: {\"forbidden\": {\"code\": 403, \"message\": \"Quota exceeded for cores: Requested 8, but already used 0 of 4 cores\"}}",
            "",
        );
        assert_eq!(
            one.message(),
            "Quota exceeded for cores: Requested 8, but already used 0 of 4 cores (HTTP 403)"
        );
        assert!(one.remedy().expect("a remedy").contains("quota"));
    }

    #[test]
    fn a_problem_has_place_message_and_remedy() {
        let detail = "Error running command 'python cloud.py create server': exit status 1. Output: error: the project\nhas no image called `nosuch`\n";
        let problem = problem("tofu apply", true, &[error("local-exec provisioner error", detail)], "");
        assert_eq!(problem.code, "G1204");
        assert_eq!(problem.what, "x.y: the project has no image called `nosuch`.");
        assert_eq!(problem.place.expect("a place").to_string(), "main.tf:3:5");
        assert!(problem.remedy.expect("a remedy").contains("image list"));
    }

    #[test]
    fn a_lock_names_its_holder() {
        let detail = "Error message: HTTP remote state already locked\nLock Info:\n  ID:        0af2\n  Path:\n  Operation: OperationTypeApply\n  Who:       ann@ship\n  Created:   2026-11-24 02:31:08\n";
        let problem = problem("tofu plan", false, &[error("Error acquiring the state lock", detail)], "");
        assert_eq!((problem.code, problem.what.as_str()), ("G1205", "The state is locked by ann@ship."));
        assert!(problem.causes.contains(&"id: 0af2".to_owned()), "{:?}", problem.causes);
    }

    #[test]
    fn where_the_stream_says_nothing_the_last_line_of_standard_error_counts() {
        let problem = problem("tofu init", false, &[], "one\n\ntwo  words\n");
        assert_eq!(problem.causes, ["two words"]);
    }
}
