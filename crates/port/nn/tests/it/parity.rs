//! The same answers as `rten`, whatever the shape, the instructions and the number of threads.

use galley_nn::{Engine, Isa, LoadError, Options};
use proptest::prelude::*;
use rten::{Model, Value};

use crate::net::{Act, Conv, Net, Noise, efficientnet_lite, mobilenet_v2};

/// What the general runtime answers.
fn expected(file: &[u8], shape: [usize; 4], input: &[f32], flat: bool) -> Vec<f32> {
    let model = Model::load(file.to_vec()).unwrap();
    let value = Value::from_shape(shape.as_slice(), input.to_vec()).unwrap();
    let (from, to) = (model.input_ids()[0], model.output_ids()[0]);
    let [result] = model.run_n(vec![(from, value.into())], [to], None).unwrap();
    if flat {
        result.into_shape_vec::<f32, 2>().unwrap().1
    } else {
        result.into_shape_vec::<f32, 4>().unwrap().1
    }
}

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}

/// Largest difference, measured by the largest number.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    a.iter().zip(b).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

fn check(file: &[u8], shape: [usize; 4], seed: u64, flat: bool) {
    let input = Noise(seed).numbers(shape.iter().product());
    let expected = expected(file, shape, &input, flat);
    for isa in available() {
        let engine = Engine::load(file, Options { isa: Some(isa), side: None }).unwrap();
        assert_eq!(engine.isa(), isa);
        let one = engine.run(&input, 1).unwrap();
        assert!(distance(&one, &expected) < 1e-4, "{isa:?}: {}", distance(&one, &expected));
        for threads in [2, 3, 5] {
            assert_eq!(engine.run(&input, threads).unwrap(), one, "{isa:?} on {threads} threads");
        }
    }
}

#[test]
fn the_families_we_ship_answer_alike() {
    for (file, side) in [(mobilenet_v2(), 224), (efficientnet_lite(0), 224), (efficientnet_lite(2), 260)] {
        check(&file, [1, 3, side, side], 5, true);
    }
}

#[test]
fn a_batch_is_answered_picture_by_picture() {
    let file = mobilenet_v2();
    let engine = Engine::load(&file, Options::default()).unwrap();
    let input = Noise(9).numbers(3 * engine.input_len());
    let all = engine.run(&input, 2).unwrap();
    let each: Vec<f32> =
        input.chunks(engine.input_len()).flat_map(|picture| engine.run(picture, 1).unwrap()).collect();
    assert_eq!(all, each);
    assert!(engine.run(&input[1..], 1).is_err());
    assert_eq!(engine.run(&[], 2).unwrap(), Vec::<f32>::new());
}

#[test]
fn many_callers_share_one_engine() {
    let file = efficientnet_lite(0);
    let engine = Engine::load(&file, Options::default()).unwrap();
    let inputs: Vec<Vec<f32>> = (0..4).map(|seed| Noise(seed).numbers(engine.input_len())).collect();
    let alone: Vec<Vec<f32>> = inputs.iter().map(|input| engine.run(input, 1).unwrap()).collect();
    std::thread::scope(|scope| {
        for (input, alone) in inputs.iter().zip(&alone) {
            let engine = &engine;
            scope.spawn(move || {
                for threads in [1, 2, 3, 2, 1, 4] {
                    assert_eq!(&engine.run(input, threads).unwrap(), alone);
                }
            });
        }
    });
}

#[test]
fn what_it_does_not_know_is_named() {
    let mut net = Net::new(3, 8, 8, 1);
    net.conv(Conv { outputs: 4, kernel: 3, stride: 1, pads: (1, 1), depthwise: false }, Act::Relu);
    let name = net.now.0.clone();
    net.now.0 = net.node("HardSwish", &[&name], &[]);
    let refused = Engine::load(&net.finish(false), Options::default()).unwrap_err();
    assert!(matches!(&refused, LoadError::Unknown { what } if what.contains("HardSwish")), "{refused}");

    let mut net = Net::new(3, 8, 8, 1);
    for _ in 0..2 {
        net.conv(Conv { outputs: 4, kernel: 3, stride: 1, pads: (1, 1), depthwise: false }, Act::Relu);
    }
    let refused = Engine::load(&net.finish(false), Options::default()).unwrap_err();
    assert!(refused.to_string().contains("3x3 convolution over all channels"), "{refused}");
}

/// A layer: kind, channels, kernel, stride, padding, activation.
type Choice = (u8, usize, usize, usize, (usize, usize), u8);

fn build(channels: usize, height: usize, width: usize, norm: bool, choices: &[Choice]) -> (Vec<u8>, bool) {
    let mut net = Net::new(channels, height, width, 77);
    net.batch_norm = norm;
    net.conv(
        Conv { outputs: 5, kernel: 3, stride: 1 + width % 2, pads: (1, 1), depthwise: false },
        Act::Relu,
    );
    let mut same: Option<(String, [usize; 3])> = None;
    for (kind, outputs, kernel, stride, pads, act) in choices {
        let act = [Act::None, Act::Relu, Act::Clip6][usize::from(*act % 3)];
        let [now, height, width] = net.now.1;
        let plain = Conv { outputs: *outputs, kernel: 1, stride: 1, pads: (0, 0), depthwise: false };
        if kind % 3 == 0 && height.min(width) + pads.0 + pads.1 >= *kernel {
            net.conv(
                Conv { outputs: now, kernel: *kernel, stride: *stride, pads: *pads, depthwise: true },
                act,
            );
        } else if kind % 3 == 1 {
            net.conv(plain, act);
        } else {
            let (name, shape) = same.clone().unwrap_or_else(|| net.now.clone());
            net.conv(Conv { outputs: shape[0], ..plain }, Act::None);
            if net.now.1 == shape {
                net.add(&name);
                net.act(act);
            }
        }
        if kind % 2 == 0 {
            same = Some(net.now.clone());
        }
    }
    let pooled = choices.len().is_multiple_of(2);
    if pooled {
        net.pool();
        net.linear(1 + choices.len() * 9);
    }
    (net.finish(pooled), pooled)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_shape_answers_alike(
        channels in 1usize..5,
        height in 3usize..40,
        width in 3usize..40,
        norm: bool,
        choices in prop::collection::vec(
            (any::<u8>(), 1usize..70, prop::sample::select(vec![3usize, 5, 7]), 1usize..3, (0usize..4, 0usize..4), any::<u8>()),
            0..7,
        ),
        seed: u64,
    ) {
        let (file, flat) = build(channels, height, width, norm, &choices);
        check(&file, [1, channels, height, width], seed, flat);
    }
}
