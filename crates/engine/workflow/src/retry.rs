//! Retries: a node whose children are attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use galley_argo_workflows::{Backoff, NodePhase, NodeStatus, NodeType, RetryStrategy, Template};
use galley_expr::{env_from, eval_bool};
use jiff::Timestamp;
use serde_json::Value;

use crate::run::{Halt, Holder, Opts, Run};
use crate::template::{duration_of, template_name};

impl Run<'_> {
    /// Carries out a template with retries: the node becomes their parent.
    pub(crate) fn execute_retried(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        inner: &str,
        opts: &Opts,
    ) -> Result<bool, Halt> {
        if self.node(name).is_none() {
            self.init_executable(name, NodeType::Retry, scope, template, holder, opts, NodePhase::Running);
        }
        let Some(strategy) = template.retry_strategy.clone().or_else(|| self.spec.retry_strategy.clone())
        else {
            return Ok(true);
        };
        let mut opts = opts.clone();
        let mut flag = opts.flag.unwrap_or_default();
        flag.retried = true;
        opts.flag = Some(flag);
        // An attempt that ends at once (a whole DAG, or a pod that cannot be made) is followed by the next look.
        for _ in 0..1000 {
            if !self.judge_attempts(name, &strategy, &mut opts)? {
                return Ok(true);
            }
            if self.is_fulfilled(name) {
                return Ok(true);
            }
            let attempts = self.attempts(name);
            let begins = attempts.last().is_none_or(|last| last.phase.is_fulfilled());
            if begins && self.spec.parallelism.is_some_and(|limit| self.active_pods("") as i64 >= limit) {
                return Ok(true);
            }
            let attempt = match attempts.last() {
                Some(last) if !last.phase.is_fulfilled() => last.name.clone(),
                _ => {
                    let next = format!("{name}({})", attempts.len());
                    self.add_child(name, &next);
                    next
                }
            };
            let number = if begins { attempts.len() } else { attempts.len() - 1 };
            let before = attempts.last().cloned();
            let result = self.execute_attempt(
                &attempt,
                number,
                before.as_ref(),
                template,
                holder,
                scope,
                inner,
                &opts,
            );
            match result {
                Ok(_) => {}
                Err(Halt::Wrong(why)) if !retries_errors(&strategy) => {
                    // The attempt's error is the retry's own; judged above on the next look of a caller.
                    self.mark_error(name, &why);
                    self.copy_outputs(name);
                    return Err(Halt::Wrong(why));
                }
                Err(Halt::Wrong(_)) => {}
                Err(Halt::Busy) if self.node(&attempt).is_none() => {
                    let id = self.id(&attempt);
                    if let Some(node) = self.node_mut(name) {
                        node.children.retain(|child| *child != id);
                    }
                    return Ok(true);
                }
                Err(halt) => return Err(halt),
            }
            if !self.is_fulfilled(&attempt) {
                return Ok(true);
            }
        }
        Ok(true)
    }

    #[allow(clippy::too_many_arguments, reason = "the facts of an attempt")]
    fn execute_attempt(
        &mut self,
        attempt: &str,
        number: usize,
        before: Option<&NodeStatus>,
        template: &Template,
        holder: &Holder,
        scope: &str,
        inner: &str,
        opts: &Opts,
    ) -> Result<bool, Halt> {
        let mut locals = BTreeMap::from([("retries".to_owned(), number.to_string())]);
        if template.is_pod() {
            locals.insert("pod.name".to_owned(), self.pod_of(attempt, template_name(holder, template)));
        }
        let code = before.and_then(|node| node.outputs.as_ref()?.exit_code.clone());
        locals.insert("lastRetry.exitCode".to_owned(), code.unwrap_or_else(|| "0".to_owned()));
        locals.insert(
            "lastRetry.status".to_owned(),
            before.map(|node| node.phase.as_str().to_owned()).unwrap_or_default(),
        );
        locals.insert(
            "lastRetry.duration".to_owned(),
            before.map_or("0".to_owned(), |node| seconds(node, self.now)),
        );
        locals.insert(
            "lastRetry.message".to_owned(),
            before.map(|node| node.message.clone()).unwrap_or_default(),
        );
        let template = match self.replace_names(template, &locals) {
            Ok(template) => template,
            Err(why) => return Err(self.fail_or_init(attempt, scope, holder, opts, &why)),
        };
        self.dispatch(attempt, &template, holder, scope, inner, opts)
    }

    /// The attempts of a retry, in order; hooks among the children are left out.
    pub(crate) fn attempts(&self, name: &str) -> Vec<NodeStatus> {
        let Some(node) = self.node(name) else { return Vec::new() };
        node.children
            .iter()
            .filter_map(|id| self.by_id(id))
            .filter(|child| child.node_flag.is_some_and(|flag| flag.retried))
            .cloned()
            .collect()
    }

    /// The last attempt of a retry node, whose outputs stand for it.
    pub(crate) fn last_attempt(&self, node: &NodeStatus) -> Option<NodeStatus> {
        (node.kind == NodeType::Retry)
            .then(|| self.attempts(&node.name))
            .and_then(|mut attempts| attempts.pop())
    }

    fn copy_outputs(&mut self, name: &str) {
        let outputs = self.attempts(name).pop().and_then(|last| last.outputs);
        if let Some(node) = self.node_mut(name) {
            node.outputs = outputs;
        }
    }

    fn end(&mut self, name: &str, phase: NodePhase, message: &str) {
        self.mark(name, phase, Some(message));
        self.copy_outputs(name);
    }

    /// Looks at the last attempt. False when the retry must wait.
    fn judge_attempts(
        &mut self,
        name: &str,
        strategy: &RetryStrategy,
        opts: &mut Opts,
    ) -> Result<bool, Halt> {
        let attempts = self.attempts(name);
        let Some(last) = attempts.last().filter(|last| last.phase.is_fulfilled()) else { return Ok(true) };
        if !last.phase.is_bad() {
            self.mark(name, NodePhase::Succeeded, None);
            self.copy_outputs(name);
            return Ok(true);
        }
        if let Some(shutdown) = self.shutdown() {
            let message = format!("Stopped with strategy '{shutdown}'");
            self.end(name, last.phase, &message);
            return Ok(true);
        }
        if self.is_past_deadline() {
            let deadline = self.deadline.map(galley_units::rfc3339).unwrap_or_default();
            self.end(name, last.phase, &format!("retry exceeded workflow deadline {deadline}"));
            return Ok(true);
        }
        let limit = self.limit_of(name, strategy)?;
        if let Some(backoff) = &strategy.backoff
            && !self.wait(name, backoff, &attempts, limit, opts)?
        {
            return Ok(self.is_fulfilled(name));
        }
        let (on_failure, on_error) = policy(strategy).ok_or_else(|| {
            let policy = strategy.retry_policy.as_deref().unwrap_or_default();
            self.wrong(name, format!("{policy} is not a valid RetryPolicy"))
        })?;
        if (last.phase == NodePhase::Failed && !on_failure) || (last.phase == NodePhase::Error && !on_error) {
            self.end(name, last.phase, &last.message.clone());
            return Ok(true);
        }
        if limit.is_some_and(|limit| attempts.len() as i64 > limit) {
            self.end(name, last.phase, "No more retries left");
            return Ok(true);
        }
        if let Some(expression) = strategy.expression.as_deref().filter(|text| !text.is_empty()) {
            let again = eval_bool(expression, &env_from(&attempt_names(&attempts, last, self.now)));
            if !again.map_err(|error| self.wrong(name, error.to_string()))? {
                self.end(name, last.phase, "retryStrategy.expression evaluated to false");
            }
        }
        Ok(true)
    }

    /// Marks the retry itself as an error.
    fn wrong(&mut self, name: &str, what: String) -> Halt {
        self.mark_error(name, &what);
        Halt::Wrong(what)
    }

    fn limit_of(&mut self, name: &str, strategy: &RetryStrategy) -> Result<Option<i64>, Halt> {
        match &strategy.limit {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_i64()),
            Some(other) => {
                let text = other.as_str().unwrap_or_default();
                let limit =
                    text.parse().map_err(|_| format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"));
                limit.map(Some).map_err(|what| self.wrong(name, what))
            }
        }
    }

    /// Keeps the wait between attempts. False when it is not over, or when no time is left.
    fn wait(
        &mut self,
        name: &str,
        backoff: &Backoff,
        attempts: &[NodeStatus],
        limit: Option<i64>,
        opts: &mut Opts,
    ) -> Result<bool, Halt> {
        let Some(last) = attempts.last() else { return Ok(true) };
        let read = |text: &Option<String>| {
            text.as_deref().filter(|text| !text.is_empty()).map(duration_of).transpose()
        };
        let times = (read(&backoff.duration), read(&backoff.max_duration), read(&backoff.cap));
        let (Ok(base), Ok(all), Ok(cap)) = &times else {
            let what = [times.0.err(), times.1.err(), times.2.err()]
                .into_iter()
                .flatten()
                .next()
                .unwrap_or_default();
            return Err(self.wrong(name, what));
        };
        let began = attempts.first().and_then(|first| first.started_at).unwrap_or(self.now);
        let end = all.map(|all| later(began, all));
        if end.is_some_and(|end| self.now > end) {
            self.end(name, last.phase, "Max duration limit exceeded");
            return Ok(false);
        }
        let Some(base) = *base else {
            return Err(self.wrong(name, "no base duration specified for retryStrategy".to_owned()));
        };
        let factor = backoff.factor.as_ref().and_then(number).filter(|factor| *factor > 0).unwrap_or(1);
        let power = (attempts.len() - 1).min(64) as i32;
        let wait = base.as_secs_f64() * (factor as f64).powi(power);
        let mut wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
        if let Some(cap) = cap {
            wait = wait.min(*cap);
        }
        let until = later(last.finished_at.unwrap_or(self.now), wait);
        if end.is_some_and(|end| until > end) {
            self.end(name, last.phase, "Backoff would exceed max duration limit");
            return Ok(false);
        }
        if self.now < until && limit.is_some_and(|limit| attempts.len() as i64 <= limit) {
            self.wake_at(until);
            let phase = self.phase(name).unwrap_or(NodePhase::Running);
            self.mark(name, phase, Some(&format!("Backoff for {}", words(wait))));
            return Ok(false);
        }
        opts.deadline = end;
        let phase = self.phase(name).unwrap_or(NodePhase::Running);
        self.mark(name, phase, Some(""));
        Ok(true)
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Whether failures and errors are tried again; `None` for a policy that does not exist.
fn policy(strategy: &RetryStrategy) -> Option<(bool, bool)> {
    let default = if strategy.expression.is_some() { "Always" } else { "OnFailure" };
    Some(match strategy.retry_policy.as_deref().filter(|text| !text.is_empty()).unwrap_or(default) {
        "Always" => (true, true),
        "OnError" => (false, true),
        "OnFailure" => (true, false),
        // Nothing on one machine is a transient error of a cluster.
        "OnTransientError" => (false, false),
        _ => return None,
    })
}

fn retries_errors(strategy: &RetryStrategy) -> bool {
    policy(strategy).is_some_and(|(_, on_error)| on_error)
}

fn seconds(node: &NodeStatus, now: Timestamp) -> String {
    match (node.started_at, node.finished_at) {
        (Some(began), ended) => {
            let seconds = ended.unwrap_or(now).duration_since(began).as_secs_f64();
            format!("{seconds}")
        }
        _ => "0".to_owned(),
    }
}

fn attempt_names(attempts: &[NodeStatus], last: &NodeStatus, now: Timestamp) -> BTreeMap<String, String> {
    let code = last
        .outputs
        .as_ref()
        .and_then(|outputs| outputs.exit_code.clone())
        .unwrap_or_else(|| "-1".to_owned());
    BTreeMap::from([
        ("retries".to_owned(), (attempts.len() - 1).to_string()),
        ("lastRetry.exitCode".to_owned(), code),
        ("lastRetry.status".to_owned(), last.phase.as_str().to_owned()),
        ("lastRetry.duration".to_owned(), seconds(last, now)),
        ("lastRetry.message".to_owned(), last.message.clone()),
    ])
}

/// A wait in words: `1 minutes 30 seconds`, the two largest units.
fn words(wait: Duration) -> String {
    let seconds = wait.as_secs();
    let units = [
        (seconds / 86400, "days"),
        (seconds / 3600 % 24, "hours"),
        (seconds / 60 % 60, "minutes"),
        (seconds % 60, "seconds"),
    ];
    let shown: Vec<String> = units
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if shown.is_empty() { "0 seconds".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_words() {
        assert_eq!(words(Duration::from_secs(90)), "1 minutes 30 seconds");
        assert_eq!(words(Duration::from_secs(5)), "5 seconds");
        assert_eq!(words(Duration::ZERO), "0 seconds");
    }
}
