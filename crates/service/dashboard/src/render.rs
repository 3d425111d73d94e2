//! Templates: from views to HTML. Everything from outside passes through askama's escaping.

use askama::Template;

use crate::{
    config::Link,
    view::{ApplicationPage, Home, ReleaseCard, ReleasePage, TreeNode, WorkflowPage},
};

/// The frame around a page.
#[derive(Template)]
#[template(path = "frame.html")]
pub(crate) struct Frame<'a> {
    pub(crate) site: &'a str,
    pub(crate) title: &'a str,
    pub(crate) links: &'a [Link],
    /// Rendered by one of the templates below.
    pub(crate) body: &'a str,
}

#[derive(Template)]
#[template(path = "home.html")]
pub(crate) struct HomeBody<'a> {
    pub(crate) home: &'a Home,
}

#[derive(Template)]
#[template(path = "release.html")]
pub(crate) struct ReleaseBody<'a> {
    pub(crate) page: &'a ReleasePage,
}

#[derive(Template)]
#[template(path = "workflow.html")]
pub(crate) struct WorkflowBody<'a> {
    pub(crate) page: &'a WorkflowPage,
}

#[derive(Template)]
#[template(path = "application.html")]
pub(crate) struct ApplicationBody<'a> {
    pub(crate) page: &'a ApplicationPage,
}

/// The line of stages with the gates below it.
#[derive(Template)]
#[template(path = "line.html")]
struct Line<'a> {
    card: &'a ReleaseCard,
}

/// The nodes of a workflow, one below the other.
#[derive(Template)]
#[template(path = "tree.html")]
struct Tree<'a> {
    nodes: &'a [TreeNode],
    hidden: usize,
}

#[derive(Template)]
#[template(path = "missing.html")]
pub(crate) struct MissingBody<'a> {
    pub(crate) what: &'a str,
}

/// The line of stages as HTML.
fn line(card: &ReleaseCard) -> String {
    Line { card }.render().unwrap_or_default()
}

/// The tree of nodes as HTML.
fn tree(nodes: &[TreeNode], hidden: &usize) -> String {
    Tree { nodes, hidden: *hidden }.render().unwrap_or_default()
}
