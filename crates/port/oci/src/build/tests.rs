//! Same inputs, same digest; a program that is not static is refused; layers hold what they should.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::Options;

/// The smallest file that passes for a static program, with `extra` bytes behind it.
fn program(folder: &Path, interpreter: bool, extra: &[u8]) -> PathBuf {
    let mut elf = vec![0u8; 64 + 56];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    elf[18..20].copy_from_slice(&machine.to_le_bytes());
    elf[32..40].copy_from_slice(&64u64.to_le_bytes());
    elf[54..56].copy_from_slice(&56u16.to_le_bytes());
    elf[56..58].copy_from_slice(&1u16.to_le_bytes());
    elf[64] = if interpreter { 3 } else { 1 };
    elf.extend_from_slice(extra);
    let path = folder.join("program");
    fs::write(&path, elf).unwrap();
    path
}

fn open(folder: &Path) -> Store {
    Store::open(folder, Options::default()).unwrap()
}

fn build(folder: &Path, compression: Compression) -> (Store, BuiltImage, BuiltImage) {
    let binary = program(folder, false, b"code");
    let store = open(&folder.join("store"));
    let options = BaseOptions {
        compression,
        certificates: b"PEM".to_vec(),
        labels: BTreeMap::from([("a".into(), "b".into())]),
    };
    let base = store.base_image(&Repository::own("galley").unwrap(), "base", &binary, &options).unwrap();
    let files = BTreeMap::from([
        ("/model/model.onnx".to_owned(), vec![7; 1000]),
        ("/model/contract.json".to_owned(), b"{}".to_vec()),
    ]);
    let labels = BTreeMap::from([("galley.dev/version".to_owned(), "3".to_owned())]);
    let repository = Repository::own("gourmetgram").unwrap();
    let model = store.model_image(&base.digest, &repository, Some("3"), &files, &labels).unwrap();
    (store, base, model)
}

#[test]
fn the_same_inputs_give_the_same_digest_at_any_time_and_place() {
    for compression in [Compression::None, Compression::Gzip(1)] {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_, base, model) = build(one.path(), compression);
        let (_, again, model_again) = build(two.path(), compression);
        assert_eq!((base.digest, model.digest), (again.digest, model_again.digest));
    }
}

#[test]
fn the_digest_of_a_plain_model_layer_is_what_it_was_in_the_first_version() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, model) = build(folder.path(), Compression::None);
    // A change here means that every image of an unchanged model gets a new digest: say so in the change log.
    let expected = "sha256:088a70cb3b881bb126fc5b01b56b70822d8171b56ac51c9d7e54cc7fb593756a";
    assert_eq!(model.manifest.layers[1].digest.to_string(), expected);
}

#[test]
fn an_image_unpacks_to_what_was_put_in() {
    for compression in [Compression::None, Compression::Gzip(1)] {
        let folder = tempfile::tempdir().unwrap();
        let (store, base, model) = build(folder.path(), compression);
        assert_eq!(model.config.config.user, NONROOT);
        assert_eq!(model.config.config.entrypoint, ["/galley"]);
        assert_eq!(model.config.config.labels["galley.dev/version"], "3");
        assert_eq!(model.config.config.labels["a"], "b", "the base's labels are kept");
        assert_eq!(model.manifest.layers[0], base.manifest.layers[0]);
        let layers = store.unpacked_layers(&model.digest).unwrap();
        assert_eq!(layers.len(), 2);
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(layers[0].join("galley")), 0o755);
        assert_eq!(mode(layers[0].join("tmp")), 0o1777);
        assert_eq!(mode(layers[0].join("etc/passwd")), 0o644);
        assert_eq!(fs::read(layers[1].join("model/model.onnx")).unwrap(), [7; 1000]);
        assert_eq!(store.unpacked_layers(&model.digest).unwrap(), layers, "unpacked once");
    }
}

#[test]
fn an_unchanged_program_is_not_packed_again_and_a_changed_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let (store, base, _) = build(folder.path(), Compression::None);
    let repository = Repository::own("galley").unwrap();
    let binary = folder.path().join("program");
    let options = BaseOptions {
        labels: BTreeMap::from([("a".into(), "b".into())]),
        certificates: b"PEM".to_vec(),
        ..BaseOptions::default()
    };
    // Were it packed again, it would be packed from the changed bytes: the cache goes by size, time and file.
    let changed = fs::metadata(&binary).unwrap().modified().unwrap();
    let mut bytes = fs::read(&binary).unwrap();
    bytes.reverse();
    fs::write(&binary, &bytes).unwrap();
    fs::File::options().write(true).open(&binary).unwrap().set_modified(changed).unwrap();
    assert_eq!(store.base_image(&repository, "base", &binary, &options).unwrap().digest, base.digest);
    program(folder.path(), false, b"other code");
    assert_ne!(store.base_image(&repository, "base", &binary, &options).unwrap().digest, base.digest);
}

#[test]
fn programs_that_need_a_loader_are_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store"));
    let binary = program(folder.path(), true, b"");
    let repository = Repository::own("galley").unwrap();
    let error = store.base_image(&repository, "base", &binary, &BaseOptions::default()).unwrap_err();
    let problem = error.problem();
    assert_eq!(problem.code, "G0801");
    assert!(problem.remedy.unwrap().contains("crt-static"));
    fs::write(&binary, "#!/bin/sh\n").unwrap();
    assert!(matches!(check_static_elf(&binary), Err(Error::NotStatic { .. })));
}

#[test]
fn paths_of_a_model_layer_are_absolute_and_plain() {
    let folder = tempfile::tempdir().unwrap();
    let (store, base, _) = build(folder.path(), Compression::None);
    for path in ["model", "/", "/a/../b", "/a//b", "/.wh.x", ""] {
        let files = BTreeMap::from([(path.to_owned(), Vec::new())]);
        let repository = Repository::own("x").unwrap();
        let refused = store.model_image(&base.digest, &repository, None, &files, &BTreeMap::new());
        assert!(matches!(refused, Err(Error::InvalidName { .. })), "{path}");
    }
}

/// `cargo test -p galley-oci --release -- --ignored --nocapture`: what a start with a 40 MB program costs.
#[test]
#[ignore = "a measurement"]
fn time_to_pack_a_program_of_40_mb() {
    let folder = tempfile::tempdir().unwrap();
    // Machine code compresses by about half: half random, half text.
    let mut state = 1u64;
    let code: Vec<u8> = (0..40 << 20)
        .map(|i: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if i & 64 == 0 { (state >> 56) as u8 } else { b'a' }
        })
        .collect();
    let binary = program(folder.path(), false, &code);
    let repository = Repository::own("galley").unwrap();
    for compression in [Compression::None, Compression::Gzip(1), Compression::Gzip(3)] {
        let store = open(&folder.path().join(format!("{compression:?}")));
        let options = BaseOptions { compression, ..BaseOptions::default() };
        let start = std::time::Instant::now();
        let image = store.base_image(&repository, "base", &binary, &options).unwrap();
        let built = start.elapsed();
        store.unpacked_layers(&image.digest).unwrap();
        let unpacked = start.elapsed() - built;
        let start = std::time::Instant::now();
        store.base_image(&repository, "base", &binary, &options).unwrap();
        let text = format!(
            "{compression:?}: built {built:?}, unpacked {unpacked:?}, again {:?}, {} bytes\n",
            start.elapsed(),
            image.manifest.layers[0].size
        );
        std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).unwrap();
    }
}
