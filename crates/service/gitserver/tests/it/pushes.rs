//! Pushes by the real git.

use galley_gitserver::Config;

use super::{Server, done, git, refused, said};

#[tokio::test(flavor = "multi_thread")]
async fn references_are_made_moved_and_deleted() {
    let (mut server, first) = Server::start().await;
    let root = server.folder.path().to_owned();
    let (url, bare) = (server.with_token(), server.bare());
    done(&root, &["clone", "-q", &server.url, "clone"]).await;
    let clone = root.join("clone");
    for n in 0..3 {
        std::fs::write(clone.join("a.txt"), format!("{n}\n")).expect("writes");
        done(&clone, &["commit", "-qam", &format!("c{n}")]).await;
    }
    done(&clone, &["tag", "-a", "-m", "noted", "v1"]).await;
    done(&clone, &["push", "-q", &url, "main", "v1", "main~1:refs/heads/dev", "main:refs/heads/a/b"]).await;
    let tip = done(&clone, &["rev-parse", "main"]).await;
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(server.news().await.reference);
    }
    assert_eq!(names, ["refs/heads/a/b", "refs/heads/dev", "refs/heads/main", "refs/tags/v1"]);
    assert_eq!(done(&bare, &["rev-parse", "v1^{commit}"]).await, tip);

    // Not forward: only with force. A branch whose name is a folder of others: not at all.
    done(&clone, &["reset", "-q", "--hard", &first]).await;
    refused(&clone, &["push", "-q", &url, "main"]).await;
    done(&clone, &["push", "-q", "--force", &url, "main"]).await;
    let news = server.news().await;
    assert_eq!((news.old, news.new), (Some(tip), Some(first.clone())));
    let said = refused(&clone, &["push", &url, "main:refs/heads/a"]).await;
    assert!(said.contains("refs/heads/a/b"), "{said}");
    let said = refused(&clone, &["push", &url, ":main"]).await;
    assert!(said.contains("deletion of the current branch prohibited"), "{said}");
    let blob = done(&clone, &["rev-parse", "HEAD:a.txt"]).await;
    let said = refused(&clone, &["push", &url, &format!("{blob}:refs/heads/blob")]).await;
    assert!(said.contains("no commit") || said.contains("not a commit"), "{said}");
    done(&clone, &["push", "-q", &url, &format!("{blob}:refs/tags/blob")]).await;
    assert_eq!(server.news().await.new, Some(blob));

    done(&bare, &["pack-refs", "--all"]).await;
    done(&clone, &["push", "-q", &url, "--delete", "a/b", "v1"]).await;
    assert_eq!(server.news().await.new, None);
    assert_eq!(server.news().await.reference, "refs/tags/v1");
    done(&clone, &["push", "-q", &url, "main:refs/heads/a"]).await;
    let left = done(&bare, &["for-each-ref", "--format=%(refname)"]).await;
    let left: Vec<&str> = left.lines().collect();
    assert_eq!(left, ["refs/heads/a", "refs/heads/dev", "refs/heads/main", "refs/tags/blob"]);
    done(&bare, &["fsck", "--strict", "--full"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_push_is_all_or_nothing() {
    let (mut server, first) = Server::start().await;
    let root = server.folder.path().to_owned();
    let url = server.with_token();
    done(&root, &["clone", "-q", &server.url, "clone"]).await;
    let clone = root.join("clone");
    done(&clone, &["commit", "-q", "--allow-empty", "-m", "next"]).await;
    let tip = done(&clone, &["rev-parse", "main"]).await;
    // The second cannot be made: `main` is a file where it needs a folder.
    let both = ["main:refs/heads/one", "main:refs/heads/main/two"];
    let said = refused(&clone, &[&["push", "--atomic", &url], &both[..]].concat()).await;
    assert!(said.contains("atomic"), "{said}");
    assert_eq!(done(&server.bare(), &["for-each-ref", "--format=%(objectname)"]).await, first);
    assert!(server.service.pushes().is_empty());
    // Without, the first goes through.
    refused(&clone, &[&["push", &url], &both[..]].concat()).await;
    assert_eq!(server.news().await.reference, "refs/heads/one");
    done(&clone, &["push", "-q", "--atomic", &url, "main", "main:refs/heads/two", ":one"]).await;
    let mut news = Vec::new();
    for _ in 0..3 {
        let push = server.news().await;
        news.push((push.reference, push.new));
    }
    let expected = [("main", Some(tip.clone())), ("one", None), ("two", Some(tip))]
        .map(|(n, t)| (format!("refs/heads/{n}"), t));
    assert_eq!(news, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_at_one_time_do_not_hinder_each_other() {
    let (server, _) = Server::start().await;
    let root = server.folder.path().to_owned();
    let writers: Vec<_> = (0..6)
        .map(|n| {
            let (root, url, token) = (root.clone(), server.url.clone(), server.with_token());
            tokio::spawn(async move {
                let name = format!("writer{n}");
                done(&root, &["clone", "-q", &url, &name]).await;
                for round in 0..4 {
                    std::fs::write(root.join(&name).join("own.txt"), format!("{n} {round}")).expect("writes");
                    done(&root.join(&name), &["add", "."]).await;
                    done(&root.join(&name), &["commit", "-qm", &format!("{n} {round}")]).await;
                    done(&root.join(&name), &["push", "-q", &token, &format!("main:refs/heads/w{n}")]).await;
                    // All fight for this one; that some lose is right.
                    git(&root.join(&name), &["push", "-q", &token, "main:refs/heads/shared"]).await;
                }
                done(&root.join(&name), &["rev-parse", "main"]).await
            })
        })
        .collect();
    for (n, writer) in writers.into_iter().enumerate() {
        let tip = writer.await.expect("no panic");
        assert_eq!(done(&server.bare(), &["rev-parse", &format!("w{n}")]).await, tip);
    }
    done(&server.bare(), &["rev-parse", "--verify", "shared"]).await;
    done(&server.bare(), &["fsck", "--strict", "--full"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thin_packs_become_whole_and_shallow_clones_can_push() {
    let (server, _) = Server::start().await;
    let root = server.folder.path().to_owned();
    let url = server.with_token();
    done(&root, &["clone", "-q", &server.url, "clone"]).await;
    let clone = root.join("clone");
    let text = |n: usize| -> String {
        (0..3000).map(|line| format!("line {line} {}\n", if line % 150 == n % 150 { n } else { 0 })).collect()
    };
    for n in 0..60 {
        std::fs::write(clone.join("long.txt"), text(n)).expect("writes");
        done(&clone, &["add", "."]).await;
        done(&clone, &["commit", "-qm", &format!("c{n}")]).await;
        if n == 0 {
            done(&clone, &["push", "-q", &url, "main"]).await;
        }
    }
    // More than a hundred objects, the first file a difference from one that is here.
    done(&clone, &["push", "-q", "--thin", &url, "main"]).await;
    let packs = std::fs::read_dir(server.bare().join("objects/pack")).expect("a folder");
    assert!(packs.flatten().any(|entry| entry.path().extension().is_some_and(|e| e == "idx")));
    done(&server.bare(), &["fsck", "--strict", "--full"]).await;

    done(&root, &["clone", "-q", "--depth=2", &server.url, "shallow"]).await;
    let shallow = root.join("shallow");
    done(&shallow, &["commit", "-q", "--allow-empty", "-m", "from a shallow clone"]).await;
    done(&shallow, &["push", "-q", &url, "main"]).await;
    assert_eq!(done(&server.bare(), &["rev-list", "--count", "main"]).await, "62");
    assert!(!server.bare().join("shallow").exists());
    // Into a repository that lacks the history, it is refused.
    galley_git::Repo::init_or_open(root.join("git/new.git")).await.expect("makes");
    let said = refused(&shallow, &["push", &url.replace("pipeline.git", "new.git"), "main"]).await;
    assert!(said.contains("missing necessary objects"), "{said}");
    let left = std::fs::read_dir(root.join("git/new.git/objects")).expect("a folder");
    let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_can_need_the_token() {
    let (server, id) = Server::start_with(Config { anonymous_reads: false, ..Config::default() }).await;
    let root = server.folder.path().to_owned();
    let output = git(&root, &["ls-remote", &server.url]).await;
    assert!(!output.status.success() && said(&output).contains("Authentication failed"), "{}", said(&output));
    let wrong = server.with_token().replace(super::TOKEN, "wrong");
    refused(&root, &["ls-remote", &wrong]).await;
    assert!(done(&root, &["ls-remote", &server.with_token()]).await.contains(&id));
    let bearer = format!("http.extraHeader=Authorization: Bearer {}", super::TOKEN);
    done(&root, &["-c", &bearer, "clone", "-q", &server.url, "clone"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_weighs_too_much_is_refused() {
    let (server, id) = Server::start_with(Config { push_bytes: 100_000, ..Config::default() }).await;
    let root = server.folder.path().to_owned();
    done(&root, &["clone", "-q", &server.url, "clone"]).await;
    let mut state = 1u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let noise: Vec<u8> = (0..300_000).map(|_| random()).collect();
    std::fs::write(root.join("clone/large"), noise).expect("writes");
    done(&root.join("clone"), &["add", "."]).await;
    done(&root.join("clone"), &["commit", "-qm", "large"]).await;
    let said = refused(&root.join("clone"), &["push", &server.with_token(), "main"]).await;
    assert!(said.contains("413"), "{said}");
    assert_eq!(done(&server.bare(), &["rev-parse", "main"]).await, id);
}
