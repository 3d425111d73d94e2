//! Hooks: objects that are made at a certain moment of a sync and waited for.
//!
//! Argo CD's own annotation wins; a chart's `helm.sh/hook` is understood as Argo CD understands it: install and
//! upgrade hooks become phases, tests are skipped, hooks of deletion and rollback are not made.

use galley_argo_cd::{HookType, SyncPhase, names};
use serde::Serialize;
use serde_json::Value;

use crate::object::annotation;

/// When a hook's object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DeletePolicy {
    /// When the sync and the hook have succeeded.
    HookSucceeded,
    /// When the hook has failed.
    HookFailed,
    /// Before it is made the next time; this is the default.
    BeforeHookCreation,
}

/// What the annotations of an object say about hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// It is an ordinary object.
    None,
    /// It is made at these moments.
    Of(Vec<HookType>),
    /// It is a hook of moments that do not occur in a sync, and left out.
    Never,
}

impl Hook {
    /// Reads the annotations.
    pub fn of(object: &Value) -> Self {
        if let Some(list) = annotation(object, names::HOOK) {
            let types: Vec<HookType> = entries(list).filter_map(argo_type).collect();
            if !types.is_empty() {
                return Hook::Of(types);
            }
        }
        let Some(list) = annotation(object, names::HELM_HOOK) else { return Hook::None };
        if entries(list).any(|entry| entry == "crd-install") {
            return Hook::None;
        }
        let mut types = Vec::new();
        for kind in entries(list).filter_map(helm_type) {
            if !types.contains(&kind) {
                types.push(kind);
            }
        }
        if types.is_empty() { Hook::Never } else { Hook::Of(types) }
    }

    /// Whether it is made to be run, not to stay.
    pub fn is_hook(&self) -> bool {
        !matches!(self, Hook::None) && !self.is_skipped()
    }

    /// Whether it is left out altogether by `Skip`.
    pub fn is_skipped(&self) -> bool {
        matches!(self, Hook::Of(types) if types.contains(&HookType::Skip))
    }

    /// The moments of a sync at which it is made.
    pub fn phases(&self) -> Vec<(HookType, SyncPhase)> {
        let Hook::Of(types) = self else { return Vec::new() };
        let phase = |kind: &HookType| match kind {
            HookType::PreSync => Some((*kind, SyncPhase::PreSync)),
            HookType::Sync => Some((*kind, SyncPhase::Sync)),
            HookType::PostSync => Some((*kind, SyncPhase::PostSync)),
            HookType::SyncFail => Some((*kind, SyncPhase::SyncFail)),
            HookType::Skip | HookType::PreDelete | HookType::PostDelete => None,
        };
        if self.is_skipped() { Vec::new() } else { types.iter().filter_map(phase).collect() }
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn argo_type(entry: &str) -> Option<HookType> {
    Some(match entry {
        "PreSync" => HookType::PreSync,
        "Sync" => HookType::Sync,
        "PostSync" => HookType::PostSync,
        "SyncFail" => HookType::SyncFail,
        "Skip" => HookType::Skip,
        "PreDelete" => HookType::PreDelete,
        "PostDelete" => HookType::PostDelete,
        _ => return None,
    })
}

fn helm_type(entry: &str) -> Option<HookType> {
    Some(match entry {
        "pre-install" | "pre-upgrade" => HookType::PreSync,
        "post-install" | "post-upgrade" => HookType::PostSync,
        "post-delete" => HookType::PostDelete,
        "pre-delete" => HookType::PreDelete,
        "test" | "test-success" => HookType::Skip,
        _ => return None,
    })
}

/// The wave of an object: its annotation, or Helm's weight of a hook; 0 if neither is an integer.
pub(crate) fn wave(object: &Value) -> i64 {
    let integer = |name: &str| annotation(object, name)?.trim().parse().ok();
    integer(names::SYNC_WAVE).or_else(|| integer(names::HELM_HOOK_WEIGHT)).unwrap_or(0)
}

/// When a hook is deleted; before its next creation if it does not say.
pub(crate) fn delete_policies(object: &Value) -> Vec<DeletePolicy> {
    let argo = annotation(object, names::HOOK_DELETE_POLICY).unwrap_or_default();
    let helm = annotation(object, names::HELM_HOOK_DELETE_POLICY).unwrap_or_default();
    let policies: Vec<DeletePolicy> = entries(argo)
        .chain(entries(helm))
        .filter_map(|entry| {
            Some(match entry {
                "HookSucceeded" | "hook-succeeded" => DeletePolicy::HookSucceeded,
                "HookFailed" | "hook-failed" => DeletePolicy::HookFailed,
                "BeforeHookCreation" | "before-hook-creation" => DeletePolicy::BeforeHookCreation,
                _ => return None,
            })
        })
        .collect();
    if policies.is_empty() { vec![DeletePolicy::BeforeHookCreation] } else { policies }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(annotations: Value) -> Value {
        json!({"metadata": {"annotations": annotations}})
    }

    #[test]
    fn both_sorts_of_annotations_are_read() {
        use HookType::{PostSync, PreSync, Skip};
        let check = |annotations: Value, expected: Hook| assert_eq!(Hook::of(&with(annotations)), expected);
        check(json!({}), Hook::None);
        check(json!({names::HOOK: "PreSync, PostSync"}), Hook::Of(vec![PreSync, PostSync]));
        check(json!({names::HOOK: "Nonsense"}), Hook::None);
        check(json!({names::HELM_HOOK: "pre-install,pre-upgrade"}), Hook::Of(vec![PreSync]));
        check(json!({names::HELM_HOOK: "test"}), Hook::Of(vec![Skip]));
        check(json!({names::HELM_HOOK: "pre-rollback"}), Hook::Never);
        check(json!({names::HELM_HOOK: "crd-install"}), Hook::None);
    }

    #[test]
    fn a_wave_that_is_no_integer_counts_as_zero() {
        assert_eq!(wave(&with(json!({names::SYNC_WAVE: "-3"}))), -3);
        assert_eq!(wave(&with(json!({names::SYNC_WAVE: "soon"}))), 0);
        assert_eq!(wave(&with(json!({names::HELM_HOOK_WEIGHT: "7"}))), 7);
    }
}
