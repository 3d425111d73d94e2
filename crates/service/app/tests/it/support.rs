//! A running application and what is sent to it.

use std::sync::{Arc, Mutex, OnceLock};

use galley_app::Config;
use galley_ml::{
    Classifier, Contract, ExtractorError, FEATURES, Head, ModelFiles, OnnxClassifier, Origin, Photo,
    Prediction,
};
use reqwest::{Client, Response, multipart};
use tokio::net::TcpListener;

/// A model whose head tells classes apart by nothing in particular, with version 3.
pub fn files() -> &'static ModelFiles {
    static FILES: OnceLock<ModelFiles> = OnceLock::new();
    FILES.get_or_init(|| {
        let weight = (0..11 * FEATURES).map(|i| (i as f32 * 0.37).sin() * 0.05).collect();
        let head = Head::new(weight, vec![0.0; 11], 1.0).unwrap();
        let origin = Origin { model: "gourmetgram".into(), version: Some("3".into()), ..Origin::default() };
        ModelFiles::export(&head, origin).unwrap()
    })
}

pub fn model() -> Arc<dyn Classifier> {
    static MODEL: OnceLock<Arc<dyn Classifier>> = OnceLock::new();
    MODEL.get_or_init(|| Arc::new(OnnxClassifier::from_files(files()).unwrap())).clone()
}

/// A classifier that does not answer until the gate is opened.
pub struct Slow {
    pub gate: Arc<Mutex<()>>,
    pub contract: Contract,
}

impl Classifier for Slow {
    fn classify(&self, _: &Photo) -> Result<Prediction, ExtractorError> {
        let _open = self.gate.lock();
        Ok(Prediction::new([1.0 / 11.0; 11]))
    }

    fn contract(&self) -> &Contract {
        &self.contract
    }
}

pub struct Running {
    pub address: String,
    pub client: Client,
}

/// Starts the application on a free port; it ends with the test's runtime.
pub async fn start(config: Config, model: Arc<dyn Classifier>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = galley_app::app_with(config, model).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Running { address, client: Client::new() }
}

pub async fn started() -> Running {
    start(Config { image: Some("registry/app@sha256:1".into()), ..Config::default() }, model()).await
}

impl Running {
    pub async fn get(&self, path: &str, accept: &str) -> Response {
        self.client.get(format!("{}{path}", self.address)).header("accept", accept).send().await.unwrap()
    }

    /// As `curl -F name=@photo.jpg` does.
    pub async fn post_form(&self, path: &str, name: &'static str, bytes: Vec<u8>, accept: &str) -> Response {
        let part = multipart::Part::bytes(bytes).file_name("photo.png");
        let form = multipart::Form::new().part(name, part);
        let request = self.client.post(format!("{}{path}", self.address)).header("accept", accept);
        request.multipart(form).send().await.unwrap()
    }

    pub async fn post_body(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Response {
        let request =
            self.client.post(format!("{}{path}", self.address)).header("content-type", content_type);
        request.body(bytes).send().await.unwrap()
    }
}

pub fn sample_png() -> Vec<u8> {
    Photo::sample().to_png().unwrap()
}

pub async fn json(response: Response) -> serde_json::Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}
