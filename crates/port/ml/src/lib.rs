//! The model: photos to features, features to classes.
mod backbone;
mod classes;
mod extractor;
mod head;
mod onnx;
mod photo;
mod proto;
mod view;

pub use backbone::{Backbone, BackboneError, Convolution, FEATURES, bundled_digest, convolutions};
pub use classes::{CLASS_COUNT, CLASSES, class_of_folder};
pub use extractor::{ExtractorError, FeatureExtractor};
pub use head::{Head, HeadError};
pub use onnx::{classifier_model, features_model};
pub use photo::{Photo, PhotoError, PhotoLimits};
pub use view::View;
