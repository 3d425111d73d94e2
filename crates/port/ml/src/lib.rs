//! The model: photos to features, features to classes.
//!
//! A frozen backbone inside the program ([`FeatureExtractor`]) turns a photo into 1280 numbers; a linear head
//! ([`train`] fits one in seconds) turns those into eleven classes. Both together are one ONNX graph with a serving
//! contract beside it ([`ModelFiles`], [`OnnxClassifier`]), in safe formats that run nothing when they are loaded.
//!
//! - [`Photo`]: decoding with limits; [`View`]: the preprocessing of the contract.
//! - [`labelled`], [`check`]: folders of photos, and what is wrong with them. [`Spoil`]: worse photos, on purpose.
//! - [`FeatureSet`]: features with labels and splits, bundled or from a folder of photos ([`read_folder`]).
//! - [`Head`], [`train`], [`judge`]: fitting and judging, deterministic for a seed.
//!
//! Invariants: nothing from outside is decoded beyond its limits; the same inputs give the same bytes of a model;
//! no clock, no environment variables, no network.

mod backbone;
mod classes;
mod classifier;
mod contract;
mod dataset;
mod extractor;
mod features;
mod folder;
mod head;
mod network;
mod onnx;
mod photo;
mod problem;
mod proto;
mod random;
mod sample;
mod spoil;
mod train;
mod view;

pub use backbone::{Backbone, BackboneError, Convolution, FEATURES, bundled_digest, convolutions};
pub use classes::{CLASS_COUNT, CLASSES, class_of_folder};
pub use classifier::{
    CONTRACT_FILE, Classifier, HEAD_FILE, MODEL_FILE, ModelError, ModelFiles, OnnxClassifier, Prediction,
    Stages, measure_latency, read_contract,
};
pub use contract::{Channels, Contract, Origin, Output, Preprocessing, SCHEMA, Tensor};
pub use dataset::{DataReport, Labelled, Opened, Pair, check, held_out, labelled};
pub use extractor::{ExtractorError, FeatureExtractor};
pub use features::{FeatureError, FeatureHeader, FeatureSet, FeatureSetBuilder, Row, Split};
pub use folder::{FolderError, FolderOptions, read_folder};
pub use head::{Head, HeadError};
pub use onnx::{classifier_model, features_model};
pub use photo::{Photo, PhotoError, PhotoLimits};
pub use spoil::Spoil;
pub use train::{Epoch, Judged, TrainError, TrainOptions, Trained, judge, train};
pub use view::View;
