//! Requests that no honest client sends. None may change a reference, leave anything behind, or bring the server down.

use std::io::Write as _;

use axum::body::Body;
use base64::Engine as _;
use http::{Request, StatusCode};
use sha1::{Digest as _, Sha1};
use tower::ServiceExt as _;

use super::{Server, TOKEN, done};

const ZERO: &str = "0000000000000000000000000000000000000000";

fn line(text: &str) -> Vec<u8> {
    format!("{:04x}{text}", text.len() + 4).into_bytes()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).expect("writes");
    to.finish().expect("writes")
}

/// Kind and size as a pack holds them.
fn header(kind: u8, mut size: u64) -> Vec<u8> {
    let mut bytes = vec![kind << 4 | (size & 0x0f) as u8];
    size >>= 4;
    while size > 0 {
        *bytes.last_mut().expect("one") |= 0x80;
        bytes.push((size & 0x7f) as u8);
        size >>= 7;
    }
    bytes
}

/// An object as a pack holds it, with the size that it claims and what names its base.
fn entry(kind: u8, size: u64, base: &[u8], bytes: &[u8]) -> Vec<u8> {
    [header(kind, size), base.to_vec(), deflate(bytes)].concat()
}

fn whole(kind: u8, bytes: &[u8]) -> Vec<u8> {
    entry(kind, bytes.len() as u64, &[], bytes)
}

/// A number as a difference begins with.
fn number(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = n > 0x7f;
        bytes.push((n & 0x7f) as u8 | if more { 0x80 } else { 0 });
        n >>= 7;
        if !more {
            return bytes;
        }
    }
}

fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = Sha1::digest(&bytes);
    bytes.extend(sum);
    bytes
}

fn pack_of(count: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"PACK\0\0\0\x02".to_vec();
    bytes.extend(count.to_be_bytes());
    bytes.extend(entries.concat());
    summed(bytes)
}

fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
    pack_of(entries.len() as u32, entries)
}

fn id(kind: &str, bytes: &[u8]) -> [u8; 20] {
    Sha1::digest([format!("{kind} {}\0", bytes.len()).as_bytes(), bytes].concat()).into()
}

