//! From a rule as it is written to a rule as it is followed.

use std::sync::Arc;
use std::time::Duration;

use galley_gateway_types::{Filter, HeaderFilter, HttpRoute, Rule as Spec};
use http::{HeaderName, HeaderValue};

use super::backends::Directory;
use super::{Fault, HeaderChange, Mirror, Rule};

/// What is wrong with a route, if anything: the first of each kind.
#[derive(Default)]
pub(super) struct Faults {
    /// A value that is not supported.
    pub(super) unsupported: Option<String>,
    /// A reference that leads nowhere: reason and sentence.
    pub(super) reference: Option<(&'static str, String)>,
}

impl Faults {
    fn note(&mut self, fault: Option<Fault>, why: Option<String>) {
        let reason = match fault {
            Some(Fault::NotFound) => "BackendNotFound",
            Some(Fault::NotPermitted) => "RefNotPermitted",
            Some(Fault::InvalidKind) => "InvalidKind",
            None => return,
        };
        self.reference.get_or_insert((reason, why.unwrap_or_default()));
    }

    fn unsupported(&mut self, why: String) {
        self.unsupported.get_or_insert(why);
    }
}

/// Reads one rule of a route.
pub(super) fn read(
    route: &HttpRoute,
    spec: &Spec,
    directory: &Directory<'_>,
    skip_empty: bool,
    faults: &mut Faults,
) -> Arc<Rule> {
    let namespace = route.metadata.namespace();
    let mut rule =
        Rule { route: format!("{namespace}/{}", route.metadata.name), skip_empty, ..Rule::default() };
    for filter in &spec.filters {
        read_filter(&mut rule, filter, namespace, directory, faults);
    }
    for reference in &spec.backend_refs {
        let (mut backend, why) = directory.resolve(namespace, reference);
        faults.note(backend.fault, why);
        for filter in &reference.filters {
            match filter.kind.as_str() {
                "RequestHeaderModifier" => {
                    read_headers(&mut backend.request_headers, filter.request_header_modifier.as_ref());
                }
                "ResponseHeaderModifier" => {
                    read_headers(&mut backend.response_headers, filter.response_header_modifier.as_ref());
                }
                other => {
                    rule.broken = true;
                    faults.unsupported(format!("filter `{other}` of a backend is not supported"));
                }
            }
        }
        rule.backends.push(backend);
    }
    if let Some(timeouts) = &spec.timeouts {
        let mut duration = |text: &Option<String>| {
            let text = text.as_deref()?;
            let parsed = galley_units::parse_duration(text);
            if parsed.is_err() {
                faults.unsupported(format!("`{text}` is not a duration"));
            }
            parsed.ok()
        };
        let real = |duration: Duration| (!duration.is_zero()).then_some(duration);
        rule.request_timeout = duration(&timeouts.request).map(real);
        rule.backend_timeout = duration(&timeouts.backend_request).and_then(real);
    }
    Arc::new(rule)
}

fn read_filter(
    rule: &mut Rule,
    filter: &Filter,
    namespace: &str,
    directory: &Directory<'_>,
    faults: &mut Faults,
) {
    match filter.kind.as_str() {
        "RequestHeaderModifier" => {
            read_headers(&mut rule.request_headers, filter.request_header_modifier.as_ref());
        }
        "ResponseHeaderModifier" => {
            read_headers(&mut rule.response_headers, filter.response_header_modifier.as_ref());
        }
        "RequestRedirect" => rule.redirect.clone_from(&filter.request_redirect),
        "URLRewrite" => rule.rewrite.clone_from(&filter.url_rewrite),
        "RequestMirror" => {
            let Some(mirror) = &filter.request_mirror else { return };
            let (backend, why) = directory.resolve(namespace, &mirror.backend_ref);
            faults.note(backend.fault, why);
            let (share, out_of) = match (mirror.percent, &mirror.fraction) {
                (Some(percent), _) => (u64::from(percent), 100),
                (None, Some(fraction)) => {
                    (u64::from(fraction.numerator), u64::from(fraction.denominator.unwrap_or(100)).max(1))
                }
                (None, None) => (1, 1),
            };
            // A mirror that cannot be used must not cost the request anything.
            if backend.fault.is_none() {
                rule.mirrors.push(Mirror { backend, share, out_of });
            }
        }
        other => {
            rule.broken = true;
            faults.unsupported(format!("filter `{other}` is not supported"));
        }
    }
}

/// Adds a filter's changes; names and values that HTTP does not allow are left out.
fn read_headers(change: &mut HeaderChange, filter: Option<&HeaderFilter>) {
    let Some(filter) = filter else { return };
    let pair = |header: &galley_gateway_types::Header| {
        Some((header.name.parse::<HeaderName>().ok()?, header.value.parse::<HeaderValue>().ok()?))
    };
    change.remove.extend(filter.remove.iter().filter_map(|name| name.parse::<HeaderName>().ok()));
    change.set.extend(filter.set.iter().filter_map(pair));
    change.add.extend(filter.add.iter().filter_map(pair));
}
