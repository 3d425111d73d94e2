//! Tables built from objects as people write them.

use serde_json::{Value, json};

use super::*;

/// A world of objects that grows by method calls.
#[derive(Default)]
struct World(Objects);

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl World {
    /// A class, and a gateway `infra/main` with one listener on port 80 for all namespaces.
    fn new() -> World {
        let world = World::default().class("galley", "galley.dev/gateway");
        world.gateway(
            "main",
            json!([{"name": "http", "port": 80, "protocol": "HTTP",
            "allowedRoutes": {"namespaces": {"from": "All"}}}]),
        )
    }

    fn class(mut self, name: &str, controller: &str) -> World {
        let class =
            json!({"metadata": {"name": name, "generation": 1}, "spec": {"controllerName": controller}});
        self.0.classes.push(read(class));
        self
    }

    fn gateway(mut self, name: &str, listeners: Value) -> World {
        self.0.gateways.push(read(json!({
            "metadata": {"name": name, "namespace": "infra", "generation": 7},
            "spec": {"gatewayClassName": "galley", "listeners": listeners}})));
        self
    }

    fn route(mut self, name: &str, spec: Value) -> World {
        let mut spec = spec;
        if spec.get("parentRefs").is_none() {
            spec["parentRefs"] = json!([{"name": "main", "namespace": "infra"}]);
        }
        let age = format!("2026-01-01T00:00:{:02}Z", self.0.routes.len());
        let metadata = json!({"name": name, "namespace": "app", "generation": 3, "creationTimestamp": age});
        self.0.routes.push(read(json!({"metadata": metadata, "spec": spec})));
        self
    }

    /// A Service with port 80 and ready endpoints at `127.0.0.<n>:8000`.
    fn service(mut self, namespace: &str, name: &str, endpoints: &[u8]) -> World {
        self.0.services.push(Arc::new(read(json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8000}]}}))));
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|n| json!({"addresses": [format!("127.0.0.{n}")], "conditions": {"ready": true}}))
            .collect();
        self.slice(namespace, name, json!(endpoints))
    }

    fn slice(mut self, namespace: &str, service: &str, endpoints: Value) -> World {
        self.0.slices.push(Arc::new(read(json!({
            "metadata": {"name": format!("{service}-x"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8000}], "endpoints": endpoints}))));
        self
    }

    fn grant(mut self, namespace: &str, from: &str) -> World {
        self.0.grants.push(read(json!({"metadata": {"name": "g", "namespace": namespace}, "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": from}],
            "to": [{"group": "", "kind": "Service"}]}})));
        self
    }

    fn plan(&self) -> Plan {
        build(&self.0, &settings(&[80], None))
    }

    /// The reasons of a route's conditions at its first parent, as `Accepted/ResolvedRefs`.
    fn reasons(&self, route: &str) -> String {
        let plan = self.plan();
        let parents = &plan.verdicts.routes[&("app".to_owned(), route.to_owned())];
        let Some(parent) = parents.first() else { return "none".to_owned() };
        assert!(parent.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
        let reasons: Vec<&str> =
            parent.conditions.iter().map(|condition| condition.reason.as_str()).collect();
        reasons.join("/")
    }
}

fn settings(bound: &[u16], default_port: Option<u16>) -> Settings {
    Settings {
        controller: crate::CONTROLLER.to_owned(),
        bound: bound.iter().copied().collect(),
        default_port,
        skip_empty_backends: true,
        addresses: vec![GatewayAddress { kind: Some("IPAddress".into()), value: "127.0.0.1".into() }],
    }
}

fn backend(name: &str) -> Value {
    json!([{"name": name, "port": 80}])
}

/// The backend that a request goes to: `METHOD host/path?query` and headers.
fn ask(table: &Table, request: &str, headers: &[(&str, &str)]) -> String {
    let (method, rest) = request.split_once(' ').unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let path = format!("/{path}");
    let (path, query) =
        path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let method = method.parse().unwrap();
    let query = Query { host, method: &method, path, query, headers: &map };
    match table.lookup(80, &query) {
        None => "none".to_owned(),
        Some(entry) => entry.rule.draw(|_| 0).map_or_else(|status| status.to_string(), |b| b.name.clone()),
    }
}

