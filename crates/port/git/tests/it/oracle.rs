//! What is read from a repository, compared with what git says of it.

use std::{fmt::Write as _, path::Path, process::Stdio};

use galley_git::Repo;
use tokio::io::AsyncWriteExt as _;

async fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let mut command = galley_git::command(&[]);
    let mut child =
        command.current_dir(folder).args(arguments).stdin(Stdio::piped()).spawn().expect("git runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A git that refuses says so itself.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    let output = child.wait_with_output().await.expect("git ends");
    output.status.success().then_some(output.stdout)
}

async fn text(folder: &Path, arguments: &[&str]) -> String {
    let output = git(folder, arguments, b"").await.unwrap_or_else(|| panic!("git {arguments:?} refused"));
    String::from_utf8(output).expect("text").trim_end().to_owned()
}

/// A history with merges of both kinds, deletions, files that become folders, links, submodules, modes and odd messages.
fn stream() -> String {
    let mut text = String::new();
    let data = |text: &str| format!("data {}\n{text}\n", text.len());
    let mut commit = |branch: &str, mark: usize, from: &[usize], message: &str, changes: &str| {
        let who =
            format!("{} <a@example.com> {} +0130", ["Ada", "Bé Ç"][mark % 2], 1_600_000_000 + mark * 60);
        let _ = write!(
            text,
            "commit refs/heads/{branch}\nmark :{mark}\nauthor {who}\ncommitter {who}\n{}",
            data(message)
        );
        for (at, parent) in from.iter().enumerate() {
            let _ = writeln!(text, "{} :{parent}", if at == 0 { "from" } else { "merge" });
        }
        text.push_str(changes);
        text.push('\n');
    };
    let file = |path: &str, content: &str| format!("M 100644 inline {path}\n{}", data(content));
    let messages = [
        "plain",
        "subject\nover two lines\n\nbody\n\nKey: value\nOther: a\n  b\n",
        "\n\nleading lines\n\n\n\nbody after many\n",
        "s\n\nprose\nnot: a trailer because of this line\nand that one\n",
        "s\n\nprose\n\nprose\nSigned-off-by: A <a@b>\nmore prose\n",
        "subject only\n\n",
        "ümläut ✓\n\nbody ✓\n\nGalley-Release: r-1\n# a comment\nGalley-Gate: x\n",
        "Key: value\n",
    ];
    for n in 1..=60 {
        let from: Vec<usize> = if n == 1 { Vec::new() } else { vec![n - 1] };
        let path = format!("d{}/e{}/f.txt", n % 3, n % 4);
        let mut changes = file(&path, &format!("{n}\n"));
        match n {
            10 => changes += &file("thing", "a file\n"),
            20 => changes += &format!("D thing\n{}", file("thing/inside", "now a folder\n")),
            25 => changes += &format!("M 120000 inline link\n{}", data("thing/inside")),
            30 => changes += &format!("M 100755 inline run.sh\n{}", data("#!/bin/sh\n")),
            31 => changes += &format!("M 100644 inline run.sh\n{}", data("#!/bin/sh\n")),
            35 => changes += &format!("M 160000 {} sub\n", "1".repeat(40)),
            40 => changes += "D d1\n",
            45 => changes += &file("thing.a", "between\n"),
            _ => {}
        }
        commit("main", n, &from, messages[n % messages.len()], &changes);
    }
    // One side that main takes as it is, one that both changed.
    commit("side", 61, &[30], "aside", &file("side.txt", "x\n"));
    commit("side", 62, &[61], "aside again", &file("d0/e0/f.txt", "other\n"));
    commit(
        "main",
        63,
        &[60, 62],
        "merge\n\nboth",
        &(file("side.txt", "x\n") + &file("d0/e0/f.txt", "merged\n")),
    );
    commit("topic", 64, &[63], "topic", &file("topic.txt", "t\n"));
    commit("main", 65, &[63, 64], "merge of what is new there only", &file("topic.txt", "t\n"));
    let _ = write!(text, "tag v1\nfrom :50\ntagger A <a@b> 1600009999 +0000\n{}", data("noted"));
    let _ = write!(text, "tag v1again\nfrom :50\ntagger A <a@b> 1600009999 +0000\n{}", data("noted"));
    text.push_str("reset refs/tags/plain\nfrom :20\n\ndone\n");
    text
}

async fn repository(folder: &Path) -> Repo {
    let repo = Repo::init_or_open(folder.join("x.git")).await.expect("makes");
    git(repo.path(), &["fast-import", "--quiet", "--done"], stream().as_bytes()).await.expect("imports");
    repo
}

