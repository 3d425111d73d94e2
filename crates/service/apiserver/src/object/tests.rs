//! The rules of objects, without a server.

use super::*;
use crate::kinds::kubernetes_kinds;

fn def(plural: &str) -> ResourceDef {
    kubernetes_kinds().into_iter().find(|def| def.plural == plural).expect("a known kind")
}

fn deployment() -> Value {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "nginx"}]}}},
        "status": {"replicas": 9}});
    for_create(&def("deployments"), object, Timestamp::UNIX_EPOCH).expect("valid")
}

#[test]
fn a_new_object_gets_its_metadata_and_defaults_and_loses_its_status() {
    let object = deployment();
    assert_eq!(object["metadata"]["creationTimestamp"], "1970-01-01T00:00:00Z");
    assert_eq!(object["metadata"]["generation"], 1);
    assert_eq!(object["metadata"]["uid"].as_str().map(str::len), Some(36));
    assert!(object.get("status").is_none());
    assert_eq!(object["spec"]["replicas"], 1);
    assert_eq!(object["spec"]["strategy"]["type"], "RollingUpdate");
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always", "no tag means latest");
}

#[test]
fn spec_and_status_are_written_apart() {
    let def = def("deployments");
    let old = deployment();
    let mut new = old.clone();
    new["status"] = json!({"replicas": 2});
    new["spec"]["replicas"] = json!(5);
    let main = for_update(&def, &old, new.clone(), Part::Main).expect("valid");
    assert!(main.get("status").is_none());
    assert_eq!((&main["spec"]["replicas"], &main["metadata"]["generation"]), (&json!(5), &json!(2)));
    let status = for_update(&def, &old, new, Part::Status).expect("valid");
    assert_eq!((&status["spec"]["replicas"], &status["metadata"]["generation"]), (&json!(1), &json!(1)));
    assert_eq!(status["status"], json!({"replicas": 2}));
}

#[test]
fn identity_cannot_be_written() {
    let def = def("deployments");
    let old = deployment();
    let mut new = old.clone();
    new["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    new["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    let kept = for_update(&def, &old, new.clone(), Part::Main).expect("valid");
    assert!(is_same(&old, &kept), "{kept}");
    new["metadata"]["uid"] = json!("another");
    assert_eq!(for_update(&def, &old, new, Part::Main).expect_err("another object").code(), 409);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refuse = |plural: &str, object: Value| {
        for_create(&def(plural), object, Timestamp::UNIX_EPOCH).expect_err("invalid").code()
    };
    assert_eq!(refuse("configmaps", json!({})), 422);
    assert_eq!(refuse("configmaps", json!({"metadata": {"name": "A"}})), 422);
    assert_eq!(refuse("configmaps", json!({"metadata": {"name": "a", "resourceVersion": "1"}})), 400);
    assert_eq!(refuse("configmaps", json!({"metadata": {"name": "a", "ownerReferences": [{}]}})), 422);
    assert_eq!(refuse("pods", json!({"metadata": {"name": "a"}, "spec": {"containers": []}})), 422);
    let mut wrong = deployment();
    wrong["metadata"] = json!({"name": "a"});
    wrong["spec"]["selector"]["matchLabels"]["a"] = json!("other");
    assert_eq!(refuse("deployments", wrong), 422);
    assert!(address(&def("pods"), Some("n"), None, &mut json!({"kind": "Secret"})).is_err());
    assert!(address(&def("pods"), Some("n"), None, &mut json!({"metadata": {"namespace": "m"}})).is_err());
    let mut bare = json!({"metadata": {"name": "a"}});
    address(&def("pods"), Some("n"), Some("a"), &mut bare).expect("fits");
    assert_eq!(bare["kind"], "Pod");
}

#[test]
fn some_fields_never_change() {
    let def = def("deployments");
    let old = deployment();
    let mut new = old.clone();
    new["spec"]["selector"]["matchLabels"] = json!({"a": "c"});
    new["spec"]["template"]["metadata"]["labels"] = json!({"a": "c"});
    assert_eq!(for_update(&def, &old, new, Part::Main).expect_err("immutable").code(), 422);
}

#[test]
fn typed_kinds_are_read_strictly() {
    let def = def("deployments");
    let mut object = deployment();
    object["spec"]["replica"] = json!(3);
    object["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": 2}});
    let (canonical, unknown) = typed(&def, object.clone()).expect("readable");
    assert_eq!(unknown, ["spec.replica"]);
    let container = &canonical["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["cpu"], "2", "quantities are stored as text");
    assert!(canonical["spec"].get("replica").is_none());
    object["spec"]["replicas"] = json!("three");
    let error = typed(&def, object).expect_err("a wrong type");
    assert!(error.to_json()["message"].as_str().expect("text").contains("spec.replicas"));
}
