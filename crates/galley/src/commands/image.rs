//! `galley image ...`: building is a step; listing is what people ask.

use galley_problem::Problem;

use crate::{
    Answer,
    cli::{Global, Image, Output},
    state::State,
    steps, voice,
};

/// Runs a verb.
///
/// # Errors
/// What the verb could not do.
pub async fn run(global: &Global, image: Image) -> Result<Answer, Problem> {
    steps::image(global, image).await
}

/// Images in this machine's store.
///
/// # Errors
/// G08xx if the store cannot be read.
pub async fn list(global: &Global, output: &Output) -> Result<Answer, Problem> {
    let state = State::find(global);
    let store = galley_oci::Store::open(state.path("oci"), galley_oci::Options::default())
        .map_err(|e| e.problem())?;
    let mut items = Vec::new();
    let mut rows = Vec::new();
    for name in store.repositories().map_err(|e| e.problem())? {
        let repository = galley_oci::Repository::own(&name).map_err(|e| e.problem())?;
        let tags = store.tags(&repository).map_err(|e| e.problem())?;
        for digest in store.manifests(&repository).map_err(|e| e.problem())? {
            let target = galley_oci::Target::Digest(digest);
            let Some(manifest) = store.manifest(&repository, &target).map_err(|e| e.problem())? else {
                continue;
            };
            let mut named = Vec::new();
            for tag in &tags {
                let tagged = store.manifest(&repository, &galley_oci::Target::Tag(tag.clone()));
                if tagged.map_err(|e| e.problem())?.is_some_and(|tagged| tagged.digest == digest) {
                    named.push(tag.clone());
                }
            }
            let size = manifest.bytes.len();
            rows.push(vec![format!("{name}@{digest}"), named.join(","), manifest.media_type.clone()]);
            items.push(serde_json::json!({
                "repository": name, "digest": digest.to_string(), "tags": named, "manifestBytes": size,
            }));
        }
    }
    let table = voice::Table { columns: vec!["image", "tags"], wide: vec!["media type"], rows };
    voice::list(output.output, &items, table)?;
    Ok(Answer::Yes)
}
