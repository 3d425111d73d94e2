//! What all requests share: the model, the limits, the metrics.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use galley_ml::{Classifier, Photo, PhotoError, PhotoLimits, Prediction};
use galley_problem::{Kind, Problem};
use galley_units::{Clock, SystemClock, rfc3339, uuid_v7};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::feedback::{Feedback, FeedbackError, Record};
use crate::metrics::Metrics;
use crate::upload::Upload;

/// Shared by all requests.
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) metrics: Metrics,
    /// Replaced as a whole; a request keeps the one it began with.
    model: ArcSwapOption<Loaded>,
    feedback: Option<Arc<Feedback>>,
    clock: Box<dyn Clock>,
    /// One permit for each request with a photo, whether it works or waits.
    admission: Arc<Semaphore>,
    /// One permit for each KiB of photos under way.
    pub(crate) memory: Arc<Semaphore>,
    /// One permit for each photo that is worked on.
    workers: Arc<Semaphore>,
}

/// A model and the version it is known by.
pub(crate) struct Loaded {
    pub(crate) classifier: Arc<dyn Classifier>,
    pub(crate) version: String,
}

/// The result of a prediction, and what the model saw if that was asked for.
pub(crate) struct Classified {
    pub(crate) prediction: Prediction,
    pub(crate) thumbnail: Option<Vec<u8>>,
    pub(crate) seconds: f64,
    pub(crate) stages: Stages,
    /// Version of the model that answered.
    pub(crate) version: String,
    /// Under which it is kept, if it is.
    pub(crate) id: Option<String>,
}

/// Seconds of the parts.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stages {
    pub(crate) queue: f64,
    pub(crate) decode: f64,
    pub(crate) resize: f64,
    pub(crate) infer: f64,
}

impl State {
    /// # Errors
    /// If the folder for feedback cannot be used.
    pub(crate) fn new(config: Config) -> Result<Arc<Self>, FeedbackError> {
        let workers = config.workers();
        let feedback = match &config.feedback_dir {
            Some(folder) => Some(Arc::new(Feedback::open(folder, config.feedback_bytes)?)),
            None => None,
        };
        Ok(Arc::new(State {
            metrics: Metrics::new(),
            model: ArcSwapOption::empty(),
            feedback,
            clock: Box::new(SystemClock),
            admission: Arc::new(Semaphore::new(workers + config.queue)),
            memory: Arc::new(Semaphore::new(crate::upload::BUDGET)),
            workers: Arc::new(Semaphore::new(workers)),
            config,
        }))
    }

    /// Takes a model into service. Requests that run keep the one they have.
    pub(crate) fn set_model(&self, classifier: Arc<dyn Classifier>) {
        let own = classifier.contract().version.clone();
        let version = self.config.version.clone().or(own).unwrap_or_else(|| "unversioned".into());
        let former = self.model.swap(Some(Arc::new(Loaded { classifier, version: version.clone() })));
        if let Some(former) = former {
            self.metrics.model_gone(&former.version);
            self.metrics.model_swapped();
        }
        self.metrics.model_ready(&version);
    }

    /// The model, once it is loaded.
    pub(crate) fn model(&self) -> Result<Arc<Loaded>, Problem> {
        self.model.load_full().ok_or_else(|| {
            Problem::new("G0713", Kind::Unavailable, "The model is still being loaded.")
                .try_this("Try again in a moment; `/readyz` says when it is ready.")
        })
    }

    /// The version to report.
    pub(crate) fn version(&self) -> String {
        let loaded = self.model.load();
        let known = loaded.as_ref().map(|model| model.version.clone());
        known.or_else(|| self.config.version.clone()).unwrap_or_else(|| "unversioned".into())
    }

    /// Where photos and what people say of them are kept.
    pub(crate) fn feedback(&self) -> Result<&Arc<Feedback>, Problem> {
        self.feedback.as_ref().ok_or_else(|| {
            Problem::new(
                "G0718",
                Kind::NotFound,
                "This server keeps no photos, so nothing can be said of them.",
            )
            .try_this("Start it with a folder for feedback: `galley serve --feedback DIR`.")
        })
    }

    /// Whether photos are kept.
    pub(crate) fn keeps(&self) -> bool {
        self.feedback.is_some()
    }

    /// The present moment, as it is written down.
    pub(crate) fn now(&self) -> String {
        rfc3339(self.clock.now())
    }

