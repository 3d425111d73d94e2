//! Networks with random weights as ONNX files, for tests and benches.

#![allow(dead_code, reason = "tests and benches use different parts")]

/// Numbers that look random, the same ones for the same seed.
pub struct Noise(pub u64);

impl Noise {
    pub fn bits(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between -1 and 1.
    pub fn number(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }
}

/// A message of Protocol Buffers.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }
}

/// A convolution.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Top-left and bottom-right.
    pub pads: (usize, usize),
    pub depthwise: bool,
}

/// How activations are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    None,
    Relu,
    Clip6,
}

/// A network under construction, one layer after the other.
pub struct Net {
    pub noise: Noise,
    nodes: Vec<Message>,
    tensors: Vec<Message>,
    input: [usize; 3],
    /// Name, channels, height, width of the latest picture.
    pub now: (String, [usize; 3]),
    count: usize,
    /// A batch norm behind each convolution.
    pub batch_norm: bool,
}

impl Net {
    pub fn new(channels: usize, height: usize, width: usize, seed: u64) -> Net {
        let input = [channels, height, width];
        let mut net = Net {
            noise: Noise(seed),
            nodes: Vec::new(),
            tensors: Vec::new(),
            input,
            now: ("input".into(), input),
            count: 0,
            batch_norm: false,
        };
        net.tensor("zero", &[], &[0.0]);
        net.tensor("six", &[], &[6.0]);
        net
    }

    fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let mut tensor = Message::default();
        for side in shape {
            tensor = tensor.int(1, *side as i64);
        }
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.push(tensor.int(2, 1).bytes(8, name.as_bytes()).bytes(9, &bytes));
    }

    pub fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[Message]) -> String {
        self.count += 1;
        let output = format!("t{}", self.count);
        let mut node = Message::default();
        for input in inputs {
            node = node.bytes(1, input.as_bytes());
        }
        node = node.bytes(2, output.as_bytes()).bytes(4, operator.as_bytes());
        for attribute in attributes {
            node = node.bytes(5, &attribute.0);
        }
        self.nodes.push(node);
        output
    }

    pub fn conv(&mut self, conv: Conv, act: Act) {
        let (input, [channels, height, width]) = self.now.clone();
        let per_group = if conv.depthwise { 1 } else { channels };
        let fan_in = per_group * conv.kernel * conv.kernel;
        let scale = (6.0 / fan_in as f32).sqrt();
        let name = format!("w{}", self.count);
        let weight: Vec<f32> =
            self.noise.numbers(conv.outputs * fan_in).into_iter().map(|w| w * scale).collect();
        self.tensor(&name, &[conv.outputs, per_group, conv.kernel, conv.kernel], &weight);
        let bias = format!("b{}", self.count);
        let values: Vec<f32> = self.noise.numbers(conv.outputs).into_iter().map(|b| b * 0.2).collect();
        self.tensor(&bias, &[conv.outputs], &values);
        let group = if conv.depthwise { channels } else { 1 };
        let (before, after) = (conv.pads.0 as i64, conv.pads.1 as i64);
        let output = self.node(
            "Conv",
            &[&input, &name, &bias],
            &[
                int("group", group as i64),
                ints("kernel_shape", &[conv.kernel as i64; 2]),
                ints("pads", &[before, before, after, after]),
                ints("strides", &[conv.stride as i64; 2]),
            ],
        );
        let side = |length: usize| (length + conv.pads.0 + conv.pads.1 - conv.kernel) / conv.stride + 1;
        self.now = (output, [conv.outputs, side(height), side(width)]);
        if self.batch_norm {
            self.norm();
        }
        self.act(act);
    }

    fn norm(&mut self) {
        let channels = self.now.1[0];
        let base = format!("n{}", self.count);
        for (suffix, low) in [("scale", 0.5f32), ("shift", -0.1), ("mean", -0.1), ("variance", 0.5)] {
            let values: Vec<f32> =
                self.noise.numbers(channels).into_iter().map(|v| low + (v + 1.0) * low.abs()).collect();
            self.tensor(&format!("{base}{suffix}"), &[channels], &values);
        }
        let names = ["scale", "shift", "mean", "variance"].map(|suffix| format!("{base}{suffix}"));
        let input = self.now.0.clone();
        self.now.0 = self.node(
            "BatchNormalization",
            &[&input, &names[0], &names[1], &names[2], &names[3]],
            &[float("epsilon", 1e-3)],
        );
    }

    pub fn act(&mut self, act: Act) {
        let input = self.now.0.clone();
        match act {
            Act::None => {}
            Act::Relu => self.now.0 = self.node("Relu", &[&input], &[]),
            Act::Clip6 => self.now.0 = self.node("Clip", &[&input, "zero", "six"], &[]),
        }
    }

    pub fn add(&mut self, other: &str) {
        let input = self.now.0.clone();
        self.now.0 = self.node("Add", &[other, &input], &[]);
    }

    pub fn pool(&mut self) {
        let input = self.now.0.clone();
        let pooled = self.node("GlobalAveragePool", &[&input], &[]);
        self.now = (pooled, [self.now.1[0], 1, 1]);
    }

    pub fn linear(&mut self, outputs: usize) {
        let (input, [channels, ..]) = self.now.clone();
        let flat = self.node("Flatten", &[&input], &[int("axis", 1)]);
        let scale = (3.0 / channels as f32).sqrt();
        let weight: Vec<f32> =
            self.noise.numbers(outputs * channels).into_iter().map(|w| w * scale).collect();
        self.tensor("fc.weight", &[outputs, channels], &weight);
        let bias = self.noise.numbers(outputs);
        self.tensor("fc.bias", &[outputs], &bias);
        let output = self.node("Gemm", &[&flat, "fc.weight", "fc.bias"], &[int("transB", 1)]);
        self.now = (output, [outputs, 1, 1]);
    }

    /// The file; `flat` if the output is `[N, C]`.
    pub fn finish(mut self, flat: bool) -> Vec<u8> {
        let last = self.now.0.clone();
        let count = self.count;
        let identity = self.node("Identity", &[&last], &[]);
        assert_ne!(count, self.count);
        let mut graph = Message::default();
        for node in &self.nodes {
            graph = graph.bytes(1, &node.0);
        }
        graph = graph.bytes(2, b"net");
        for tensor in &self.tensors {
            graph = graph.bytes(5, &tensor.0);
        }
        let sides = if flat { &self.now.1[..1] } else { &self.now.1[..] };
        graph = graph.bytes(11, &value("input", &self.input).0).bytes(12, &value(&identity, sides).0);
        let opset = Message::default().bytes(1, b"").int(2, 13);
        Message::default().int(1, 8).bytes(7, &graph.0).bytes(8, &opset.0).0
    }
}

