//! The trained part: one linear layer from features to classes.
//!
//! Saved as safetensors: `weight` `[11, 1280]` and `bias` `[11]`, single precision, and `temperature` `[1]`, which
//! divides the logits before the softmax.

use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::backbone::FEATURES;
use crate::classes::CLASS_COUNT;

/// A linear layer and the temperature of its softmax.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    weight: Vec<f32>,
    bias: Vec<f32>,
    temperature: f32,
}

/// Why a head cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Not a safetensors file.
    #[error("the head is not a safetensors file")]
    Format(#[source] safetensors::SafeTensorError),
    /// A tensor is absent, of the wrong shape or type, or not finite.
    #[error(
        "the head's tensor `{0}` is missing, has another shape or type, or holds values that are not finite"
    )]
    Tensor(&'static str),
}

impl Head {
    /// A head from its numbers: `weight` holds one row of 1280 for each of 11 classes.
    ///
    /// # Errors
    /// [`HeadError::Tensor`] on wrong lengths, values that are not finite, or a temperature not above zero.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>, temperature: f32) -> Result<Self, HeadError> {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if weight.len() != CLASS_COUNT * FEATURES || !finite(&weight) {
            return Err(HeadError::Tensor("weight"));
        }
        if bias.len() != CLASS_COUNT || !finite(&bias) {
            return Err(HeadError::Tensor("bias"));
        }
        if !temperature.is_finite() || temperature <= 0.0 {
            return Err(HeadError::Tensor("temperature"));
        }
        Ok(Head { weight, bias, temperature })
    }

    /// One row of 1280 weights for each class.
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    /// One bias for each class.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// What the logits are divided by before the softmax.
    pub fn temperature(&self) -> f32 {
        self.temperature
    }

    /// The logits of one feature vector.
    pub fn logits(&self, features: &[f32]) -> [f32; CLASS_COUNT] {
        let mut logits = [0.0; CLASS_COUNT];
        for ((logit, row), bias) in logits.iter_mut().zip(self.weight.chunks_exact(FEATURES)).zip(&self.bias)
        {
            *logit = bias + dot(row, features);
        }
        logits
    }

    /// The calibrated probabilities of one feature vector.
    pub fn probabilities(&self, features: &[f32]) -> [f32; CLASS_COUNT] {
        softmax(self.logits(features), self.temperature)
    }

    /// The head as a safetensors file.
    ///
    /// # Errors
    /// [`HeadError::Format`]; none is known for a head that exists.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, HeadError> {
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let (weight, bias, temperature) =
            (bytes(&self.weight), bytes(&self.bias), bytes(&[self.temperature]));
        let view = |shape: &[usize], data| {
            TensorView::new(Dtype::F32, shape.to_vec(), data).map_err(HeadError::Format)
        };
        let tensors = [
            ("weight", view(&[CLASS_COUNT, FEATURES], &weight)?),
            ("bias", view(&[CLASS_COUNT], &bias)?),
            ("temperature", view(&[1], &temperature)?),
        ];
        safetensors::serialize(tensors, None::<HashMap<String, String>>).map_err(HeadError::Format)
    }

    /// Reads a head from a safetensors file.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, HeadError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(HeadError::Format)?;
        let read = |name: &'static str, shape: &[usize]| match tensors.tensor(name) {
            Ok(tensor) if tensor.dtype() == Dtype::F32 && tensor.shape() == shape => {
                Ok(floats(tensor.data()))
            }
            _ => Err(HeadError::Tensor(name)),
        };
        let temperature = read("temperature", &[1])?[0];
        Head::new(read("weight", &[CLASS_COUNT, FEATURES])?, read("bias", &[CLASS_COUNT])?, temperature)
    }
}

/// Little-endian single-precision numbers.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

/// The inner product, summed in sixteen lanes: a fixed order, and one that vector units can follow.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Probabilities from logits divided by `temperature`.
pub(crate) fn softmax(logits: [f32; CLASS_COUNT], temperature: f32) -> [f32; CLASS_COUNT] {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|logit| ((logit - highest) / temperature).exp());
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_its_file() {
        let weight = (0..CLASS_COUNT * FEATURES).map(|i| (i as f32).sin()).collect();
        let head = Head::new(weight, (0..CLASS_COUNT).map(|i| i as f32).collect(), 1.5).unwrap();
        let bytes = head.to_safetensors().unwrap();
        assert_eq!(Head::from_safetensors(&bytes).unwrap(), head);
        assert_eq!(bytes, head.to_safetensors().unwrap());
        assert!(Head::from_safetensors(&bytes[..100]).is_err());
        assert!(Head::new(vec![f32::NAN; CLASS_COUNT * FEATURES], vec![0.0; CLASS_COUNT], 1.0).is_err());
    }

    #[test]
    fn probabilities_add_up_to_one() {
        let mut logits = [0.0; CLASS_COUNT];
        logits[3] = 90.0;
        let probabilities = softmax(logits, 1.0);
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(probabilities[3] > 0.99);
    }
}
