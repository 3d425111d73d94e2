//! Writes the model as ONNX (opset 13): the backbone, and behind it the trained head.
//!
//! Weights of the backbone stay in half precision in the file and are cast to single precision by the graph, which
//! runtimes do once when they load it. Field numbers are those of `onnx.proto` (Apache-2.0, IR version 8).

use crate::backbone::{Backbone, BackboneError, Convolution, FEATURES, convolutions};
use crate::classes::CLASS_COUNT;
use crate::head::Head;
use crate::proto::Message;
use crate::view::INPUT_SIDE;

/// Name of the input, `[N, 3, 224, 224]`.
pub const INPUT: &str = "input";
/// Name of the classifier's output, `[N, 11]`.
pub const LOGITS: &str = "logits";
/// Name of the backbone's output, `[N, 1280]`.
pub const FEATURES_OUTPUT: &str = "features";

const FLOAT: i64 = 1;
const FLOAT16: i64 = 10;
const OPSET: i64 = 13;
const IR_VERSION: i64 = 8;

/// The backbone alone: photo to features.
///
/// # Errors
/// [`BackboneError`], if a tensor is missing.
pub fn features_model(backbone: &Backbone<'_>) -> Result<Vec<u8>, BackboneError> {
    let mut graph = Graph::default();
    graph.backbone(backbone)?;
    Ok(graph.finish("efficientnet-lite0", FEATURES_OUTPUT, FEATURES))
}

/// The whole classifier: photo to logits.
///
/// # Errors
/// [`BackboneError`], if a tensor is missing.
pub fn classifier_model(backbone: &Backbone<'_>, head: &Head) -> Result<Vec<u8>, BackboneError> {
    let mut graph = Graph::default();
    graph.backbone(backbone)?;
    graph.floats("classifier.weight", &[CLASS_COUNT, FEATURES], head.weight());
    graph.floats("classifier.bias", &[CLASS_COUNT], head.bias());
    graph.node(
        "Gemm",
        &[FEATURES_OUTPUT, "classifier.weight", "classifier.bias"],
        LOGITS,
        &[int("transB", 1)],
    );
    Ok(graph.finish("gourmetgram", LOGITS, CLASS_COUNT))
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Message>,
    initializers: Vec<Message>,
}

impl Graph {
    /// From `input` to `features`.
    fn backbone(&mut self, backbone: &Backbone<'_>) -> Result<(), BackboneError> {
        self.floats("zero", &[], &[0.0]);
        self.floats("six", &[], &[6.0]);
        let mut value = INPUT.to_owned();
        let mut block_input = value.clone();
        for convolution in convolutions() {
            if convolution.name.ends_with("expand") || convolution.name == "blocks.0.depthwise" {
                block_input.clone_from(&value);
            }
            value = self.convolution(backbone, &convolution, &value)?;
            if convolution.residual {
                let sum = format!("{}.sum", convolution.name);
                self.node("Add", &[&value, &block_input], &sum, &[]);
                value = sum;
            }
        }
        self.node("GlobalAveragePool", &[&value], "pooled", &[]);
        self.node("Flatten", &["pooled"], FEATURES_OUTPUT, &[int("axis", 1)]);
        Ok(())
    }

    /// Convolution and ReLU6; the name of the result.
    fn convolution(
        &mut self,
        backbone: &Backbone<'_>,
        convolution: &Convolution,
        input: &str,
    ) -> Result<String, BackboneError> {
        let name = &convolution.name;
        let (half, weight, bias) =
            (format!("{name}.weight.f16"), format!("{name}.weight"), format!("{name}.bias"));
        self.tensor(&half, FLOAT16, &convolution.weight_shape(), backbone.weight(convolution)?);
        self.tensor(&bias, FLOAT, &[convolution.outputs], backbone.bias(convolution)?);
        self.node("Cast", &[&half], &weight, &[int("to", FLOAT)]);
        let (before, after) = convolution.padding();
        let (side, group) =
            (convolution.kernel as i64, if convolution.depthwise { convolution.inputs } else { 1 });
        let output = format!("{name}.conv");
        self.node(
            "Conv",
            &[input, &weight, &bias],
            &output,
            &[
                int("group", group as i64),
                ints("kernel_shape", &[side, side]),
                ints("pads", &[before as i64, before as i64, after as i64, after as i64]),
                ints("strides", &[convolution.stride as i64; 2]),
            ],
        );
        if !convolution.clipped {
            return Ok(output);
        }
        let clipped = format!("{name}.relu6");
        self.node("Clip", &[&output, "zero", "six"], &clipped, &[]);
        Ok(clipped)
    }

    fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[Message]) {
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input);
        }
        node = node.text(2, output).text(3, output).text(4, operator);
        for attribute in attributes {
            node = node.message(5, attribute);
        }
        self.nodes.push(node);
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, FLOAT, shape, &bytes);
    }

    fn tensor(&mut self, name: &str, data_type: i64, shape: &[usize], bytes: &[u8]) {
        let mut tensor = Message::default();
        for side in shape {
            tensor = tensor.int(1, *side as i64);
        }
        self.initializers.push(tensor.int(2, data_type).text(8, name).bytes(9, bytes));
    }

    fn finish(self, name: &str, output: &str, width: usize) -> Vec<u8> {
        let mut graph = Message::default();
        for node in &self.nodes {
            graph = graph.message(1, node);
        }
        graph = graph.text(2, name);
        for tensor in &self.initializers {
            graph = graph.message(5, tensor);
        }
        graph = graph.message(11, &value(INPUT, &[3, INPUT_SIDE, INPUT_SIDE]));
        graph = graph.message(12, &value(output, &[width]));
        Message::default()
            .int(1, IR_VERSION)
            .text(2, "galley")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, &graph)
            .message(8, &Message::default().text(1, "").int(2, OPSET))
            .finish()
    }
}

/// A float tensor of shape `[N, sides...]`.
fn value(name: &str, sides: &[usize]) -> Message {
    let mut shape = Message::default().message(1, &Message::default().text(2, "N"));
    for side in sides {
        shape = shape.message(1, &Message::default().int(1, *side as i64));
    }
    let tensor = Message::default().int(1, FLOAT).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

fn int(name: &str, value: i64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

fn ints(name: &str, values: &[i64]) -> Message {
    let mut attribute = Message::default().text(1, name);
    for value in values {
        attribute = attribute.int(8, *value);
    }
    attribute.int(20, 7)
}
