//! The whole line on one machine: from commits to production, and back.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{House, http, photos, text, version};

/// Names of the classes by their number, as the answers write them.
const CLASSES: [&str; 11] = [
    "Bread",
    "Dairy product",
    "Dessert",
    "Egg",
    "Fried food",
    "Meat",
    "Noodles/Pasta",
    "Rice",
    "Seafood",
    "Soup",
    "Vegetable/Fruit",
];

fn promoted(version: &'static str) -> impl Fn(&Value) -> bool {
    move |release| release["status"]["phase"] == "Promoted" && release["status"]["version"] == version
}

#[test]
fn from_a_commit_to_production_and_back() {
    let mut house = House::new();
    house.up(&[]);
    house.wait("the control plane", |status| status["ready"] == true);

    let second = house.run(&["up", &house.dir().display().to_string(), "--ports", "auto"]);
    assert_eq!(second.status.code(), Some(75), "{}", text(&second));
    assert!(text(&second).contains(&house.endpoint("dashboard")), "{}", text(&second));

    let release = house.release("version 1 in production", promoted("1"));
    for gate in ["evaluation", "staging-contract", "staging-load", "canary"] {
        let passed = release["status"]["gates"].as_array().is_some_and(|gates| {
            gates.iter().any(|entry| entry["name"] == gate && entry["verdict"] == "pass")
        });
        assert!(passed, "the gate {gate} did not pass: {release:#}");
    }
    for environment in ["staging", "canary", "production"] {
        assert_eq!(version(&house.endpoint(environment)).as_deref(), Some("1"), "{environment}");
    }
    real_photos_are_classified(&house);
    bad_photos_are_refused(&house);
    the_gateway_splits(&house);
    lists_are_there(&house);

    house.git(&["pull", "--quiet", "--rebase"]);
    let log = house.git(&["log", "--format=%s"]);
    for subject in
        ["promote: version 1 to staging", "promote: version 1 to canary", "promote: version 1 to production"]
    {
        assert!(log.contains(subject), "{log}");
    }

    // A commit that changes the training runs the line again by itself.
    house.change("galley.yaml", "seed: 11", "seed: 12");
    house.release("version 2 in production", promoted("2"));
    assert_eq!(version(&house.endpoint("production")).as_deref(), Some("2"));

    a_revert_is_a_rollback(&house);
    let back = house.run(&["release", "rollback", "staging", "--reason", "a test"]);
    assert!(back.status.success(), "{}", text(&back));
    assert_eq!(version(&house.endpoint("staging")).as_deref(), Some("1"));

    // A candidate that learnt nothing is stopped before anybody sees it.
    house.change("galley.yaml", "shuffleLabels: false", "shuffleLabels: true");
    let stopped = house.release("the refused candidate", |release| release["status"]["phase"] == "Stopped");
    let message = stopped["status"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("evaluation"), "{message}");
    assert_eq!(version(&house.endpoint("staging")).as_deref(), Some("1"));
    assert_eq!(version(&house.endpoint("production")).as_deref(), Some("1"));

    let down = house.run(&["down"]);
    assert!(down.status.success(), "{}", text(&down));
    assert_eq!(house.ended(), 0, "{}", house.log());
}

/// `git revert` and a push put the former version back.
fn a_revert_is_a_rollback(house: &House) {
    house.git(&["pull", "--quiet", "--rebase"]);
    let commit = house.git(&["log", "-1", "--format=%H", "--grep", "promote: version 2 to production"]);
    house.git(&["revert", "--no-edit", commit.trim()]);
    house.git(&["push", "--quiet"]);
    let production = house.endpoint("production");
    let began = Instant::now();
    while version(&production).as_deref() != Some("1") {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "production still answers {:?}",
            version(&production)
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("rollback by revert seen after {:.1} s", began.elapsed().as_secs_f64());
}

fn real_photos_are_classified(house: &House) {
    let Some(photos) = photos(20) else {
        println!("skipped: no photos beside the repository (../shared/data/food11-mini)");
        return;
    };
    let url = format!("{}/predict", house.endpoint("production"));
    let mut right = 0;
    for (path, class) in &photos {
        let photo = std::fs::read(path).expect("a readable photo");
        let answer =
            http("POST", &url, &[("accept", "application/json"), ("content-type", "image/jpeg")], &photo)
                .expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let wanted = CLASSES[class.parse::<usize>().expect("a class number")];
        right += usize::from(answer.json()["class"] == wanted);
    }
    println!("{right} of {} photos classified rightly", photos.len());
    assert!(right >= 17, "only {right} of {} photos were classified rightly", photos.len());
}

fn bad_photos_are_refused(house: &House) {
    let url = format!("{}/predict", house.endpoint("production"));
    let post = |body: &[u8]| {
        http("POST", &url, &[("accept", "application/json"), ("content-type", "image/png")], body)
            .expect("an answer")
    };
    assert_eq!(post(b"").status, 400);
    let refused = post(b"this is no picture");
    assert_eq!(refused.status, 415);
    assert!(refused.json()["error"]["message"].is_string(), "{}", refused.json());
}

/// Ninety to ten, within what chance allows for 400 requests.
fn the_gateway_splits(house: &House) {
    let url = format!("{}/version", house.endpoint("gateway"));
    let mut canary = 0;
    for _ in 0..400 {
        let answer = http("GET", &url, &[], b"").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.head);
        canary += usize::from(answer.head.contains("gourmetgram-canary"));
    }
    println!("canary got {canary} of 400 requests");
    assert!((15..=70).contains(&canary), "canary got {canary} of 400 requests");
}

fn lists_are_there(house: &House) {
    for (args, wanted) in [
        (&["workflow", "list", "-o", "name"][..], "train-"),
        (&["app", "list"], "gourmetgram-production"),
        (&["release", "list"], "Promoted"),
        (&["image", "list"], "gourmetgram"),
        (&["model", "list"], "production"),
        (&["workflow", "get", "@latest"], "evaluate"),
        (&["app", "get", "gourmetgram-staging"], "Deployment/gourmetgram-app"),
        (&["workflow", "logs", "@latest"], "accuracy"),
    ] {
        let output = house.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        assert!(text(&output).contains(wanted), "{args:?} does not show `{wanted}`:\n{}", text(&output));
    }
    let diff = house.run(&["app", "diff", "gourmetgram-production"]);
    assert_eq!(diff.status.code(), Some(0), "{}", text(&diff));
}
