//! The certificate authority of one start, and the leaf for `inference.local`.
//!
//! Both are made at boot, off the workers. The authority's key stays in this process; a sandbox gets
//! the certificate only (TLS-1, TLS-2).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The authority's public half and the leaf that serves `inference.local`.
pub(crate) struct Authority {
    ca_pem: String,
    leaf: Arc<CertifiedKey>,
}

impl Authority {
    /// Makes a new authority and mints the leaf. `now` is the moment of the start.
    ///
    /// # Errors
    /// What rcgen or rustls say of the key material; without an authority all that needs one is refused.
    pub(crate) fn make(now: SystemTime) -> Result<Authority, MintError> {
        let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name = name("ringfence CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.not_before = (now - HOUR).into();
        ca.not_after = (now + 10 * YEAR).into();
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let issuer = Issuer::new(ca, ca_key);

        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut leaf = CertificateParams::new(vec![INFERENCE_HOST.to_owned()])?;
        leaf.distinguished_name = name(INFERENCE_HOST);
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.not_before = (now - HOUR).into();
        // The leaf for inference.local lives as long as the process; rotation every 20 days belongs to
        // the cache of minted names.
        leaf.not_after = (now + YEAR).into();
        let certificate = leaf.signed_by(&leaf_key, &issuer)?;

        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let leaf = CertifiedKey::from_der(chain, key, &provider)?;
        Ok(Authority {
            ca_pem,
            leaf: Arc::new(leaf),
        })
    }

    /// The authority's certificate, for the sandbox's trust bundle.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The server's side of one sandbox: its own ticket keys, so that a ticket of one sandbox is worth
    /// nothing in another (TLS-4).
    ///
    /// # Errors
    /// What rustls says of the configuration.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, MintError> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // Suites over SHA-256 first: processors have instructions for it, and a TLS 1.3 handshake hashes some thirty
        // times. Clients put SHA-384 first out of habit. Sorting keeps the order of the rest.
        provider
            .cipher_suites
            .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(OneLeaf(Arc::clone(&self.leaf))));
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        // One ticket a handshake: a client keeps one connection; the second ticket is work for nobody.
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

/// Why there is no authority.
#[derive(Debug)]
pub enum MintError {
    /// Making or signing a certificate failed.
    Certificate(rcgen::Error),
    /// rustls does not accept what was made.
    Tls(rustls::Error),
}

impl From<rcgen::Error> for MintError {
    fn from(error: rcgen::Error) -> Self {
        MintError::Certificate(error)
    }
}

impl From<rustls::Error> for MintError {
    fn from(error: rustls::Error) -> Self {
        MintError::Tls(error)
    }
}

impl std::fmt::Display for MintError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MintError::Certificate(error) => write!(f, "cannot make a certificate: {error}"),
            MintError::Tls(error) => write!(f, "cannot use the certificate: {error}"),
        }
    }
}

/// Serves the one leaf. The server name was checked before the session began (`inference::door`).
#[derive(Debug)]
struct OneLeaf(Arc<CertifiedKey>);

impl ResolvesServerCert for OneLeaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name.push(DnType::OrganizationName, "ringfence");
    name
}

/// The one name the gate answers for itself.
pub(crate) const INFERENCE_HOST: &str = "inference.local";

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
