//! Photos in folders, `<split>/<class>/*.jpg`, as a feature set.
//!
//! Splits are `train`, `validation` and `test` (also `training`, `val`, `evaluation`). Without `test`, the folder
//! `validation` is the test split; without a validation split, 10% of the training photos of each class become one, chosen by
//! seed and content. A photo whose content is also in a later split is left out of the earlier one. Computed features
//! are kept in a cache folder, one file for each content, so a second run reads photos only to name them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::backbone::{FEATURES, bundled_digest};
use crate::classes::{CLASS_COUNT, CLASSES, class_of_folder};
use crate::extractor::{ExtractorError, FeatureExtractor};
use crate::features::{FeatureError, FeatureSet, FeatureSetBuilder, Split};
use crate::photo::{Photo, PhotoError, PhotoLimits};
use crate::view::View;

/// Share of the training photos that become the validation split where there is none.
const VALIDATION_SHARE: f64 = 0.1;
pub(crate) const MAX_PHOTOS: usize = 500_000;

/// Why a folder of photos cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder cannot be read or written.
    #[error("could not access {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A folder that is no class.
    #[error("the folder {} is named after no class; the classes are {}", path.display(), CLASSES.join(", "))]
    UnknownClass {
        /// The folder.
        path: PathBuf,
    },
    /// A split that is needed is absent or lacks classes.
    #[error("{} has no usable split `{split}`: {reason}", path.display())]
    Split {
        /// The folder of photos.
        path: PathBuf,
        /// The split.
        split: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// More photos than are read.
    #[error("{} holds more than {MAX_PHOTOS} photos", path.display())]
    TooMany {
        /// The folder of photos.
        path: PathBuf,
    },
    /// A photo that is not one.
    #[error("{} cannot be used", path.display())]
    Photo {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PhotoError,
    },
    /// The backbone failed.
    #[error("could not compute features")]
    Extractor(#[from] ExtractorError),
    /// The features are not usable.
    #[error("the computed features are not usable")]
    Features(#[from] FeatureError),
}

/// What to read and how.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderOptions {
    /// Name of the data; the folder's name without it.
    pub name: Option<String>,
    /// Whom to cite, kept with the features.
    pub citation: String,
    /// Where features of earlier runs are kept; nothing is kept without it.
    pub cache: Option<PathBuf>,
    /// Decides which photos become the validation split.
    pub seed: u64,
    /// Training photos also in a mirror.
    pub mirror: bool,
    /// Limits of one photo.
    pub limits: PhotoLimits,
}

impl Default for FolderOptions {
    fn default() -> Self {
        FolderOptions {
            name: None,
            citation: String::new(),
            cache: None,
            seed: 11,
            mirror: true,
            limits: PhotoLimits::default(),
        }
    }
}

struct Found {
    path: PathBuf,
    label: usize,
    split: Split,
    content: [u8; 32],
}

/// Computes the features of all photos in `folder`; `progress` hears how many of how many photos are done.
///
/// # Errors
/// [`FolderError`]; it names the file or folder.
pub fn read_folder(
    folder: &Path,
    options: &FolderOptions,
    mut progress: impl FnMut(usize, usize),
) -> Result<FeatureSet, FolderError> {
    let mut photos = find(folder)?;
    drop_leaks(&mut photos);
    carve_validation(&mut photos, options.seed);
    check_classes(folder, &photos)?;
    let cache = options.cache.as_deref().map(Cache::open).transpose()?;
    let extractor = FeatureExtractor::bundled()?;
    let mut builder = FeatureSetBuilder::default();
    for (done, photo) in photos.iter().enumerate() {
        progress(done, photos.len());
        let mirror = options.mirror && photo.split == Split::Train;
        let rows = rows(&extractor, photo, mirror, cache.as_ref(), &options.limits)?;
        builder.push(done as u32, photo.label, photo.split, &rows);
    }
    progress(photos.len(), photos.len());
    let own_name = folder.file_name().map_or_else(|| "photos".into(), |name| name.to_string_lossy());
    let name = options.name.as_deref().unwrap_or(&own_name);
    Ok(builder.finish(name, &options.citation, content_digest(&photos))?)
}

/// All photos, in an order that depends on their content alone.
fn find(folder: &Path) -> Result<Vec<Found>, FolderError> {
    let mut folders = BTreeMap::new();
    for (name, path) in entries(folder)? {
        if let Some(split) = split_of_folder(&name)
            && path.is_dir()
        {
            folders.insert(split, path);
        }
    }
    if !folders.contains_key(&Split::Test)
        && let Some(path) = folders.remove(&Split::Validation)
    {
        folders.insert(Split::Test, path);
    }
    for split in [Split::Train, Split::Test] {
        if !folders.contains_key(&split) {
            let reason = format!("there is no folder {}", folder.join(split.name()).display());
            return Err(FolderError::Split { path: folder.to_owned(), split: split.name(), reason });
        }
    }
    let mut photos = Vec::new();
    for (split, path) in folders {
        for (name, class) in entries(&path)?.into_iter().filter(|(_, path)| path.is_dir()) {
            let label = class_of_folder(&name).ok_or(FolderError::UnknownClass { path: class.clone() })?;
            for (_, path) in entries(&class)?.into_iter().filter(|(name, _)| is_photo(name)) {
                if photos.len() == MAX_PHOTOS {
                    return Err(FolderError::TooMany { path: folder.to_owned() });
                }
                let content = Sha256::digest(read(&path)?).into();
                photos.push(Found { path, label, split, content });
            }
        }
    }
    photos.sort_by_key(|photo| (photo.split, photo.label, photo.content));
    Ok(photos)
}

/// Entries that are not hidden, by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, FolderError> {
    let wrong = |source| FolderError::File { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with('.') {
            entries.push((name, path));
        }
    }
    entries.sort();
    Ok(entries)
}

