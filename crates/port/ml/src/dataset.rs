//! Folders of labelled photos: what is in them, and whether it is fit to train and to judge on.
//!
//! Three layouts are read: `<split>/<class>/*.jpg`, `<class>/*.jpg`, and the flat `<class number>_<anything>.jpg` of
//! Food-11, with or without split folders above. [`check`] opens every photo, finds copies by content and near copies by
//! a difference hash, and says which of them lie in different splits: that is leakage, and figures from such data lie.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::classes::{CLASS_COUNT, CLASSES, class_of_folder};
use crate::features::Split;
use crate::folder::{FolderError, MAX_PHOTOS, entries, is_photo, read, split_of_folder};
use crate::photo::{Photo, PhotoLimits};

/// Bits of 128 in which near copies may differ.
const NEAR: u32 = 6;
/// Pairs are looked for up to this many photos; with more, near copies are not.
const MAX_PAIRED: usize = 40_000;
/// Photos with a shorter side are named small.
const SMALL: u32 = 128;

/// A photo with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// The file.
    pub path: PathBuf,
    /// Index of its class.
    pub label: usize,
    /// Its split, where the folders say so.
    pub split: Option<Split>,
}

/// Finds the photos of a folder, by name.
///
/// # Errors
/// [`FolderError`], if a folder is named after no class or nothing is found.
pub fn labelled(folder: &Path) -> Result<Vec<Labelled>, FolderError> {
    let mut photos = Vec::new();
    let mut splits = false;
    for (name, path) in entries(folder)? {
        if let Some(split) = split_of_folder(&name)
            && path.is_dir()
        {
            splits = true;
            of_classes(&path, Some(split), &mut photos)?;
        }
    }
    if !splits {
        of_classes(folder, None, &mut photos)?;
    }
    match photos.is_empty() {
        true => {
            let reason =
                "it holds no photos in class folders, and none named `<class number>_...`".to_owned();
            Err(FolderError::Split { path: folder.to_owned(), split: "any", reason })
        }
        false => Ok(photos),
    }
}

/// The photos to judge a model on: the test split if there is one, else the validation split, else everything.
///
/// # Errors
/// As [`labelled`].
pub fn held_out(folder: &Path) -> Result<Vec<Labelled>, FolderError> {
    let mut photos = labelled(folder)?;
    for split in [Split::Test, Split::Validation] {
        if photos.iter().any(|photo| photo.split == Some(split)) {
            photos.retain(|photo| photo.split == Some(split));
            break;
        }
    }
    Ok(photos)
}

fn of_classes(folder: &Path, split: Option<Split>, photos: &mut Vec<Labelled>) -> Result<(), FolderError> {
    for (name, path) in entries(folder)? {
        if path.is_dir() {
            let label = class_of_folder(&name).ok_or(FolderError::UnknownClass { path: path.clone() })?;
            for (_, path) in entries(&path)?.into_iter().filter(|(name, _)| is_photo(name)) {
                photos.push(Labelled { path, label, split });
            }
        } else if is_photo(&name) {
            let number = name.split_once('_').and_then(|(number, _)| number.parse::<usize>().ok());
            let label = number
                .filter(|number| *number < CLASS_COUNT)
                .ok_or_else(|| FolderError::UnknownClass { path: path.clone() })?;
            photos.push(Labelled { path, label, split });
        }
        if photos.len() > MAX_PHOTOS {
            return Err(FolderError::TooMany { path: folder.to_owned() });
        }
    }
    Ok(())
}

/// One photo that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where it lies and what it shows.
    pub photo: Labelled,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Width and height, upright.
    pub size: (u32, u32),
    /// Difference hash.
    pub hash: u128,
}

/// Two photos that are the same, or nearly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// One of them.
    pub one: PathBuf,
    /// The other one.
    pub other: PathBuf,
    /// Bits in which their difference hashes differ; 0 for copies.
    pub distance: u32,
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataReport {
    /// Usable photos.
    pub photos: usize,
    /// SHA-256 over splits, classes and contents, in hex: the same photos give the same digest, whatever their names.
    pub digest: String,
    /// Photos by split, then class. Without split folders the split is `all`.
    pub classes: BTreeMap<String, BTreeMap<String, usize>>,
    /// Bytes of all photos.
    pub bytes: u64,
    /// Shortest, middle and longest short side in pixels.
    pub short_side: (u32, u32, u32),
    /// Photos with a side below 128 pixels.
    pub small: usize,
    /// Files that are no usable photos, with the reason.
    pub unusable: Vec<(PathBuf, String)>,
    /// Copies within a split.
    pub duplicates: Vec<Pair>,
    /// Near copies within a split.
    pub near_duplicates: Vec<Pair>,
    /// Copies and near copies in different splits.
    pub leaks: Vec<Pair>,
    /// Copies with different classes.
    pub contradictions: Vec<Pair>,
    /// Whether near copies were looked for.
    pub near_checked: bool,
}

