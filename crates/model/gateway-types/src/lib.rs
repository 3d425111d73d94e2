//! The nouns of the Gateway API: classes, gateways, HTTP routes and reference grants.
//!
//! Only what routing HTTP needs is modelled (`gateway.networking.k8s.io`, `v1`, and `v1beta1` for grants, as of version
//! 1.4); unknown fields are ignored, because newer releases add them. Defaults are those of the published schemas, so
//! an object means the same whether or not a server filled them in.

mod class;
mod gateway;
mod grant;
mod meta;
mod route;

pub use class::{GatewayClass, GatewayClassSpec, GatewayClassStatus};
pub use gateway::{
    AllowedRoutes, Gateway, GatewayAddress, GatewaySpec, GatewayStatus, LabelSelector,
    LabelSelectorRequirement, Listener, ListenerStatus, RouteGroupKind, RouteNamespaces,
};
pub use grant::{GrantFrom, GrantTo, ReferenceGrant, ReferenceGrantSpec};
pub use meta::{Condition, Metadata, condition, same_conditions};
pub use route::{
    BackendRef, Filter, Fraction, Header, HeaderFilter, HttpRoute, HttpRouteSpec, HttpRouteStatus, Match,
    MirrorFilter, ParentRef, PathMatch, PathModifier, Redirect, RouteParentStatus, Rule, Timeouts,
    UrlRewrite, ValueMatch,
};

/// The API group.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// The version of classes, gateways and routes.
pub const VERSION: &str = "v1";
/// The version of reference grants.
pub const GRANT_VERSION: &str = "v1beta1";

#[cfg(test)]
mod tests;
