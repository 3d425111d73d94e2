//! A trained model at work, and the files it lives in.
//!
//! A model folder holds `model.onnx` and `contract.json`, both plain data: loading them runs nothing. The contract
//! names the digest of the graph, so a pair that was torn apart is noticed.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::backbone::{Backbone, BackboneError, bundled_digest};
use crate::classes::{CLASS_COUNT, CLASSES};
use crate::contract::{Contract, Origin};
use crate::extractor::ExtractorError;
use crate::head::{Head, HeadError, softmax};
use crate::network::Network;
use crate::onnx;
use crate::photo::Photo;
use crate::view::{INPUT_LEN, Pixels, View, append_input};

/// Name of the graph's file.
pub const MODEL_FILE: &str = "model.onnx";
/// Name of the contract's file.
pub const CONTRACT_FILE: &str = "contract.json";
/// Name of the head's file.
pub const HEAD_FILE: &str = "head.safetensors";

const MAX_MODEL: u64 = 512 << 20;
const MAX_CONTRACT: u64 = 1 << 20;

/// What the model thinks of a photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Index of the likeliest class.
    pub class: usize,
    /// One calibrated probability for each class; they add up to one.
    pub probabilities: [f32; CLASS_COUNT],
}

impl Prediction {
    /// The prediction with these probabilities.
    pub fn new(probabilities: [f32; CLASS_COUNT]) -> Self {
        let mut class = 0;
        for (index, probability) in probabilities.iter().enumerate() {
            if *probability > probabilities[class] {
                class = index;
            }
        }
        Prediction { class, probabilities }
    }

    /// Name of the likeliest class.
    pub fn name(&self) -> &'static str {
        CLASSES[self.class]
    }

    /// Probability of the likeliest class.
    pub fn confidence(&self) -> f32 {
        self.probabilities[self.class]
    }

    /// Name and probability of every class, likeliest first.
    pub fn ranked(&self) -> Vec<(&'static str, f32)> {
        let mut ranked: Vec<_> = CLASSES.into_iter().zip(self.probabilities).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked
    }
}

/// Tells the class of a photo.
pub trait Classifier: Send + Sync + 'static {
    /// Looks at a photo. Blocks for some tens of milliseconds of processor time.
    ///
    /// # Errors
    /// [`ExtractorError::Run`], if the runtime fails.
    fn classify(&self, photo: &Photo) -> Result<Prediction, ExtractorError>;

    /// The same, and how long the two parts of it took.
    ///
    /// # Errors
    /// As [`Classifier::classify`].
    fn classify_timed(&self, photo: &Photo) -> Result<(Prediction, Stages), ExtractorError> {
        let begin = std::time::Instant::now();
        let prediction = self.classify(photo)?;
        Ok((prediction, Stages { resize: 0.0, infer: begin.elapsed().as_secs_f64() }))
    }

    /// Answers for inputs that were prepared elsewhere, 3 x 224 x 224 numbers each.
    ///
    /// # Errors
    /// [`ExtractorError::Run`], also if this model takes photos alone.
    fn classify_input(&self, _input: Vec<f32>) -> Result<Vec<Prediction>, ExtractorError> {
        Err(ExtractorError::Run("this model takes photos, not tensors".into()))
    }

    /// The model's contract.
    fn contract(&self) -> &Contract;

    /// What computes the answer, in words.
    fn runtime(&self) -> String {
        "unknown".to_owned()
    }
}

/// Seconds that the parts of a prediction took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stages {
    /// Resizing, cropping and normalising.
    pub resize: f64,
    /// The network and the softmax.
    pub infer: f64,
}

