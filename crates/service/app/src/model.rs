//! The model, its queue and its deadline.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use galley_ml::{Classifier, Contract, OnnxClassifier, Photo, PhotoLimits, Prediction};
use tokio::sync::Semaphore;

use crate::{Config, Error, answer::Refusal, metrics::Metrics};

/// The model behind the routes; empty until it is loaded.
pub(crate) struct Model {
    loaded: OnceLock<Arc<dyn Classifier>>,
    limits: PhotoLimits,
    workers: Arc<Semaphore>,
    places: Arc<Semaphore>,
    deadline: Duration,
}

impl Model {
    pub(crate) fn new(config: &Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = if config.workers == 0 { cores } else { config.workers };
        Model {
            loaded: OnceLock::new(),
            limits: PhotoLimits { max_bytes: config.max_upload_bytes, max_pixels: config.max_pixels },
            workers: Arc::new(Semaphore::new(workers)),
            places: Arc::new(Semaphore::new(workers + config.queue)),
            deadline: Duration::from_secs(config.request_seconds),
        }
    }

    /// Loads and warms the model; blocks.
    pub(crate) fn load(&self, folder: &Path) -> Result<(), Error> {
        let classifier = OnnxClassifier::load(folder)?;
        classifier.classify(&Photo::sample()).map_err(Error::Warm)?;
        let _ = self.loaded.set(Arc::new(classifier));
        Ok(())
    }

    /// The contract, once the model is loaded.
    pub(crate) fn contract(&self) -> Option<&Contract> {
        self.loaded.get().map(|classifier| classifier.contract())
    }

    /// Decodes and classifies a photo; waits for its turn in a bounded queue.
    pub(crate) async fn classify(&self, photo: Bytes, metrics: &Metrics) -> Result<Prediction, Refusal> {
        let limits = self.limits;
        self.run(metrics, move |classifier| {
            let photo = Photo::decode(&photo, &limits).map_err(Refusal::Photo)?;
            classifier.classify(&photo).map_err(Refusal::Model)
        })
        .await
    }

    /// Classifies the built-in sample.
    pub(crate) async fn classify_sample(&self, metrics: &Metrics) -> Result<Prediction, Refusal> {
        self.run(metrics, |classifier| classifier.classify(&Photo::sample()).map_err(Refusal::Model)).await
    }

    async fn run(
        &self,
        metrics: &Metrics,
        work: impl FnOnce(&dyn Classifier) -> Result<Prediction, Refusal> + Send + 'static,
    ) -> Result<Prediction, Refusal> {
        let classifier = Arc::clone(self.loaded.get().ok_or(Refusal::NotReady)?);
        let _place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let workers = Arc::clone(&self.workers);
        let began = Instant::now();
        let job = async move {
            let permit = workers.acquire_owned().await.map_err(|_| Refusal::NotReady)?;
            // The permit travels with the work: a caller that gives up does not free a core that is still busy.
            let done = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work(&*classifier)
            });
            done.await.map_err(|_| Refusal::Broken)?
        };
        let prediction = tokio::time::timeout(self.deadline, job).await.map_err(|_| Refusal::Late)??;
        metrics.predicted(prediction.name(), began.elapsed());
        Ok(prediction)
    }
}
