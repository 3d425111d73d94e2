//! Reading a path below `/v2/`. Names of repositories contain slashes, so the fixed words are looked for from the end.

/// What a path asks for. Names are not checked yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `/v2/`: is this a registry, and may I?
    Base,
    /// The list of repositories.
    Catalog,
    /// The list of tags of a repository.
    Tags(&'a str),
    /// A manifest by tag or digest.
    Manifest(&'a str, &'a str),
    /// A blob by digest.
    Blob(&'a str, &'a str),
    /// Where uploads begin.
    Uploads(&'a str),
    /// One upload.
    Upload(&'a str, &'a str),
    /// Manifests about a digest.
    Referrers(&'a str, &'a str),
}

/// Reads a path.
pub(crate) fn parse(path: &str) -> Option<Route<'_>> {
    let rest = path.strip_prefix("/v2")?;
    let rest = match rest {
        "" | "/" => return Some(Route::Base),
        rest => rest.strip_prefix('/')?,
    };
    if rest == "_catalog" {
        return Some(Route::Catalog);
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Some(Route::Tags(name));
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
        return Some(Route::Uploads(name));
    }
    let (front, last) = rest.rsplit_once('/')?;
    if let Some(name) = front.strip_suffix("/blobs/uploads") {
        return Some(Route::Upload(name, last));
    }
    let (name, word) = front.rsplit_once('/')?;
    match word {
        "manifests" => Some(Route::Manifest(name, last)),
        "blobs" => Some(Route::Blob(name, last)),
        "referrers" => Some(Route::Referrers(name, last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_slashes_and_even_the_fixed_words() {
        let check = |path, expected| assert_eq!(parse(path), expected, "{path}");
        check("/v2/", Some(Route::Base));
        check("/v2", Some(Route::Base));
        check("/v2/_catalog", Some(Route::Catalog));
        check("/v2/a/b/tags/list", Some(Route::Tags("a/b")));
        check("/v2/a/manifests/latest", Some(Route::Manifest("a", "latest")));
        check("/v2/manifests/manifests/manifests", Some(Route::Manifest("manifests", "manifests")));
        check("/v2/a/b/blobs/sha256:0", Some(Route::Blob("a/b", "sha256:0")));
        check("/v2/a/blobs/uploads/", Some(Route::Uploads("a")));
        check("/v2/a/blobs/uploads", Some(Route::Uploads("a")));
        check("/v2/a/blobs/uploads/1", Some(Route::Upload("a", "1")));
        check("/v2/a/referrers/sha256:0", Some(Route::Referrers("a", "sha256:0")));
        for path in ["/", "/v1/", "/v2x", "/v2/a", "/v2/a/b", "/v2/a/other/b"] {
            check(path, None);
        }
    }
}