#[test]
fn the_most_specific_match_wins_whatever_the_order() {
    let matches = |value: Value, to: &str| json!({"matches": [value], "backendRefs": backend(to)});
    let rules = [
        matches(json!({}), "any"),
        matches(json!({"path": {"value": "/a"}}), "prefix"),
        matches(json!({"path": {"value": "/a/b/"}}), "longer"),
        matches(json!({"path": {"type": "Exact", "value": "/a"}}), "exact"),
        matches(json!({"path": {"value": "/a"}, "method": "POST"}), "method"),
        matches(json!({"path": {"value": "/a"}, "headers": [{"name": "X-A", "value": "1"}]}), "header"),
        matches(
            json!({"path": {"value": "/a"}, "headers": [{"name": "x-a", "value": "1"},
            {"name": "x-b", "value": "2"}]}),
            "headers",
        ),
        matches(json!({"path": {"value": "/a"}, "queryParams": [{"name": "q", "value": "x y"}]}), "query"),
    ];
    let mut backward = rules.clone();
    backward.reverse();
    for rules in [rules, backward] {
        let mut world = World::new().route("r", json!({"rules": rules}));
        for name in ["any", "prefix", "longer", "exact", "method", "header", "headers", "query"] {
            world = world.service("app", name, &[1]);
        }
        let table = world.plan().table;
        let check = |request: &str, headers: &[(&str, &str)], to: &str| {
            assert_eq!(ask(&table, request, headers), format!("app/{to}"), "{request} {headers:?}");
        };
        check("GET h/", &[], "any");
        check("GET h/ab", &[], "any");
        check("GET h/a", &[], "exact");
        check("GET h/a/", &[], "prefix");
        check("GET h/a/c", &[], "prefix");
        check("GET h/a/b", &[], "longer");
        check("GET h/a/b/c", &[("x-a", "1")], "longer");
        check("POST h/a/c", &[("x-a", "1")], "method");
        check("GET h/a/c", &[("x-a", "1")], "header");
        check("GET h/a/c", &[("x-a", "1"), ("x-b", "2")], "headers");
        check("GET h/a/c", &[("x-a", "1"), ("x-a", "2")], "prefix");
        check("GET h/a/c?q=x%20y", &[], "query");
        check("GET h/a/c?q=x+y&q=z", &[], "query");
        check("GET h/a/c?q=z&q=x+y", &[], "prefix");
    }
}

#[test]
fn hosts_are_chosen_before_paths_and_older_routes_win_ties() {
    let world = World::new()
        .route("old", json!({"hostnames": ["*.shop.example"], "rules": [{"backendRefs": backend("wild")}]}))
        .route(
            "new",
            json!({"hostnames": ["a.shop.example"], "rules": [
            {"matches": [{"path": {"value": "/x"}}], "backendRefs": backend("exact")}]}),
        )
        .route("same", json!({"hostnames": ["*.shop.example"], "rules": [{"backendRefs": backend("late")}]}))
        .service("app", "wild", &[1])
        .service("app", "exact", &[1])
        .service("app", "late", &[1]);
    let table = world.plan().table;
    assert_eq!(ask(&table, "GET a.shop.example/x", &[]), "app/exact");
    assert_eq!(ask(&table, "GET a.shop.example/y", &[]), "app/wild");
    assert_eq!(ask(&table, "GET b.shop.example/x", &[]), "app/wild");
    assert_eq!(ask(&table, "GET shop.example/x", &[]), "none");
}

#[test]
fn weights_are_shares() {
    let rule = |weights: &[(&str, u64)]| Rule {
        backends: weights
            .iter()
            .map(|(name, weight)| Backend {
                name: (*name).into(),
                weight: *weight,
                endpoints: vec!["127.0.0.1:1".parse().unwrap()],
                ..Backend::default()
            })
            .collect(),
        ..Rule::default()
    };
    let draw = |rule: &Rule, ticket: u64| rule.draw(|total| ticket.min(total - 1)).map(|b| b.name.clone());
    let split = rule(&[("a", 90), ("none", 0), ("b", 10)]);
    let drawn: Vec<_> = (0..100).map(|ticket| draw(&split, ticket).unwrap()).collect();
    assert_eq!(drawn.iter().filter(|name| *name == "a").count(), 90);
    assert_eq!(drawn.iter().filter(|name| *name == "b").count(), 10);
    let nothing = rule(&[("a", 0)]);
    assert_eq!(nothing.draw(|_| 0).unwrap_err(), 500, "all weights zero");
}

#[test]
fn a_backend_without_endpoints_is_left_out_of_the_draw_unless_told_otherwise() {
    let spec = json!({"rules": [{"backendRefs": [
        {"name": "stable", "port": 80, "weight": 90}, {"name": "empty", "port": 80, "weight": 5},
        {"name": "missing", "port": 80, "weight": 5}]}]});
    let world = World::new().route("r", spec).service("app", "stable", &[1]).service("app", "empty", &[]);
    let statuses = |skip: bool| {
        let plan = build(&world.0, &Settings { skip_empty_backends: skip, ..settings(&[80], None) });
        let rule = Arc::clone(&plan.table.ports[&80][0].entries[0].rule);
        (0..100).map(move |ticket| rule.draw(|total| ticket % total).map_or_else(|s| s.as_u16(), |_| 200))
    };
    let count = |skip, status| statuses(skip).filter(|got| *got == status).count();
    assert_eq!(count(true, 200), 100);
    assert_eq!((count(false, 200), count(false, 503), count(false, 500)), (90, 5, 5));
    assert_eq!(world.reasons("r"), "Accepted/BackendNotFound", "the missing Service is still said");

    let gone = World::new().route("r", json!({"rules": [{"backendRefs": backend("empty")}]})).service(
        "app",
        "empty",
        &[],
    );
    assert_eq!(ask(&gone.plan().table, "GET h/", &[]), "503 Service Unavailable");
}