    /// A place among the requests that work or wait.
    ///
    /// # Errors
    /// A problem that says to come back, if the queue is full.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.admission.clone().try_acquire_owned().map_err(|_| busy())
    }

    /// Decodes and classifies a photo on a thread for work, when one is free; keeps it if that is wanted.
    pub(crate) async fn classify(&self, upload: Upload, thumbnail: bool) -> Result<Classified, Problem> {
        let limits = self.config.limits();
        let keep = self.feedback.clone().map(|feedback| (feedback, self.now()));
        self.work(move |model, classified: &mut Classified| {
            let begin = std::time::Instant::now();
            let Upload { bytes, held, .. } = upload;
            // Its part of the memory is free again when the photo is.
            let _held = held;
            let photo = decode(&bytes, &limits)?;
            classified.stages.decode = begin.elapsed().as_secs_f64();
            classify_photo(model, &photo, thumbnail, classified)?;
            if let Some((feedback, time)) = keep {
                let id = uuid_v7();
                let digest = &model.classifier.contract().model_digest;
                let record = Record::new(id.clone(), time, &classified.prediction, &model.version, digest);
                // A full disk is no reason to refuse an answer.
                match feedback.keep(&bytes, &record) {
                    Ok(true) => classified.id = Some(id),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "a prediction was not kept"),
                }
            }
            Ok(())
        })
        .await
    }

    /// Classifies the sample picture.
    pub(crate) async fn classify_sample(&self) -> Result<Classified, Problem> {
        self.work(|model, classified| classify_photo(model, &Photo::sample(), false, classified)).await
    }

    /// Answers for a tensor of prepared inputs.
    pub(crate) async fn classify_input(&self, input: Vec<f32>) -> Result<(Vec<Prediction>, String), Problem> {
        let model = self.model()?;
        let permit = self.workers.clone().acquire_owned().await.map_err(|_| stopped())?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let predictions = model.classifier.classify_input(input)?;
            Ok::<_, Problem>((predictions, model.version.clone()))
        });
        task.await.map_err(|_| stopped())?
    }

    async fn work(
        &self,
        work: impl FnOnce(&Loaded, &mut Classified) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Classified, Problem> {
        let model = self.model()?;
        let waiting = std::time::Instant::now();
        let permit = self.workers.clone().acquire_owned().await.map_err(|_| stopped())?;
        let queue = waiting.elapsed().as_secs_f64();
        let task = tokio::task::spawn_blocking(move || {
            // The permit goes with the work: a request that gave up still counts until its work ends.
            let _permit = permit;
            let begin = std::time::Instant::now();
            let mut classified = Classified {
                prediction: Prediction::new([0.0; 11]),
                thumbnail: None,
                seconds: 0.0,
                stages: Stages { queue, ..Stages::default() },
                version: model.version.clone(),
                id: None,
            };
            work(&model, &mut classified)?;
            classified.seconds = begin.elapsed().as_secs_f64();
            Ok::<_, Problem>(classified)
        });
        let classified = task.await.map_err(|_| stopped())??;
        self.metrics.predicted(&classified);
        Ok(classified)
    }

    /// Runs something that blocks on the disk.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, FeedbackError> + Send + 'static,
    ) -> Result<T, Problem> {
        tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?.map_err(Problem::from)
    }
}

/// Decoders are other people's code; one that panics has met a damaged photo and no more.
fn decode(bytes: &[u8], limits: &PhotoLimits) -> Result<Photo, PhotoError> {
    std::panic::catch_unwind(|| Photo::decode(bytes, limits)).unwrap_or_else(|_| {
        Err(PhotoError::Damaged { format: "image", reason: "the decoder gave up".into() })
    })
}

fn classify_photo(
    model: &Loaded,
    photo: &Photo,
    thumbnail: bool,
    classified: &mut Classified,
) -> Result<(), Problem> {
    let (prediction, stages) = model.classifier.classify_timed(photo)?;
    classified.prediction = prediction;
    classified.stages.resize = stages.resize;
    classified.stages.infer = stages.infer;
    classified.thumbnail = if thumbnail { photo.thumbnail_png().ok() } else { None };
    Ok(())
}

/// No room for more.
pub(crate) fn busy() -> Problem {
    Problem::new("G0712", Kind::Unavailable, "Too many photos are waiting already.")
        .try_this("Try again in a second.")
}

fn stopped() -> Problem {
    Problem::new("G0710", Kind::Internal, "The work on the photo stopped unexpectedly.")
        .try_this("If it happens again with the same photo, this build of the program is broken.")
}

impl From<FeedbackError> for Problem {
    fn from(error: FeedbackError) -> Self {
        match &error {
            FeedbackError::Unknown(_) => {
                Problem::new("G0719", Kind::NotFound, "There is no such prediction.")
                    .because(&error)
                    .try_this("Photos are kept for a while only; send it again to get a new identifier.")
            }
            FeedbackError::Class(_) => Problem::new("G0720", Kind::Usage, "There is no such class.")
                .because(&error)
                .try_this(format!("The classes are {}.", galley_ml::CLASSES.join(", "))),
            FeedbackError::File { .. } => Problem::new(
                "G0721",
                Kind::Io,
                "The folder for feedback cannot be used.",
            )
            .because(&error)
            .try_this("See that the folder of `--feedback` can be written to and that the disk is not full."),
        }
    }
}
