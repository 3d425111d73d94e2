//! Sets of feature vectors with labels and splits, and their file format.
//!
//! A photo may have several rows (itself and its mirror image); all rows of a photo share its number, so a split never
//! tears them apart. The file: `GLYFEAT1`, the length of the header (`u32`), the header (JSON, padded with spaces to a
//! multiple of four bytes), then `rows` labels (`u8`), `rows` splits (`u8`), `rows` photo numbers (`u32`), 1280 column
//! scales (`f32`), and `rows` x 1280 quantised features (`u8`), everything little endian. A feature is
//! `scale * (byte / 255)^2`: the features are never negative and mostly small, so the square spends the steps where
//! the numbers are. It holds numbers only, no photo and no name of one.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::backbone::FEATURES;
use crate::classes::{CLASS_COUNT, CLASSES};

/// The feature set inside the program.
pub static FOOD11: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../assets/food11-features.bin"));

const MAGIC: &[u8; 8] = b"GLYFEAT1";
const MAX_HEADER: usize = 64 << 10;
const MAX_ROWS: usize = 2_000_000;

/// What rows are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Fitted.
    Train,
    /// Chooses the epoch and the temperature.
    Validation,
    /// Judged once, at the end.
    Test,
}

impl Split {
    /// The name, as in folders.
    pub const fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }

    fn from_byte(byte: u8) -> Option<Split> {
        [Split::Train, Split::Validation, Split::Test].into_iter().find(|split| *split as u8 == byte)
    }
}

/// What the file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureHeader {
    /// Name of the data.
    pub name: String,
    /// Whom to cite and what is allowed.
    pub citation: String,
    /// SHA-256 of the backbone's weights, in hex.
    pub backbone: String,
    /// SHA-256 over splits, labels and contents of the photos, in hex.
    pub content: String,
    /// Number of feature vectors.
    pub rows: usize,
    /// Length of each.
    pub features: usize,
    /// Classes by index.
    pub classes: Vec<String>,
}

