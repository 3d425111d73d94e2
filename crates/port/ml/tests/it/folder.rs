//! Photos in folders.

use std::path::Path;

use galley_ml::{CLASSES, FolderError, FolderOptions, Split, read_folder};
use galley_problem::Problem;

use crate::picture;

/// Folders with `count` pictures of every class.
fn fill(folder: &Path, split: &str, count: u32, first: u32) {
    for (label, class) in CLASSES.iter().enumerate() {
        let class = folder.join(split).join(format!("{label}_{}", class.replace([' ', '/'], "_")));
        std::fs::create_dir_all(&class).unwrap();
        for i in 0..count {
            let number = first + i * 11 + label as u32;
            std::fs::write(class.join(format!("{i}.png")), picture(number).to_png().unwrap()).unwrap();
        }
    }
}

#[test]
fn features_are_computed_once_and_splits_are_kept_apart() {
    let root = tempfile::tempdir().unwrap();
    let (photos, cache) = (root.path().join("photos"), root.path().join("cache"));
    fill(&photos, "train", 4, 0);
    fill(&photos, "validation", 1, 1000);
    let options = FolderOptions { cache: Some(cache.clone()), ..FolderOptions::default() };
    let mut heard = Vec::new();
    let set = read_folder(&photos, &options, |done, all| heard.push((done, all))).unwrap();
    assert_eq!(heard.last(), Some(&(55, 55)));
    // Without `test`, `validation` is the test split, and the validation split comes out of `train`.
    assert_eq!((set.photos(Split::Validation).len(), set.split(Split::Test).len()), (11, 11));
    assert_eq!(set.digest().len(), 64);

    // Cached features are used: a picture that became unreadable in between does not matter to them.
    let cached =
        std::fs::read_dir(cache.read_dir().unwrap().next().unwrap().unwrap().path()).unwrap().count();
    assert_eq!(cached, 55);
    let again = read_folder(&photos, &options, |_, _| {}).unwrap();
    assert_eq!(set, again);
}

#[test]
fn a_copy_of_a_test_photo_is_not_learnt() {
    let root = tempfile::tempdir().unwrap();
    fill(root.path(), "train", 2, 0);
    fill(root.path(), "val", 1, 500);
    fill(root.path(), "test", 1, 1000);
    let copy = root.path().join("train/0_Bread/copy.png");
    std::fs::copy(root.path().join("test/0_Bread/0.png"), copy).unwrap();
    let set = read_folder(root.path(), &FolderOptions::default(), |_, _| {}).unwrap();
    assert_eq!(set.photos(Split::Train).len(), 22);
    assert_eq!(set.split(Split::Train).len(), 44, "and their mirror images");
    assert_eq!(set.split(Split::Test).len(), 11);
}

#[test]
fn mistakes_are_named() {
    let root = tempfile::tempdir().unwrap();
    let error = || read_folder(root.path(), &FolderOptions::default(), |_, _| {}).unwrap_err();
    assert!(matches!(error(), FolderError::Split { split: "train", .. }));
    fill(root.path(), "train", 2, 0);
    assert!(matches!(error(), FolderError::Split { split: "test", .. }));
    fill(root.path(), "validation", 1, 500);
    fill(root.path(), "test", 1, 1000);
    std::fs::remove_dir_all(root.path().join("test/9_Soup")).unwrap();
    assert!(error().to_string().ends_with("it has no photos of Soup"), "{}", error());

    fill(root.path(), "test", 1, 1000);
    let broken = root.path().join("train/3_Egg/9.jpg");
    std::fs::write(&broken, b"no photo").unwrap();
    assert!(matches!(error(), FolderError::Photo { path, .. } if path == broken));
    std::fs::remove_file(&broken).unwrap();

    std::fs::create_dir(root.path().join("train/Pizza")).unwrap();
    let problem = Problem::from(error());
    assert_eq!(problem.code, "G0707");
    assert!(problem.causes[0].contains("Pizza") && problem.causes[0].contains("Noodles/Pasta"), "{problem}");
}
