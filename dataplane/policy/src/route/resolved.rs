//! A route as a gateway says it → a route that can be used.
//!
//! Apart from `file`, whose entries an operator writes: here nothing is left out, so no profile is asked. The gateway
//! checked all of it before; it is checked again, because what is used here is held to what holds here (RTE-6, RTE-8).
//! Invariant: an error says which part is wrong and never what it holds.

use std::fmt;

use super::{
    AuthStyle, BaseUrl, BaseUrlError, Deadlines, FieldName, FieldNameError, FieldValue,
    FieldValueError, Protocol, Route, Scheme,
};
use crate::secret::{Secret, SecretError};

/// What a gateway says of a route. There is no Debug: it holds the credential.
pub struct Resolved<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where the backend is.
    pub base_url: &'a str,
    /// Ids of what it speaks.
    pub protocols: &'a [String],
    /// The credential.
    pub api_key: &'a str,
    /// The model.
    pub model: &'a str,
    /// `authorization` for `Bearer`; otherwise the name of the credential's own field.
    pub auth_header: &'a str,
    /// Names and values of further fields.
    pub default_headers: &'a [(&'a str, &'a str)],
    /// Its deadlines.
    pub deadlines: Deadlines,
    /// Whether private addresses are meant.
    pub allow_private_endpoint: bool,
    /// Counts changes.
    pub version: u64,
}

/// What is wrong with a resolved route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The base URL.
    Base(BaseUrlError),
    /// A protocol nobody knows, or none at all.
    Protocols,
    /// The model is blank.
    Model,
    /// The credential.
    Credential(SecretError),
    /// The credential's field.
    Auth(FieldNameError),
    /// The name of a further field.
    HeaderName(FieldNameError),
    /// The value of a further field.
    HeaderValue(FieldValueError),
}

impl Route {
    /// The route, if everything said of it can be used.
    ///
    /// # Errors
    /// The first part that cannot.
    pub fn resolve(resolved: &Resolved<'_>) -> Result<Route, RouteError> {
        let base = BaseUrl::parse(resolved.base_url.trim()).map_err(RouteError::Base)?;
        if base.scheme == Scheme::Http && !resolved.allow_private_endpoint {
            return Err(RouteError::Base(BaseUrlError::PlainHttp));
        }
        let mut protocols = Vec::new();
        for id in resolved.protocols {
            let protocol = Protocol::parse(id).ok_or(RouteError::Protocols)?;
            if !protocols.contains(&protocol) {
                protocols.push(protocol);
            }
        }
        if protocols.is_empty() {
            return Err(RouteError::Protocols);
        }
        if resolved.model.trim().is_empty() {
            return Err(RouteError::Model);
        }
        let auth = match resolved.auth_header.trim() {
            header if header.eq_ignore_ascii_case("authorization") => AuthStyle::Bearer,
            header => AuthStyle::Header(FieldName::parse(header).map_err(RouteError::Auth)?),
        };
        let field = |(name, value): &(&str, &str)| {
            let name = FieldName::parse(name).map_err(RouteError::HeaderName)?;
            let value = FieldValue::parse(value).map_err(RouteError::HeaderValue)?;
            Ok((name, value))
        };
        Ok(Route {
            name: resolved.name.to_owned(),
            protocols,
            base,
            model: resolved.model.trim().to_owned(),
            auth,
            default_headers: resolved
                .default_headers
                .iter()
                .map(field)
                .collect::<Result<_, _>>()?,
            deadlines: resolved.deadlines,
            credential: Secret::new(resolved.api_key).map_err(RouteError::Credential)?,
            allow_private_endpoint: resolved.allow_private_endpoint,
            version: resolved.version,
        })
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::Base(error) => write!(f, "the base URL {error}"),
            RouteError::Protocols => f.write_str("a protocol is not known, or none is named"),
            RouteError::Model => f.write_str("the model is blank"),
            RouteError::Credential(error) => write!(f, "{error}"),
            RouteError::Auth(error) => write!(f, "the credential's field: {error}"),
            RouteError::HeaderName(error) => write!(f, "a default header: {error}"),
            RouteError::HeaderValue(error) => write!(f, "a default header: {error}"),
        }
    }
}

impl std::error::Error for RouteError {}

#[cfg(test)]
mod tests;
