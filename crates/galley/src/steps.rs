//! What workflows run: subcommands that do one step each, and that a person may run by hand.
//!
//! Every step may be repeated: it looks first whether its work is there already (a run with the same training key, a
//! version of that run, an image of the same bytes, values that name the digest), because a pod can be started again
//! after a crash at any moment.

mod check;
mod evaluate;
pub mod image;
mod predict;
mod promote;
mod record;
mod register;
mod train;

use galley_problem::Problem;

use crate::{
    Answer,
    cli::{Global, Image, Release, steps::Model},
};

pub use image::store_base;
pub use promote::{Delivery, answered_version, deliver, wait_for};
pub use register::{MODEL_FOLDER, tracking_problem};
pub use train::ml_problem;

/// Tags on runs and model versions.
pub mod tags {
    /// Digest of everything that decides the trained model, and of what trained it.
    pub const TRAINING_KEY: &str = "galley.training-key";
    /// Digest of the training part of `galley.yaml`.
    pub const TRAINING_DIGEST: &str = "galley.training-digest";
    /// Digest of the data.
    pub const DATA_DIGEST: &str = "galley.data-digest";
    /// Release that made it.
    pub const RELEASE: &str = "galley.release";
    /// Commit of the pipeline repository.
    pub const COMMIT: &str = "mlflow.source.git.commit";
    /// Run of a version.
    pub const RUN: &str = "galley.run-id";
}

/// The registered model that the pipeline repository is about.
///
/// # Errors
/// G04xx if the repository cannot be read.
pub async fn model_name(ground: &crate::ground::Ground) -> Result<String, Problem> {
    Ok(record::model_of(ground, "main").await?.model)
}

/// `galley model ...`
///
/// # Errors
/// What the step could not do.
pub async fn model(global: &Global, model: Model) -> Result<Answer, Problem> {
    match model {
        Model::Train(args) => train::run(global, args).await,
        Model::Evaluate(args) => evaluate::run(global, args).await,
        Model::Register(args) => register::run(global, args).await,
        Model::Alias(args) => register::alias(global, args).await,
        Model::Predict(args) => predict::run(global, args).await,
        Model::Bench(args) => crate::commands::model::bench::run(&args),
        Model::Export(args) => crate::commands::model::export::run(global, args).await,
        Model::Inspect(args) => crate::commands::model::inspect::run(&args),
        Model::List { services, output } => register::list(global, &services, &output).await,
    }
}

/// The steps among `galley release ...`.
///
/// # Errors
/// What the step could not do.
pub async fn release(global: &Global, release: Release) -> Result<Answer, Problem> {
    match release {
        Release::Begin(args) => record::begin(global, args).await,
        Release::Promote(args) => promote::run(global, args).await,
        Release::Wait(args) => promote::wait(global, args).await,
        Release::Test(args) => check::run(global, args).await,
        Release::Settle(args) => record::settle(global, args).await,
        Release::List(_) | Release::Get { .. } | Release::Rollback { .. } => Ok(Answer::Yes),
    }
}

/// `galley image build`
///
/// # Errors
/// What the step could not do.
pub async fn image(global: &Global, image: Image) -> Result<Answer, Problem> {
    match image {
        Image::Build(args) => image::build(global, args).await,
        Image::List(output) => crate::commands::image::list(global, &output).await,
        Image::Push { target, which, plain_http } => {
            image::push(global, &target, which.image.as_deref(), plain_http).await
        }
        Image::Save { file, which, name } => image::save(global, &file, which.image.as_deref(), name).await,
    }
}