#[test]
fn endpoints_that_are_not_ready_or_are_ending_get_nothing() {
    let world = World::new()
        .route("r", json!({"rules": [{"backendRefs": backend("web")}]}))
        .service("app", "web", &[1])
        .slice(
            "app",
            "web",
            json!([
            {"addresses": ["127.0.0.2"], "conditions": {"ready": false}},
            {"addresses": ["127.0.0.3"], "conditions": {"ready": true, "terminating": true}},
            {"addresses": ["127.0.0.4"]}, {"addresses": ["name.example"]}, {"addresses": ["127.0.0.1"]}]),
        );
    let plan = world.plan();
    let expected = ["127.0.0.1:8000", "127.0.0.4:8000"].map(|address| address.parse().unwrap());
    assert_eq!(plan.table.endpoints(), BTreeSet::from(expected));
    let rule = &plan.table.ports[&80][0].entries[0].rule;
    let firsts: BTreeSet<_> = (0..2).map(|_| rule.backends[0].in_turn().next().unwrap()).collect();
    assert_eq!(firsts.len(), 2, "they take turns");
}

#[test]
fn another_namespace_is_reached_only_with_its_grant() {
    let spec = json!({"rules": [{"backendRefs": [{"name": "web", "namespace": "canary", "port": 80}]}]});
    let world = World::new().route("r", spec).service("canary", "web", &[1]);
    assert_eq!(world.reasons("r"), "Accepted/RefNotPermitted");
    assert_eq!(ask(&world.plan().table, "GET h/", &[]), "500 Internal Server Error");
    let world = world.grant("canary", "elsewhere");
    assert_eq!(world.reasons("r"), "Accepted/RefNotPermitted");
    let world = world.grant("canary", "app");
    assert_eq!(world.reasons("r"), "Accepted/ResolvedRefs");
    assert_eq!(ask(&world.plan().table, "GET h/", &[]), "canary/web");
}