/// Why a model cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read or written.
    #[error("could not access {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is far larger than a model of ours.
    #[error("{} has {bytes} bytes, more than the {limit} allowed", path.display())]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// How many bytes it has.
        bytes: u64,
        /// How many it may have.
        limit: u64,
    },
    /// The contract is not JSON of the right shape.
    #[error("{} is not a serving contract", path.display())]
    ContractSyntax {
        /// The contract.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The contract asks for what this program does not do.
    #[error("{} cannot be served here: {reason}", path.display())]
    Contract {
        /// The contract.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The graph is not the one the contract speaks of.
    #[error("{} has sha256 {found}, and its contract says {expected}", path.display())]
    Digest {
        /// The graph.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The runtime refuses the graph.
    #[error("{} does not load: {reason}", path.display())]
    Graph {
        /// The graph.
        path: PathBuf,
        /// What the runtime said.
        reason: String,
    },
    /// The bundled backbone is not usable.
    #[error("the bundled backbone is not usable")]
    Backbone(#[from] BackboneError),
    /// The head is not usable.
    #[error("the head is not usable")]
    Head(#[from] HeadError),
}

/// The three files of a trained model, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFiles {
    /// `model.onnx`.
    pub onnx: Vec<u8>,
    /// `contract.json`.
    pub contract: Contract,
    /// `head.safetensors`.
    pub head: Vec<u8>,
}

impl ModelFiles {
    /// Joins the bundled backbone and a trained head. The same head and origin give the same bytes.
    ///
    /// # Errors
    /// [`ModelError`], if the program was built with other weights.
    pub fn export(head: &Head, origin: Origin) -> Result<Self, ModelError> {
        let onnx = onnx::classifier_model(&Backbone::bundled()?, head)?;
        let digest = hex::encode(Sha256::digest(&onnx));
        let contract = Contract::ours(origin, bundled_digest(), digest, head.temperature());
        Ok(ModelFiles { onnx, contract, head: head.to_safetensors()? })
    }

    /// Writes the files into `folder`, which is made if it is absent.
    ///
    /// # Errors
    /// [`ModelError::File`].
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let wrong = |path: &Path, source| ModelError::File { path: path.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|error| wrong(folder, error))?;
        let contract = self.contract.to_json();
        for (name, bytes) in
            [(MODEL_FILE, &self.onnx[..]), (HEAD_FILE, &self.head), (CONTRACT_FILE, contract.as_bytes())]
        {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(|error| wrong(&path, error))?;
        }
        Ok(())
    }
}

/// A model from a folder with `model.onnx` and `contract.json`.
pub struct OnnxClassifier {
    network: Network,
    pixels: Pixels,
    contract: Contract,
}

impl OnnxClassifier {
    /// Loads a model folder, or an ONNX file. A file's contract is the `contract.json` beside it if that is about this
    /// very file; without one the file is taken as a classifier of photos as torchvision exports them.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if !path.is_file() {
            return OnnxClassifier::load(path);
        }
        let onnx = read_limited(path, MAX_MODEL)?;
        let digest = hex::encode(Sha256::digest(&onnx));
        let beside = path.parent().map(|folder| folder.join(CONTRACT_FILE)).filter(|file| file.is_file());
        if let Some(folder) = beside.as_deref().and_then(Path::parent) {
            let contract = read_contract(folder)?;
            if contract.model_digest == digest {
                return OnnxClassifier::from_parts(onnx, contract, path);
            }
        }
        let name =
            path.file_stem().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
        OnnxClassifier::from_parts(onnx, Contract::foreign(name, digest), path)
    }

    /// Loads and checks a model folder.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let contract = read_contract(folder)?;
        let path = folder.join(MODEL_FILE);
        let onnx = read_limited(&path, MAX_MODEL)?;
        OnnxClassifier::from_parts(onnx, contract, &path)
    }

    /// A model that was not saved yet.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn from_files(files: &ModelFiles) -> Result<Self, ModelError> {
        OnnxClassifier::from_parts(files.onnx.clone(), files.contract.clone(), Path::new(MODEL_FILE))
    }

    fn from_parts(onnx: Vec<u8>, contract: Contract, path: &Path) -> Result<Self, ModelError> {
        let path = path.to_owned();
        let found = hex::encode(Sha256::digest(&onnx));
        if found != contract.model_digest {
            return Err(ModelError::Digest { path, found, expected: contract.model_digest });
        }
        let pixels = contract.preprocessing.pixels();
        match Network::load(onnx, CLASS_COUNT) {
            Ok(network) => Ok(OnnxClassifier { network, pixels, contract }),
            Err(reason) => Err(ModelError::Graph { path, reason }),
        }
    }

    /// The network's input for a photo: 3 x 224 x 224 numbers.
    pub fn input(&self, photo: &Photo) -> Vec<f32> {
        let mut input = Vec::with_capacity(INPUT_LEN);
        append_input(photo, View::default(), &self.pixels, &mut input);
        input
    }

    /// Predictions for inputs laid one after the other, on up to `threads` threads.
    ///
    /// # Errors
    /// [`ExtractorError::Run`].
    pub fn predict(&self, input: Vec<f32>, threads: usize) -> Result<Vec<Prediction>, ExtractorError> {
        let rows = self.network.run(input, threads)?;
        let (rows, _) = rows.as_chunks::<CLASS_COUNT>();
        rows.iter().map(|row| self.prediction(*row)).collect()
    }

    fn prediction(&self, logits: [f32; CLASS_COUNT]) -> Result<Prediction, ExtractorError> {
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(ExtractorError::Run("the model answered with a number that is not finite".into()));
        }
        Ok(Prediction::new(softmax(logits, self.contract.output.temperature)))
    }
}

