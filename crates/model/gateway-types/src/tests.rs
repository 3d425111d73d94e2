//! Objects as people and servers write them.

use super::*;

#[test]
fn a_route_with_fields_of_the_future_is_read() {
    let route: HttpRoute = serde_json::from_str(
        r#"{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute",
          "metadata":{"name":"web","namespace":"shop","generation":3,"managedFields":[{"manager":"x"}]},
          "spec":{"parentRefs":[{"name":"main","sectionName":"http"}],"useDefaultGateways":"All",
            "rules":[{"matches":[{"path":{"type":"PathPrefix","value":"/"}}],
              "sessionPersistence":{"type":"Cookie"},
              "filters":[{"type":"RequestMirror","requestMirror":{"backendRef":{"name":"shadow","port":80},"percent":10}},
                         {"type":"URLRewrite","urlRewrite":{"path":{"type":"ReplaceFullPath","replaceFullPath":"/x"}}}],
              "backendRefs":[{"name":"a","port":80,"weight":90},{"name":"b","namespace":"canary","port":80,"weight":10}],
              "timeouts":{"request":"10s"}}]}}"#,
    )
    .unwrap();
    let rule = &route.spec.rules[0];
    assert_eq!(rule.filters[0].request_mirror.as_ref().unwrap().percent, Some(10));
    assert_eq!(rule.filters[1].url_rewrite.as_ref().unwrap().path.as_ref().unwrap().kind, "ReplaceFullPath");
    assert_eq!(rule.backend_refs[1].weight, Some(10));
    assert!(rule.backend_refs[0].is_service() && route.spec.parent_refs[0].is_gateway());
    let again: HttpRoute = serde_json::from_value(serde_json::to_value(&route).unwrap()).unwrap();
    assert_eq!(again, route);
}

#[test]
fn grants_name_who_and_what() {
    let grant: ReferenceGrant = serde_json::from_str(
        r#"{"metadata":{"name":"g","namespace":"canary"},"spec":{
            "from":[{"group":"gateway.networking.k8s.io","kind":"HTTPRoute","namespace":"platform"}],
            "to":[{"group":"","kind":"Service","name":"web"}]}}"#,
    )
    .unwrap();
    assert!(grant.lets_routes_reach("platform", "web"));
    assert!(!grant.lets_routes_reach("platform", "other"));
    assert!(!grant.lets_routes_reach("elsewhere", "web"));
}

#[test]
fn selectors_choose_by_label() {
    let selector: LabelSelector = serde_json::from_str(
        r#"{"matchLabels":{"a":"1"},"matchExpressions":[{"key":"b","operator":"NotIn","values":["x"]}]}"#,
    )
    .unwrap();
    let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    assert!(selector.matches(&labels(&[("a", "1")])));
    assert!(selector.matches(&labels(&[("a", "1"), ("b", "y")])));
    assert!(!selector.matches(&labels(&[("a", "1"), ("b", "x")])));
    assert!(!selector.matches(&labels(&[("b", "y")])));
}

#[test]
fn conditions_are_compared_without_their_times() {
    let a = condition("Accepted", true, "Accepted", "", Some(1));
    let later = Condition { last_transition_time: "2026-01-01T00:00:00Z".into(), ..a.clone() };
    assert!(same_conditions(std::slice::from_ref(&a), &[later]));
    let other = condition("Accepted", true, "Accepted", "", Some(2));
    assert!(!same_conditions(&[a], &[other]));
}
