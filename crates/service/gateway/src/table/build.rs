//! Building a table: classes, then listeners, then routes.

use std::collections::{BTreeMap, BTreeSet};

use galley_gateway_types::{
    Gateway, GatewayClassStatus, GatewayStatus, HttpRoute, Match, RouteParentStatus, condition,
};

use super::attach::{Stand, attach};
use super::backends::Directory;
use super::rules::{self, Faults};
use super::{Entry, Host, ListenerTable, Objects, Plan, Settings, Verdicts, matching};

/// Builds the table and the verdicts. The same objects give the same result, in whatever order they come.
pub fn build(objects: &Objects, settings: &Settings) -> Plan {
    let mut verdicts = Verdicts::default();
    let mut classes = BTreeSet::new();
    for class in objects.classes.iter().filter(|class| class.spec.controller_name == settings.controller) {
        classes.insert(class.metadata.name.as_str());
        let accepted = condition("Accepted", true, "Accepted", "", class.metadata.generation);
        verdicts
            .classes
            .insert(class.metadata.name.clone(), GatewayClassStatus { conditions: vec![accepted] });
    }
    let mut gateways: Vec<&Gateway> = objects
        .gateways
        .iter()
        .filter(|gateway| classes.contains(gateway.spec.gateway_class_name.as_str()))
        .collect();
    gateways.sort_by_key(|gateway| {
        (&gateway.metadata.creation_timestamp, gateway.metadata.namespace(), &gateway.metadata.name)
    });
    let mut stands = stands(&gateways, settings);
    let entries = attach_routes(objects, settings, &gateways, &mut stands, &mut verdicts);
    for gateway in gateways {
        let key = (gateway.metadata.namespace().to_owned(), gateway.metadata.name.clone());
        verdicts.gateways.insert(key, gateway_status(gateway, &stands, settings));
    }

    let mut plan = Plan { verdicts, ..Plan::default() };
    for (stand, entries) in stands.iter().zip(entries) {
        if let Some(port) = stand.port {
            let listener = ListenerTable { host: stand.host.clone(), entries };
            plan.table.ports.entry(port).or_default().push(listener);
        }
    }
    for listeners in plan.table.ports.values_mut() {
        listeners.sort_by_key(|listener| Host::rank(listener.host.as_ref()));
    }
    plan
}

/// Every listener; of several for one host on one socket the oldest gateway's first one is served.
fn stands<'a>(gateways: &[&'a Gateway], settings: &Settings) -> Vec<Stand<'a>> {
    let mut stands: Vec<Stand<'a>> = Vec::new();
    for gateway in gateways {
        for listener in &gateway.spec.listeners {
            let mut stand = Stand::new(gateway, listener, settings);
            let taken = stands
                .iter()
                .find(|other| stand.port.is_some() && other.port == stand.port && other.host == stand.host);
            if let Some(other) = taken {
                let why = format!(
                    "Listener {} of gateway {}/{} has the same port and host name.",
                    other.listener.name,
                    other.gateway.metadata.namespace(),
                    other.gateway.metadata.name
                );
                stand.refuse("Conflicted", "HostnameConflict", why);
            }
            stands.push(stand);
        }
    }
    stands
}