impl Classifier for OnnxClassifier {
    fn classify(&self, photo: &Photo) -> Result<Prediction, ExtractorError> {
        self.classify_timed(photo).map(|(prediction, _)| prediction)
    }

    fn classify_timed(&self, photo: &Photo) -> Result<(Prediction, Stages), ExtractorError> {
        let begin = std::time::Instant::now();
        let input = self.input(photo);
        let resize = begin.elapsed().as_secs_f64();
        // One thread: a server works on as many photos as there are cores.
        let predictions = self.predict(input, 1)?;
        let infer = begin.elapsed().as_secs_f64() - resize;
        match predictions[..] {
            [prediction] => Ok((prediction, Stages { resize, infer })),
            _ => Err(ExtractorError::Run("one photo gave several answers".into())),
        }
    }

    fn classify_input(&self, input: Vec<f32>) -> Result<Vec<Prediction>, ExtractorError> {
        self.predict(input, 1)
    }

    fn runtime(&self) -> String {
        self.network.runtime()
    }

    fn contract(&self) -> &Contract {
        &self.contract
    }
}

/// Times of `count` predictions of the sample picture, in milliseconds, after one to warm up.
///
/// # Errors
/// [`ExtractorError::Run`].
pub fn measure_latency(classifier: &dyn Classifier, count: usize) -> Result<Vec<f64>, ExtractorError> {
    let photo = Photo::sample();
    classifier.classify(&photo)?;
    (0..count)
        .map(|_| {
            let begin = std::time::Instant::now();
            classifier.classify(&photo)?;
            Ok(begin.elapsed().as_secs_f64() * 1000.0)
        })
        .collect()
}

/// Reads and checks the contract in a model folder.
///
/// # Errors
/// [`ModelError`].
pub fn read_contract(folder: &Path) -> Result<Contract, ModelError> {
    let path = folder.join(CONTRACT_FILE);
    let text = read_limited(&path, MAX_CONTRACT)?;
    let contract: Contract = serde_json::from_slice(&text)
        .map_err(|source| ModelError::ContractSyntax { path: path.clone(), source })?;
    match contract.mismatch() {
        Some(reason) => Err(ModelError::Contract { path, reason }),
        None => Ok(contract),
    }
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    let wrong = |source| ModelError::File { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(wrong)?.len();
    if bytes > limit {
        return Err(ModelError::TooLarge { path: path.to_owned(), bytes, limit });
    }
    std::fs::read(path).map_err(wrong)
}
