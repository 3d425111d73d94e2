//! Who a container's process is: user, groups, capabilities and limits.

use rustix::fs::{Gid, Uid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use crate::proto::{Failure, Step};
use crate::spec::User;

/// What root keeps inside: enough for programs that switch users or own files, nothing that reaches the machine.
const KEPT: [(&str, CapabilitySet); 7] = [
    ("CHOWN", CapabilitySet::CHOWN),
    ("DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE),
    ("FOWNER", CapabilitySet::FOWNER),
    ("KILL", CapabilitySet::KILL),
    ("NET_BIND_SERVICE", CapabilitySet::NET_BIND_SERVICE),
    ("SETGID", CapabilitySet::SETGID),
    ("SETUID", CapabilitySet::SETUID),
];
/// More than any kernel has.
const LAST_CAPABILITY: u32 = 63;
const OPEN_FILES: u64 = 1_048_576;

/// Numbers for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: Option<String>,
}

/// Looks a user up in the container's own `/etc/passwd` and `/etc/group`, given their texts.
pub(crate) fn resolve(user: &User, passwd: &str, group: &str) -> Result<Ids, Failure> {
    let (name, group_name) = user.user.split_once(':').unwrap_or((&user.user, ""));
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6 && (fields[0] == name || fields[2] == name || (name.is_empty() && fields[2] == "0"))
    });
    let number = |fields: &[&str], at: usize| fields.get(at).and_then(|text| text.parse::<u32>().ok());
    let uid = match (name, &entry) {
        ("", _) => 0,
        (name, entry) => name
            .parse()
            .ok()
            .or_else(|| entry.as_ref().and_then(|fields| number(fields, 2)))
            .ok_or_else(|| unknown("user", name))?,
    };
    let named_group = match group_name {
        "" => None,
        name => Some(
            name.parse()
                .ok()
                .or_else(|| {
                    let mut lines = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
                    lines.find(|fields| fields[0] == name).and_then(|fields| number(&fields, 2))
                })
                .ok_or_else(|| unknown("group", name))?,
        ),
    };
    let own_group = entry.as_ref().and_then(|fields| number(fields, 3));
    Ok(Ids {
        uid,
        gid: user.group.or(named_group).or(own_group).unwrap_or(0),
        groups: user.groups.clone(),
        home: entry.as_ref().map(|fields| fields[5].to_owned()).filter(|home| !home.is_empty()),
    })
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure {
        step: format!("find the {what} of the container"),
        message: format!("the image knows no {what} `{name}`"),
        errno: 0,
    }
}

/// Becomes the user, for good, without any way to more rights.
pub(crate) fn become_user(ids: &Ids, drop: &[String], single_user: bool) -> Result<(), Failure> {
    let unprivileged = ids.uid != 0;
    let everything = ["ALL".to_owned()];
    limit_capabilities(if unprivileged { &everything } else { drop })?;
    if !single_user {
        let groups: Vec<Gid> = ids.groups.iter().chain([&ids.gid]).map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
        thread::set_thread_groups(&groups).step("set the groups")?;
        thread::set_thread_res_gid(gid, gid, gid).step("set the group id")?;
        thread::set_thread_res_uid(uid, uid, uid).step("set the user id")?;
    }
    // Permitted capabilities are cut last: setting the ids needs them.
    let kept = if unprivileged { CapabilitySet::empty() } else { kept(drop) };
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    thread::set_capabilities(None, sets).step("drop capabilities")?;
    thread::set_no_new_privs(true).step("give up new privileges")
}

fn kept(drop: &[String]) -> CapabilitySet {
    let dropped = |name: &str| drop.iter().any(|d| d == "ALL" || d.strip_prefix("CAP_").unwrap_or(d) == name);
    KEPT.iter().filter(|(name, _)| !dropped(name)).fold(CapabilitySet::empty(), |all, (_, one)| all | *one)
}

fn limit_capabilities(drop: &[String]) -> Result<(), Failure> {
    let kept = kept(drop);
    for number in 0..=LAST_CAPABILITY {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(one) || !thread::capability_is_in_bounding_set(one).unwrap_or(false) {
            continue;
        }
        thread::remove_capability_from_bounding_set(one).step("drop a capability")?;
    }
    let _ = thread::clear_ambient_capability_set();
    Ok(())
}

/// Sets the limits that container runtimes set.
pub(crate) fn set_limits() {
    let hard = getrlimit(Resource::Nofile).maximum;
    let soft = hard.map_or(OPEN_FILES, |hard| hard.min(OPEN_FILES));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: hard });
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:\n";

    #[test]
    fn users_are_found_as_images_name_them() {
        let check = |user: &str, uid: u32, gid: u32, home: Option<&str>| {
            let user = User { user: user.to_owned(), ..User::default() };
            let ids = resolve(&user, PASSWD, GROUP).unwrap();
            assert_eq!((ids.uid, ids.gid, ids.home.as_deref()), (uid, gid, home), "{user:?}");
        };
        check("", 0, 0, Some("/root"));
        check("app", 1000, 1001, Some("/home/app"));
        check("1000", 1000, 1001, Some("/home/app"));
        check("app:staff", 1000, 50, Some("/home/app"));
        check("2000:3000", 2000, 3000, None);
        check("2000", 2000, 0, None);
        let unknown = User { user: "nobody".to_owned(), ..User::default() };
        assert!(resolve(&unknown, PASSWD, GROUP).is_err());
    }

    #[test]
    fn dropped_capabilities_are_gone() {
        assert!(kept(&[]).contains(CapabilitySet::CHOWN));
        assert!(!kept(&["CAP_CHOWN".to_owned()]).contains(CapabilitySet::CHOWN));
        assert_eq!(kept(&["ALL".to_owned()]), CapabilitySet::empty());
    }
}
