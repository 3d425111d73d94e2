//! Real photos, where they are at hand: `GALLEY_TEST_PHOTOS`, or `shared/data/food11-mini` beside the repository.

use std::path::{Path, PathBuf};

use galley_ml::{
    Classifier, FeatureSet, ModelFiles, OnnxClassifier, Origin, Photo, PhotoLimits, TrainOptions,
    class_of_folder, train,
};

/// Every how many-th photo of a class is looked at.
const EVERY: usize = 3;

fn photos() -> Option<PathBuf> {
    #[allow(clippy::disallowed_methods, reason = "a test is told where the photos are")]
    let named = std::env::var("GALLEY_TEST_PHOTOS").ok().map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data/food11-mini");
    [named, Some(beside)]
        .into_iter()
        .flatten()
        .map(|folder| folder.join("hires/validation"))
        .find(|f| f.is_dir())
}

#[test]
fn photos_it_never_saw_are_told_apart() {
    let Some(folder) = photos() else {
        #[allow(clippy::disallowed_macros, reason = "a skipped test says so")]
        {
            println!("skipped: no photos at GALLEY_TEST_PHOTOS or ../shared/data/food11-mini");
        }
        return;
    };
    let trained = train(&FeatureSet::bundled().unwrap(), &TrainOptions::default(), |_| {}).unwrap();
    let files = ModelFiles::export(&trained.head, Origin::default()).unwrap();
    let classifier = OnnxClassifier::from_files(&files).unwrap();
    let (mut right, mut all) = (0, 0);
    for class in folder.read_dir().unwrap() {
        let class = class.unwrap();
        let label = class_of_folder(&class.file_name().to_string_lossy()).unwrap();
        let mut files: Vec<PathBuf> =
            class.path().read_dir().unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for file in files.iter().step_by(EVERY) {
            let photo = Photo::decode(&std::fs::read(file).unwrap(), &PhotoLimits::default()).unwrap();
            right += usize::from(classifier.classify(&photo).unwrap().class == label);
            all += 1;
        }
    }
    let accuracy = f64::from(right as u32) / f64::from(all);
    assert!(accuracy >= 0.75, "{right} of {all} photos");
}
