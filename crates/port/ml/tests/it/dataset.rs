//! Folders of photos, good and bad.

use std::path::Path;

use galley_ml::{Labelled, Photo, PhotoLimits, Split, Spoil, check, held_out, labelled};

use crate::picture;

fn put(root: &Path, name: &str, photo: &Photo) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, photo.to_png().unwrap()).unwrap();
}

fn labels(photos: &[Labelled]) -> Vec<usize> {
    photos.iter().map(|photo| photo.label).collect()
}

#[test]
fn three_layouts_are_read() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "a/0_Bread/x.png", &picture(1));
    put(root.path(), "a/Soup/y.png", &picture(2));
    put(root.path(), "b/3_17.png", &picture(3));
    put(root.path(), "b/10_2.png", &picture(4));
    put(root.path(), "c/training/1_1.png", &picture(5));
    put(root.path(), "c/validation/Egg/z.png", &picture(6));
    assert_eq!(labels(&labelled(&root.path().join("a")).unwrap()), [0, 9]);
    assert_eq!(labels(&labelled(&root.path().join("b")).unwrap()), [10, 3]);
    let split = labelled(&root.path().join("c")).unwrap();
    assert_eq!((labels(&split), split[0].split), (vec![1, 3], Some(Split::Train)));
    assert_eq!(labels(&held_out(&root.path().join("c")).unwrap()), [3]);
    put(root.path(), "b/12_1.png", &picture(4));
    assert!(labelled(&root.path().join("b")).is_err());
    assert!(labelled(root.path()).is_err(), "`a` is no class");
}

#[test]
fn copies_near_copies_and_broken_files_are_found() {
    let root = tempfile::tempdir().unwrap();
    let photo = Photo::sample();
    put(root.path(), "train/3_Egg/one.png", &photo);
    put(root.path(), "train/3_Egg/two.png", &photo);
    put(root.path(), "train/9_Soup/same.png", &photo);
    put(root.path(), "train/3_Egg/other.png", &picture(8));
    let near = Spoil::Compressed.apply(&photo);
    put(root.path(), "test/3_Egg/near.png", &near);
    std::fs::write(root.path().join("test/3_Egg/broken.jpg"), b"no photo").unwrap();
    let photos = labelled(root.path()).unwrap();
    let (report, opened) = check(photos.clone(), &PhotoLimits::default(), 2, |_, _| {}).unwrap();
    assert_eq!((report.photos, opened.len(), report.unusable.len()), (5, 5, 1));
    assert_eq!(report.duplicates.len(), 2, "{report:?}");
    assert_eq!(report.contradictions.len(), 1);
    assert!(
        report.leaks.iter().any(|pair| pair.one.ends_with("near.png") || pair.other.ends_with("near.png"))
    );
    assert_eq!(report.classes["train"]["Egg"], 3);
    assert!(opened.iter().all(|photo| photo.size.0 > 0));
    let (again, _) = check(photos, &PhotoLimits::default(), 1, |_, _| {}).unwrap();
    assert_eq!(report, again);
}
