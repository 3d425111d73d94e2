//! The list of repositories as a page for people.

use std::fmt::Write as _;

use galley_git::{CommitInfo, Repo};

/// Commits shown of each repository.
pub(crate) const COMMITS: usize = 10;

/// What the page says of one repository.
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) commits: Vec<CommitInfo>,
}

pub(crate) async fn look(name: String, repo: &Repo) -> Shown {
    let commits = repo.log("HEAD", None, COMMITS).await.unwrap_or_default();
    Shown { name, commits }
}

pub(crate) fn render(host: &str, repositories: &[Shown]) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Repositories</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
         code{background:#8882;padding:.1em .3em}td{padding:.2rem .8rem .2rem 0;vertical-align:top}\
         time{white-space:nowrap}:root{color-scheme:light dark}</style><h1>Repositories</h1>",
    );
    if repositories.is_empty() {
        html.push_str("<p>There is none yet.</p>");
    }
    for repository in repositories {
        let (name, host) = (escape(&repository.name), escape(host));
        // Writing into a String cannot fail.
        let _ = write!(html, "<h2>{name}</h2><p><code>git clone http://{host}/{name}</code></p><table>");
        for commit in &repository.commits {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td><time>{}</time></td></tr>",
                escape(commit.id.get(..10).unwrap_or(&commit.id)),
                escape(&commit.subject),
                escape(&commit.author),
                commit.time.strftime("%Y-%m-%d %H:%M"),
            );
        }
        html.push_str("</table>");
    }
    html.push_str("</html>");
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_only_text() {
        let commit = CommitInfo {
            id: "0123456789abcdef".into(),
            author: "<b>".into(),
            email: String::new(),
            time: "2026-11-23T19:14:00Z".parse().expect("a time"),
            subject: "<script>".into(),
            body: String::new(),
            trailers: Vec::new(),
        };
        let html = render("localhost:8418", &[Shown { name: "pipeline.git".into(), commits: vec![commit] }]);
        assert!(html.contains("&lt;script&gt;") && html.contains("&lt;b&gt;") && !html.contains("<script>"));
        assert!(html.contains("git clone http://localhost:8418/pipeline.git"));
    }
}
