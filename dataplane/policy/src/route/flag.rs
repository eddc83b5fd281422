//! `run --model TYPE/MODEL_ID` → one route (RTE-12).
//!
//! Apart from `file` because here the profile supplies what a file must say. Invariant: an error
//! names the variable that is missing and never a value.

use std::fmt;

use super::{BaseUrl, BaseUrlError, Deadlines, Profile, Route, Routes, Scheme};
use crate::secret::{Secret, SecretError};

/// Why `--model` gave no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelFlagError {
    /// Not of the form TYPE/MODEL_ID.
    Form,
    /// TYPE backs no inference.
    UnknownType {
        /// As typed.
        kind: String,
    },
    /// The variable of the credential is unset or blank.
    MissingCredential {
        /// Its name.
        variable: &'static str,
    },
    /// The variable of the credential holds what cannot be one.
    BadCredential {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it.
        error: SecretError,
    },
    /// The variable of the base URL holds what cannot be one.
    BadBaseUrl {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it.
        error: BaseUrlError,
    },
}

impl Routes {
    /// One route from `TYPE/MODEL_ID`, the profile of the type and the caller's environment.
    ///
    /// # Errors
    /// As listed at `ModelFlagError`.
    pub fn from_model_flag(
        type_and_model: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Routes, ModelFlagError> {
        let (kind, model) = type_and_model.split_once('/').ok_or(ModelFlagError::Form)?;
        if model.trim().is_empty() {
            return Err(ModelFlagError::Form);
        }
        let profile = Profile::of(kind).ok_or_else(|| ModelFlagError::UnknownType {
            kind: kind.to_owned(),
        })?;
        let variable = profile.credential_key;
        let value = filled(env, variable).ok_or(ModelFlagError::MissingCredential { variable })?;
        let credential = Secret::new(&value)
            .map_err(|error| ModelFlagError::BadCredential { variable, error })?;
        let base = base(profile, env)?;
        Ok(Routes::from(vec![Route {
            name: "inference.local".to_owned(),
            protocols: profile.protocols.to_vec(),
            allow_private_endpoint: base.names_private_endpoint(),
            base,
            model: model.trim().to_owned(),
            auth: profile.auth.clone(),
            default_headers: profile.default_fields(),
            deadlines: Deadlines::default(),
            credential,
            version: 1,
        }]))
    }
}

fn base(
    profile: &'static Profile,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<BaseUrl, ModelFlagError> {
    let (variable, text) = ["RINGFENCE_BASE_URL", profile.base_url_key]
        .into_iter()
        .find_map(|variable| Some((variable, filled(env, variable)?)))
        .unwrap_or_else(|| (profile.base_url_key, profile.base_url.to_owned()));
    let base = BaseUrl::parse(text.trim())
        .map_err(|error| ModelFlagError::BadBaseUrl { variable, error })?;
    if base.scheme == Scheme::Http && !base.names_private_endpoint() {
        return Err(ModelFlagError::BadBaseUrl {
            variable,
            error: BaseUrlError::PlainHttp,
        });
    }
    Ok(base)
}

fn filled(env: &dyn Fn(&str) -> Option<String>, variable: &str) -> Option<String> {
    env(variable).filter(|value| !value.trim().is_empty())
}

impl fmt::Display for ModelFlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelFlagError::Form => f.write_str("--model expects TYPE/MODEL_ID"),
            ModelFlagError::UnknownType { kind } => {
                write!(
                    f,
                    "--model: `{kind}` is not a type that backs inference; expected {}",
                    Profile::kinds()
                )
            }
            ModelFlagError::MissingCredential { variable } => {
                write!(
                    f,
                    "--model needs a credential: set the environment variable {variable}"
                )
            }
            ModelFlagError::BadCredential { variable, error } => write!(f, "{variable}: {error}"),
            ModelFlagError::BadBaseUrl { variable, error } => write!(f, "{variable}: {error}"),
        }
    }
}

impl std::error::Error for ModelFlagError {}