#[test]
fn routes_attach_where_they_may_and_are_told_why_not() {
    let listeners = json!([
        {"name": "same", "port": 80, "protocol": "HTTP", "hostname": "same.example"},
        {"name": "all", "port": 80, "protocol": "HTTP", "hostname": "*.all.example",
         "allowedRoutes": {"namespaces": {"from": "All"}}},
        {"name": "some", "port": 80, "protocol": "HTTP", "hostname": "some.example",
         "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}},
        {"name": "grpc", "port": 80, "protocol": "HTTP", "hostname": "grpc.example",
         "allowedRoutes": {"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]}}]);
    let parent = |section: &str, host: Value| {
        json!({"parentRefs": [{"name": "main", "namespace": "infra", "sectionName": section}], "hostnames": host,
            "rules": [{"backendRefs": backend("web")}]})
    };
    let mut world = World::default().class("galley", crate::CONTROLLER).gateway("main", listeners);
    world.0.namespaces.insert("app".into(), BTreeMap::from([("team".to_owned(), "b".to_owned())]));
    world = world
        .service("app", "web", &[1])
        .route("same", parent("same", json!([])))
        .route("all", parent("all", json!([])))
        .route("host", parent("all", json!(["x.other.example"])))
        .route("some", parent("some", json!([])))
        .route("grpc", parent("grpc", json!([])))
        .route("nowhere", parent("nothing", json!([])))
        .route("theirs", json!({"parentRefs": [{"name": "theirs"}], "rules": []}));
    assert_eq!(world.reasons("same"), "NotAllowedByListeners/ResolvedRefs");
    assert_eq!(world.reasons("all"), "Accepted/ResolvedRefs");
    assert_eq!(world.reasons("host"), "NoMatchingListenerHostname/ResolvedRefs");
    assert_eq!(world.reasons("some"), "NotAllowedByListeners/ResolvedRefs");
    assert_eq!(world.reasons("grpc"), "NotAllowedByListeners/ResolvedRefs");
    assert_eq!(world.reasons("nowhere"), "NoMatchingParent/ResolvedRefs");
    assert_eq!(world.reasons("theirs"), "none", "another controller's gateway");
    world.0.namespaces.insert("app".into(), BTreeMap::from([("team".to_owned(), "a".to_owned())]));
    assert_eq!(world.reasons("some"), "Accepted/ResolvedRefs");

    let plan = world.plan();
    let status = &plan.verdicts.gateways[&("infra".to_owned(), "main".to_owned())];
    let attached: Vec<i32> = status.listeners.iter().map(|listener| listener.attached_routes).collect();
    assert_eq!(attached, [0, 1, 1, 0]);
    assert_eq!(status.listeners[3].supported_kinds, []);
    assert_eq!(ask(&plan.table, "GET x.all.example/", &[]), "app/web");
    assert_eq!(ask(&plan.table, "GET same.example/", &[]), "none");
}

#[test]
fn listeners_without_a_socket_are_told_so_or_served_on_the_default() {
    let gateway = |world: World| {
        world.gateway(
            "main",
            json!([
            {"name": "bound", "port": 80, "protocol": "HTTP", "hostname": "a"},
            {"name": "other", "port": 8000, "protocol": "HTTP", "hostname": "b"},
            {"name": "twice", "port": 80, "protocol": "HTTP", "hostname": "a"},
            {"name": "tls", "port": 443, "protocol": "HTTPS"}]),
        )
    };
    let world = gateway(World::default().class("galley", crate::CONTROLLER));
    let reasons = |default_port: Option<u16>| {
        let plan = build(&world.0, &settings(&[80], default_port));
        let status = &plan.verdicts.gateways[&("infra".to_owned(), "main".to_owned())];
        let of = |conditions: &[galley_gateway_types::Condition], kind: &str| {
            conditions.iter().find(|condition| condition.kind == kind).unwrap().reason.clone()
        };
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
        let listeners: Vec<String> = status
            .listeners
            .iter()
            .map(|l| {
                format!(
                    "{}/{}/{}",
                    of(&l.conditions, "Accepted"),
                    of(&l.conditions, "Conflicted"),
                    of(&l.conditions, "Programmed")
                )
            })
            .collect();
        (of(&status.conditions, "Accepted"), of(&status.conditions, "Programmed"), listeners)
    };
    let (accepted, programmed, listeners) = reasons(None);
    assert_eq!((accepted.as_str(), programmed.as_str()), ("ListenersNotValid", "Programmed"));
    assert_eq!(
        listeners,
        [
            "Accepted/NoConflicts/Programmed",
            "PortUnavailable/NoConflicts/Invalid",
            "Accepted/HostnameConflict/Invalid",
            "UnsupportedProtocol/NoConflicts/Invalid",
        ]
    );
    assert_eq!(reasons(Some(80)).2[1], "Accepted/NoConflicts/Programmed");
}

#[test]
fn what_is_not_supported_is_said_and_answers_500() {
    let regex = json!({"rules": [{"matches": [{"path": {"type": "RegularExpression", "value": ".*"}}]}]});
    let filter = json!({"rules": [{"filters": [{"type": "ExtensionRef"}], "backendRefs": backend("web")}]});
    let world = World::new().route("regex", regex).route("filter", filter).service("app", "web", &[1]);
    assert_eq!(world.reasons("regex"), "UnsupportedValue/ResolvedRefs");
    assert_eq!(world.reasons("filter"), "UnsupportedValue/ResolvedRefs");
    assert_eq!(ask(&world.plan().table, "GET h/", &[]), "500 Internal Server Error");
}

#[test]
fn other_controllers_objects_are_left_alone_and_order_does_not_matter() {
    let theirs = World::default()
        .class("galley", "example.net/other")
        .gateway("main", json!([{"name": "http", "port": 80, "protocol": "HTTP"}]))
        .route("r", json!({"rules": []}));
    let plan = theirs.plan();
    assert!(
        plan.table.ports.is_empty() && plan.verdicts.gateways.is_empty() && plan.verdicts.classes.is_empty()
    );
    assert_eq!(plan.verdicts.routes[&("app".to_owned(), "r".to_owned())], []);

    let mut world = World::new()
        .route("a", json!({"rules": [{"backendRefs": backend("web")}]}))
        .route("b", json!({"rules": [{"backendRefs": backend("web")}]}))
        .service("app", "web", &[1]);
    let first = world.plan();
    world.0.routes.reverse();
    let second = world.plan();
    assert_eq!(first.verdicts, second.verdicts);
    let order = |plan: &Plan| -> Vec<String> {
        plan.table.ports[&80][0].entries.iter().map(|entry| entry.rule.route.clone()).collect()
    };
    assert_eq!(order(&first), order(&second));
    assert_eq!(order(&first), ["app/a", "app/b"]);
}
