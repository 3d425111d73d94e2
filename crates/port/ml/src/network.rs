//! A loaded graph: our own engine where it knows all of the graph, the general runtime for any other.

use galley_nn::{Engine, LoadError, Options};
use rten::{Model, NodeId, Value};

use crate::extractor::ExtractorError;
use crate::view::{INPUT_LEN, INPUT_SIDE};

/// A network from pictures to rows of numbers.
pub(crate) struct Network {
    runtime: Runtime,
    width: usize,
    why_general: Option<String>,
}

enum Runtime {
    Own(Box<Engine>),
    General { model: Box<Model>, input: NodeId, output: NodeId },
}

impl Network {
    /// Loads a graph whose answer has `width` numbers for each picture.
    ///
    /// # Errors
    /// In words, if neither runtime takes it.
    pub(crate) fn load(graph: Vec<u8>, width: usize) -> Result<Network, String> {
        let options = Options { side: Some((INPUT_SIDE, INPUT_SIDE)), ..Options::default() };
        let reason = match Engine::load(&graph, options) {
            Ok(engine) if engine.input_len() == INPUT_LEN && engine.output_len() == width => {
                let runtime = Runtime::Own(Box::new(engine));
                return Ok(Network { runtime, width, why_general: None });
            }
            Ok(engine) => {
                return Err(format!(
                    "it takes {} numbers and gives {}, not {INPUT_LEN} and {width}",
                    engine.input_len(),
                    engine.output_len()
                ));
            }
            Err(LoadError::Broken(_)) => "it is not an ONNX file or is cut off".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::info!(reason, "the general runtime takes this graph");
        let model = Model::load(graph).map_err(|error| error.to_string())?;
        let (&[input], &[output]) = (model.input_ids(), model.output_ids()) else {
            return Err("it has several inputs or outputs".to_owned());
        };
        let runtime = Runtime::General { model: Box::new(model), input, output };
        Ok(Network { runtime, width, why_general: Some(reason) })
    }

    /// What runs it, in words: `galley-nn avx512`, or `rten` with the reason.
    pub(crate) fn runtime(&self) -> String {
        match (&self.runtime, &self.why_general) {
            (Runtime::Own(engine), _) => format!("galley-nn {}", engine.isa().name()),
            (Runtime::General { .. }, Some(reason)) => format!("rten ({reason})"),
            (Runtime::General { .. }, None) => "rten".to_owned(),
        }
    }

    /// One row for each picture in `input`, on up to `threads` threads.
    ///
    /// # Errors
    /// [`ExtractorError::Run`].
    pub(crate) fn run(&self, input: Vec<f32>, threads: usize) -> Result<Vec<f32>, ExtractorError> {
        let failed = |error: &dyn std::fmt::Display| ExtractorError::Run(error.to_string());
        let (model, from, to) = match &self.runtime {
            Runtime::Own(engine) => return engine.run(&input, threads).map_err(|error| failed(&error)),
            Runtime::General { model, input, output } => (model, *input, *output),
        };
        let count = input.len() / INPUT_LEN;
        let input = Value::from_shape([count, 3, INPUT_SIDE, INPUT_SIDE].as_slice(), input)
            .map_err(|error| failed(&error))?;
        let [result] = model.run_n(vec![(from, input.into())], [to], None).map_err(|error| failed(&error))?;
        let (shape, rows) = result.into_shape_vec::<f32, 2>().map_err(|error| failed(&error))?;
        if shape != [count, self.width] {
            return Err(ExtractorError::Run(format!(
                "the answer has shape {shape:?}, not {:?}",
                [count, self.width]
            )));
        }
        Ok(rows)
    }
}
