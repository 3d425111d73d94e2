//! `galley image build`: the base image is this binary; a model image adds one layer. The same inputs give the same digest.

mod login;

use std::{collections::BTreeMap, path::Path};

use galley_oci::{BaseOptions, BuiltImage, ClientConfig, Credentials, Options, Reference, Repository, Store};
use galley_problem::{Kind, Problem};
use galley_releases::Records;

use super::{
    record,
    register::{MODEL_FOLDER, tracking_problem},
    tags,
};
use crate::{
    Answer,
    cli::{Global, steps::Build},
    ground::{Ground, TOKEN_USER},
    state::State,
    up::BASE_IMAGE,
    voice,
};

/// Repository of the model images.
const REPOSITORY: &str = "gourmetgram";
/// Largest model file that is packed, bytes.
const LARGEST: u64 = 512 << 20;

/// `galley image build`
pub async fn build(global: &Global, args: Build) -> Result<Answer, Problem> {
    if args.base {
        let state = State::find(global);
        let store = Store::open(state.path("oci"), Options::default()).map_err(|e| e.problem())?;
        let built = store_base(&store)?;
        voice::data(&format!("{BASE_IMAGE}@{}", built.digest));
        return Ok(Answer::Yes);
    }
    let (Some(release), Some(version)) = (&args.release, &args.model_version) else {
        return Err(Problem::new("G0117", Kind::Usage, "A model image belongs to a release and a version.")
            .try_this("Give `--release NAME --model-version N`, or `--base`."));
    };
    if !args.push {
        return Err(Problem::new("G0117", Kind::Usage, "A model image is built at the registry.")
            .try_this("Add `--push`."));
    }
    for_release(global, &args, release, version).await
}

/// Builds the base image into a store, under the tag of this version.
///
/// # Errors
/// G08xx, with the remedy if this binary is not static.
pub fn store_base(store: &Store) -> Result<BuiltImage, Problem> {
    let reference: Reference = BASE_IMAGE.parse().map_err(|e: galley_oci::Error| e.problem())?;
    let repository = Repository::own(&reference.repository).map_err(|e| e.problem())?;
    let tag = reference.tag.as_deref().unwrap_or("latest");
    let binary =
        std::env::current_exe().map_err(|e| crate::io(Path::new("/proc/self/exe"), "finding", &e))?;
    let options = BaseOptions {
        labels: base_labels(),
        certificates: certificates().into_bytes(),
        ..BaseOptions::default()
    };
    store.base_image(&repository, tag, &binary, &options).map_err(|e| e.problem())
}

