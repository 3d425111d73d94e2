//! Mutexes and semaphores.
//!
//! What a run holds is in its status. How others stand to a lock is seen ([`LockSeen`]); whoever runs the engine
//! makes sure that two runs that want the same lock are not looked at side by side.

use galley_argo_workflows::{NodeLockStatus, NodePhase, NodeType, Template, lock_names};
use galley_expr::{Mode, substitute};
use serde_json::Value;

use crate::run::{Halt, Holder, Opts, Run};
use crate::seen::LockSeen;

/// A lock that could not be taken now.
pub(crate) struct Held {
    lock: String,
    pub(crate) message: String,
}

impl Run<'_> {
    fn holder_key(&self, node: &str) -> String {
        let namespace = self.meta.namespace.as_deref().unwrap_or_default();
        match node {
            "" => format!("{namespace}/{}", self.meta.name),
            id => format!("{namespace}/{}/{id}", self.meta.name),
        }
    }

    fn lock_seen(&self, lock: &str) -> Result<LockSeen, String> {
        match self.seen.locks.get(lock) {
            Some(seen) if seen.limit > 0 => Ok(*seen),
            None if lock.split('/').nth(1) == Some("Mutex") => {
                Ok(LockSeen { limit: 1, ..LockSeen::default() })
            }
            _ => Err(format!("failed to initialize semaphore {lock} with limit")),
        }
    }

    /// Takes all locks that a `synchronization` asks for, or none of them.
    pub(crate) fn acquire(&mut self, node: &str, asked: &Value) -> Result<Option<Held>, String> {
        let asked = substitute(asked, &self.globals, Mode::Lenient).map_err(|error| error.to_string())?;
        let names = lock_names(&asked, self.meta.namespace.as_deref().unwrap_or_default())?;
        let key = self.holder_key(node);
        let mut status = self.status.synchronization.clone().unwrap_or_default();
        let mut held: Option<Held> = None;
        for lock in &names {
            let seen = self.lock_seen(lock)?;
            let own = status.all_held().iter().filter(|(known, _)| known == lock).count();
            if status.all_held().contains(&(lock, &key)) {
                continue;
            }
            let taken = own + seen.others;
            // Those who came before have the first right to what is free.
            if (taken + seen.ahead) as i64 >= seen.limit && held.is_none() {
                let message = format!(
                    "Waiting for {lock} lock. Lock status: {}/{}",
                    seen.limit - taken as i64,
                    seen.limit
                );
                held = Some(Held { lock: lock.clone(), message });
            }
        }
        for lock in &names {
            if held.is_some() {
                if !status.all_held().contains(&(lock, &key)) {
                    status.wait_for(lock);
                }
            } else {
                status.hold(lock, &key);
            }
        }
        self.status.synchronization = Some(status);
        Ok(held)
    }

    /// Gives back the locks of nodes that have ended. True when one was given back.
    pub(crate) fn release_locks(&mut self) -> bool {
        let Some(mut status) = self.status.synchronization.take() else { return false };
        let whole = self.holder_key("");
        let done = self.status.phase.is_done();
        let lives = |holder: &str| {
            if holder == whole {
                return !done;
            }
            let id = holder.rsplit('/').next().unwrap_or_default();
            !done && self.by_id(id).is_some_and(|node| !node.phase.is_fulfilled())
        };
        let released = status.release(lives);
        if !status.is_empty() {
            self.status.synchronization = Some(status);
        }
        released
    }

    /// Forgets what is waited for; every look says it again.
    pub(crate) fn forget_waiting(&mut self) {
        let Some(mut status) = self.status.synchronization.take() else { return };
        status.forget_waiting();
        self.status.synchronization = Some(status).filter(|status| !status.is_empty());
    }

    /// Whether a node of this run waits for a lock.
    pub(crate) fn waits_for_lock(&self) -> bool {
        self.status.synchronization.as_ref().is_some_and(|status| !status.all_waiting().is_empty())
    }

    /// Takes the locks of a template before its node begins. False when it must wait; its node says so then.
    pub(crate) fn lock_template(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        opts: &Opts,
    ) -> Result<bool, Halt> {
        let Some(asked) = &template.synchronization else { return Ok(true) };
        let waits = |node: &galley_argo_workflows::NodeStatus| node.synchronization_status.is_some();
        if self.node(name).is_some_and(|node| !waits(node)) {
            return Ok(true);
        }
        if !self.may_begin(opts.on_exit) && self.node(name).is_some() {
            let shutdown = self.shutdown().unwrap_or_default().to_owned();
            let why = format!("workflow shutdown with strategy:  {shutdown}");
            self.mark(name, NodePhase::Failed, Some(&why));
            return Ok(false);
        }
        let id = self.id(name);
        match self.acquire(&id, asked) {
            Err(why) => Err(self.fail_or_init(name, scope, holder, opts, &why)),
            Ok(None) => Ok(true),
            Ok(Some(held)) => {
                if self.node(name).is_none() {
                    let kind = kind_of(template);
                    self.init_executable(name, kind, scope, template, holder, opts, NodePhase::Pending);
                }
                self.mark(name, NodePhase::Pending, Some(&held.message));
                if let Some(node) = self.node_mut(name) {
                    node.synchronization_status = Some(NodeLockStatus { waiting: held.lock });
                }
                Ok(false)
            }
        }
    }
}

/// The kind of node that a template makes.
pub(crate) fn kind_of(template: &Template) -> NodeType {
    match template.kinds().first() {
        _ if template.retry_strategy.is_some() => NodeType::Retry,
        Some(&"steps") => NodeType::Steps,
        Some(&"dag") => NodeType::Dag,
        Some(&"suspend") => NodeType::Suspend,
        Some(&"http") => NodeType::Http,
        Some(&"plugin") => NodeType::Plugin,
        _ => NodeType::Pod,
    }
}
