//! The nouns of MLflow's REST interface, and the rules that need no storage.
//!
//! The same types are written by our tracking server and read by our client, so both speak exactly one dialect:
//! field names and defaults are those of MLflow's REST API 2.0 (the JSON form of its protocol buffers: absent fields
//! are left out, 64-bit integers are numbers, `NaN` and the infinities are strings).
//!
//! | module | holds |
//! |---|---|
//! | [`error`] | error codes, their HTTP status, the JSON body of an error |
//! | `tracking`, `logged_model`, `registry` | experiments and runs, logged models, registered models |
//! | [`filter`], [`order`] | the search language: filters and `order_by` |
//! | [`limits`] | what names and values may look like, and how long they may be |
//! | [`page`] | page tokens |

pub mod error;
pub mod filter;
pub mod limits;
mod logged_model;
pub mod number;
pub mod order;
pub mod page;
pub mod path;
mod registry;
mod tracking;

pub use error::{ApiError, ErrorCode};
pub use logged_model::{LoggedModel, LoggedModelData, LoggedModelInfo, LoggedModelStatus};
pub use registry::{Alias, ModelVersion, RegisteredModel, Stage};
pub use tracking::{
    Dataset, DatasetInput, Experiment, FileInfo, KeyValue, LifecycleStage, Metric, ModelInput, ModelOutput,
    Run, RunData, RunInfo, RunInputs, RunOutputs, RunStatus, ViewType,
};

/// Name of the experiment that always exists, with id `0`.
pub const DEFAULT_EXPERIMENT: &str = "Default";
/// Tag that holds a run's name.
pub const RUN_NAME_TAG: &str = "mlflow.runName";
/// Tag that lists the models logged by a run, for clients before 3.0.
pub const LOGGED_MODELS_TAG: &str = "mlflow.log-model.history";
