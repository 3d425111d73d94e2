//! What all requests share: the model, the limits, the metrics.

use std::sync::{Arc, OnceLock};

use galley_ml::{Classifier, Photo, Prediction};
use galley_problem::{Kind, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::metrics::Metrics;

/// Shared by all requests.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    model: OnceLock<Arc<dyn Classifier>>,
    /// One permit for each request with a photo, whether it works or waits.
    admission: Arc<Semaphore>,
    /// One permit for each photo that is worked on.
    workers: Arc<Semaphore>,
}

/// The result of a prediction, and what the model saw if that was asked for.
pub(crate) struct Classified {
    pub(crate) prediction: Prediction,
    pub(crate) thumbnail: Option<Vec<u8>>,
    pub(crate) seconds: f64,
}

impl State {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        let workers = config.workers();
        Arc::new(State {
            metrics: Metrics::new(),
            model: OnceLock::new(),
            admission: Arc::new(Semaphore::new(workers + config.queue)),
            workers: Arc::new(Semaphore::new(workers)),
            config,
        })
    }

    /// The model is there; a second one is ignored.
    pub(crate) fn set_model(&self, model: Arc<dyn Classifier>) {
        if self.model.set(model).is_ok() {
            self.metrics.model_ready(&self.version());
        }
    }

    /// The model, once it is loaded.
    pub(crate) fn model(&self) -> Result<&Arc<dyn Classifier>, Problem> {
        self.model.get().ok_or_else(|| {
            Problem::new("G0713", Kind::Unavailable, "The model is still being loaded.")
                .try_this("Try again in a moment; `/readyz` says when it is ready.")
        })
    }

    /// The version to report.
    pub(crate) fn version(&self) -> String {
        let contracts = || self.model.get().and_then(|model| model.contract().version.clone());
        self.config.version.clone().or_else(contracts).unwrap_or_else(|| "unversioned".into())
    }

    /// A place among the requests that work or wait.
    ///
    /// # Errors
    /// A problem that says to come back, if the queue is full.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.admission.clone().try_acquire_owned().map_err(|_| {
            Problem::new("G0712", Kind::Unavailable, "Too many photos are waiting already.")
                .try_this("Try again in a second.")
        })
    }

    /// Decodes and classifies a photo on a thread for work, when one is free.
    pub(crate) async fn classify(&self, bytes: Vec<u8>, thumbnail: bool) -> Result<Classified, Problem> {
        let limits = self.config.limits();
        self.work(thumbnail, move || Ok(Photo::decode(&bytes, &limits)?)).await
    }

    /// Classifies the sample picture.
    pub(crate) async fn classify_sample(&self) -> Result<Classified, Problem> {
        self.work(false, || Ok(Photo::sample())).await
    }

    async fn work(
        &self,
        thumbnail: bool,
        photo: impl FnOnce() -> Result<Photo, Problem> + Send + 'static,
    ) -> Result<Classified, Problem> {
        let model = self.model()?.clone();
        let permit = self.workers.clone().acquire_owned().await.map_err(|_| stopped())?;
        let task = tokio::task::spawn_blocking(move || {
            // The permit goes with the work: a request that gave up still counts until its work ends.
            let _permit = permit;
            let begin = std::time::Instant::now();
            let photo = photo()?;
            let prediction = model.classify(&photo)?;
            let seconds = begin.elapsed().as_secs_f64();
            let thumbnail = if thumbnail { photo.thumbnail_png().ok() } else { None };
            Ok::<_, Problem>(Classified { prediction, thumbnail, seconds })
        });
        let classified = task.await.map_err(|_| stopped())??;
        self.metrics.predicted(&classified);
        Ok(classified)
    }
}

fn stopped() -> Problem {
    Problem::new("G0710", Kind::Internal, "The work on the photo stopped unexpectedly.")
        .try_this("If it happens again with the same photo, this build of the program is broken.")
}
