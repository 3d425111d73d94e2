//! One bootstrap at a time: a Lease beside the inventory, renewed in the background. Whoever is killed leaves it to
//! expire; whoever loses it stops writing.

use std::time::Duration;

use galley_problem::{Kind, Problem};
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, PostParams, Preconditions},
};
use tokio::{task::AbortHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Cluster, Home,
    problem::{absent, refused},
    retry::retried,
};

/// How long a lease is valid without being renewed.
const VALID: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(5);
/// So long before its end an unrenewed lease counts as lost: the last request must be over by then.
const MARGIN: Duration = Duration::from_secs(3);

/// The right to write. Dropped without [`Lock::release`] it expires by itself.
pub struct Lock {
    cluster: Cluster,
    home: Home,
    holder: String,
    lost: CancellationToken,
    renewing: AbortHandle,
}

impl Lock {
    /// Takes the lease, waiting up to `patience` for another holder's to expire. `holder` should name machine and
    /// process, for a person. Makes the home namespace if need be.
    ///
    /// # Errors
    /// G1113 if somebody else holds it; G1104 to G1108 if the cluster refuses.
    pub async fn take(
        cluster: &Cluster,
        home: &Home,
        holder: &str,
        patience: Duration,
    ) -> Result<Lock, Problem> {
        cluster.ensure_home(home).await?;
        let api: Api<Lease> = Api::namespaced(cluster.client(), &home.namespace);
        let end = Instant::now() + patience;
        let lease = loop {
            let found =
                api.get_opt(&home.name).await.map_err(|e| refused("read the lease of a bootstrap", &e))?;
            let left = found.as_ref().map_or(Duration::ZERO, |lease| left(lease, cluster.clock.now()));
            if left > Duration::ZERO {
                if Instant::now() + left > end {
                    return Err(held(home, found.as_ref(), left));
                }
                tokio::time::sleep(left).await;
                continue;
            }
            match write(&api, home, holder, found, cluster.clock.now()).await {
                Ok(lease) => break lease,
                // Somebody was faster: look again.
                Err(kube::Error::Api(status)) if status.code == 409 && Instant::now() <= end + VALID => {}
                Err(error) => return Err(refused("take the lease of a bootstrap", &error)),
            }
        };
        let lost = CancellationToken::new();
        let task = renew(cluster.clone(), api, home.clone(), holder.to_owned(), lease, lost.clone());
        let renewing = tokio::spawn(task).abort_handle();
        Ok(Lock { cluster: cluster.clone(), home: home.clone(), holder: holder.to_owned(), lost, renewing })
    }

