//! Hostile archives stay in their folder, deletions become marks or are carried out, limits hold.

use std::fs;
use std::io::Write;

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::media::media_type;
use crate::store::{Options, Repository};

/// One entry: kind, path, and content or the link's target.
type Spec<'a> = (EntryType, &'a str, &'a str);

/// An archive with names written as they are: the library would refuse some.
fn archive(entries: &[Spec<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, content) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if *kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        let data = if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            ""
        } else {
            content
        };
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

struct World {
    folder: tempfile::TempDir,
    store: Store,
}

fn world(limits: UnpackLimits) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open(folder.path().join("store"), Options { unpack: limits, ..Options::default() }).unwrap();
    World { folder, store }
}

impl World {
    fn image(&self, layers: &[Vec<u8>], wrong_diff_id: bool) -> Digest {
        let repository = Repository::own("x").unwrap();
        let mut descriptors = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in layers {
            let digest = self.store.put_blob(layer).unwrap();
            self.store.link_blob(&repository, &digest).unwrap();
            descriptors.push(Descriptor::new(media_type::LAYER, digest, layer.len() as u64));
            diff_ids.push(if wrong_diff_id { Digest::of(b"wrong") } else { digest });
        }
        let config = serde_json::to_vec(&serde_json::json!({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}
        }))
        .unwrap();
        let config_digest = self.store.put_blob(&config).unwrap();
        self.store.link_blob(&repository, &config_digest).unwrap();
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "config": Descriptor::new(media_type::CONFIG, config_digest, config.len() as u64),
            "layers": descriptors,
        }))
        .unwrap();
        self.store.put_manifest(&repository, None, media_type::MANIFEST, &manifest).unwrap()
    }

    fn unpack(&self, entries: &[Spec<'_>]) -> Result<PathBuf> {
        let image = self.image(&[archive(entries)], false);
        self.store.unpacked_layers(&image).map(|mut layers| layers.remove(0))
    }

    /// Nothing may appear beside the store, whatever an archive says.
    fn assert_contained(&self) {
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1, "something escaped");
        let layers = fs::read_dir(self.folder.path().join("store/layers")).unwrap();
        for entry in layers {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(Digest::from_hex(&name).is_some(), "a failed layer leaves nothing: {name}");
        }
    }
}

use EntryType::{Directory as D, Link as H, Regular as F, Symlink as L};

#[test]
fn nothing_escapes() {
    let refused: &[&[Spec<'_>]] = &[
        &[(F, "../../../escape", "x")],
        &[(F, "a/../../../../escape", "x")],
        &[(H, "a", "../../../../etc/passwd")],
        &[(H, "a", "/etc/passwd")],
        &[(L, "a", "/etc"), (H, "b", "a/passwd")],
        &[(F, ".wh..", "")],
        &[(F, ".wh...", "")],
        &[(F, "a", "x"), (F, "a/b", "x")],
    ];
    for entries in refused {
        let world = world(UnpackLimits::default());
        let outcome = world.unpack(entries);
        assert!(matches!(outcome, Err(Error::BadLayer { .. })), "{entries:?}: {outcome:?}");
        world.assert_contained();
    }
}

#[test]
fn links_are_followed_inside_only() {
    let world = world(UnpackLimits::default());
    let outside = world.folder.path().to_str().unwrap().to_owned();
    let folder = world
        .unpack(&[
            (L, "out", &outside),
            (F, "out/escape", "x"),
            (L, "up", "../../../.."),
            (F, "up/also", "x"),
            (D, "dir", ""),
            (L, "dir", "/etc"),
            (F, "/absolute", "x"),
            (L, "file", "/etc/passwd"),
            (F, "file", "mine"),
        ])
        .unwrap();
    world.assert_contained();
    assert_eq!(fs::read_to_string(folder.join("also")).unwrap(), "x");
    assert_eq!(fs::read_to_string(folder.join("absolute")).unwrap(), "x");
    assert_eq!(
        fs::read_to_string(folder.join("file")).unwrap(),
        "mine",
        "a link is replaced, not written through"
    );
    assert!(fs::symlink_metadata(folder.join("dir")).unwrap().is_symlink());
}

#[test]
fn deletions_are_marked_for_an_overlay() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let world = world(UnpackLimits::default());
    let folder = match world.unpack(&[(D, "etc", ""), (F, "etc/.wh.passwd", ""), (F, "etc/new", "x")]) {
        Err(Error::BadLayer { reason, .. }) if reason.contains("cannot be marked") => {
            return skip("this system makes no whiteouts");
        }
        outcome => outcome.unwrap(),
    };
    let mark = fs::symlink_metadata(folder.join("etc/passwd")).unwrap();
    assert!(mark.file_type().is_char_device());
    assert_eq!(mark.rdev(), 0);
    assert!(!folder.join("etc/.wh.passwd").exists());
    match world.unpack(&[(D, "etc", ""), (F, "etc/.wh..wh..opq", "")]) {
        Err(Error::BadLayer { reason, .. }) if reason.contains("opaque") => skip("no user attributes here"),
        outcome => {
            let path = outcome.unwrap().join("etc");
            let mut value = [0u8; 8];
            let read = rustix::fs::getxattr(&path, "user.overlay.opaque", &mut value[..])
                .or_else(|_| rustix::fs::getxattr(&path, "trusted.overlay.opaque", &mut value[..]));
            assert_eq!(&value[..read.unwrap()], b"y");
        }
    }
}