fn gateway_status(gateway: &Gateway, stands: &[Stand<'_>], settings: &Settings) -> GatewayStatus {
    let generation = gateway.metadata.generation;
    let own: Vec<&Stand<'_>> = stands.iter().filter(|stand| std::ptr::eq(stand.gateway, gateway)).collect();
    let served = own.iter().filter(|stand| stand.port.is_some()).count();
    let all = served == own.len() && served > 0;
    let accepted = if all {
        condition("Accepted", true, "Accepted", "", generation)
    } else {
        let message = format!("{served} of {} listeners are served.", own.len());
        condition("Accepted", served > 0, "ListenersNotValid", &message, generation)
    };
    let programmed = if served > 0 {
        condition("Programmed", true, "Programmed", "", generation)
    } else {
        condition("Programmed", false, "Invalid", "No listener is served.", generation)
    };
    GatewayStatus {
        addresses: settings.addresses.clone(),
        conditions: vec![accepted, programmed],
        listeners: own.iter().map(|stand| stand.status()).collect(),
    }
}

/// Attaches every route; gives the matches of each listener in order.
fn attach_routes(
    objects: &Objects,
    settings: &Settings,
    gateways: &[&Gateway],
    stands: &mut [Stand<'_>],
    verdicts: &mut Verdicts,
) -> Vec<Vec<Entry>> {
    let directory = Directory::new(objects);
    let mut entries: Vec<Vec<Entry>> = stands.iter().map(|_| Vec::new()).collect();
    let mut routes: Vec<&HttpRoute> = objects.routes.iter().collect();
    routes.sort_by_key(|route| {
        (&route.metadata.creation_timestamp, route.metadata.namespace(), &route.metadata.name)
    });
    for route in routes {
        let mut hosts: BTreeMap<usize, Vec<Option<Host>>> = BTreeMap::new();
        let mut outcomes = Vec::new();
        for parent in route.spec.parent_refs.iter().filter(|parent| parent.is_gateway()) {
            let namespace = parent.namespace.as_deref().unwrap_or(route.metadata.namespace());
            let ours = |gateway: &&Gateway| {
                gateway.metadata.name == parent.name && gateway.metadata.namespace() == namespace
            };
            if !gateways.iter().any(ours) {
                continue;
            }
            let outcome = attach(route, parent, stands, &objects.namespaces).map(|attached| {
                for (index, more) in attached {
                    let known = hosts.entry(index).or_default();
                    known.extend(more.into_iter().filter(|host| !known.contains(host)).collect::<Vec<_>>());
                }
            });
            outcomes.push((parent.clone(), outcome));
        }
        let mut faults = Faults::default();
        if !outcomes.is_empty() {
            add_entries(route, &hosts, &directory, settings, &mut entries, &mut faults);
        }
        for index in hosts.keys() {
            stands[*index].attached += 1;
        }
        let parents = outcomes
            .into_iter()
            .map(|(parent_ref, outcome)| {
                let conditions = conditions(route, outcome.err(), &faults);
                RouteParentStatus { parent_ref, controller_name: settings.controller.clone(), conditions }
            })
            .collect();
        let key = (route.metadata.namespace().to_owned(), route.metadata.name.clone());
        verdicts.routes.insert(key, parents);
    }
    // Stable: what the match does not decide, the order of routes and rules does.
    for listener in &mut entries {
        listener.sort_by_key(Entry::rank);
    }
    entries
}

fn add_entries(
    route: &HttpRoute,
    hosts: &BTreeMap<usize, Vec<Option<Host>>>,
    directory: &Directory<'_>,
    settings: &Settings,
    entries: &mut [Vec<Entry>],
    faults: &mut Faults,
) {
    for spec in &route.spec.rules {
        let rule = rules::read(route, spec, directory, settings.skip_empty_backends, faults);
        let everything = [Match::default()];
        let matches = if spec.matches.is_empty() { everything.as_slice() } else { &spec.matches };
        for wanted in matches {
            for (index, hosts) in hosts {
                for host in hosts {
                    match matching::read(wanted, host.clone(), &rule) {
                        Ok(entry) => entries[*index].push(entry),
                        Err(why) => {
                            faults.unsupported.get_or_insert(why);
                        }
                    }
                }
            }
        }
    }
}

fn conditions(
    route: &HttpRoute,
    refused: Option<Box<galley_gateway_types::Condition>>,
    faults: &Faults,
) -> Vec<galley_gateway_types::Condition> {
    let generation = route.metadata.generation;
    let accepted = match (refused, &faults.unsupported) {
        (Some(refused), _) => *refused,
        (None, Some(why)) => condition(
            "Accepted",
            false,
            "UnsupportedValue",
            &format!("Not all of the route is served: {why}."),
            generation,
        ),
        (None, None) => condition("Accepted", true, "Accepted", "", generation),
    };
    let resolved = match &faults.reference {
        Some((reason, why)) => condition("ResolvedRefs", false, reason, why, generation),
        None => condition("ResolvedRefs", true, "ResolvedRefs", "", generation),
    };
    vec![accepted, resolved]
}
