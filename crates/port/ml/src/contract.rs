//! `contract.json`: what a server must know to use `model.onnx`, beside it in the same folder.

use serde::{Deserialize, Serialize};

use crate::classes::CLASSES;
use crate::onnx::{INPUT, LOGITS};
use crate::view::{INPUT_SIDE, MEAN, Pixels, SHORT_SIDE, STD};

/// The contract's version; a reader refuses another.
pub const SCHEMA: u32 = 1;

/// The serving contract of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// Version of this format.
    pub schema: u32,
    /// Registered model's name.
    pub model: String,
    /// Registered version, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The tracking run that trained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The commit of the pipeline repository that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Digest of the data it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_digest: Option<String>,
    /// SHA-256 of the frozen backbone's weights, in hex.
    pub backbone_digest: String,
    /// SHA-256 of `model.onnx`, in hex; checked when it is loaded.
    pub model_digest: String,
    /// What goes in.
    pub input: Tensor,
    /// What comes out.
    pub output: Output,
    /// How a photo becomes the input.
    pub preprocessing: Preprocessing,
    /// Classes by index of the output.
    pub classes: Vec<String>,
}

/// A tensor of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub r#type: String,
    /// Its sides; a text names a free side.
    pub shape: Vec<serde_json::Value>,
}

/// The output and how to read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The tensor.
    #[serde(flatten)]
    pub tensor: Tensor,
    /// What makes probabilities of it.
    pub activation: String,
    /// Divides the output before the activation; fitted on the validation split.
    pub temperature: f32,
}

/// How a photo becomes the input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preprocessing {
    /// Order of the channels.
    pub color: String,
    /// EXIF orientation is applied first.
    pub exif_orientation: bool,
    /// Pixels of the short side after resizing.
    pub short_side: u32,
    /// How it is resized.
    pub resize: String,
    /// Side of the crop.
    pub crop: usize,
    /// Where the crop lies.
    pub crop_at: String,
    /// Subtracted from each value, 0 to 255; one number, or one for each channel.
    pub mean: Channels,
    /// Divides what is left; one number, or one for each channel.
    pub std: Channels,
}

/// One number for all channels, or one for each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Channels {
    /// The same for all.
    All(f32),
    /// Red, green, blue.
    Each([f32; 3]),
}

impl Channels {
    /// Red, green, blue.
    pub fn each(self) -> [f32; 3] {
        match self {
            Channels::All(value) => [value; 3],
            Channels::Each(values) => values,
        }
    }
}

impl Preprocessing {
    /// What models of torchvision and timm are trained with, where their file says nothing else.
    pub fn imagenet() -> Self {
        Preprocessing {
            mean: Channels::Each([0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0]),
            std: Channels::Each([0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0]),
            ..Preprocessing::ours()
        }
    }

    /// Whether this room can do it: the numbers may differ from ours, not the way.
    fn is_known(&self) -> bool {
        let ours = Preprocessing { mean: self.mean, std: self.std, ..Preprocessing::ours() };
        let pixels = self.pixels();
        *self == ours
            && pixels.mean.iter().all(|mean| mean.is_finite())
            && pixels.std.iter().all(|std| std.is_finite() && *std != 0.0)
    }

    /// How pixels become numbers.
    pub(crate) fn pixels(&self) -> Pixels {
        Pixels { mean: self.mean.each(), std: self.std.each() }
    }

    /// What this room does ([`crate::View::default`]).
    pub fn ours() -> Self {
        Preprocessing {
            color: "RGB".into(),
            exif_orientation: true,
            short_side: SHORT_SIDE,
            resize: "bilinear-antialias".into(),
            crop: INPUT_SIDE,
            crop_at: "center".into(),
            mean: Channels::All(MEAN),
            std: Channels::All(STD),
        }
    }
}

/// Who made a model, for its contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Registered model's name.
    pub model: String,
    /// Registered version, once there is one.
    pub version: Option<String>,
    /// The tracking run.
    pub run_id: Option<String>,
    /// The commit of the pipeline repository.
    pub commit: Option<String>,
    /// Digest of the training data.
    pub data_digest: Option<String>,
}

impl Contract {
    /// The contract of a model that this room writes.
    pub(crate) fn ours(
        origin: Origin,
        backbone_digest: String,
        model_digest: String,
        temperature: f32,
    ) -> Self {
        let tensor = |name: &str, sides: &[usize]| Tensor {
            name: name.into(),
            r#type: "float32".into(),
            shape: std::iter::once("N".into()).chain(sides.iter().map(|side| (*side).into())).collect(),
        };
        Contract {
            schema: SCHEMA,
            model: origin.model,
            version: origin.version,
            run_id: origin.run_id,
            commit: origin.commit,
            data_digest: origin.data_digest,
            backbone_digest,
            model_digest,
            input: tensor(INPUT, &[3, INPUT_SIDE, INPUT_SIDE]),
            output: Output {
                tensor: tensor(LOGITS, &[CLASSES.len()]),
                activation: "softmax".into(),
                temperature,
            },
            preprocessing: Preprocessing::ours(),
            classes: CLASSES.iter().map(|class| (*class).to_owned()).collect(),
        }
    }

    /// The contract of a graph that came without one: what is usual for it.
    pub(crate) fn foreign(model: String, model_digest: String) -> Self {
        let origin = Origin { model, ..Origin::default() };
        let ours = Contract::ours(origin, String::new(), model_digest, 1.0);
        Contract { preprocessing: Preprocessing::imagenet(), ..ours }
    }

    /// The file's text: JSON, indented, with a line end.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a contract holds only texts and finite numbers");
        text.push('\n');
        text
    }

    /// What in the contract this room cannot serve, in words.
    pub(crate) fn mismatch(&self) -> Option<String> {
        let expected =
            Contract::ours(Origin::default(), String::new(), String::new(), self.output.temperature);
        if self.schema != SCHEMA {
            Some(format!("its schema is {}, not {SCHEMA}", self.schema))
        } else if !alike(&self.input, &expected.input) {
            Some("its input is not float32, [N, 3, 224, 224]".into())
        } else if !alike(&self.output.tensor, &expected.output.tensor)
            || self.output.activation != expected.output.activation
            || !valid_temperature(self.output.temperature)
        {
            Some("its output is not float32, [N, 11], softmax".into())
        } else if self.classes != expected.classes {
            Some("its classes are not the eleven of Food-11, in their order".into())
        } else if !self.preprocessing.is_known() {
            Some("its preprocessing differs from what this program does".into())
        } else {
            None
        }
    }
}

/// The same type and shape; names may differ.
fn alike(one: &Tensor, other: &Tensor) -> bool {
    one.r#type == other.r#type && one.shape == other.shape
}

fn valid_temperature(temperature: f32) -> bool {
    temperature.is_finite() && temperature > 0.0
}