fn skip(why: &str) {
    let _ = writeln!(std::io::stdout(), "skipped: {why}");
}

#[test]
fn deletions_are_carried_out_in_a_plain_folder() {
    let world = world(UnpackLimits::default());
    let lower =
        archive(&[(D, "a", ""), (F, "a/old", "1"), (F, "a/kept", "1"), (D, "b", ""), (F, "b/old", "1")]);
    let upper =
        archive(&[(F, "a/.wh.old", ""), (F, "b/new", "2"), (F, "b/.wh..wh..opq", ""), (F, "a/kept", "2")]);
    let image = world.image(&[lower, upper], false);
    let root = world.store.path("flat");
    world.store.unpack_into(&image, &root).unwrap();
    let names = |folder: &str| {
        let mut names: Vec<_> = fs::read_dir(root.join(folder))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("a"), ["kept"]);
    assert_eq!(fs::read_to_string(root.join("a/kept")).unwrap(), "2");
    assert_eq!(names("b"), ["new"], "an opaque folder hides what is below, not what came with it");
}

#[test]
fn a_link_on_the_way_to_a_folder_does_not_change_modes_outside() {
    use std::os::unix::fs::PermissionsExt;
    let world = world(UnpackLimits::default());
    let victim = tempfile::tempdir().unwrap();
    fs::create_dir(victim.path().join("b")).unwrap();
    fs::set_permissions(victim.path().join("b"), fs::Permissions::from_mode(0o700)).unwrap();
    let target = victim.path().to_str().unwrap();
    world.unpack(&[(D, "a", ""), (D, "a/b", ""), (L, "a", target)]).unwrap();
    let mode = fs::metadata(victim.path().join("b")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
}

#[test]
fn sizes_and_digests_are_held() {
    let small = world(UnpackLimits { bytes: 4096, entries: 100 });
    let big = "x".repeat(8192);
    assert!(matches!(small.unpack(&[(F, "a", &big)]), Err(Error::TooLarge { .. })));
    let few = world(UnpackLimits { bytes: 1 << 20, entries: 2 });
    let many = few.unpack(&[(F, "a", ""), (F, "b", ""), (F, "c", "")]);
    assert!(matches!(many, Err(Error::BadLayer { .. })));
    let world = world(UnpackLimits::default());
    let image = world.image(&[archive(&[(F, "a", "x")])], true);
    assert!(matches!(world.store.unpacked_layers(&image), Err(Error::DigestMismatch { .. })));
    world.assert_contained();
}

#[test]
fn many_at_once_unpack_once() {
    let world = world(UnpackLimits::default());
    let image = world.image(&[archive(&[(D, "a", ""), (F, "a/b", "x")])], false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let layers = world.store.unpacked_layers(&image).unwrap();
                assert_eq!(fs::read_to_string(layers[0].join("a/b")).unwrap(), "x");
            });
        }
    });
    world.assert_contained();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the bytes, unpacking ends without a panic and leaves nothing outside.
    #[test]
    fn any_bytes_are_survived(noise in proptest::collection::vec(any::<u8>(), 0..2048), at in 0usize..1500) {
        let world = world(UnpackLimits { bytes: 1 << 20, entries: 100 });
        let mut bytes = archive(&[(D, "a", ""), (F, "a/b", "x"), (L, "c", "a")]);
        let end = (at + noise.len()).min(bytes.len());
        if at < end {
            bytes[at..end].copy_from_slice(&noise[..end - at]);
        }
        let image = world.image(&[bytes], false);
        let _ = world.store.unpacked_layers(&image);
        world.assert_contained();
    }
}
