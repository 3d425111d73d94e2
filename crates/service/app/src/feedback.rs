//! What people showed and said: photos with their answers, flags and corrections, in a folder of bounded size.
//!
//! A prediction is two files, `<id>.photo` (the bytes as they came) and `<id>.json`; identifiers begin with the time, so
//! their order is the order of arrival. The photo is written first and the record is renamed into place, so a record
//! always has its photo. When the folder is full the oldest predictions go, those that somebody flagged or corrected
//! last. Whoever knows an identifier may delete what it names; identifiers cannot be guessed.
//!
//! All calls block on the disk; call them from a thread for work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use galley_ml::{CLASSES, Prediction, class_of_folder};
use serde::{Deserialize, Serialize};

/// What is kept of a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its identifier.
    pub id: String,
    /// When it was made, RFC 3339.
    pub time: String,
    /// What the model said.
    pub class: String,
    /// Probability of each class, by index.
    pub probabilities: Vec<f32>,
    /// Version of the model.
    pub model_version: String,
    /// SHA-256 of the model's graph.
    pub model_digest: String,
    /// When somebody said that it is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flagged: Option<String>,
    /// The class that somebody says is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct_class: Option<String>,
}

/// Why feedback is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    /// Nothing of this name.
    #[error("there is no prediction `{0}`, or it is not kept any more")]
    Unknown(String),
    /// Not one of the classes.
    #[error("`{0}` is none of the classes")]
    Class(String),
    /// The disk.
    #[error("could not access {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The folder.
pub struct Feedback {
    folder: PathBuf,
    limit: u64,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    /// Bytes of each prediction, and whether somebody said something about it.
    entries: BTreeMap<String, (u64, bool)>,
    used: u64,
}

impl Feedback {
    /// Opens a folder, which is made if it is absent, and removes what an interrupted write left.
    ///
    /// # Errors
    /// [`FeedbackError::File`].
    pub fn open(folder: &Path, limit: u64) -> Result<Feedback, FeedbackError> {
        let wrong = |path: &Path| {
            let path = path.to_owned();
            move |source| FeedbackError::File { path, source }
        };
        std::fs::create_dir_all(folder).map_err(wrong(folder))?;
        let mut index = Index::default();
        for entry in std::fs::read_dir(folder).map_err(wrong(folder))? {
            let path = entry.map_err(wrong(folder))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.ends_with(".part") {
                std::fs::remove_file(&path).map_err(wrong(&path))?;
            } else if let Some(id) = name.strip_suffix(".json").filter(|id| is_id(id)) {
                let photo = folder.join(format!("{id}.photo"));
                let length = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
                let record = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
                let spoken = record.is_some_and(|record: Record| is_spoken(&record));
                let bytes = length(&path) + length(&photo);
                index.used += bytes;
                index.entries.insert(id.to_owned(), (bytes, spoken));
            } else if let Some(id) = name.strip_suffix(".photo").filter(|id| is_id(id))
                && !folder.join(format!("{id}.json")).is_file()
            {
                std::fs::remove_file(&path).map_err(wrong(&path))?;
            }
        }
        Ok(Feedback { folder: folder.to_owned(), limit, index: Mutex::new(index) })
    }

    /// Keeps a photo and its answer; makes room first. A photo larger than the whole folder may be is not kept.
    ///
    /// # Errors
    /// [`FeedbackError::File`].
    pub fn keep(&self, photo: &[u8], record: &Record) -> Result<bool, FeedbackError> {
        let text = to_json(record);
        let bytes = (photo.len() + text.len()) as u64;
        if bytes > self.limit {
            return Ok(false);
        }
        {
            let mut index = self.index();
            while index.used + bytes > self.limit {
                let Some(oldest) = index.oldest() else { break };
                self.remove(&mut index, &oldest)?;
            }
            index.used += bytes;
            index.entries.insert(record.id.clone(), (bytes, false));
        }
        self.write(&self.path(&record.id, "photo"), photo)?;
        self.write(&self.path(&record.id, "json"), text.as_bytes())?;
        Ok(true)
    }

    /// What is kept under an identifier.
    ///
    /// # Errors
    /// [`FeedbackError`].
    pub fn get(&self, id: &str) -> Result<Record, FeedbackError> {
        if !self.index().entries.contains_key(id) {
            return Err(FeedbackError::Unknown(id.to_owned()));
        }
        let path = self.path(id, "json");
        let text = std::fs::read(&path).map_err(|_| FeedbackError::Unknown(id.to_owned()))?;
        serde_json::from_slice(&text).map_err(|_| FeedbackError::Unknown(id.to_owned()))
    }

    /// Notes that somebody says an answer is wrong.
    ///
    /// # Errors
    /// [`FeedbackError`].
    pub fn flag(&self, id: &str, time: &str) -> Result<Record, FeedbackError> {
        self.change(id, |record| {
            record.flagged = Some(record.flagged.take().unwrap_or_else(|| time.to_owned()))
        })
    }

    /// Notes the class that somebody says is right: its name, in any spelling, or its number.
    ///
    /// # Errors
    /// [`FeedbackError`].
    pub fn correct(&self, id: &str, class: &str, time: &str) -> Result<Record, FeedbackError> {
        let class = class_of_folder(class.trim()).ok_or_else(|| FeedbackError::Class(class.to_owned()))?;
        self.change(id, |record| {
            record.correct_class = Some(CLASSES[class].to_owned());
            record.flagged = Some(record.flagged.take().unwrap_or_else(|| time.to_owned()));
        })
    }