/// Why a feature file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// Not a feature file, or cut off.
    #[error("the feature file is damaged: {0}")]
    Damaged(&'static str),
    /// The header is not what it must be.
    #[error("the header of the feature file cannot be read")]
    Header(#[source] serde_json::Error),
    /// The rows do not fit each other.
    #[error("row {row} of the feature set is not usable: {reason}")]
    Row {
        /// Which row, from 0.
        row: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// 1280 numbers, none below zero.
    pub features: &'a [f32],
    /// Index of the class.
    pub label: usize,
    /// What it is for.
    pub split: Split,
    /// Number of the photo; copies of it share the number.
    pub photo: u32,
}

/// Feature vectors with labels and splits.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSet {
    header: FeatureHeader,
    labels: Vec<u8>,
    splits: Vec<u8>,
    photos: Vec<u32>,
    features: Vec<f32>,
    digest: String,
}

/// Collects rows for a [`FeatureSet`].
#[derive(Clone, Debug, Default)]
pub struct FeatureSetBuilder {
    labels: Vec<u8>,
    splits: Vec<u8>,
    photos: Vec<u32>,
    features: Vec<f32>,
}

impl FeatureSetBuilder {
    /// Adds the rows of one photo: a whole number of feature vectors, one after the other.
    pub fn push(&mut self, photo: u32, label: usize, split: Split, rows: &[f32]) {
        for row in rows.chunks_exact(FEATURES) {
            self.labels.push(label as u8);
            self.splits.push(split as u8);
            self.photos.push(photo);
            self.features.extend(row);
        }
    }

    /// The set; `content` is the digest of the photos.
    ///
    /// # Errors
    /// [`FeatureError::Row`], on a label out of range or a feature that is negative or not finite.
    pub fn finish(self, name: &str, citation: &str, content: String) -> Result<FeatureSet, FeatureError> {
        let header = FeatureHeader {
            name: name.to_owned(),
            citation: citation.to_owned(),
            backbone: crate::backbone::bundled_digest(),
            content,
            rows: self.labels.len(),
            features: FEATURES,
            classes: CLASSES.iter().map(|class| (*class).to_owned()).collect(),
        };
        let digest = header.content.clone();
        let set = FeatureSet {
            header,
            labels: self.labels,
            splits: self.splits,
            photos: self.photos,
            features: self.features,
            digest,
        };
        set.check()?;
        Ok(set)
    }
}

impl FeatureSet {
    /// The feature set inside the program.
    ///
    /// # Errors
    /// [`FeatureError`], if the program was built with another file.
    pub fn bundled() -> Result<Self, FeatureError> {
        FeatureSet::read(FOOD11)
    }

    /// Reads a feature file. Its digest is the SHA-256 of all of its bytes.
    ///
    /// # Errors
    /// [`FeatureError`].
    pub fn read(bytes: &[u8]) -> Result<Self, FeatureError> {
        let mut input = bytes;
        if take(&mut input, MAGIC.len())? != MAGIC {
            return Err(FeatureError::Damaged("it does not start with `GLYFEAT1`"));
        }
        let length = words(take(&mut input, 4)?).first().map_or(0, |word| *word as usize);
        if length > MAX_HEADER {
            return Err(FeatureError::Damaged("its header is too long"));
        }
        let header: FeatureHeader =
            serde_json::from_slice(take(&mut input, length)?).map_err(FeatureError::Header)?;
        if header.features != FEATURES || header.rows > MAX_ROWS {
            return Err(FeatureError::Damaged("its features have another length, or its rows are too many"));
        }
        let rows = header.rows;
        let labels = take(&mut input, rows)?.to_vec();
        let splits = take(&mut input, rows)?.to_vec();
        let photos = words(take(&mut input, 4 * rows)?);
        let scales = crate::head::floats(take(&mut input, 4 * FEATURES)?);
        let quantised = take(&mut input, FEATURES * rows)?;
        if !input.is_empty() {
            return Err(FeatureError::Damaged("bytes are left at its end"));
        }
        let features = quantised
            .chunks_exact(FEATURES)
            .flat_map(|row| row.iter().zip(&scales).map(|(byte, scale)| scale * square(*byte)))
            .collect();
        let digest = hex::encode(Sha256::digest(bytes));
        let set = FeatureSet { header, labels, splits, photos, features, digest };
        set.check()?;
        Ok(set)
    }

    /// The set as a file. Quantised: reading it back gives nearly the same numbers.
    ///
    /// # Errors
    /// [`FeatureError::Header`]; none is known for a set that exists.
    pub fn write(&self) -> Result<Vec<u8>, FeatureError> {
        let mut header = serde_json::to_vec(&self.header).map_err(FeatureError::Header)?;
        header.resize(header.len().next_multiple_of(4), b' ');
        let mut scales = vec![0.0f32; FEATURES];
        for row in self.features.chunks_exact(FEATURES) {
            for (scale, value) in scales.iter_mut().zip(row) {
                *scale = scale.max(*value);
            }
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(&header);
        bytes.extend(&self.labels);
        bytes.extend(&self.splits);
        bytes.extend(self.photos.iter().flat_map(|photo| photo.to_le_bytes()));
        bytes.extend(scales.iter().flat_map(|scale| scale.to_le_bytes()));
        for row in self.features.chunks_exact(FEATURES) {
            bytes.extend(row.iter().zip(&scales).map(|(value, scale)| root(*value, *scale)));
        }
        Ok(bytes)
    }

    fn check(&self) -> Result<(), FeatureError> {
        let bad = |row, reason| Err(FeatureError::Row { row, reason });
        for (row, (label, split)) in self.labels.iter().zip(&self.splits).enumerate() {
            if usize::from(*label) >= CLASS_COUNT {
                return bad(row, "its label is no class");
            }
            if Split::from_byte(*split).is_none() {
                return bad(row, "its split is unknown");
            }
        }
        match self.features.iter().position(|value| !value.is_finite() || *value < 0.0) {
            Some(at) => bad(at / FEATURES, "a feature is negative or not finite"),
            None => Ok(()),
        }
    }

    /// What the file says about itself.
    pub fn header(&self) -> &FeatureHeader {
        &self.header
    }

    /// SHA-256 that names the data, in hex: of the file, or of the photos where the set was made from a folder.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The row at `index`.
    pub fn row(&self, index: usize) -> Option<Row<'_>> {
        Some(Row {
            features: self.features.get(index * FEATURES..(index + 1) * FEATURES)?,
            label: usize::from(*self.labels.get(index)?),
            split: Split::from_byte(*self.splits.get(index)?)?,
            photo: *self.photos.get(index)?,
        })
    }

    /// All rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.labels.len()).filter_map(|index| self.row(index))
    }

    /// The rows of one split.
    pub fn split(&self, split: Split) -> Vec<Row<'_>> {
        self.rows().filter(|row| row.split == split).collect()
    }

    /// The first row of every photo of a split: the photo itself, without its mirror images.
    pub fn photos(&self, split: Split) -> Vec<Row<'_>> {
        let mut seen = std::collections::HashSet::new();
        self.rows().filter(|row| row.split == split && seen.insert(row.photo)).collect()
    }
}

