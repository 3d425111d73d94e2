//! Questions about the caller: may I, who am I, whose token is this. Every known caller may do everything.

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    ApiError,
    request::{ResourcePath, parse_object},
};
use crate::{ApiServer, User, status::json_response};

/// The kinds of review, with their groups, plurals and whether they are asked in a namespace.
pub(crate) const REVIEWS: [(&str, &str, &str, bool); 6] = [
    ("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", false),
    ("authentication.k8s.io", "TokenReview", "tokenreviews", false),
    ("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews", false),
    ("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews", false),
    ("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", false),
    ("authorization.k8s.io", "LocalSubjectAccessReview", "localsubjectaccessreviews", true),
];

/// Answers a review.
pub(super) fn answer(
    server: &ApiServer,
    method: &Method,
    path: &ResourcePath,
    user: &User,
    (media, body): (&str, &[u8]),
) -> Result<Response, ApiError> {
    let known = REVIEWS.iter().find(|(group, _, plural, _)| *group == path.group && *plural == path.plural);
    let Some((group, kind, ..)) = known.filter(|_| path.version == "v1") else {
        return Err(ApiError::no_such_path());
    };
    if method != Method::POST {
        return Err(ApiError::method_not_allowed());
    }
    let request = if body.is_empty() { json!({}) } else { parse_object(media, body)? };
    let status = match *kind {
        "SelfSubjectReview" => json!({"userInfo": info(user)}),
        "TokenReview" => {
            let token = request.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
            match server.tokens().and_then(|tokens| tokens.verify(token)) {
                Some(user) => json!({"authenticated": true, "user": info(&user)}),
                None => json!({"authenticated": false}),
            }
        }
        "SelfSubjectRulesReview" => json!({
            "incomplete": false,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }),
        _ => json!({"allowed": true, "reason": "every known caller may do everything"}),
    };
    let mut spec = request.get("spec").cloned().unwrap_or_else(|| json!({}));
    if let Some(fields) = spec.as_object_mut() {
        fields.shift_remove("token");
    }
    let mut answer = json!({"kind": kind, "apiVersion": format!("{group}/v1"), "metadata": {}, "spec": spec, "status": status});
    if *kind == "SelfSubjectReview" {
        answer.as_object_mut().and_then(|fields| fields.shift_remove("spec"));
    }
    Ok(json_response(StatusCode::CREATED, answer.to_string()))
}

fn info(user: &User) -> Value {
    json!({"username": user.name, "groups": user.groups})
}
