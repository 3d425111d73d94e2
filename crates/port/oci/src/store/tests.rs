//! What a crash, a wrong digest, a deletion and a collection leave behind.

use std::time::Duration;

use galley_units::{Clock, ManualClock, SystemClock};

use super::*;
use crate::media::{Descriptor, media_type};
use crate::reference::Target;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { own_hosts: vec!["localhost:5001".into()], ..Options::default() };
    let store = Store::open(folder.path().join("images"), options).unwrap();
    (folder, store)
}

/// A small image whose one layer is `content`; gives manifest and layer.
fn image(store: &Store, repository: &Repository, tag: &str, content: &[u8]) -> (Digest, Digest) {
    let layer = store.put_blob(content).unwrap();
    let config = store.put_blob(br#"{"architecture":"amd64","os":"linux"}"#).unwrap();
    for blob in [&layer, &config] {
        store.link_blob(repository, blob).unwrap();
    }
    let manifest = manifest(layer, content.len(), config, None);
    (store.put_manifest(repository, Some(tag), media_type::MANIFEST, &manifest).unwrap(), layer)
}

fn manifest(layer: Digest, size: usize, config: Digest, subject: Option<Digest>) -> Vec<u8> {
    let mut document = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": Descriptor::new(media_type::CONFIG, config, 37),
        "layers": [Descriptor::new(media_type::LAYER, layer, size as u64)],
    });
    if let Some(subject) = subject {
        document["subject"] =
            serde_json::to_value(Descriptor::new(media_type::MANIFEST, subject, 1)).unwrap();
        document["artifactType"] = "application/x-signature".into();
    }
    serde_json::to_vec(&document).unwrap()
}

#[test]
fn content_appears_only_when_it_is_whole_and_right() {
    let (_folder, store) = store();
    let mut upload = store.begin_upload().unwrap();
    upload.write(b"half").unwrap();
    drop(upload);
    let mut upload = store.begin_upload().unwrap();
    upload.write(b"whole").unwrap();
    let promised = Digest::of(b"other");
    assert!(matches!(upload.finish(Some(&promised)), Err(Error::DigestMismatch { .. })));
    assert_eq!(store.blob_size(&Digest::of(b"whole")).unwrap(), None);
    assert_eq!(names(&store.path("uploads")).unwrap(), Vec::<String>::new(), "nothing is left behind");

    let digest = store.put_blob(b"whole").unwrap();
    assert_eq!(store.put_blob(b"whole").unwrap(), digest);
    assert_eq!(store.read_blob(&digest, 5).unwrap(), b"whole");
    assert!(matches!(store.read_blob(&digest, 4), Err(Error::TooLarge { .. })));
    std::fs::write(store.blob_path(&digest), b"wrong").unwrap();
    assert!(
        matches!(store.read_blob(&digest, 5), Err(Error::DigestMismatch { .. })),
        "a faulty disk is seen"
    );
}

#[test]
fn a_manifest_needs_everything_it_refers_to() {
    let (_folder, store) = store();
    let (here, there) = (Repository::own("a/b").unwrap(), Repository::own("a").unwrap());
    let (digest, layer) = image(&store, &here, "v1", b"layer");
    let bytes = store.read_blob(&digest, 4096).unwrap();
    let refused = store.put_manifest(&there, None, media_type::MANIFEST, &bytes);
    assert!(matches!(refused, Err(Error::MissingReference(_))), "the other repository does not hold {layer}");
    assert_eq!(store.repositories().unwrap(), ["a/b"]);
    assert_eq!(store.tags(&here).unwrap(), ["v1"]);
    let found = store.manifest(&here, &Target::Tag("v1".into())).unwrap().unwrap();
    assert_eq!((found.digest, found.media_type.as_str()), (digest, media_type::MANIFEST));
    assert_eq!(store.lookup(&"localhost:5001/a/b:v1".parse().unwrap()).unwrap(), Some(digest));
    assert_eq!(
        store.lookup(&"example.org/a/b:v1".parse().unwrap()).unwrap(),
        None,
        "another registry's name"
    );

    let reopened = Store::open(store.root(), Options::default()).unwrap();
    assert_eq!(reopened.manifest(&here, &Target::Tag("v1".into())).unwrap().unwrap().digest, digest);
}

#[test]
fn tags_move_and_a_deleted_manifest_takes_its_tags_along() {
    let (_folder, store) = store();
    let repository = Repository::own("a").unwrap();
    let (first, _) = image(&store, &repository, "latest", b"1");
    let (second, _) = image(&store, &repository, "latest", b"2");
    store.tag(&repository, "old", &first).unwrap();
    assert!(store.tag(&repository, "none", &Digest::of(b"none")).is_err());
    assert!(store.delete_manifest(&repository, &second).unwrap());
    assert_eq!(store.tags(&repository).unwrap(), ["old"]);
    assert!(store.manifest(&repository, &Target::Digest(second)).unwrap().is_none());
    assert!(!store.delete_manifest(&repository, &second).unwrap());
    assert!(store.delete_tag(&repository, "old").unwrap());
    assert!(store.manifest(&repository, &Target::Digest(first)).unwrap().is_some());
    for wrong in ["../x", "a/b", ""] {
        assert!(store.manifest(&repository, &Target::Tag(wrong.into())).is_err(), "{wrong}");
    }
}

#[test]
fn referrers_are_described() {
    let (_folder, store) = store();
    let repository = Repository::own("a").unwrap();
    let (subject, layer) = image(&store, &repository, "v1", b"1");
    let config = Digest::of(br#"{"architecture":"amd64","os":"linux"}"#);
    let signature = manifest(layer, 1, config, Some(subject));
    let digest = store.put_manifest(&repository, None, media_type::MANIFEST, &signature).unwrap();
    let found = store.referrers(&repository, &subject).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, digest);
    assert_eq!(found[0].artifact_type.as_deref(), Some("application/x-signature"));
    store.delete_manifest(&repository, &digest).unwrap();
    assert_eq!(store.referrers(&repository, &subject).unwrap(), []);
}

#[test]
fn only_old_and_unreachable_content_is_collected() {
    let (_folder, store) = store();
    let repository = Repository::own("a").unwrap();
    let (kept, kept_layer) = image(&store, &repository, "v1", b"kept");
    let (gone, gone_layer) = image(&store, &repository, "v2", b"gone");
    store.delete_manifest(&repository, &gone).unwrap();
    std::fs::write(store.path("uploads/abandoned"), b"x").unwrap();
    let clock = ManualClock::new(SystemClock.now());
    let hour = Duration::from_secs(3600);
    assert_eq!(store.collect_garbage(&clock, hour, &[]).unwrap(), Collected::default(), "all of it is young");
    clock.advance(hour * 2);
    let first = store.collect_garbage(&clock, hour, &[gone]).unwrap();
    assert_eq!((first.blobs, first.uploads), (0, 1), "an image in use stays");
    let collected = store.collect_garbage(&clock, hour, &[]).unwrap();
    assert_eq!(
        (collected.blobs, collected.uploads),
        (2, 0),
        "manifest and layer; the configuration is shared"
    );
    assert_eq!(store.blob_size(&gone_layer).unwrap(), None);
    assert_eq!(store.repository_blob(&repository, &gone_layer).unwrap(), None);
    assert_eq!(store.blob_size(&kept_layer).unwrap(), Some(4));
    assert!(store.manifest(&repository, &Target::Digest(kept)).unwrap().is_some());
}
