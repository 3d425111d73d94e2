//! HTTP templates: a request, and what is made of its answer.
//!
//! The engine asks for the request ([`Action::Http`]) and is told the answer ([`crate::HttpSeen`]). It is asked for
//! until an answer is seen, so whoever sends it keeps answers for as long as the node lives.

use std::time::Duration;

use galley_argo_workflows::{NodePhase, NodeType, Outputs, Template};
use galley_expr::eval_bool;
use serde_json::{Map, Value, json};

use crate::action::{Action, HttpRequest};
use crate::run::{Halt, Holder, Opts, Run};
use crate::seen::HttpAnswer;

/// How long an answer may take when the template does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

impl Run<'_> {
    pub(crate) fn execute_http(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        opts: &Opts,
    ) -> Result<(), Halt> {
        let Some(asked) = &template.http else { return Ok(()) };
        if self.node(name).is_none() {
            self.init_executable(name, NodeType::Http, scope, template, holder, opts, NodePhase::Pending);
        }
        if self.is_fulfilled(name) {
            return Ok(());
        }
        if !self.may_begin(opts.on_exit) {
            let shutdown = self.shutdown().unwrap_or_default().to_owned();
            let why = format!("workflow shutdown with strategy:  {shutdown}");
            self.mark(name, NodePhase::Failed, Some(&why));
            return Ok(());
        }
        if self.is_past_deadline() && !opts.on_exit {
            self.mark(name, NodePhase::Failed, Some("Step exceeded its deadline"));
            return Ok(());
        }
        let request = request_of(self.id(name), asked)?;
        match self.seen.http.iter().find(|seen| seen.node_id == request.node_id).cloned() {
            None => self.actions.push(Action::Http(request)),
            Some(seen) => self.judge_answer(name, template, &request, seen.result)?,
        }
        Ok(())
    }

    fn judge_answer(
        &mut self,
        name: &str,
        template: &Template,
        request: &HttpRequest,
        answer: Result<HttpAnswer, String>,
    ) -> Result<(), Halt> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => {
                self.mark(name, NodePhase::Error, Some(&why));
                return Ok(());
            }
        };
        let condition = template.http.as_ref().and_then(|http| http["successCondition"].as_str());
        let good = match condition.filter(|text| !text.is_empty()) {
            None if (200..300).contains(&answer.status) => Ok(()),
            None => Err(format!("received non-2xx response code: {}", answer.status)),
            Some(condition) => match eval_bool(condition, &names_of(request, &answer)) {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!("successCondition '{condition}' evaluated false")),
                Err(error) => return Err(Halt::Wrong(error.to_string())),
            },
        };
        let outputs = Outputs { result: Some(answer.body), ..Outputs::default() };
        if let Some(node) = self.node_mut(name) {
            node.outputs = Some(outputs);
        }
        match good {
            Ok(()) => {
                self.mark(name, NodePhase::Succeeded, Some(""));
                self.save_cache(name);
            }
            Err(why) => self.mark(name, NodePhase::Failed, Some(&why)),
        }
        Ok(())
    }
}

fn request_of(node_id: String, http: &Value) -> Result<HttpRequest, Halt> {
    let text = |field: &str| http[field].as_str().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for header in http["headers"].as_array().into_iter().flatten() {
        let name = header["name"].as_str().unwrap_or_default().to_owned();
        match (header["value"].as_str(), header.get("valueFrom")) {
            (Some(value), _) => headers.push((name, Ok(value.to_owned()))),
            (None, Some(from)) => {
                let secret = &from["secretKeyRef"];
                let part = |field: &str| secret[field].as_str().unwrap_or_default().to_owned();
                headers.push((name, Err((part("name"), part("key")))));
            }
            (None, None) => headers.push((name, Ok(String::new()))),
        }
    }
    let body = match http["bodyFrom"]["bytes"].as_str() {
        Some(encoded) => galley_expr::decode_base64(encoded)
            .map_err(|why| Halt::Wrong(format!("http.bodyFrom.bytes: {why}")))?,
        None => text("body").into_bytes(),
    };
    let seconds = http["timeoutSeconds"].as_u64();
    Ok(HttpRequest {
        node_id,
        method: Some(text("method")).filter(|method| !method.is_empty()).unwrap_or_else(|| "GET".to_owned()),
        url: text("url"),
        headers,
        body,
        timeout: seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
        insecure: http["insecureSkipVerify"] == true,
    })
}

fn names_of(request: &HttpRequest, answer: &HttpAnswer) -> Map<String, Value> {
    let mut names = Map::new();
    names.insert(
        "request".to_owned(),
        json!({"method": request.method, "url": request.url, "body": String::from_utf8_lossy(&request.body)}),
    );
    names.insert(
        "response".to_owned(),
        json!({"statusCode": answer.status, "body": answer.body, "headers": answer.headers}),
    );
    names
}
