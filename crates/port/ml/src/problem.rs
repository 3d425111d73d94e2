//! This room's errors as a person reads them; codes G0701 to G0710, a page for each in `docs/errors/`.

use galley_problem::{Kind, Problem};

use crate::classifier::ModelError;
use crate::extractor::ExtractorError;
use crate::features::FeatureError;
use crate::folder::FolderError;
use crate::photo::PhotoError;
use crate::train::TrainError;

impl From<&PhotoError> for Problem {
    fn from(error: &PhotoError) -> Self {
        let sentence = |text: &str| {
            let mut text = text.to_owned();
            if let Some(first) = text.get(..1).map(str::to_uppercase) {
                text.replace_range(..1, &first);
            }
            text.push('.');
            text
        };
        let what = sentence(&error.to_string());
        match error {
            PhotoError::Empty => {
                Problem::new("G0701", Kind::Invalid, what).try_this("Choose a photo and send it again.")
            }
            PhotoError::TooManyBytes { .. } | PhotoError::TooManyPixels { .. } => {
                Problem::new("G0702", Kind::Invalid, what)
                    .try_this("Make the photo smaller and send it again.")
            }
            PhotoError::NotAnImage | PhotoError::Unsupported { .. } => {
                Problem::new("G0703", Kind::Invalid, what)
                    .try_this("Send a JPEG, PNG, WebP or GIF photo; phones can be set to take JPEG.")
            }
            PhotoError::Damaged { .. } => Problem::new("G0704", Kind::Failed, what)
                .try_this("Send the photo again, or save it anew with a photo program first."),
        }
    }
}

impl From<PhotoError> for Problem {
    fn from(error: PhotoError) -> Self {
        Problem::from(&error)
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        match &error {
            ModelError::File { source, .. } => {
                let kind =
                    if source.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Io };
                Problem::new("G0705", kind, "The model folder cannot be used.").because(&error).try_this(
                    "Name a folder with `model.onnx` and `contract.json`, as `galley model train` writes it.",
                )
            }
            ModelError::Backbone(_) | ModelError::Head(_) => {
                Problem::new("G0710", Kind::Internal, "The model could not be put together.")
                    .because(&error)
                    .try_this("Train again; if it happens again, this build of the program is broken.")
            }
            _ => Problem::new("G0706", Kind::Invalid, "The model cannot be served.")
                .because(&error)
                .try_this("Serve the `model.onnx` and `contract.json` of one and the same training."),
        }
    }
}

impl From<FolderError> for Problem {
    fn from(error: FolderError) -> Self {
        let kind = match &error {
            FolderError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            FolderError::File { .. } => Kind::Io,
            FolderError::Extractor(_) | FolderError::Features(_) => Kind::Internal,
            _ => Kind::Invalid,
        };
        Problem::new("G0707", kind, "The folder of photos cannot be used for training.").because(&error).try_this(
            "Lay the photos out as `train/<class>/`, `validation/<class>/` and `test/<class>/`, with the class's \
             name or number and name as the folder's name.",
        )
    }
}

impl From<FeatureError> for Problem {
    fn from(error: FeatureError) -> Self {
        Problem::new("G0708", Kind::Invalid, "The feature set cannot be used.")
            .because(&error)
            .try_this("Make it again with `cargo xtask features`, or train on a folder of photos.")
    }
}

impl From<TrainError> for Problem {
    fn from(error: TrainError) -> Self {
        let (kind, remedy) = match &error {
            TrainError::Diverged { .. } => (Kind::Failed, "Lower `training.learningRate` in `galley.yaml`."),
            TrainError::Option { .. } => (Kind::Invalid, "Change the option in `galley.yaml`."),
            TrainError::Empty(_) => (Kind::Invalid, "Give the split photos of every class."),
            TrainError::Head(_) => (Kind::Failed, "Lower `training.learningRate` in `galley.yaml`."),
        };
        Problem::new("G0709", kind, "The model could not be trained.").because(&error).try_this(remedy)
    }
}

impl From<ExtractorError> for Problem {
    fn from(error: ExtractorError) -> Self {
        Problem::new("G0710", Kind::Internal, "The model did not run.")
            .because(&error)
            .try_this("If it happens again with the same photo, this build of the program is broken.")
    }
}
