//! The house's floors: a crate may use only lower ones, and some crates belong to one room.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

/// Floors from the ground up. Crates of one floor do not use each other unless the floor says so.
const FLOORS: [&str; 6] = ["base", "lang", "model", "engine", "port", "service"];
/// Floors whose rooms may use each other.
const OPEN: [&str; 3] = ["lang", "model", "port"];
/// Floors that know no runtime, disk or network.
const PURE: [&str; 4] = ["base", "lang", "model", "engine"];
/// What a pure floor must not depend on.
const WORLDLY: [&str; 10] = [
    "tokio",
    "kube",
    "reqwest",
    "axum",
    "hyper",
    "rusqlite",
    "rustix",
    "tokio-util",
    "k8s-openapi",
    "tempfile",
];
/// Crates that are used in one room only.
const DOORS: [(&str, &[&str]); 8] = [
    ("rusqlite", &["galley-store"]),
    ("clap", &["galley", "xtask"]),
    ("indicatif", &["galley"]),
    ("comfy-table", &["galley"]),
    ("rustix", &["galley-sandbox", "galley-oci", "galley-iac", "galley-gateway"]),
    ("rten", &["galley-ml"]),
    ("serde-saphyr", &["galley-yaml"]),
    ("include_dir", &["galley"]),
];

struct Room {
    name: String,
    floor: String,
    uses: Vec<String>,
}

fn rooms() -> BTreeMap<String, Room> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata speaks JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let path = package["manifest_path"].as_str().expect("a path");
            let floor = path.rsplit('/').nth(2).expect("a floor").to_owned();
            let uses = package["dependencies"]
                .as_array()
                .expect("dependencies")
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().expect("a name").to_owned())
                .collect();
            let name = package["name"].as_str().expect("a name").to_owned();
            (name.clone(), Room { name, floor, uses })
        })
        .collect()
}

#[test]
fn a_room_uses_only_lower_floors() {
    let rooms = rooms();
    let level = |floor: &str| FLOORS.iter().position(|known| *known == floor);
    let mut wrong = Vec::new();
    for room in rooms.values() {
        let Some(own) = level(&room.floor) else { continue };
        for used in room.uses.iter().filter_map(|name| rooms.get(name)) {
            let allowed = match level(&used.floor) {
                Some(theirs) => theirs < own || (theirs == own && OPEN.contains(&room.floor.as_str())),
                None => false,
            };
            if !allowed {
                wrong.push(format!("{} ({}) uses {} ({})", room.name, room.floor, used.name, used.floor));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_floors_know_nothing_of_the_world() {
    let wrong: Vec<_> = rooms()
        .into_values()
        .filter(|room| PURE.contains(&room.floor.as_str()))
        .flat_map(|room| {
            let name = room.name;
            room.uses
                .into_iter()
                .filter(|used| WORLDLY.contains(&used.as_str()))
                .map(move |used| format!("{name} uses {used}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn heavy_crates_stay_behind_their_doors() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    for (door, keepers) in DOORS {
        for room in rooms.values().filter(|room| room.uses.iter().any(|used| used == door)) {
            if !keepers.contains(&room.name.as_str()) {
                wrong.push(format!("{} uses {door}, which belongs to {}", room.name, keepers.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
