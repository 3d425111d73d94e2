//! The kinds of the Gateway API, as the client needs them.

use galley_gateway_types::{GRANT_VERSION, GROUP, VERSION};
use kube::api::ApiResource;

fn resource(version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: version.to_owned(),
        api_version: format!("{GROUP}/{version}"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

pub(super) fn gateway_class() -> ApiResource {
    resource(VERSION, "GatewayClass", "gatewayclasses")
}

pub(super) fn gateway() -> ApiResource {
    resource(VERSION, "Gateway", "gateways")
}

pub(super) fn http_route() -> ApiResource {
    resource(VERSION, "HTTPRoute", "httproutes")
}

pub(super) fn reference_grant() -> ApiResource {
    resource(GRANT_VERSION, "ReferenceGrant", "referencegrants")
}
