//! Clones and fetches of a long history by the real git, compared with what git serves itself.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use super::{Server, done, fed, git, said};

/// Commits on the main line.
const COMMITS: usize = 2000;

/// A history for `git fast-import`: files that change a little, merges, annotated and plain tags.
fn long_history() -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let data = |text: &str| format!("data {}\n{text}", text.len());
    for n in 0..COMMITS {
        let who = format!("T <t@example.com> {} +0000", 1_600_000_000 + n * 60);
        if n % 100 == 50 {
            say(&format!("commit refs/heads/side\nauthor {who}\ncommitter {who}\n{}", data("aside")));
            say(&format!("from :{n}"));
            say(&format!("M 100644 inline side/{n}.txt\n{}", data(&format!("side {n}\n"))));
        }
        let mark = n + 1;
        let message = data(&format!("change {n}\n"));
        say(&format!("commit refs/heads/main\nmark :{mark}\nauthor {who}\ncommitter {who}\n{message}"));
        if n > 0 {
            say(&format!("from :{}", mark - 1));
        }
        if n % 100 == 50 {
            say("merge refs/heads/side");
        }
        let mut file = String::new();
        for line in 0..60 {
            let _ =
                writeln!(file, "line {line} of file {} is {}", n % 40, if line == n % 60 { n } else { 0 });
        }
        say(&format!("M 100644 inline d{}/e{}/f{}.txt\n{}", n % 5, n % 8, n % 40, data(&file)));
        if n % 500 == 499 {
            let about = data("noted");
            say(&format!("tag v{n}\nfrom :{mark}\ntagger {who}\n{about}"));
            say(&format!("reset refs/tags/plain{n}\nfrom :{mark}\n"));
        }
    }
    text.push_str("done\n");
    text
}

/// A work tree with the long history.
async fn origin(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("origin");
    std::fs::create_dir_all(&path).expect("makes");
    done(&path, &["init", "-q", "-b", "main", "."]).await;
    fed(&path, &["fast-import", "--quiet", "--done", "--depth=50"], long_history().as_bytes()).await;
    path
}

/// All objects that the references of a repository reach, and those references.
async fn everything(repository: &Path) -> (BTreeSet<String>, String) {
    let listed =
        done(repository, &["rev-list", "--objects", "--all", "--no-object-names", "--missing=print"]).await;
    let tags = done(repository, &["for-each-ref", "--format=%(objectname) %(refname)", "refs/tags"]).await;
    (listed.lines().map(str::to_owned).collect(), tags)
}