/// Opens every photo on up to `threads` threads; `progress` hears how many are done.
///
/// # Errors
/// [`FolderError::File`], if a file cannot be read at all.
pub fn check(
    photos: Vec<Labelled>,
    limits: &PhotoLimits,
    threads: usize,
    progress: impl Fn(usize, usize) + Sync,
) -> Result<(DataReport, Vec<Opened>), FolderError> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results = Mutex::new(Vec::with_capacity(photos.len()));
    let worker = || -> Result<(), FolderError> {
        while let Some((index, photo)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, photos.get(index)?)))
        {
            let opened = open(photo, limits)?;
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, opened));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, photos.len());
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        let own = worker();
        helpers.into_iter().fold(own, |all, helper| match helper.join() {
            Ok(result) => all.and(result),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    let (mut opened, mut unusable) = (Vec::new(), Vec::new());
    for (index, result) in results {
        match result {
            Ok(photo) => opened.push(photo),
            Err(reason) => unusable.push((photos[index].path.clone(), reason)),
        }
    }
    Ok((report(&opened, unusable), opened))
}

fn open(photo: &Labelled, limits: &PhotoLimits) -> Result<Result<Opened, String>, FolderError> {
    let bytes = read(&photo.path)?;
    Ok(Photo::decode(&bytes, limits).map_err(|error| error.to_string()).map(|decoded| Opened {
        photo: photo.clone(),
        sha256: hex::encode(Sha256::digest(&bytes)),
        bytes: bytes.len() as u64,
        size: (decoded.width(), decoded.height()),
        hash: decoded.difference_hash(),
    }))
}

fn report(opened: &[Opened], unusable: Vec<(PathBuf, String)>) -> DataReport {
    let split = |photo: &Opened| photo.photo.split.map_or("all", Split::name);
    let mut classes: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for photo in opened {
        let of_split = classes.entry(split(photo).to_owned()).or_default();
        *of_split.entry(CLASSES[photo.photo.label].to_owned()).or_default() += 1;
    }
    let mut sides: Vec<u32> = opened.iter().map(|photo| photo.size.0.min(photo.size.1)).collect();
    sides.sort_unstable();
    let side = |part: usize| sides.get((sides.len().saturating_sub(1)) * part / 2).copied().unwrap_or(0);
    let mut report = DataReport {
        photos: opened.len(),
        digest: digest(opened),
        classes,
        bytes: opened.iter().map(|photo| photo.bytes).sum(),
        short_side: (side(0), side(1), side(2)),
        small: sides.iter().filter(|side| **side < SMALL).count(),
        unusable,
        duplicates: Vec::new(),
        near_duplicates: Vec::new(),
        leaks: Vec::new(),
        contradictions: Vec::new(),
        near_checked: opened.len() <= MAX_PAIRED,
    };
    for (one, other, distance) in pairs(opened) {
        let pair = Pair { one: one.photo.path.clone(), other: other.photo.path.clone(), distance };
        let same = one.sha256 == other.sha256;
        if same && one.photo.label != other.photo.label {
            report.contradictions.push(pair.clone());
        }
        let list = match (split(one) == split(other), same) {
            (false, _) => &mut report.leaks,
            (true, true) => &mut report.duplicates,
            (true, false) => &mut report.near_duplicates,
        };
        list.push(pair);
    }
    report
}

/// Copies, and near copies of the same class.
fn pairs(opened: &[Opened]) -> Vec<(&Opened, &Opened, u32)> {
    let mut pairs = Vec::new();
    let mut first: HashMap<&str, &Opened> = HashMap::new();
    for photo in opened {
        match first.get(photo.sha256.as_str()) {
            Some(earlier) => pairs.push((*earlier, photo, 0)),
            None => drop(first.insert(&photo.sha256, photo)),
        }
    }
    if opened.len() > MAX_PAIRED {
        return pairs;
    }
    for (index, one) in opened.iter().enumerate() {
        for other in &opened[index + 1..] {
            let distance = (one.hash ^ other.hash).count_ones();
            // Different dishes can look alike in so few bits; the same photo has the same class.
            if distance <= NEAR && one.photo.label == other.photo.label && one.sha256 != other.sha256 {
                pairs.push((one, other, distance));
            }
        }
    }
    pairs
}

fn digest(opened: &[Opened]) -> String {
    let mut lines: Vec<String> = opened
        .iter()
        .map(|photo| {
            let split = photo.photo.split.map_or("all", Split::name);
            format!("{split} {} {}\n", photo.photo.label, photo.sha256)
        })
        .collect();
    lines.sort_unstable();
    hex::encode(Sha256::digest(lines.concat()))
}

impl Photo {
    /// Which neighbours are brighter, in a picture of 9 x 8 and one of 8 x 9: near copies differ in few of 128 bits.
    pub fn difference_hash(&self) -> u128 {
        let grey = |photo: Photo| -> Vec<u32> {
            let weight = |pixel: &[u8]| {
                299 * u32::from(pixel[0]) + 587 * u32::from(pixel[1]) + 114 * u32::from(pixel[2])
            };
            photo.rgb().chunks_exact(3).map(weight).collect()
        };
        let (wide, high) = (grey(self.scaled(9, 8)), grey(self.scaled(8, 9)));
        let mut hash = 0;
        for y in 0..8 {
            for x in 0..8 {
                hash = hash << 1 | u128::from(wide[9 * y + x] < wide[9 * y + x + 1]);
                hash = hash << 1 | u128::from(high[8 * y + x] < high[8 * (y + 1) + x]);
            }
        }
        hash
    }

    /// A contact sheet: `photos` side by side in rows of `columns`, each in a square of `side` pixels.
    pub fn sheet(photos: &[Photo], columns: u32, side: u32) -> Option<Photo> {
        let rows = (photos.len() as u32).div_ceil(columns);
        let width = columns * side;
        let mut rgb = vec![255; (3 * width * rows * side) as usize];
        for (index, photo) in photos.iter().enumerate() {
            let (left, top) = (index as u32 % columns * side, index as u32 / columns * side);
            let scaled = photo.scaled(side, side);
            for (y, row) in scaled.rgb().chunks_exact(3 * side as usize).enumerate() {
                let at = 3 * ((top as usize + y) * width as usize + left as usize);
                rgb[at..at + row.len()].copy_from_slice(row);
            }
        }
        Photo::from_rgb(width, rows * side, rgb)
    }
}
