//! The scene's certificate authority, and server configurations under it.
//!
//! A new one for every scene: no private key is stored in the repository and none expires.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate authority that the scene's processes trust.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    /// Makes an authority, ECDSA P-256.
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a P-256 key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        let pem = certificate.pem();
        let der = certificate.der().clone();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
            der,
        }
    }

    /// The authority's certificate as PEM text.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server configuration with a leaf for `names` (DNS names or IP literals), ALPN http/1.1.
    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a P-256 key");
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| subject(name)).collect();
        let leaf = params.signed_by(&key, &self.issuer).expect("a leaf");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a PKCS #8 key");
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("a certificate that fits its key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// A client configuration that trusts this authority alone.
    pub fn client(&self) -> Arc<ClientConfig> {
        trusting(std::slice::from_ref(&self.der))
    }
}

/// A client configuration that trusts the certificates of a PEM text alone.
///
/// # Panics
/// When the text holds no certificate.
pub fn client_trusting_pem(pem: &[u8]) -> Arc<ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .map(|der| der.expect("a PEM certificate"))
        .collect();
    assert!(!roots.is_empty(), "no certificate in the PEM text");
    trusting(&roots)
}

fn trusting(certificates: &[CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for der in certificates {
        roots
            .add(der.clone())
            .expect("a certificate usable as a root");
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn subject(name: &str) -> SanType {
    match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().expect("an ASCII name")),
    }
}