fn hex(id: [u8; 20]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn commit(tree: [u8; 20]) -> Vec<u8> {
    let who = "A <a@b> 1700000000 +0000";
    format!("tree {}\nauthor {who}\ncommitter {who}\n\nm\n", hex(tree)).into_bytes()
}

fn tree_of(mode: &str, name: &[u8], id: [u8; 20]) -> Vec<u8> {
    [mode.as_bytes(), b" ", name, b"\0", &id].concat()
}

/// A pack with a commit, its tree and a file, and the commit's id.
fn honest() -> (Vec<Vec<u8>>, String) {
    let file = b"hello, hostile world\n";
    let tree = tree_of("100644", b"a", id("blob", file));
    let commit = commit(id("tree", &tree));
    (vec![whole(1, &commit), whole(2, &tree), whole(3, file)], hex(id("commit", &commit)))
}

impl Server {
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (StatusCode, String) {
        let token = base64::engine::general_purpose::STANDARD.encode(format!("galley:{TOKEN}"));
        let mut request = Request::post(format!("/pipeline.git/{path}"));
        request = request.header("authorization", format!("Basic {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).expect("a request");
        let response = self.service.router().oneshot(request).await.expect("an answer");
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 64 << 20).await.expect("all of it");
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn push(&self, new: &str, name: &str, pack: &[u8]) -> (StatusCode, String) {
        let mut body = line(&format!("{ZERO} {new} {name}\0 report-status"));
        body.extend(b"0000");
        body.extend(pack);
        self.post("git-receive-pack", &[], body).await
    }

    /// A push that must be refused with these words, and leave nothing.
    async fn refuses(&self, what: &str, tip: &str, pack: &[u8], why: &str) {
        let (status, said) = self.push(tip, "refs/heads/bad", pack).await;
        assert_eq!(status, StatusCode::OK, "{what}: {said}");
        assert!(said.contains("ng refs/heads/bad") && said.contains(why), "{what}: {said}");
        self.untouched(what).await;
    }

    async fn untouched(&self, what: &str) {
        let objects = std::fs::read_dir(self.bare().join("objects")).expect("a folder");
        let left = objects.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert!(!left.into_iter().any(|name| name.starts_with("tmp")), "{what}: something is left");
        assert!(!self.bare().join("refs/heads/bad").exists(), "{what}: the reference was made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_honest_pack_is_taken() {
    let (server, _) = Server::start().await;
    let (entries, tip) = honest();
    let (status, said) = server.push(&tip, "refs/heads/good", &pack(&entries)).await;
    assert!(status.is_success() && said.contains("ok refs/heads/good"), "{said}");
    done(&server.bare(), &["fsck", "--strict", "--full"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_packs_are_refused() {
    let (server, _) = Server::start().await;
    let (entries, tip) = honest();
    let fine = pack(&entries);
    for length in 0..fine.len() {
        server
            .refuses(&format!("cut to {length}"), &tip, &fine[..length], "unpack the pack is refused")
            .await;
    }
    for at in 0..fine.len() {
        let mut bad = fine.clone();
        bad[at] ^= 0x55;
        server.refuses(&format!("a wrong byte {at}"), &tip, &bad, "unpack ").await;
        // The same with a sum that fits: now the content has to give it away. Nothing may come out but a refusal, or
        // the same objects in other packing.
        let bad = summed(bad[..fine.len() - 20].to_vec());
        let (status, said) = server.push(&tip, "refs/heads/odd", &bad).await;
        assert_eq!(status, StatusCode::OK);
        if said.contains("ok refs/heads/odd") {
            done(&server.bare(), &["fsck", "--strict", "--full"]).await;
            std::fs::remove_file(server.bare().join("refs/heads/odd")).expect("removes");
        }
    }
    let followed = [fine.clone(), b"more".to_vec()].concat();
    server.refuses("something behind it", &tip, &followed, "something follows").await;
    server.refuses("more objects than it says", &tip, &pack_of(2, &entries), "wrong").await;
    server.refuses("fewer objects than it says", &tip, &pack_of(4, &entries), "refused").await;
    server.refuses("four milliards of objects", &tip, &pack_of(u32::MAX, &entries), "larger than").await;
    let twice = [entries.clone(), entries].concat();
    server.refuses("everything twice", &tip, &pack(&twice), "twice").await;
    done(&server.bare(), &["fsck", "--strict", "--full"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_not_believed() {
    let (server, _) = Server::start().await;
    let (entries, tip) = honest();
    let with = |more: Vec<Vec<u8>>| pack(&[entries.clone(), more].concat());
    let claims = [
        ("a huge claim", entry(3, 1 << 50, &[], b"x"), "larger than"),
        ("an impossible claim", [vec![0xbf; 12], deflate(b"x")].concat(), "impossible"),
        ("a claim of 200 MiB", entry(3, 200 << 20, &[], b"x"), "shorter than it says"),
        ("more than it says", entry(3, 1, &[], &vec![0; 1 << 20]), "longer than it says"),
        ("a huge difference", entry(7, 1 << 40, &[9; 20], b"x"), "larger than"),
        ("no kind", entry(5, 1, &[], b"x"), "no kind"),
    ];
    for (what, bytes, why) in claims {
        server.refuses(what, &tip, &with(vec![bytes]), why).await;
    }
    let base = vec![7; 1 << 16];
    let of = id("blob", &base);
    let delta = |from: u64, to: u64, orders: &[u8]| [number(from), number(to), orders.to_vec()].concat();
    let differing = |delta: &[u8]| {
        let entries = [entries.clone(), vec![whole(3, &base), entry(7, delta.len() as u64, &of, delta)]];
        pack(&entries.concat())
    };
    let whole_base = base.len() as u64;
    let cases = [
        ("a result of a terabyte", delta(whole_base, 1 << 40, &[0x80]), "larger than"),
        ("a base of another size", delta(3, 3, &[3, 1, 2, 3]), "difference"),
        (
            "a copy from behind the end",
            delta(whole_base, 9, &[0x9f, 0xff, 0xff, 0xff, 0x7f, 9]),
            "difference",
        ),
        ("less than it says", delta(whole_base, 9, &[1, 1]), "difference"),
        ("more than it says", delta(whole_base, 1, &[2, 1, 1]), "difference"),
        ("an order of nothing", delta(whole_base, 1, &[0]), "difference"),
        ("ends in an order", delta(whole_base, 1, &[0x91]), "difference"),
        ("nothing at all", Vec::new(), "difference"),
    ];
    for (what, delta, why) in cases {
        server.refuses(what, &tip, &differing(&delta), why).await;
    }
    // A difference from itself, from before the pack, and two from each other.
    let from = |distance: u8| entry(6, 4, &[distance], &delta(1, 1, &[1, 1]));
    server.refuses("from itself", &tip, &with(vec![from(0)]), "no object").await;
    server.refuses("from the middle of another", &tip, &with(vec![from(5)]), "no object").await;
    let round = |of: u8| entry(7, 4, &[of; 20], &delta(1, 1, &[1, 1]));
    server.refuses("from what is nowhere", &tip, &with(vec![round(1), round(2)]), "not here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_of_differences_have_an_end() {
    let (server, _) = Server::start().await;
    let (mut entries, tip) = honest();
    // Each is the one before and a byte more.
    let mut bytes = vec![0u8];
    entries.push(whole(3, &bytes));
    for n in 0..4200u64 {
        let before = bytes.len() as u64;
        let last = (n % 251) as u8;
        let copy = [0xb0, (before & 0xff) as u8, (before >> 8) as u8];
        let delta = [number(before), number(before + 1), copy.to_vec(), vec![1, last]].concat();
        let of = id("blob", &bytes);
        entries.push(entry(7, delta.len() as u64, &of, &delta));
        bytes.push(last);
    }
    server.refuses("a long chain", &tip, &pack(&entries), "too long").await;
    let (status, said) = server.push(&tip, "refs/heads/good", &pack(&entries[..4000])).await;
    assert!(status.is_success() && said.contains("ok refs/heads/good"), "{said}");
    done(&server.bare(), &["fsck", "--strict", "--full"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tip_names_must_be_there_and_safe() {
    let (server, _) = Server::start().await;
    let file = b"x\n";
    let blob = id("blob", file);
    for name in [&b"../x"[..], b"..", b".", b"", b".git", b".GiT", b"git~1", b"a/b", b".git\\hooks"] {
        let tree = tree_of("100644", name, blob);
        let commit = commit(id("tree", &tree));
        let bytes = pack(&[whole(1, &commit), whole(2, &tree), whole(3, file)]);
        let tip = hex(id("commit", &commit));
        server.refuses(&String::from_utf8_lossy(name), &tip, &bytes, "bad name").await;
    }
    // Named as a file but a folder; absent folder; absent file; absent commit; no commit.
    let tree = tree_of("100644", b"a", blob);
    let outer = tree_of("100644", b"b", id("tree", &tree));
    let first = commit(id("tree", &outer));
    let bytes = pack(&[whole(1, &first), whole(2, &outer), whole(2, &tree), whole(3, file)]);
    server.refuses("a folder as a file", &hex(id("commit", &first)), &bytes, "missing necessary").await;
    let second = commit([5; 20]);
    let tip = hex(id("commit", &second));
    server.refuses("no folder", &tip, &pack(&[whole(1, &second)]), "missing necessary").await;
    let third = commit(id("tree", &tree));
    let bytes = pack(&[whole(1, &third), whole(2, &tree)]);
    server.refuses("no file", &hex(id("commit", &third)), &bytes, "missing necessary").await;
    server.refuses("no commit", &"7".repeat(40), &pack(&[whole(3, file)]), "missing necessary").await;
    server.refuses("a file as a tip", &hex(blob), &pack(&[whole(3, file)]), "no commit").await;
    let odd = b"tree x\n\nno commit";
    server.refuses("an odd commit", &"7".repeat(40), &pack(&[whole(1, odd)]), "a commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn references_stay_in_their_folder() {
    let (server, id) = Server::start().await;
    for name in [
        "HEAD",
        "config",
        "refs/heads/../../config",
        "refs/heads/x.lock",
        "refs/heads/a b",
        "refs/x",
        "../x",
        "refs//x",
    ] {
        let (_, said) = server.push(&id, name, &pack(&[])).await;
        assert!(said.contains("funny refname"), "{name}: {said}");
    }
    let config = std::fs::read_to_string(server.bare().join("config")).expect("reads");
    assert!(config.contains("bare = true"));
    // An old value that is not true.
    let mut body = line(&format!("{} {ZERO} refs/heads/main\0 report-status delete-refs", "1".repeat(40)));
    body.extend(line(&format!("{} {id} refs/heads/other", "1".repeat(40))));
    body.extend(b"0000");
    body.extend(pack(&[]));
    let (_, said) = server.post("git-receive-pack", &[], body).await;
    assert!(said.contains("ng refs/heads/main") && said.contains("ng refs/heads/other"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_protocol_are_refused() {
    let (server, id) = Server::start().await;
    let two = [("git-protocol", "version=2")];
    for bad in ["zzzz", "0003", "00", "000", "ffff", "0009wan", "fff1", "0009junk\n0000"] {
        for (path, headers) in
            [("git-upload-pack", &two[..]), ("git-upload-pack", &[]), ("git-receive-pack", &[])]
        {
            let (status, said) = server.post(path, headers, bad.into()).await;
            let fine = status == StatusCode::BAD_REQUEST || bad.ends_with("junk\n0000") && headers.len() == 1;
            assert!(fine, "{path} {headers:?} {bad}: {status} {said}");
        }
    }
    let fetch = |arguments: &[&str]| {
        let mut body = [line("command=fetch"), b"0001".to_vec()].concat();
        arguments.iter().for_each(|argument| body.extend(line(argument)));
        body.extend(b"0000");
        body
    };
    let want = format!("want {id}");
    let bad: [&[&str]; 5] = [
        &["want x"],
        &[&want, "deepen -1"],
        &[&want, "filter sparse:oid=main"],
        &["packfile-uris x"],
        &["have 1"],
    ];
    for arguments in bad {
        let (status, _) = server.post("git-upload-pack", &two, fetch(arguments)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{arguments:?}");
    }
    let absent = format!("want {}", "1".repeat(40));
    let (_, said) = server.post("git-upload-pack", &two, fetch(&[&absent, "done"])).await;
    assert!(said.contains("ERR upload-pack: not our ref"), "{said}");
    let (_, said) = server.post("git-upload-pack", &two, fetch(&[&want, "deepen-not absent", "done"])).await;
    assert!(said.contains("ERR upload-pack: no commits selected"), "{said}");
    let (status, _) =
        server.post("git-upload-pack", &two, [line("command=steal"), b"0000".to_vec()].concat()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    // Small when packed, large when not.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![b'0'; 64 << 20]).expect("packs");
    let headers = [("content-encoding", "gzip")];
    let (status, _) = server.post("git-upload-pack", &headers, gzip.finish().expect("packs")).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, said) = server.post("git-receive-pack", &[], b"0000".to_vec()).await;
    assert!(status.is_success() && said.is_empty(), "a probe is answered with nothing");
}