/// The authorities that Mozilla trusts, as a PEM file: an image has no system to take them from.
fn certificates() -> String {
    use base64::Engine;
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let text = base64::engine::general_purpose::STANDARD.encode(certificate);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

fn base_labels() -> BTreeMap<String, String> {
    [
        ("org.opencontainers.image.title", "galley"),
        ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
        ("org.opencontainers.image.licenses", "Apache-2.0"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

async fn for_release(global: &Global, args: &Build, release: &str, version: &str) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = records.get(release).await?;
    let model = record::model_of(&ground, &recorded.release.spec.commit).await?.model;
    let tracking = ground.tracking()?;
    let failed = |error| tracking_problem("reading the version", &error);
    let registered = tracking.get_version(&model, version).await.map_err(failed)?.ok_or_else(|| {
        Problem::new("G1015", Kind::NotFound, format!("{model} has no version {version}."))
            .try_this("`galley model list` shows the ones there are.")
    })?;
    let run = tracking.get_run(&registered.run_id).await.map_err(failed)?;
    let fetch = async |name: &str| {
        let path = format!("{MODEL_FOLDER}/{name}");
        tracking.download_artifact(&run, &path, LARGEST).await.map(|bytes| bytes.to_vec()).map_err(failed)
    };
    let onnx = fetch("model.onnx").await?;
    let contract = with_version(&fetch("contract.json").await?, version)?;
    let files = BTreeMap::from([
        ("/model/model.onnx".to_owned(), onnx),
        ("/model/contract.json".to_owned(), contract),
    ]);
    let tag_of = |key: &str| registered.tag(key).unwrap_or_default().to_owned();
    let labels = BTreeMap::from([
        ("org.opencontainers.image.title".to_owned(), model.clone()),
        ("org.opencontainers.image.version".to_owned(), version.to_owned()),
        ("org.opencontainers.image.revision".to_owned(), tag_of(tags::COMMIT)),
        ("galley.dev/version".to_owned(), version.to_owned()),
        ("galley.dev/run-id".to_owned(), registered.run_id.clone()),
        ("galley.dev/commit".to_owned(), tag_of(tags::COMMIT)),
        ("galley.dev/data-digest".to_owned(), tag_of(tags::DATA_DIGEST)),
        ("galley.dev/training-digest".to_owned(), tag_of(tags::TRAINING_DIGEST)),
    ]);
    let digest = at_registry(&ground, version, files, labels).await?;
    let name = format!("{}/{REPOSITORY}@{digest}", ground.registry_name());
    tracking
        .set_version_tag(&model, version, "galley.image", &name)
        .await
        .map_err(|e| tracking_problem("noting the image", &e))?;
    records
        .update(release, |status| {
            status.image = Some(name.clone());
            status.message = format!("Version {version} is an image.");
        })
        .await?;
    voice::data(&name);
    Ok(Answer::Yes)
}

/// Builds the image on top of the base at the registry, where only the new layer travels.
async fn at_registry(
    ground: &Ground,
    version: &str,
    files: BTreeMap<String, Vec<u8>>,
    labels: BTreeMap<String, String>,
) -> Result<galley_oci::Digest, Problem> {
    let host = ground.registry()?;
    let mut config = ClientConfig { insecure_hosts: vec![host.clone()], ..ClientConfig::default() };
    if let Some(token) = ground.token() {
        let basic = Credentials::Basic { user: TOKEN_USER.to_owned(), password: token.clone() };
        config.credentials.insert(host.clone(), basic);
    }
    let client = galley_oci::Client::new(config).map_err(|e| e.problem())?;
    let parse = |text: String| text.parse::<Reference>().map_err(|e: galley_oci::Error| e.problem());
    let base = parse(BASE_IMAGE.replacen(crate::up::REGISTRY_NAME, &host, 1))?;
    let target = parse(format!("{host}/{REPOSITORY}:{version}"))?;
    let scratch =
        tempfile::tempdir().map_err(|e| crate::io(Path::new("/tmp"), "making a scratch folder in", &e))?;
    let store = Store::open(scratch.path(), Options::default()).map_err(|e| e.problem())?;
    client.build_on(&base, &target, files, labels, &store).await.map_err(|e| e.problem())
}

/// `galley image push`
///
/// # Errors
/// G08xx if the image is not here or the registry refuses.
pub async fn push(
    global: &Global,
    target: &str,
    image: Option<&str>,
    plain_http: bool,
) -> Result<Answer, Problem> {
    let target: Reference = target.parse().map_err(|e: galley_oci::Error| e.problem())?;
    let chosen = choose(global, image)?;
    let mut config = ClientConfig::default();
    if plain_http {
        config.insecure_hosts.push(target.registry.clone());
    }
    if let Some(credentials) = login::credentials(&target.registry)? {
        config.credentials.insert(target.registry.clone(), credentials);
    }
    let client = galley_oci::Client::new(config).map_err(|e| e.problem())?;
    client.push(&chosen.store, &chosen.digest, &target).await.map_err(|e| e.problem())?;
    voice::data(&format!("{target}@{}", chosen.digest));
    Ok(Answer::Yes)
}

/// `galley image save`
///
/// # Errors
/// G08xx if the image is not here, G0105 if the file cannot be written.
pub async fn save(
    global: &Global,
    file: &Path,
    image: Option<&str>,
    name: Option<String>,
) -> Result<Answer, Problem> {
    let chosen = choose(global, image)?;
    let name = match name {
        Some(name) => name.parse().map_err(|e: galley_oci::Error| e.problem())?,
        None => chosen.name.clone(),
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |e: &std::io::Error| crate::io(file, "writing", e);
    let part = tempfile::NamedTempFile::new_in(folder).map_err(|e| failed(&e))?;
    let writer = std::io::BufWriter::new(part.as_file());
    chosen.store.save(&chosen.digest, &name, writer).map_err(|e| e.problem())?;
    part.persist(file).map_err(|e| failed(&e.error))?;
    voice::data(&format!("{} ({name}@{})", file.display(), chosen.digest));
    Ok(Answer::Yes)
}

/// An image of this machine.
struct Chosen {
    store: Store,
    digest: galley_oci::Digest,
    name: Reference,
    /// Of a store that is made for one command.
    _scratch: Option<tempfile::TempDir>,
}

/// The named image of this machine's store, or the base image, which needs no store.
fn choose(global: &Global, image: Option<&str>) -> Result<Chosen, Problem> {
    let Some(image) = image else {
        let scratch = tempfile::tempdir()
            .map_err(|e| crate::io(&std::env::temp_dir(), "making a scratch folder in", &e))?;
        let store = Store::open(scratch.path(), Options::default()).map_err(|e| e.problem())?;
        let digest = store_base(&store)?.digest;
        let name = BASE_IMAGE.parse().map_err(|e: galley_oci::Error| e.problem())?;
        return Ok(Chosen { store, digest, name, _scratch: Some(scratch) });
    };
    let own_hosts = vec![crate::up::REGISTRY_NAME.to_owned()];
    let options = Options { own_hosts, ..Options::default() };
    let store = Store::open(State::find(global).path("oci"), options).map_err(|e| e.problem())?;
    let name: Reference = image.parse().map_err(|e: galley_oci::Error| e.problem())?;
    let digest = store.lookup(&name).map_err(|e| e.problem())?.ok_or_else(|| {
        Problem::new("G0803", Kind::NotFound, format!("`{image}` is not in this machine's store."))
            .try_this("`galley image list` shows what is.")
    })?;
    Ok(Chosen { store, digest, name, _scratch: None })
}

/// The serving contract with the version that it is served as.
fn with_version(contract: &[u8], version: &str) -> Result<Vec<u8>, Problem> {
    let mut contract: galley_ml::Contract = serde_json::from_slice(contract)
        .map_err(|e| super::train::ml_problem("reading the serving contract", &e))?;
    contract.version = Some(version.to_owned());
    Ok(contract.to_json().into_bytes())
}
