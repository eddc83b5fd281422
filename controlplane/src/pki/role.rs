//! What a client's certificate says it is.
//!
//! Apart from `pki` because this reads what others present. The certificate has been verified by the time it is read here;
//! what it says may still be nonsense. Invariant: no role but from exactly one URI of ours; every other case is a stranger.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::api::auth::{Caller, HostId};

/// Who presents a certificate.
pub fn caller_of(cert: &CertificateDer<'_>) -> Caller {
    let Ok(cert) = EndEntityCert::try_from(cert) else {
        return Caller::Stranger;
    };
    let mut uris = cert.valid_uri_names();
    match (uris.next(), uris.next()) {
        (Some(uri), None) => named(uri).unwrap_or(Caller::Stranger),
        (Some(_), Some(_)) | (None, _) => Caller::Stranger,
    }
}

fn named(uri: &str) -> Option<Caller> {
    match uri.strip_prefix("ringfence://")?.split_once('/')? {
        ("role", "admin") => Some(Caller::Admin),
        ("role", "viewer") => Some(Caller::Viewer),
        ("host", id) => HostId::parse(id).ok().map(Caller::Host),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests;
