//! The certificate authority of one start, and the leaves it signs.
//!
//! It and the leaf for `inference.local` are made at boot, other leaves on helper threads (`leaf`): never on a worker.
//! The authority's key stays in this process; a sandbox gets the certificate only (TLS-1, TLS-2).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use wire::Host;

/// The authority and the leaf that serves `inference.local`. Its key is in memory only.
pub(crate) struct Authority {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    inference: Arc<CertifiedKey>,
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

        // The leaf for inference.local lives as long as the process.
        let host = Host::parse(INFERENCE_HOST.as_bytes()).map_err(|_| MintError::Name)?;
        let inference = Arc::new(sign(&issuer, &host, now, YEAR)?);
        Ok(Authority {
            ca_pem,
            issuer,
            inference,
        })
    }

    /// A leaf for a host name or an address, good for 30 days (TLS-3). Makes a key: for helper threads.
    ///
    /// # Errors
    /// As for [`Authority::make`].
    pub(crate) fn leaf(&self, host: &Host, now: SystemTime) -> Result<CertifiedKey, MintError> {
        sign(&self.issuer, host, now, LEAF_TIME)
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
            .with_cert_resolver(Arc::new(OneLeaf(Arc::clone(&self.inference))));
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        // One ticket a handshake: a client keeps one connection; the second ticket is work for nobody.
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

/// The server's side of one connection: as for its sandbox, with the leaf of another name.
pub(crate) fn config_with(shared: &ServerConfig, leaf: Arc<CertifiedKey>) -> Arc<ServerConfig> {
    let mut config = shared.clone();
    config.cert_resolver = Arc::new(OneLeaf(leaf));
    Arc::new(config)
}

fn sign(
    issuer: &Issuer<'static, KeyPair>,
    host: &Host,
    now: SystemTime,
    time: Duration,
) -> Result<CertifiedKey, MintError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![match host.literal() {
        Some(address) => SanType::IpAddress(address),
        None => SanType::DnsName(host.as_str().try_into()?),
    }];
    // RFC 5280 appendix A: a common name has at most 64 characters. Clients read the alternative name.
    leaf.distinguished_name = name(if host.as_str().len() <= 64 {
        host.as_str()
    } else {
        "ringfence leaf"
    });
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.not_before = (now - HOUR).into();
    leaf.not_after = (now + time).into();
    let certificate = leaf.signed_by(&key, issuer)?;
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Ok(CertifiedKey::from_der(chain, key, &provider)?)
}

/// Why there is no authority.
#[derive(Debug)]
pub enum MintError {
    /// Making or signing a certificate failed.
    Certificate(rcgen::Error),
    /// rustls does not accept what was made.
    Tls(rustls::Error),
    /// A name that no certificate can hold.
    Name,
    /// The data plane was started without one.
    NotWanted,
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
            MintError::NotWanted => f.write_str("no certificate authority is wanted"),
            MintError::Name => f.write_str("no certificate can hold the name"),
        }
    }
}

/// Serves the one leaf. The server name was checked before the session began ([`crate::client::read_hello`]).
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

/// TLS-3.
const LEAF_TIME: Duration = Duration::from_secs(30 * 24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
