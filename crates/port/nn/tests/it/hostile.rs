//! Files that claim to be networks.

use galley_nn::{Engine, Options};
use proptest::prelude::*;

use crate::net::{Act, Conv, Net, Noise};

fn small() -> Vec<u8> {
    let mut net = Net::new(3, 12, 12, 4);
    net.batch_norm = true;
    net.conv(Conv { outputs: 8, kernel: 3, stride: 2, pads: (1, 1), depthwise: false }, Act::Clip6);
    let begin = net.now.0.clone();
    net.conv(Conv { outputs: 8, kernel: 3, stride: 1, pads: (1, 1), depthwise: true }, Act::Clip6);
    net.conv(Conv { outputs: 8, kernel: 1, stride: 1, pads: (0, 0), depthwise: false }, Act::None);
    net.add(&begin);
    net.pool();
    net.linear(4);
    net.finish(true)
}

/// Loads it, and runs what loads.
fn try_it(file: &[u8]) -> bool {
    let Ok(engine) = Engine::load(file, Options::default()) else { return false };
    if engine.input_len() > 1 << 22 {
        return true;
    }
    let input = Noise(1).numbers(engine.input_len());
    assert_eq!(engine.run(&input, 2).unwrap().len(), engine.output_len());
    true
}

#[test]
fn a_file_cut_anywhere_is_refused_or_still_whole() {
    let file = small();
    assert!(try_it(&file));
    for length in 0..file.len() {
        try_it(&file[..length]);
    }
    assert!(!try_it(b""));
    assert!(!try_it(b"not a network"));
}

#[test]
fn sizes_without_end_are_refused() {
    // An input of 16384 x 16384 pixels.
    let mut net = Net::new(3, 1 << 14, 1 << 14, 4);
    net.conv(Conv { outputs: 8, kernel: 3, stride: 1, pads: (1, 1), depthwise: false }, Act::Clip6);
    assert!(!try_it(&net.finish(false)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = small();
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        try_it(&file);
    }
}
