//! YAML in and out, the Kubernetes way, with places.
//!
//! Reading follows the YAML library of Kubernetes (YAML 1.1 booleans and octals, dates are text), refuses keys that
//! are there twice, and puts limits on nesting and on aliases. Writing follows `sigs.k8s.io/yaml`. Every complaint
//! is a [`Problem`] with file, line and column; [`locate`] answers where something is written.

pub mod number;

mod de;
mod edit;
mod resolve;
mod tree;
mod value;
mod write;

use galley_problem::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;

use tree::Reading;

pub use edit::set_scalars;
pub use write::to_string;

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Its own text, without the `---` before it.
    pub text: String,
    /// The line of the file where its text begins, from 1.
    pub first_line: usize,
}

impl Document {
    /// Line and column in the file of what a JSON pointer names, or of its nearest existing parent.
    pub fn locate(&self, pointer: &str) -> Option<(usize, usize)> {
        locate(&self.text, pointer).map(|(line, column)| (line + self.first_line - 1, column))
    }

    /// Line and column in the file of the key of what a JSON pointer names.
    pub fn locate_key(&self, pointer: &str) -> Option<(usize, usize)> {
        locate_key(&self.text, pointer).map(|(line, column)| (line + self.first_line - 1, column))
    }
}

/// Reads the first document into a type; unknown fields and wrong types are told with line and column.
///
/// # Errors
/// A [`Problem`] that names `file`, line and column: `G0301` not YAML, `G0302` a key twice, `G0303` an unknown
/// field, `G0304` a wrong or missing value, `G0305` too large.
pub fn from_str<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Problem> {
    let trees = tree::load(file, text, true)?;
    match trees.first() {
        Some(tree) => T::deserialize(de::NodeReader(&tree.root)),
        None => T::deserialize(de::NodeReader(&tree::Node::null())),
    }
    .map_err(|error| error.into_problem(file))
}

/// As [`from_str`], but of several equal keys the last counts.
///
/// # Errors
/// As [`from_str`], without `G0302`.
pub fn from_str_leniently<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Problem> {
    let trees = tree::load_with(file, text, true, Reading { lenient: true, words: false })?;
    match trees.first() {
        Some(tree) => T::deserialize(de::NodeReader(&tree.root)),
        None => T::deserialize(de::NodeReader(&tree::Node::null())),
    }
    .map_err(|error| error.into_problem(file))
}

/// Reads all documents; empty ones are skipped.
///
/// # Errors
/// As [`from_str`], without the complaints about types.
pub fn parse_documents(file: &str, text: &str) -> Result<Vec<Document>, Problem> {
    documents(file, text, Reading::default())
}

/// As [`parse_documents`], but of several equal keys the last counts, as for those who read charts and manifests.
///
/// # Errors
/// As [`parse_documents`], without `G0302`.
pub fn parse_documents_leniently(file: &str, text: &str) -> Result<Vec<Document>, Problem> {
    documents(file, text, Reading { lenient: true, words: false })
}

/// As [`parse_documents`], but `yes`, `no`, `on`, `off`, `y` and `n` are text, as in YAML 1.2 and for Kustomize.
///
/// # Errors
/// As [`parse_documents`].
pub fn parse_documents_of_1_2(file: &str, text: &str) -> Result<Vec<Document>, Problem> {
    documents(file, text, Reading { lenient: false, words: true })
}

fn documents(file: &str, text: &str, reading: Reading) -> Result<Vec<Document>, Problem> {
    let mut documents = Vec::new();
    for tree in tree::load_with(file, text, false, reading)? {
        let value = value::to_value(file, &tree.root)?;
        if !value.is_null() {
            documents.push(Document {
                value,
                text: text[tree.bytes].to_owned(),
                first_line: tree.first_line,
            });
        }
    }
    Ok(documents)
}

/// Reads the first document; null if there is none.
///
/// # Errors
/// As [`parse_documents`].
pub fn parse_value(file: &str, text: &str) -> Result<Value, Problem> {
    tree::load(file, text, true)?.first().map_or(Ok(Value::Null), |tree| value::to_value(file, &tree.root))
}

/// Line and column (from 1) of the value at a JSON pointer in the first document, or of the nearest parent.
pub fn locate(text: &str, pointer: &str) -> Option<(usize, usize)> {
    let trees = tree::load("", text, true).ok()?;
    Some(value::locate(&trees.first()?.root, pointer, false))
}

/// Line and column (from 1) of the key of the value at a JSON pointer, of the item itself in a list.
pub fn locate_key(text: &str, pointer: &str) -> Option<(usize, usize)> {
    let trees = tree::load("", text, true).ok()?;
    Some(value::locate(&trees.first()?.root, pointer, true))
}