/// The next `count` bytes.
fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], FeatureError> {
    let (taken, rest) = input.split_at_checked(count).ok_or(FeatureError::Damaged("it ends early"))?;
    *input = rest;
    Ok(taken)
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()
}

fn square(byte: u8) -> f32 {
    let share = f32::from(byte) / 255.0;
    share * share
}

fn root(value: f32, scale: f32) -> u8 {
    if scale > 0.0 { ((value / scale).sqrt() * 255.0).round() as u8 } else { 0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Classes that a linear head can tell apart, a few rows of each in every split.
    pub(crate) fn easy(per_class: u32) -> FeatureSet {
        let mut builder = FeatureSetBuilder::default();
        for photo in 0..per_class * CLASS_COUNT as u32 {
            let label = photo as usize % CLASS_COUNT;
            let split = [Split::Train, Split::Train, Split::Validation, Split::Test]
                [(photo as usize / CLASS_COUNT) % 4];
            let row: Vec<f32> = (0..FEATURES)
                .map(|i| {
                    let noise = ((i as f32 * 12.9 + photo as f32 * 78.2).sin() * 43758.5).fract().abs();
                    noise * 0.5 + if i % CLASS_COUNT == label { 0.25 } else { 0.0 }
                })
                .collect();
            builder.push(photo, label, split, &row);
        }
        builder.finish("easy", "none", "0".repeat(64)).unwrap()
    }

    #[test]
    fn a_set_survives_its_file() {
        let set = easy(8);
        let bytes = set.write().unwrap();
        let read = FeatureSet::read(&bytes).unwrap();
        assert_eq!(read.header(), set.header());
        for (before, after) in set.rows().zip(read.rows()) {
            assert_eq!((before.label, before.split, before.photo), (after.label, after.split, after.photo));
            for (a, b) in before.features.iter().zip(after.features) {
                assert!((a - b).abs() < 0.004, "{a} {b}");
            }
        }
        assert_eq!(read.write().unwrap(), bytes, "what was quantised stays as it is");
    }

    #[test]
    fn cut_and_changed_files_are_errors() {
        let bytes = easy(4).write().unwrap();
        for length in [0, 7, 11, 200, bytes.len() - 1] {
            assert!(FeatureSet::read(&bytes[..length]).is_err(), "{length}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert!(FeatureSet::read(&long).is_err());
        let mut other = bytes;
        other[8] = 0xff;
        other[10] = 0xff;
        assert!(FeatureSet::read(&other).is_err());
    }

    #[test]
    fn the_bundled_set_has_every_class_in_every_split() {
        let set = FeatureSet::bundled().unwrap();
        assert_eq!(set.header().backbone, crate::backbone::bundled_digest());
        for split in [Split::Train, Split::Validation, Split::Test] {
            let mut counts = [0; CLASS_COUNT];
            for row in set.photos(split) {
                counts[row.label] += 1;
            }
            assert!(counts.iter().all(|count| *count >= 10), "{split:?}: {counts:?}");
        }
        let train: std::collections::HashSet<u32> = set.split(Split::Train).iter().map(|r| r.photo).collect();
        assert!(set.split(Split::Validation).iter().all(|row| !train.contains(&row.photo)));
    }
}
