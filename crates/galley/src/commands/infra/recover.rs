//! What a killed run left behind, settled before anything else is begun.
//!
//! A resource that programs make and that the state has, though nobody saw it finished, is made anew. A thing that a
//! provider was asked for and that no state knows is looked for in the cloud by type and name, and removed if it was not
//! there before that run: then the plan makes it again, once.

use std::path::PathBuf;

use galley_iac::{
    Doubt, Error, Journal, Resource,
    openstack::{self, Client},
};
use galley_problem::{Kind, Problem};

use super::Here;
use crate::ground::environment;

/// What is to be made anew, and whether there was a run that was cut off.
#[derive(Default)]
pub struct Leftover {
    /// Resources that the state has and that are not finished.
    pub unfinished: Vec<Doubt>,
    /// Whether a run was cut off.
    pub cut_off: bool,
}

/// Settles what an earlier run left.
pub async fn settle(here: &Here) -> Result<Leftover, Problem> {
    let cut_off = Journal::read(&here.space.journal_file())?.is_some();
    let doubts = here.space.settle(&here.screen).await?;
    if doubts.is_empty() {
        return Ok(Leftover { unfinished: Vec::new(), cut_off });
    }
    let state = here.space.resources(&here.screen).await?;
    let has = |doubt: &Doubt| state.iter().any(|one| one.address == doubt.planned.address);
    let (unfinished, rest): (Vec<_>, Vec<_>) =
        doubts.into_iter().filter(|doubt| doubt.planned.provisioned || !has(doubt)).partition(has);
    let unknown: Vec<Doubt> = rest.into_iter().filter(|doubt| !doubt.planned.provisioned).collect();
    let (known, strange): (Vec<_>, Vec<_>) =
        unknown.into_iter().partition(|doubt| openstack::knows(&doubt.planned.kind));
    for doubt in strange {
        here.screen.say(&format!(
            "{} may have been made and is not in the state; look for it where it would be.",
            doubt.planned.address
        ));
    }
    if !known.is_empty() {
        remove(here, &known, &state).await?;
    }
    Ok(Leftover { unfinished, cut_off })
}

async fn remove(here: &Here, doubts: &[Doubt], state: &[Resource]) -> Result<(), Problem> {
    let client = cloud(here).await?;
    // A request whose asker was killed may still be carried out: looked at twice.
    for _ in 0..2 {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        for orphan in openstack::orphans(&client, doubts, state).await.map_err(Error::from)? {
            here.screen.say(&format!(
                "removed    {} {} ({}): the state does not know it",
                orphan.kind, orphan.name, orphan.id
            ));
            openstack::remove(&client, &orphan).await.map_err(Error::from)?;
        }
    }
    Ok(())
}

/// The id of a state's lock that a run of ours left behind, if that is what the error is about.
pub fn left_lock(error: &Error, left: &Leftover) -> Option<String> {
    let Error::Refused { diagnostics, .. } = error else { return None };
    let lock = diagnostics.iter().find(|one| one.summary.to_lowercase().contains("state lock"))?;
    let of = |name: &str| lock.detail.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let here = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let ours = of("Who:").is_some_and(|who| who.rsplit('@').next() == Some(here.trim()));
    (left.cut_off && ours).then(|| of("ID:").map(str::to_owned)).flatten()
}

/// Ids of security groups in a state.
pub fn groups(state: &[Resource]) -> Vec<String> {
    state
        .iter()
        .filter(|one| one.kind == "openstack_networking_secgroup_v2")
        .map(|one| one.id.clone())
        .collect()
}

/// The cloud, signed in.
pub async fn cloud(here: &Here) -> Result<Client, Problem> {
    let name = match &here.site.cloud {
        Some(name) => name.clone(),
        None => {
            let values = here.space.values(&["cloud"], &here.screen).await.unwrap_or_default();
            values.get("cloud").and_then(|value| value.as_str()).unwrap_or("openstack").to_owned()
        }
    };
    Ok(Client::sign_in(&clouds_file(here)?, &name).await.map_err(Error::from)?)
}

/// clouds.yaml, where OpenStack's own programs look for it.
pub fn clouds_file(here: &Here) -> Result<PathBuf, Problem> {
    let home = environment("HOME").map(PathBuf::from);
    let mut places: Vec<PathBuf> =
        environment("OS_CLIENT_CONFIG_FILE").map(PathBuf::from).into_iter().collect();
    if places.is_empty() {
        places.push("clouds.yaml".into());
        places.push(here.space.options.dir.join("clouds.yaml"));
        places.extend(home.map(|home| home.join(".config/openstack/clouds.yaml")));
        places.push("/etc/openstack/clouds.yaml".into());
    }
    let shown: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Problem::new("G1210", Kind::Config, format!("There is no clouds.yaml; looked at {}.", shown.join(", "))).try_this(
            "Download it from your cloud (Identity, Application Credentials, Create) into ~/.config/openstack/clouds.yaml.",
        )
    })
}
