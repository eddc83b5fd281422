//! What came of a probe, as a class for programs and a sentence for people.
//!
//! Apart from `failure`, which is about no answer at all. Invariants: a sentence says what to do next; what a provider wrote
//! stands in one only after the key was taken out of it, on one line, and cut.

use std::fmt;

use http::StatusCode;
use serde_json::Value;

use super::failure::Failure;
use crate::inference::backend::Backend;
use crate::refused::Refused;

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The provider answered as it should.
    Ok,
    /// Its name does not resolve.
    Name,
    /// It cannot be reached, or is too slow.
    Connectivity,
    /// It cannot prove who it is.
    Tls,
    /// It does not take the credential.
    Credentials,
    /// It does not have the model.
    Model,
    /// Too many requests, or nothing left to spend.
    RateLimit,
    /// It does not understand the request.
    RequestShape,
    /// It is not well.
    Health,
}

impl Class {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Ok => "ok",
            Class::Name => "name",
            Class::Connectivity => "connectivity",
            Class::Tls => "tls",
            Class::Credentials => "credentials",
            Class::Model => "model",
            Class::RateLimit => "rate limit",
            Class::RequestShape => "request shape",
            Class::Health => "health",
        }
    }

    /// The class among the five of a verification (RPC-10).
    fn of_verification(self) -> Class {
        match self {
            Class::Name | Class::Tls => Class::Connectivity,
            Class::Model => Class::RequestShape,
            Class::Ok
            | Class::Connectivity
            | Class::Credentials
            | Class::RateLimit
            | Class::RequestShape
            | Class::Health => self,
        }
    }
}

/// A class and its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For programs.
    pub class: Class,
    /// For people; no key is in it.
    pub message: String,
}

impl Outcome {
    /// The refusal that a failed verification is, naming its class (RPC-10).
    pub fn refusal(&self) -> Option<Refused> {
        let class = self.class.of_verification();
        (class != Class::Ok).then(|| {
            Refused::Precondition(format!(
                "the verification failed ({class}): {}; nothing was saved",
                self.message
            ))
        })
    }

    pub(super) fn mock() -> Outcome {
        Outcome {
            class: Class::Ok,
            message: "ringfence answers for this provider itself (`mock://`)".to_owned(),
        }
    }

    pub(super) fn of_failure(failure: &Failure) -> Outcome {
        Outcome {
            class: failure.class(),
            message: failure.to_string(),
        }
    }

    pub(super) fn of_answer(answer: &Answer, model: Option<&str>, backend: &Backend) -> Outcome {
        let class = answer.class(model);
        let status = answer.status.as_u16();
        let mut message = match (class, model) {
            (Class::Ok, Some(model)) => format!("the provider answered for model `{model}`"),
            (Class::Ok, None) => {
                "the provider took the credential and listed its models".to_owned()
            }
            (Class::Credentials, _) => format!(
                "the provider does not accept the credential (status {status}); set a valid one with \
                 `ringfence provider update`"
            ),
            (Class::Model, Some(model)) => format!(
                "the provider has no model `{model}` for this credential (status {status}); check its spelling, \
                 then the base URL"
            ),
            (Class::RateLimit, _) => format!(
                "the provider refuses for its rate limit or for want of credit (status {status}); wait, or look at the \
                 account's quota and billing"
            ),
            (Class::Health, _) => format!(
                "the provider is in trouble (status {status}); try again later, or look at its status page"
            ),
            _ if answer.status.is_redirection() => format!(
                "the provider redirects (status {status}), which is not followed; set the base URL to where it leads"
            ),
            _ if answer.status.is_success() => format!(
                "what answered does not speak as a provider does (status {status} without JSON); check the base URL"
            ),
            _ => format!(
                "the provider does not understand the request (status {status}); check the provider's type, its base \
                 URL and the model"
            ),
        };
        if class != Class::Ok
            && let Some(said) = answer.said(backend)
        {
            message.push_str(&format!("; it says: {said}"));
        }
        Outcome { class, message }
    }
}

/// What a provider answered.
pub(super) struct Answer {
    status: StatusCode,
    /// The body as JSON, when all of it is there and is JSON.
    body: Option<Value>,
    /// The body begins as an object does.
    is_object: bool,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: Vec<u8>) -> Answer {
        Answer {
            status,
            body: serde_json::from_slice(&body).ok(),
            // Lists of models are longer than what is read.
            is_object: body.trim_ascii_start().first() == Some(&b'{'),
        }
    }

    /// The one fault that another request can do without.
    pub(super) fn asks_for_another_limit(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
            && self.detail("param") == Some("max_tokens")
            && self.detail("code") == Some("unsupported_parameter")
    }

    fn class(&self, model: Option<&str>) -> Class {
        let unknown_model = self.detail("code").is_some_and(|code| {
            matches!(code, "model_not_found" | "invalid_model" | "unknown_model")
        });
        match self.status {
            status if status.is_success() && self.is_object => Class::Ok,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Class::Credentials,
            StatusCode::PAYMENT_REQUIRED | StatusCode::TOO_MANY_REQUESTS => Class::RateLimit,
            StatusCode::NOT_FOUND if model.is_some() => Class::Model,
            status if status.is_client_error() && model.is_some() && unknown_model => Class::Model,
            StatusCode::REQUEST_TIMEOUT => Class::Health,
            status if status.is_server_error() => Class::Health,
            _ => Class::RequestShape,
        }
    }

    /// A text of the `error` object, as all of the dialects have it.
    fn detail(&self, name: &str) -> Option<&str> {
        self.body.as_ref()?.get("error")?.get(name)?.as_str()
    }

    /// The provider's own words.
    fn said(&self, backend: &Backend) -> Option<String> {
        let body = self.body.as_ref()?;
        let error = body.get("error");
        let places = [
            error.and_then(|error| error.get("message")),
            error,
            body.get("message"),
            body.get("detail"),
        ];
        let text = places.into_iter().flatten().find_map(Value::as_str)?;
        // Hidden before anything is cut or replaced, which could tear a run of the key apart.
        let masked = backend.hide(text)?;
        let line: String = masked
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(SAID_CHARS_MAX)
            .collect();
        let line = line.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Of a provider's own words.
const SAID_CHARS_MAX: usize = 300;
