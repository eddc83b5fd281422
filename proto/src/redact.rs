//! Debug of the messages that carry a secret: names and places, and no value (T8).

use std::collections::BTreeMap;
use std::fmt;

use crate::inference::ResolvedRoute;
use crate::v1::{GetSandboxProviderEnvironmentResponse, Provider};

/// The names of a map whose values are nobody's to read.
struct Names<'a>(&'a BTreeMap<String, String>);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for ResolvedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedRoute")
            .field("name", &self.name)
            .field("model_id", &self.model_id)
            .field("provider_type", &self.provider_type)
            .field("status", &self.status)
            .field("error_code", &self.error_code)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("type", &self.r#type)
            .field("credentials", &Names(&self.credentials))
            .field("config", &Names(&self.config))
            .field("allow_private_endpoint", &self.allow_private_endpoint)
            .finish()
    }
}

impl fmt::Debug for GetSandboxProviderEnvironmentResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetSandboxProviderEnvironmentResponse")
            .field("environment", &Names(&self.environment))
            .finish()
    }
}