pub(crate) fn split_of_folder(name: &str) -> Option<Split> {
    match name.to_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "validation" | "val" | "valid" => Some(Split::Validation),
        "test" | "testing" | "evaluation" | "eval" => Some(Split::Test),
        _ => None,
    }
}

pub(crate) fn is_photo(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or_default().to_lowercase();
    matches!(ending.as_str(), "jpg" | "jpeg" | "png" | "webp" | "gif")
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    std::fs::read(path).map_err(|source| FolderError::File { path: path.to_owned(), source })
}

/// Keeps one copy of each content, in the latest split that has it: a test photo must not be learnt by heart.
fn drop_leaks(photos: &mut Vec<Found>) {
    let mut seen = HashSet::new();
    let before = photos.len();
    photos.reverse();
    photos.retain(|photo| seen.insert(photo.content));
    photos.reverse();
    if photos.len() < before {
        tracing::warn!(copies = before - photos.len(), "left out copies of the same photo");
    }
}

/// Makes a validation split of training photos where there is none, the same share of every class.
fn carve_validation(photos: &mut [Found], seed: u64) {
    if photos.iter().any(|photo| photo.split == Split::Validation) {
        return;
    }
    let key =
        |content: &[u8; 32]| Sha256::new().chain_update(seed.to_le_bytes()).chain_update(content).finalize();
    for label in 0..CLASS_COUNT {
        let mut training: Vec<&mut Found> =
            photos.iter_mut().filter(|p| p.label == label && p.split == Split::Train).collect();
        training.sort_by_cached_key(|photo| key(&photo.content));
        let share = (training.len() as f64 * VALIDATION_SHARE).round() as usize;
        // A small class gives one photo, unless it has no other.
        let count = share.max(1).min(training.len().saturating_sub(1));
        for photo in training.into_iter().take(count) {
            photo.split = Split::Validation;
        }
    }
    photos.sort_by_key(|photo| (photo.split, photo.label, photo.content));
}

fn check_classes(folder: &Path, photos: &[Found]) -> Result<(), FolderError> {
    for split in [Split::Train, Split::Validation, Split::Test] {
        let has = |label| photos.iter().any(|photo| photo.split == split && photo.label == label);
        let missing: Vec<&str> =
            (0..CLASS_COUNT).filter(|label| !has(*label)).map(|label| CLASSES[label]).collect();
        if !missing.is_empty() {
            let reason = format!("it has no photos of {}", missing.join(", "));
            return Err(FolderError::Split { path: folder.to_owned(), split: split.name(), reason });
        }
    }
    Ok(())
}

/// Names splits, labels and contents; not file names, which mean nothing.
fn content_digest(photos: &[Found]) -> String {
    let mut digest = Sha256::new();
    for photo in photos {
        digest.update([photo.split as u8, photo.label as u8]);
        digest.update(photo.content);
    }
    hex::encode(digest.finalize())
}

/// The feature vectors of one photo, from the cache if they are there.
fn rows(
    extractor: &FeatureExtractor,
    found: &Found,
    mirror: bool,
    cache: Option<&Cache>,
    limits: &PhotoLimits,
) -> Result<Vec<f32>, FolderError> {
    let views: &[View] = if mirror { &[View::default(), View::mirrored()] } else { &[View::default()] };
    if let Some(rows) = cache.and_then(|cache| cache.get(found, views.len())) {
        return Ok(rows);
    }
    let photo = Photo::decode(&read(&found.path)?, limits)
        .map_err(|source| FolderError::Photo { path: found.path.clone(), source })?;
    let rows = extractor.views(&photo, views)?;
    if let Some(cache) = cache {
        cache.put(found, &rows)?;
    }
    Ok(rows)
}

/// Features by content and backbone; a file that does not fit is computed again.
struct Cache {
    folder: PathBuf,
}

impl Cache {
    fn open(folder: &Path) -> Result<Self, FolderError> {
        let folder = folder.join(&bundled_digest()[..16]);
        std::fs::create_dir_all(&folder)
            .map_err(|source| FolderError::File { path: folder.clone(), source })?;
        Ok(Cache { folder })
    }

    fn path(&self, photo: &Found, views: usize) -> PathBuf {
        self.folder.join(format!("{}-{views}.f32", hex::encode(photo.content)))
    }

    fn get(&self, photo: &Found, views: usize) -> Option<Vec<f32>> {
        let bytes = std::fs::read(self.path(photo, views)).ok()?;
        let rows = crate::head::floats(&bytes);
        (bytes.len() == views * FEATURES * 4 && rows.iter().all(|value| value.is_finite() && *value >= 0.0))
            .then_some(rows)
    }

    /// Written beside and renamed, so a reader never meets half a file.
    fn put(&self, photo: &Found, rows: &[f32]) -> Result<(), FolderError> {
        let path = self.path(photo, rows.len() / FEATURES);
        let beside = path.with_extension(format!("{}.part", std::process::id()));
        let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|source| FolderError::File { path, source })
    }
}
