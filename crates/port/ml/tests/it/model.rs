//! What is trained, saved, loaded and served is one and the same model.

use galley_ml::{
    CLASSES, Classifier, FEATURES, FeatureExtractor, Head, ModelError, ModelFiles, OnnxClassifier, Origin,
    Photo, View, measure_latency, read_contract,
};
use galley_problem::Problem;

use crate::picture;

fn head() -> Head {
    let weight = (0..11 * FEATURES).map(|i| (i as f32 * 0.37).sin() * 0.1).collect();
    Head::new(weight, (0..11).map(|i| i as f32 * 0.1).collect(), 1.3).unwrap()
}

fn files() -> ModelFiles {
    let origin = Origin { model: "gourmetgram".into(), version: Some("3".into()), ..Origin::default() };
    ModelFiles::export(&head(), origin).unwrap()
}

#[test]
fn the_saved_graph_answers_as_features_and_head_do() {
    let folder = tempfile::tempdir().unwrap();
    files().save(folder.path()).unwrap();
    let begin = std::time::Instant::now();
    let classifier = OnnxClassifier::load(folder.path()).unwrap();
    assert!(begin.elapsed().as_secs() < 5, "loading took {:?}", begin.elapsed());
    let extractor = FeatureExtractor::bundled().unwrap();
    for photo in [Photo::sample(), picture(1), picture(2)] {
        let prediction = classifier.classify(&photo).unwrap();
        let expected = head().probabilities(&extractor.features(&photo).unwrap());
        for (a, b) in prediction.probabilities.iter().zip(expected) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        assert!((prediction.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(prediction.ranked()[0], (prediction.name(), prediction.confidence()));
    }
    assert_eq!(measure_latency(&classifier, 3).unwrap().len(), 3);
}

#[test]
fn several_views_at_once_are_the_same_as_one_by_one() {
    let extractor = FeatureExtractor::bundled().unwrap();
    let photo = Photo::sample();
    let both = extractor.views(&photo, &[View::default(), View::mirrored()]).unwrap();
    let one = extractor.features(&photo).unwrap();
    let other = extractor.views(&photo, &[View::mirrored()]).unwrap();
    assert_eq!(both.len(), 2 * FEATURES);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
    assert!(near(&both[..FEATURES], &one) && near(&both[FEATURES..], &other));
    assert!(!near(&one, &other), "a mirror image is another picture");
}

#[test]
fn the_same_head_gives_the_same_bytes() {
    assert_eq!(files(), files());
    assert!(files().onnx.len() < 9_000_000);
}

#[test]
fn the_contract_says_what_a_server_must_know() {
    let folder = tempfile::tempdir().unwrap();
    files().save(folder.path()).unwrap();
    let text = std::fs::read_to_string(folder.path().join("contract.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["version"], "3");
    assert_eq!(json["input"]["shape"], serde_json::json!(["N", 3, 224, 224]));
    assert_eq!(json["output"]["name"], "logits");
    assert_eq!(json["classes"], serde_json::json!(CLASSES));
    assert_eq!(json["preprocessing"]["mean"], 127.0);
    let contract = read_contract(folder.path()).unwrap();
    assert_eq!(contract, files().contract);
    assert_eq!(contract.to_json(), text);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let load = || OnnxClassifier::load(folder.path()).err().unwrap();
    assert!(matches!(load(), ModelError::File { .. }));
    assert_eq!(Problem::from(load()).code, "G0705");

    files().save(folder.path()).unwrap();
    let change = |from: &str, to: &str| {
        let text = files().contract.to_json().replace(from, to);
        assert_ne!(text, files().contract.to_json());
        std::fs::write(folder.path().join("contract.json"), text).unwrap();
    };
    change("\"Bread\"", "\"Beer\"");
    assert!(matches!(load(), ModelError::Contract { .. }));
    change("\"cropAt\": \"center\"", "\"cropAt\": \"corner\"");
    assert!(matches!(load(), ModelError::Contract { .. }));
    change("\"schema\": 1", "\"schema\": 2");
    assert!(matches!(load(), ModelError::Contract { .. }));
    change("{", "[");
    assert!(matches!(load(), ModelError::ContractSyntax { .. }));

    files().save(folder.path()).unwrap();
    std::fs::write(folder.path().join("model.onnx"), b"something else").unwrap();
    assert!(matches!(load(), ModelError::Digest { .. }));
    assert_eq!(Problem::from(load()).code, "G0706");
}

#[test]
fn a_bare_graph_is_opened_too() {
    let folder = tempfile::tempdir().unwrap();
    files().save(folder.path()).unwrap();
    let file = folder.path().join("model.onnx");
    let ours = OnnxClassifier::open(&file).unwrap();
    assert_eq!(ours.contract(), &files().contract);
    assert!(ours.runtime().starts_with("galley-nn"), "{}", ours.runtime());
    // Elsewhere, without its contract, it is taken for what torchvision exports.
    let bare = folder.path().join("alone");
    std::fs::create_dir(&bare).unwrap();
    std::fs::copy(&file, bare.join("food.onnx")).unwrap();
    let alone = OnnxClassifier::open(&bare.join("food.onnx")).unwrap();
    assert_eq!(alone.contract().model, "food");
    assert!(matches!(alone.contract().preprocessing.mean, galley_ml::Channels::Each(_)));
    assert!(OnnxClassifier::open(&folder.path().join("contract.json")).is_err());
}
