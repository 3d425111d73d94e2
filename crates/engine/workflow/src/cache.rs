//! Memoized templates: outputs of an earlier run under the same key.

use galley_argo_workflows::{MemoizationStatus, NodePhase, NodeType, Outputs, Template};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::action::Action;
use crate::run::{Halt, Holder, Opts, Run};
use crate::template::duration_of;

impl Run<'_> {
    /// Asks the cache before a node is made. True when the node is done with what it gave.
    pub(crate) fn check_cache(
        &mut self,
        name: &str,
        template: &Template,
        scope: &str,
        holder: &Holder,
        opts: &Opts,
    ) -> Result<bool, Halt> {
        let Some(memoize) = &template.memoize else { return Ok(false) };
        if self.node(name).is_some() {
            return Ok(false);
        }
        let cache = memoize.cache["configMap"]["name"].as_str().unwrap_or_default().to_owned();
        let max_age = match memoize.max_age.as_str() {
            "" => None,
            text => Some(duration_of(text).map_err(|_| {
                self.fail_or_init(name, scope, holder, opts, &format!("invalid maxAge: {text}"))
            })?),
        };
        let saved_now = self.actions.iter().find_map(|action| match action {
            Action::SaveCache { cache: known, key, entry } if *known == cache && *key == memoize.key => {
                Some(entry)
            }
            _ => None,
        });
        let kept = || self.seen.caches.get(&cache).and_then(|entries| entries.get(&memoize.key));
        let entry: Option<Value> = saved_now.or_else(kept).and_then(|text| serde_json::from_str(text).ok());
        let young = |entry: &Value| {
            let made: Option<Timestamp> =
                entry["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
            match (made, max_age) {
                (Some(made), Some(age)) => made.checked_add(age).is_ok_and(|end| self.now <= end),
                (_, None) => true,
                (None, Some(_)) => false,
            }
        };
        let found =
            entry.filter(young).map(|entry| serde_json::from_value::<Outputs>(entry["outputs"].clone()).ok());
        let status = MemoizationStatus { hit: found.is_some(), key: memoize.key.clone(), cache_name: cache };
        let kind = match &template {
            template if template.steps.is_some() => NodeType::Steps,
            template if template.dag.is_some() => NodeType::Dag,
            template if template.suspend.is_some() => NodeType::Suspend,
            _ => NodeType::Pod,
        };
        let (kind, phase) = match (&found, template.retry_strategy.is_some()) {
            (Some(_), _) => (kind, NodePhase::Succeeded),
            (None, true) => (NodeType::Retry, NodePhase::Running),
            (None, false) if template.is_leaf() => (kind, NodePhase::Pending),
            (None, false) => (kind, NodePhase::Running),
        };
        self.init_executable(name, kind, scope, template, holder, opts, phase);
        let hit = status.hit;
        if let Some(node) = self.node_mut(name) {
            node.memoization_status = Some(status);
            node.outputs = found.flatten().filter(|outputs| !outputs.is_empty());
        }
        Ok(hit)
    }

    /// Keeps the outputs of a node that has ended well.
    pub(crate) fn save_cache(&mut self, name: &str) {
        let Some(node) = self.node(name) else { return };
        let Some(status) = node.memoization_status.clone().filter(|status| !status.hit) else { return };
        let now = galley_units::rfc3339(self.now);
        let entry = json!({
            "nodeID": node.id,
            "outputs": node.outputs,
            "creationTimestamp": now,
            "lastHitTimestamp": now,
        });
        self.actions.push(Action::SaveCache {
            cache: status.cache_name,
            key: status.key,
            entry: entry.to_string(),
        });
    }
}
