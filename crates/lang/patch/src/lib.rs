//! Patches of objects: merge patch, JSON patch, strategic merge, three-way merge, server-side apply, and the
//! difference that GitOps looks for.
//!
//! Everything here is pure: values in, values out. Objects are `serde_json` values with their `apiVersion` and
//! `kind`; what is known of the built-in kinds (which lists are merged by which key) is in [`Schema`], and every
//! other kind is merged as JSON merge patch does, lists as wholes.
//!
//! | module | is |
//! |---|---|
//! | `schema` | the merge keys of the built-in kinds |
//! | `json` | RFC 7386 merge patches and RFC 6902 JSON patches |
//! | `strategic` | strategic merge patches with their directives |
//! | `three_way` | what `kubectl apply` computes from last applied, wanted and live |
//! | `diff` | does the live object contain everything that is wanted |
//! | `fields`, `apply` | field ownership and server-side apply |

mod apply;
mod diff;
mod fields;
mod json;
mod schema;
mod strategic;
mod three_way;

pub use apply::{Applied, Conflict, Manager, Managers, Operation, record_update, server_side_apply};
pub use diff::{Difference, diff, diff_since};
pub use fields::FieldSet;
pub use json::{apply_json_patch, apply_merge_patch, merge_patch_between};
pub use schema::{Lists, Place, Schema};
pub use strategic::apply_strategic_patch;
pub use three_way::{last_applied, three_way, three_way_patch};

/// The annotation in which `kubectl apply` keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why a patch could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a list of RFC 6902 operations.
    #[error("the JSON patch cannot be read")]
    ReadJsonPatch(#[source] serde_json::Error),
    /// An operation of a JSON patch failed: a `test` was false or a path is absent.
    #[error("the JSON patch does not fit the object")]
    JsonPatch(#[source] json_patch::PatchError),
    /// A strategic merge patch is malformed.
    #[error("the strategic merge patch is wrong at `{path}`: {reason}")]
    Strategic {
        /// Where in the patch, fields joined by dots.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Neither the patch nor the object may be anything but an object.
    #[error("{0} must be an object")]
    NotAnObject(&'static str),
}
