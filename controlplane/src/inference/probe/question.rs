//! What a probe asks, by protocol.
//!
//! Apart from `probe` because it is a table and waits for nothing. Invariant: the key is in the field that the profile
//! names, and that field is marked as sensitive.

use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Method, Request};
use http_body_util::Full;
use hyper::body::Bytes;
use policy::route::{AuthStyle, Profile};
use policy::{Protocol, Route};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::inference::backend::Backend;

/// One request.
pub(super) struct Question {
    method: Method,
    path: &'static str,
    body: Option<Value>,
}

impl Question {
    /// What is asked of a provider, in order; the next one only when an answer asks for it.
    pub(super) fn of(profile: &Profile, model: Option<&str>) -> Vec<Question> {
        let Some(model) = model else {
            return vec![Question {
                method: Method::GET,
                path: "/v1/models",
                body: None,
            }];
        };
        if profile.protocols.contains(&Protocol::AnthropicMessages) {
            return vec![post("/v1/messages", model, "max_tokens", 1)];
        }
        vec![
            post("/v1/chat/completions", model, "max_tokens", 1),
            // Why: models that think before they answer take this name only, and not as few as one.
            post("/v1/chat/completions", model, "max_completion_tokens", 16),
        ]
    }

    /// The request as it is sent to a backend. The copy of the key in it is not wiped.
    pub(super) fn request(
        &self,
        backend: &Backend,
        route: &Route,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let target = route.upstream_target(self.path.as_bytes(), None);
        let body = self.body.as_ref().map(Value::to_string);
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&*target)
            .header(HOST, route.base.host_field())
            .header(USER_AGENT, concat!("ringfence/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in &route.default_headers {
            request = request.header(name.as_str(), value.as_str());
        }
        let (name, mut value) = match &route.auth {
            AuthStyle::Bearer => {
                let text = Zeroizing::new(format!("Bearer {}", backend.key().trim()));
                (AUTHORIZATION, HeaderValue::from_str(&text)?)
            }
            AuthStyle::Header(name) => (
                HeaderName::from_bytes(name.as_str().as_bytes())?,
                HeaderValue::from_str(backend.key().trim())?,
            ),
        };
        value.set_sensitive(true);
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        request.header(name, value).body(body)
    }
}

fn post(path: &'static str, model: &str, limit: &str, tokens: u32) -> Question {
    let mut body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": "Hi" }],
    });
    body[limit] = tokens.into();
    Question {
        method: Method::POST,
        path,
        body: Some(body),
    }
}