fn shallow(repository: &Path) -> BTreeSet<String> {
    let path = if repository.join(".git").exists() { ".git/shallow" } else { "shallow" };
    let text = std::fs::read_to_string(repository.join(path)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn fine(repository: &Path) {
    let check = git(repository, &["fsck", "--strict", "--full", "--no-dangling"]).await;
    assert!(check.status.success(), "{}", said(&check));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_goes_both_ways() {
    let (server, _) = Server::start().await;
    let root = server.folder.path().to_owned();
    let origin = origin(&root).await;
    let url = server.with_token();
    done(&origin, &["push", "-q", "--force", "--mirror", &url]).await;
    let bare = server.bare();
    fine(&bare).await;
    let packs = std::fs::read_dir(bare.join("objects/pack")).expect("a folder").count();
    assert_eq!(packs, 2, "a large push is kept as one pack and its index");
    let mut whole = everything(&origin).await;
    assert!(whole.0.len() > 2 * COMMITS);

    // As pushed; as several packs with one index; as collected into one.
    for state in ["pushed", "indexed", "collected"] {
        match state {
            "indexed" => {
                done(&origin, &["checkout", "-q", "main"]).await;
                for n in 0..3 {
                    done(&origin, &["rm", "-q", &format!("d{n}/e{n}/f{n}.txt")]).await;
                    done(&origin, &["commit", "-qm", "less"]).await;
                }
                done(&origin, &["push", "-q", &url, "main"]).await;
                done(&bare, &["repack", "-q"]).await;
                done(&bare, &["multi-pack-index", "write"]).await;
                assert!(bare.join("objects/pack/multi-pack-index").exists());
                whole = everything(&origin).await;
            }
            "collected" => {
                done(&bare, &["-c", "gc.pruneExpire=now", "gc", "-q"]).await;
                assert!(bare.join("packed-refs").exists());
            }
            _ => {}
        }
        for version in ["0", "1", "2"] {
            let name = format!("clone-{version}-{state}.git");
            let setting = format!("protocol.version={version}");
            done(&root, &["-c", &setting, "clone", "-q", "--mirror", &server.url, &name]).await;
            assert_eq!(everything(&root.join(&name)).await, whole, "version {version}, {state}");
            fine(&root.join(&name)).await;
        }
    }
    // The same as git says itself.
    let file = format!("file://{}", bare.display());
    for arguments in [&["ls-remote", "--symref"][..], &["ls-remote", "--tags"], &["ls-remote", "--heads"]] {
        for version in ["protocol.version=0", "protocol.version=2"] {
            let ours = done(&root, &[&["-c", version], arguments, &[&server.url]].concat()).await;
            let gits = done(&root, &[&["-c", version], arguments, &[&file]].concat()).await;
            assert_eq!(ours, gits, "{arguments:?} {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shallow_clones_have_the_boundaries_that_git_gives_them() {
    let (server, _) = Server::start().await;
    let root = server.folder.path().to_owned();
    let origin = origin(&root).await;
    done(&origin, &["push", "-q", "--force", "--mirror", &server.with_token()]).await;
    let urls = [("ours", server.url.clone()), ("gits", format!("file://{}", server.bare().display()))];
    let since = format!("--shallow-since={}", 1_600_000_000 + 1900 * 60);
    let ways: [&[&str]; 4] =
        [&["--depth=5"], &["--depth=60"], &[&since], &["--shallow-exclude=v1499", "--no-single-branch"]];
    let steps: [&[&str]; 4] =
        [&["--deepen=10"], &["--depth=120"], &["--depth=3"], &["--unshallow", "--tags"]];
    for version in ["protocol.version=0", "protocol.version=2"] {
        for (at, way) in ways.iter().enumerate() {
            let mut seen = Vec::new();
            for (who, url) in &urls {
                let name = format!("{who}-{}-{at}", &version[17..]);
                let clone = root.join(&name);
                done(&root, &[&["-c", version, "clone", "-q", "--bare"], *way, &[url, &name]].concat()).await;
                let mut states = vec![(shallow(&clone), everything(&clone).await)];
                for step in steps.iter().filter(|_| at == 0) {
                    let fetch =
                        [&["-c", version, "fetch", "-q", "origin", "+refs/heads/*:refs/heads/*"], *step];
                    done(&clone, &["remote", "remove", "origin"]).await.clear();
                    done(&clone, &["remote", "add", "origin", url]).await;
                    done(&clone, &fetch.concat()).await;
                    fine(&clone).await;
                    states.push((shallow(&clone), everything(&clone).await));
                }
                seen.push(states);
                if at == 0 {
                    assert!(shallow(&clone).is_empty(), "unshallow left a boundary");
                }
            }
            assert_eq!(seen[0], seen[1], "{version} {way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_clones_get_the_rest_when_it_is_needed() {
    let (server, _) = Server::start().await;
    let root = server.folder.path().to_owned();
    let origin = origin(&root).await;
    done(&origin, &["push", "-q", "--force", "--mirror", &server.with_token()]).await;
    done(&server.bare(), &["config", "uploadpack.allowFilter", "true"]).await;
    done(&server.bare(), &["config", "uploadpack.allowAnySHA1InWant", "true"]).await;
    let urls = [("ours", server.url.clone()), ("gits", format!("file://{}", server.bare().display()))];
    for filter in ["blob:none", "blob:limit=1k", "blob:limit=3k", "tree:0"] {
        for version in ["protocol.version=0", "protocol.version=2"] {
            let mut seen = Vec::new();
            for (who, url) in &urls {
                let name = format!("{who}-{}-{}", filter.replace([':', '='], "-"), &version[17..]);
                let wanted = format!("--filter={filter}");
                done(&root, &["-c", version, "clone", "-q", "--bare", &wanted, url, &name]).await;
                let list = ["rev-list", "--objects", "--all", "--no-object-names", "--missing=print"];
                let listed = done(&root.join(&name), &list).await;
                seen.push(listed.lines().map(str::to_owned).collect::<BTreeSet<_>>());
                // What was left out comes when it is looked at.
                let text = done(&root.join(&name), &["-c", version, "show", "main:d4/e7/f39.txt"]).await;
                assert!(text.contains("line 19 of file 39 is 1999"), "{text}");
            }
            assert_eq!(seen[0], seen[1], "{filter} {version}");
        }
    }
    let output = git(&root, &["clone", "-q", "--bare", "--filter=tree:3", &server.url, "no"]).await;
    assert!(!output.status.success(), "a filter that is not known was passed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_send_only_what_is_new() {
    let (server, _) = Server::start().await;
    let root = server.folder.path().to_owned();
    let origin = origin(&root).await;
    let token = server.with_token();
    done(&origin, &["push", "-q", "--force", "--mirror", &token]).await;
    for version in ["protocol.version=0", "protocol.version=2"] {
        let clone = root.join(&version[9..]);
        let name = clone.file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
        done(&root, &["-c", version, "clone", "-q", &server.url, &name]).await;
        // The clone has commits of its own that the server does not know, more than one round of talk names.
        for n in 0..40 {
            done(&clone, &["commit", "-q", "--allow-empty", "-m", &format!("mine {n}")]).await;
        }
        done(&origin, &["checkout", "-q", "main"]).await;
        std::fs::write(origin.join("new.txt"), version).expect("writes");
        done(&origin, &["add", "new.txt"]).await;
        done(&origin, &["commit", "-qm", version]).await;
        let tag = version.replace(['.', '='], "-");
        done(&origin, &["tag", "-a", "-m", "noted", &tag]).await;
        done(&origin, &["push", "-q", &token, "main", &tag]).await;
        let before = objects(&clone).await;
        done(&clone, &["-c", version, "-c", "fetch.unpackLimit=100000", "fetch", "-q", "origin"]).await;
        fine(&clone).await;
        // A commit, a tree, a file and a tag that came along.
        assert_eq!(objects(&clone).await - before, 4, "{version}");
        assert!(done(&clone, &["tag"]).await.lines().any(|line| line == tag));
        done(&clone, &["merge", "-q", "-m", "both", "origin/main"]).await;
        done(&clone, &["push", "-q", &token, "HEAD:refs/heads/merged", "--force"]).await;
        fine(&server.bare()).await;
        // Any commit can be had by its id; what is not here is told.
        let old = done(&origin, &["rev-parse", "main~700"]).await;
        let single = root.join(format!("single-{name}"));
        std::fs::create_dir_all(&single).expect("makes");
        done(&single, &["init", "-q", "."]).await;
        done(&single, &["-c", version, "fetch", "-q", "--depth=1", &server.url, &old]).await;
        assert_eq!(done(&single, &["rev-parse", "FETCH_HEAD"]).await, old);
        let absent = "0123456789012345678901234567890123456789";
        let output = git(&single, &["-c", version, "fetch", "-q", &server.url, absent]).await;
        assert!(said(&output).contains("not our ref"), "{}", said(&output));
    }
}

async fn objects(repository: &Path) -> u64 {
    let text = done(repository, &["count-objects", "-v"]).await;
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("a number");
        line.trim().parse::<u64>().expect("a number")
    };
    number("count:") + number("in-pack:")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_is_cloned_and_filled() {
    let (server, _) = Server::start().await;
    let root = server.folder.path().to_owned();
    galley_git::Repo::init_or_open(root.join("git/new.git")).await.expect("makes");
    let url = server.url.replace("pipeline.git", "new.git");
    for version in ["protocol.version=0", "protocol.version=2"] {
        let output = git(&root, &["-c", version, "clone", "-q", &url, &version[9..]]).await;
        assert!(output.status.success(), "{}", said(&output));
    }
    let clone = root.join("version=2");
    assert_eq!(done(&clone, &["symbolic-ref", "HEAD"]).await, "refs/heads/main");
    done(&clone, &["commit", "-q", "--allow-empty", "-m", "first"]).await;
    let token = server.with_token().replace("pipeline.git", "new.git");
    done(&clone, &["push", "-q", &token, "main"]).await;
    assert_eq!(done(&root, &["ls-remote", &url, "main"]).await.len(), 40 + 1 + "refs/heads/main".len());
    fine(&root.join("git/new.git")).await;
}
