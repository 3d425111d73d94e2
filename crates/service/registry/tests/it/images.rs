//! Whole images, by our own client: out to a registry and back, and built at a registry.

use std::collections::BTreeMap;

use galley_oci::{
    BaseOptions, BuiltImage, ClientConfig, Digest, Error, Options, PullPolicy, Reference, Repository, Store,
    Target,
};

use crate::{Registry, client};

fn local() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store"), Options::default()).unwrap();
    (folder, store)
}

/// A base image in the store; its program is nothing but a header.
fn base(folder: &std::path::Path, store: &Store, repository: &str) -> BuiltImage {
    let mut elf = vec![0u8; 64 + 56];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    elf[18..20].copy_from_slice(&machine.to_le_bytes());
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    elf[64] = 1;
    let binary = folder.join("program");
    std::fs::write(&binary, elf).unwrap();
    store.base_image(&Repository::own(repository).unwrap(), "base", &binary, &BaseOptions::default()).unwrap()
}

fn files() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([("/model/model.onnx".to_owned(), vec![3; 300_000])])
}

fn reference(registry: &Registry, rest: &str) -> Reference {
    format!("{}/{rest}", registry.host).parse().unwrap()
}

#[tokio::test]
async fn an_image_travels_out_and_back_unchanged() {
    let registry = Registry::open().await;
    let (folder, store) = local();
    let base = base(folder.path(), &store, "galley");
    let own = Repository::own("m").unwrap();
    let model = store.model_image(&base.digest, &own, Some("1"), &files(), &BTreeMap::new()).unwrap();
    let client = client(ClientConfig::default());
    let name = reference(&registry, "team/model:v1");
    client.push(&store, &model.digest, &name).await.unwrap();
    client.push(&store, &model.digest, &name).await.unwrap();
    assert_eq!(client.resolve(&name).await.unwrap(), model.digest);
    assert_eq!(client.tags(&name).await.unwrap(), ["v1"]);

    let (_other_folder, other) = local();
    assert!(matches!(client.pull(&name, &other, PullPolicy::Never).await, Err(Error::NotFound { .. })));
    let pulled = client.pull(&name, &other, PullPolicy::IfNotPresent).await.unwrap();
    assert_eq!(pulled, model.digest);
    let layers = other.unpacked_layers(&pulled).unwrap();
    assert_eq!(std::fs::read(layers[1].join("model/model.onnx")).unwrap(), files()["/model/model.onnx"]);

    // Present now: no registry is needed, by tag or by digest.
    let nobody = galley_oci::Client::new(ClientConfig { attempts: 1, ..ClientConfig::default() }).unwrap();
    assert_eq!(nobody.pull(&name, &other, PullPolicy::Never).await.unwrap(), model.digest);
    assert_eq!(nobody.pull(&name.pinned(pulled), &other, PullPolicy::Always).await.unwrap(), model.digest);
    assert_eq!(client.retag(&name, "stable").await.unwrap(), model.digest);
    assert_eq!(client.tags(&name).await.unwrap(), ["stable", "v1"]);
}

#[tokio::test]
async fn an_index_gives_the_image_for_this_machine_and_is_known_by_its_digest() {
    let registry = Registry::open().await;
    let (folder, store) = local();
    let base = base(folder.path(), &store, "galley");
    let client = client(ClientConfig::default());
    let name = reference(&registry, "galley");
    client.push(&store, &base.digest, &name.pinned(base.digest)).await.unwrap();
    let platform = galley_oci::Platform::here();
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": galley_oci::media_type::INDEX, "manifests": [
        {"mediaType": galley_oci::media_type::MANIFEST, "digest": base.digest, "size": 500, "platform": platform}]});
    let put = registry.http.put(registry.url("galley/manifests/latest"));
    assert_eq!(put.body(index.to_string()).send().await.unwrap().status(), 201);
    let index_digest = client.resolve(&name).await.unwrap();
    assert_ne!(index_digest, base.digest);

    let (_other_folder, other) = local();
    assert_eq!(client.pull(&name, &other, PullPolicy::IfNotPresent).await.unwrap(), base.digest);
    let pinned = name.pinned(index_digest);
    assert_eq!(client.pull(&pinned, &other, PullPolicy::Never).await.unwrap(), base.digest);
}

#[tokio::test]
async fn an_image_built_at_the_registry_is_the_image_built_in_a_store() {
    let registry = Registry::open().await;
    let (folder, scratch) = local();
    let base = base(folder.path(), &registry.store, "galley");
    let labels = BTreeMap::from([("galley.dev/version".to_owned(), "7".to_owned())]);
    let client = client(ClientConfig::default());
    let (from, to) = (reference(&registry, "galley:base"), reference(&registry, "team/model:7"));
    let digest = client.build_on(&from, &to, files(), labels.clone(), &scratch).await.unwrap();
    let own = Repository::own("elsewhere").unwrap();
    let built = registry.store.model_image(&base.digest, &own, None, &files(), &labels).unwrap();
    assert_eq!(digest, built.digest);
    // Our own host is looked up in the store that the registry serves: no pull.
    assert_eq!(client.pull(&to, &registry.store, PullPolicy::Always).await.unwrap(), digest);
    assert_eq!(registry.store.unpacked_layers(&digest).unwrap().len(), 2);
}

#[tokio::test]
async fn a_registry_that_lies_is_found_out() {
    let registry = Registry::open().await;
    let (folder, store) = local();
    let base = base(folder.path(), &store, "galley");
    let client = client(ClientConfig::default());
    let name = reference(&registry, "galley:1");
    client.push(&store, &base.digest, &name).await.unwrap();
    let layer = base.manifest.layers[0].digest;
    let path = registry.store.root().join("blobs/sha256").join(layer.hex());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[700] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (_other_folder, other) = local();
    let outcome = client.pull(&name, &other, PullPolicy::Always).await;
    assert!(matches!(outcome, Err(Error::DigestMismatch { .. })), "{outcome:?}");
    assert_eq!(other.blob_size(&layer).unwrap(), None);
    assert_eq!(other.lookup(&name).unwrap(), None);
}

#[tokio::test]
async fn what_is_not_there_is_said_plainly() {
    let registry = Registry::open().await;
    let (_folder, store) = local();
    let client = client(ClientConfig::default());
    let error = client.pull(&reference(&registry, "none:1"), &store, PullPolicy::Always).await.unwrap_err();
    assert_eq!(error.problem().code, "G0803", "{error}");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap();
    drop(silent);
    let error = client.resolve(&format!("{host}/a:1").parse().unwrap()).await.unwrap_err();
    assert_eq!(error.problem().code, "G0805", "{error}");
    let own: Reference = reference(&registry, "none:2");
    assert!(matches!(
        client.pull(&own, &registry.store, PullPolicy::Always).await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(own.target(), Target::Tag("2".into()));
    assert!(registry.store.lookup(&own.pinned(Digest::of(b"x"))).unwrap().is_none());
}