fn value(name: &str, sides: &[usize]) -> Message {
    let mut shape = Message::default().bytes(1, &Message::default().bytes(2, b"N").0);
    for side in sides {
        shape = shape.bytes(1, &Message::default().int(1, *side as i64).0);
    }
    let tensor = Message::default().int(1, 1).bytes(2, &shape.0);
    Message::default().bytes(1, name.as_bytes()).bytes(2, &Message::default().bytes(1, &tensor.0).0)
}

pub fn int(name: &str, value: i64) -> Message {
    Message::default().bytes(1, name.as_bytes()).int(3, value).int(20, 2)
}

pub fn float(name: &str, value: f32) -> Message {
    Message::default().bytes(1, name.as_bytes()).float(2, value).int(20, 1)
}

pub fn ints(name: &str, values: &[i64]) -> Message {
    let mut attribute = Message::default().bytes(1, name.as_bytes());
    for value in values {
        attribute = attribute.int(8, *value);
    }
    attribute.int(20, 7)
}

/// An inverted residual block.
fn block(net: &mut Net, expansion: usize, kernel: usize, stride: usize, outputs: usize, same: bool) {
    let (begin, [channels, side, _]) = net.now.clone();
    let plain = Conv { outputs: channels * expansion, kernel: 1, stride: 1, pads: (0, 0), depthwise: false };
    if expansion > 1 {
        net.conv(plain, Act::Clip6);
    }
    let pads = if same { tensorflow(side, kernel, stride) } else { (kernel / 2, kernel / 2) };
    net.conv(Conv { kernel, stride, pads, depthwise: true, ..plain }, Act::Clip6);
    net.conv(Conv { outputs, ..plain }, Act::None);
    if stride == 1 && channels == outputs {
        net.add(&begin);
    }
}

/// TensorFlow's "same": what is odd goes to the bottom right.
fn tensorflow(side: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let total = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
    (total / 2, total - total / 2)
}

/// MobileNetV2 1.0 (Sandler et al., 2018) with 1000 classes.
pub fn mobilenet_v2() -> Vec<u8> {
    let mut net = Net::new(3, 224, 224, 2);
    net.conv(Conv { outputs: 32, kernel: 3, stride: 2, pads: (1, 1), depthwise: false }, Act::Clip6);
    for (expansion, outputs, repeats, stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for repeat in 0..repeats {
            block(&mut net, expansion, 3, if repeat == 0 { stride } else { 1 }, outputs, false);
        }
    }
    finish(net, 1280)
}

/// EfficientNet-Lite0, 1 or 2 with 1000 classes.
pub fn efficientnet_lite(number: usize) -> Vec<u8> {
    let (width, depth, side) = [(1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260)][number];
    let mut net = Net::new(3, side, side, 3);
    let pads = tensorflow(side, 3, 2);
    net.conv(Conv { outputs: 32, kernel: 3, stride: 2, pads, depthwise: false }, Act::Clip6);
    let stages = [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ];
    for (stage, (repeats, kernel, stride, expansion, outputs)) in stages.into_iter().enumerate() {
        let scaled: f64 = f64::from(outputs) * width;
        let outputs = ((scaled + 4.0) as usize / 8 * 8).max(8);
        let repeats =
            if stage == 0 || stage == 6 { repeats } else { (repeats as f64 * depth).ceil() as usize };
        for repeat in 0..repeats {
            block(&mut net, expansion, kernel, if repeat == 0 { stride } else { 1 }, outputs, true);
        }
    }
    finish(net, 1280)
}

fn finish(mut net: Net, features: usize) -> Vec<u8> {
    net.conv(Conv { outputs: features, kernel: 1, stride: 1, pads: (0, 0), depthwise: false }, Act::Clip6);
    net.pool();
    net.linear(1000);
    net.finish(true)
}
