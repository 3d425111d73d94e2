//! What a cluster refuses, as a person reads it. Codes G1101 to G1119, a page for each in `docs/errors/`.

use std::error::Error as _;

use galley_problem::{Kind, Problem};

/// A refused or failed request. `doing` completes "Galley could not ...".
pub(crate) fn refused(doing: impl AsRef<str>, error: &kube::Error) -> Problem {
    let doing = doing.as_ref();
    let what = format!("Galley could not {doing}.");
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            unauthorised(&what).because_of(status.message.clone())
        }
        kube::Error::Api(status) if status.code == 403 => {
            Problem::new("G1108", Kind::Denied, what).because_of(status.message.clone()).try_this(
                "Ask whoever runs the cluster for this right, or use a kubeconfig of somebody who has it.",
            )
        }
        kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
            Problem::new("G1109", Kind::Invalid, what).because_of(status.message.clone())
        }
        kube::Error::Api(status) => {
            let kind = if status.code == 409 { Kind::Conflict } else { Kind::Unavailable };
            Problem::new("G1107", kind, what).because_of(status.message.clone())
        }
        other => unreached(what, other),
    }
}

/// A request that got no answer: certificate, address or network.
pub(crate) fn unreached(what: String, error: &kube::Error) -> Problem {
    let chain = chain(error);
    if chain.contains("certificate") || chain.contains("UnknownIssuer") {
        let expired = chain.to_lowercase().contains("expired");
        let remedy = if expired {
            "The server's certificate has expired; renew it there (`kubeadm certs renew all` on a kubeadm cluster)."
        } else {
            "The kubeconfig's `certificate-authority-data` does not belong to this server; fetch a fresh kubeconfig."
        };
        return Problem::new("G1106", Kind::Config, what).because(deepest(error)).try_this(remedy);
    }
    if let kube::Error::Auth(_) = error {
        return unauthorised(&what).because(error);
    }
    Problem::new("G1104", Kind::Unavailable, what)
        .because(deepest(error))
        .try_this("Check that the server's address is right and reachable from here (`kubectl version`).")
}

/// The credentials were not accepted.
pub(crate) fn unauthorised(what: &str) -> Problem {
    Problem::new("G1105", Kind::Denied, what.to_owned())
        .because_of("The API server did not accept the credentials of the kubeconfig.")
        .try_this("Fetch a fresh kubeconfig or log in again; tokens and certificates expire.")
}

/// A deadline passed. `what` is a full sentence.
pub(crate) fn late(what: impl Into<String>) -> Problem {
    Problem::new("G1112", Kind::Timeout, what)
        .try_this("Run the same command again: it goes on where it stopped. `--timeout` gives it longer.")
}

fn deepest(error: &kube::Error) -> &(dyn std::error::Error + 'static) {
    let mut last: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last
}

fn chain(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(" / ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// Whether the error says that there is no such thing.
pub(crate) fn absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the error says that we may not.
pub(crate) fn forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}