    /// Deletes a photo and all that is known of it.
    ///
    /// # Errors
    /// [`FeedbackError`].
    pub fn delete(&self, id: &str) -> Result<(), FeedbackError> {
        let mut index = self.index();
        if !index.entries.contains_key(id) {
            return Err(FeedbackError::Unknown(id.to_owned()));
        }
        self.remove(&mut index, id)
    }

    /// Predictions kept, and their bytes.
    pub fn size(&self) -> (usize, u64) {
        let index = self.index();
        (index.entries.len(), index.used)
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Record)) -> Result<Record, FeedbackError> {
        let mut record = self.get(id)?;
        // The lock makes reading and writing one step; flags are rare.
        let mut index = self.index();
        change(&mut record);
        let text = to_json(&record);
        self.write(&self.path(id, "json"), text.as_bytes())?;
        if let Some(entry) = index.entries.get_mut(id) {
            entry.1 = true;
        }
        Ok(record)
    }

    fn remove(&self, index: &mut Index, id: &str) -> Result<(), FeedbackError> {
        for ending in ["json", "photo"] {
            let path = self.path(id, ending);
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FeedbackError::File { path, source });
                }
                _ => {}
            }
        }
        if let Some((bytes, _)) = index.entries.remove(id) {
            index.used = index.used.saturating_sub(bytes);
        }
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), FeedbackError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|source| FeedbackError::File { path: path.to_owned(), source })
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}.{ending}"))
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// What goes first: the oldest that nobody said anything about, else the oldest.
    fn oldest(&self) -> Option<String> {
        let silent = self.entries.iter().find(|(_, (_, spoken))| !spoken);
        silent.or_else(|| self.entries.iter().next()).map(|(id, _)| id.clone())
    }
}

impl Record {
    /// The record of a fresh prediction.
    pub fn new(id: String, time: String, prediction: &Prediction, version: &str, digest: &str) -> Self {
        Record {
            id,
            time,
            class: prediction.name().to_owned(),
            probabilities: prediction.probabilities.to_vec(),
            model_version: version.to_owned(),
            model_digest: digest.to_owned(),
            flagged: None,
            correct_class: None,
        }
    }
}

fn is_spoken(record: &Record) -> bool {
    record.flagged.is_some() || record.correct_class.is_some()
}

fn to_json(record: &Record) -> String {
    let mut text = serde_json::to_string(record).expect("a record holds only texts and numbers");
    text.push('\n');
    text
}

/// Letters, digits and dashes only: no path leads out of the folder.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        Record::new(id.into(), "2026-01-01T00:00:00Z".into(), &Prediction::new([1.0 / 11.0; 11]), "3", "abc")
    }

    #[test]
    fn what_is_kept_can_be_flagged_corrected_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let feedback = Feedback::open(folder.path(), 1 << 20).unwrap();
        assert!(feedback.keep(b"photo", &record("a-1")).unwrap());
        assert_eq!(feedback.flag("a-1", "t1").unwrap().flagged.as_deref(), Some("t1"));
        assert_eq!(
            feedback.flag("a-1", "t2").unwrap().flagged.as_deref(),
            Some("t1"),
            "the first time counts"
        );
        let corrected = feedback.correct("a-1", "noodles pasta", "t3").unwrap();
        assert_eq!(corrected.correct_class.as_deref(), Some("Noodles/Pasta"));
        assert!(matches!(feedback.correct("a-1", "Beer", "t"), Err(FeedbackError::Class(_))));
        // It is all there after a start.
        let again = Feedback::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(again.get("a-1").unwrap(), corrected);
        assert_eq!(again.size().0, 1);
        again.delete("a-1").unwrap();
        assert!(matches!(again.get("a-1"), Err(FeedbackError::Unknown(_))));
        assert!(matches!(again.delete("../a-1"), Err(FeedbackError::Unknown(_))));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_folder_stays_within_its_size_and_keeps_what_was_spoken_of() {
        let folder = tempfile::tempdir().unwrap();
        let feedback = Feedback::open(folder.path(), 10_000).unwrap();
        for number in 0..20 {
            feedback.keep(&[7; 1500], &record(&format!("id-{number:02}"))).unwrap();
            if number == 0 {
                feedback.flag("id-00", "t").unwrap();
            }
            assert!(feedback.size().1 <= 10_000);
        }
        let on_disk: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(on_disk < 10_200, "{on_disk}");
        feedback.get("id-00").unwrap();
        assert!(feedback.get("id-01").is_err());
        feedback.get("id-19").unwrap();
        assert!(!feedback.keep(&[7; 20_000], &record("large")).unwrap());
    }

    #[test]
    fn what_an_interrupted_write_left_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.photo"), b"1").unwrap();
        std::fs::write(folder.path().join("y.json.part"), b"1").unwrap();
        let feedback = Feedback::open(folder.path(), 1000).unwrap();
        assert_eq!((feedback.size(), std::fs::read_dir(folder.path()).unwrap().count()), ((0, 0), 0));
    }
}