    /// Where it is held.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Cancelled when the lease was lost.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Refuses once the lease is lost; asked before every write.
    ///
    /// # Errors
    /// G1114.
    pub fn check(&self) -> Result<(), Problem> {
        if !self.lost.is_cancelled() {
            return Ok(());
        }
        Err(Problem::new("G1114", Kind::Conflict, "The lease of this bootstrap was lost, so it stopped.")
            .because_of("The cluster did not answer in time, or another bootstrap took over.")
            .try_this("Run the same command again: it goes on where it stopped."))
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// G1104 to G1108 if the cluster refuses; it expires by itself then.
    pub async fn release(self) -> Result<(), Problem> {
        self.renewing.abort();
        let api: Api<Lease> = Api::namespaced(self.cluster.client(), &self.home.namespace);
        // The last renewal may still be under way when this one is sent.
        retried(
            "give back the lease of a bootstrap",
            VALID,
            |_| {},
            || async {
                let found = api.get_opt(&self.home.name).await?;
                let Some(lease) = found.filter(|lease| holder(lease) == self.holder) else { return Ok(()) };
                let preconditions = Preconditions {
                    uid: lease.metadata.uid,
                    resource_version: lease.metadata.resource_version,
                };
                match api
                    .delete(&self.home.name, &DeleteParams::background().preconditions(preconditions))
                    .await
                {
                    Err(error) if !absent(&error) => Err(error),
                    _ => Ok(()),
                }
            },
        )
        .await
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// How long the lease is still valid.
fn left(lease: &Lease, now: Timestamp) -> Duration {
    let Some(spec) = &lease.spec else { return Duration::ZERO };
    if holder(lease).is_empty() {
        return Duration::ZERO;
    }
    let valid = Duration::from_secs(
        spec.lease_duration_seconds.unwrap_or_default().clamp(0, 3600).unsigned_abs().into(),
    );
    let Some(renewed) = &spec.renew_time else { return Duration::ZERO };
    let end = renewed.0.checked_add(valid).unwrap_or(renewed.0);
    // A holder whose clock is ahead gets no more than one whole period.
    Duration::try_from(end.duration_since(now)).unwrap_or_default().min(valid)
}

fn held(home: &Home, lease: Option<&Lease>, left: Duration) -> Problem {
    let who = lease.map(holder).unwrap_or_default();
    Problem::new("G1113", Kind::Conflict, format!("Another bootstrap of this cluster is running: {who}."))
        .because_of(format!(
            "Its lease {}/{} is valid for {} s more, and renewed while it runs.",
            home.namespace,
            home.name,
            left.as_secs().max(1)
        ))
        .try_this("Wait until it has ended; if it was killed, its lease expires by itself.")
}

async fn write(
    api: &Api<Lease>,
    home: &Home,
    holder: &str,
    found: Option<Lease>,
    now: Timestamp,
) -> Result<Lease, kube::Error> {
    let before = found.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let mine = before.holder_identity.as_deref() == Some(holder);
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(home.name.clone()),
            resource_version: found.as_ref().and_then(|lease| lease.metadata.resource_version.clone()),
            ..Default::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(VALID.as_secs() as i32),
            acquire_time: if mine { before.acquire_time } else { Some(MicroTime(now)) },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!mine)),
            ..Default::default()
        }),
    };
    let params = PostParams { field_manager: Some(crate::MANAGER.into()), ..Default::default() };
    match found {
        Some(_) => api.replace(&home.name, &params, &lease).await,
        None => api.create(&params, &lease).await,
    }
}

async fn renew(
    cluster: Cluster,
    api: Api<Lease>,
    home: Home,
    holder: String,
    mut lease: Lease,
    lost: CancellationToken,
) {
    let mut good = Instant::now();
    let _cancel_when_done = lost.clone().drop_guard();
    while good.elapsed() + MARGIN < VALID {
        tokio::time::sleep(if good.elapsed() < RENEW { RENEW } else { Duration::from_secs(1) }).await;
        let asked = Instant::now();
        let attempt = write(&api, &home, &holder, Some(lease.clone()), cluster.clock.now());
        match tokio::time::timeout(RENEW, attempt).await {
            Ok(Ok(written)) => (lease, good) = (written, asked),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                // Written by somebody else, or by an attempt of ours whose answer was lost.
                match api.get_opt(&home.name).await {
                    Ok(Some(found)) if self::holder(&found) == holder => lease = found,
                    Ok(_) => return,
                    Err(_) => {}
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, "the lease was not renewed"),
            Err(_) => tracing::debug!("renewing the lease took too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_valid_until_its_end() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a moment");
        let lease = |holder: &str| Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.into()),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(at("2026-01-01T00:00:00Z"))),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(left(&lease("a"), at("2026-01-01T00:00:05Z")), Duration::from_secs(10));
        assert_eq!(left(&lease("a"), at("2026-01-01T00:00:15Z")), Duration::ZERO);
        assert_eq!(left(&lease("a"), at("2025-12-31T00:00:00Z")), Duration::from_secs(15));
        assert_eq!(left(&lease(""), at("2026-01-01T00:00:05Z")), Duration::ZERO);
    }
}
