//! Printed tables (`meta.k8s.io/v1` `Table`) and objects cut down to their metadata.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::{Column, ResourceDef, age};

/// The table of some objects. `include` is what rows carry of their object: `Object`, `None`, or its metadata.
pub(crate) fn table(
    def: &ResourceDef,
    objects: impl IntoIterator<Item = Value>,
    include: Option<&str>,
    now: Timestamp,
    metadata: Value,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(def, object, include, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns(def),
        "rows": rows,
    })
}

fn columns(def: &ResourceDef) -> Vec<Value> {
    let column = |name: &str, kind: &str, format: &str, wide: bool| json!({"name": name, "type": kind, "format": format, "description": "", "priority": i32::from(wide)});
    let mut columns = vec![column("Name", "string", "name", false)];
    // A date is printed as an age, which is text.
    let printed = |given: &Column| {
        let kind = if given.kind == "date" { "string" } else { given.kind.as_str() };
        column(&given.name, kind, "", given.wide)
    };
    columns.extend(def.columns.iter().map(printed));
    if def.columns.is_empty() {
        columns.push(column("Age", "string", "", false));
    }
    columns
}

fn row(def: &ResourceDef, object: Value, include: Option<&str>, now: Timestamp) -> Value {
    let mut cells = vec![object.pointer("/metadata/name").cloned().unwrap_or_default()];
    cells.extend(def.columns.iter().map(|column| column.cell_of(&object, now)));
    if def.columns.is_empty() {
        let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        cells.push(age(created, now).into());
    }
    match include {
        Some("None") => json!({"cells": cells}),
        Some("Object") => json!({"cells": cells, "object": object}),
        _ => json!({"cells": cells, "object": metadata_only(object)}),
    }
}

/// The object as `PartialObjectMetadata`.
pub(crate) fn metadata_only(mut object: Value) -> Value {
    let metadata = object.get_mut("metadata").map(Value::take).unwrap_or_default();
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::kubernetes_kinds;

    #[test]
    fn a_service_is_printed_as_kubectl_prints_it() {
        let def = kubernetes_kinds().into_iter().find(|def| def.plural == "services").expect("known");
        let service = json!({"metadata": {"name": "web", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}});
        let now = Timestamp::from_second(90).expect("in range");
        let printed = table(&def, [service], Some("None"), now, json!({}));
        assert_eq!(
            printed["rows"][0]["cells"],
            json!(["web", "ClusterIP", "10.96.0.1", "<none>", "80/TCP,53/UDP", "90s", "<none>"])
        );
        assert_eq!(printed["columnDefinitions"].as_array().map(Vec::len), Some(7));
    }
}