async fn same_revisions(repo: &Repo) {
    let tip = text(repo.path(), &["rev-parse", "main"]).await;
    let tag = text(repo.path(), &["rev-parse", "v1"]).await;
    let tree = text(repo.path(), &["rev-parse", "main^{tree}"]).await;
    let short = |id: &str, length: usize| id[..length].to_owned();
    let mut revisions: Vec<String> = [
        "main",
        "HEAD",
        "@",
        "side",
        "v1",
        "plain",
        "refs/heads/main",
        "heads/main",
        "tags/v1",
        "refs/tags/v1",
        "absent",
        "main~1",
        "main~7",
        "main^2",
        "main^2~1",
        "main^3",
        "main~1000",
        "main^0",
        "v1~2",
        "HEAD~",
        "HEAD^^",
        "0000000",
        "ab",
        "refs",
        "heads",
    ]
    .map(str::to_owned)
    .into();
    revisions.extend([
        short(&tip, 7),
        short(&tip, 40),
        short(&tip, 5),
        short(&tag, 12),
        tag.clone(),
        tree,
        tip.to_uppercase(),
    ]);
    for revision in revisions {
        let wanted = format!("{revision}^{{commit}}");
        let gits = git(repo.path(), &["rev-parse", "--verify", "--quiet", &wanted], b"").await;
        let gits = gits.map(|id| String::from_utf8_lossy(&id).trim().to_owned());
        assert_eq!(repo.resolve(&revision).await.expect("resolves"), gits, "{revision}");
    }
    let listed = text(repo.path(), &["for-each-ref", "--format=%(refname) %(objectname)"]).await;
    let ours = repo.refs().await.expect("reads");
    assert_eq!(ours.iter().map(|(name, id)| format!("{name} {id}")).collect::<Vec<_>>().join("\n"), listed);
}

async fn same_history(repo: &Repo) {
    for path in [
        "",
        "d0",
        "d1",
        "d0/e0/f.txt",
        "d1/e1",
        "thing",
        "thing/inside",
        "side.txt",
        "topic.txt",
        "absent",
        "run.sh",
    ] {
        for from in ["main", "side", "v1"] {
            let mut arguments = vec![
                "log",
                "-z",
                "--format=tformat:%H%x01%an%x01%ae%x01%ct%x01%s%x01%b%x01%(trailers:only=true,unfold=true)",
            ];
            arguments.extend([from, "--"]);
            arguments.extend((!path.is_empty()).then_some(path));
            let gits = text(repo.path(), &arguments).await;
            let gits: Vec<Vec<&str>> = gits
                .split('\0')
                .filter(|c| !c.is_empty())
                .map(|commit| commit.split('\u{1}').collect())
                .collect();
            let ours = repo.log(from, Some(path), 1000).await.expect("a log");
            assert_eq!(
                ours.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(),
                gits.iter().map(|c| c[0]).collect::<Vec<_>>(),
                "{from} {path}"
            );
            for (ours, gits) in ours.iter().zip(&gits) {
                assert_eq!(
                    [ours.author.as_str(), &ours.email, &ours.time.as_second().to_string()],
                    gits[1..4]
                );
                assert_eq!([ours.subject.as_str(), &ours.body], [gits[4], gits[5].trim_end()]);
                let trailers: Vec<String> = ours.trailers.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                assert_eq!(trailers.join("\n"), gits[6].trim_end(), "{}", ours.id);
            }
            assert_eq!(repo.log(from, Some(path), 3).await.expect("a log"), ours[..ours.len().min(3)]);
        }
    }
}

async fn same_files(repo: &Repo) {
    let ids = text(repo.path(), &["rev-list", "main"]).await;
    let ids: Vec<&str> = ids.lines().collect();
    for pair in ids.windows(2).chain([&[ids[0], ids[40]][..], &[ids[50], ids[3]]]) {
        let gits =
            text(repo.path(), &["diff-tree", "-r", "-z", "--name-only", "--no-renames", pair[1], pair[0]])
                .await;
        let gits: Vec<&str> = gits.split('\0').filter(|path| !path.is_empty()).collect();
        assert_eq!(repo.changed_paths(Some(pair[1]), pair[0]).await.expect("paths"), gits);
    }
    for id in ids.iter().step_by(7) {
        let gits = text(repo.path(), &["ls-tree", "-r", "-z", "--name-only", "--full-tree", id]).await;
        let gits: Vec<&str> = gits.split('\0').filter(|path| !path.is_empty()).collect();
        assert_eq!(repo.changed_paths(None, id).await.expect("paths"), gits);
        let files = repo.read_tree(id, "").await.expect("files");
        let plain: Vec<&str> = gits.iter().copied().filter(|path| !["link", "sub"].contains(path)).collect();
        assert_eq!(
            files.keys().collect::<Vec<_>>(),
            plain.iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        );
        for (path, bytes) in &files {
            let object = format!("{id}:{path}");
            assert_eq!(Some(bytes), git(repo.path(), &["cat-file", "blob", &object], b"").await.as_ref());
            assert_eq!(repo.read_file(id, path).await.expect("reads").as_ref(), Some(bytes));
        }
    }
    assert_eq!(repo.read_file("main", "link").await.expect("reads").as_deref(), Some(&b"thing/inside"[..]));
    assert_eq!(repo.read_file("main", "sub").await.expect("reads"), None);
    assert!(repo.read_tree("absent", "").await.is_err());
    assert!(repo.changed_paths(Some("absent"), "main").await.is_err());
}

#[tokio::test]
async fn everything_is_as_git_says() {
    let folder = tempfile::tempdir().expect("scratch");
    let repo = repository(folder.path()).await;
    // As git wrote it, and after it was collected: other packs, packed references.
    for round in 0..2 {
        same_revisions(&repo).await;
        same_history(&repo).await;
        same_files(&repo).await;
        if round == 0 {
            text(repo.path(), &["-c", "gc.pruneExpire=now", "gc", "-q"]).await;
        }
    }
    let check = git(repo.path(), &["fsck", "--full"], b"").await;
    assert!(check.is_some());
}
