//! Charts, kustomizations and plain manifests on this disk, rendered.
//!
//! [`read_folder`] reads a folder within [`Limits`]; links may lead anywhere inside of the folder that bounds them and
//! nowhere else. [`render`] is `galley render`: what `helm template` or `kustomize build` would print.

mod folder;
mod keys;
mod render;
mod tree;

pub use folder::{Limits, read_folder};
pub use keys::OwnKeys;
pub use render::{Request, render};
pub use tree::{DiskTree, FileTree};
