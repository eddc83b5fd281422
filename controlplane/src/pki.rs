//! Who the gateway is and whom it knows: its certificate authority, its own certificate, and those of its clients (CLI-21).
//!
//! Apart from `server`, which reads certificates: this file makes them, at a first start and for `gateway enroll`. The role
//! of a client is one URI in its certificate; `pki/role.rs` reads it.
//!
//! Invariants: every file is 0600 in directories of 0700 and appears whole or not at all; what is there is never made anew,
//! but for a server certificate of ours that is about to expire or lacks a name.

mod ending;
mod files;
pub mod role;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::api::auth::HostId;
use files::{make_private_dir, place_dir, write_private};

pub use ending::{Ending, ending};

/// Where what the server needs lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Whose clients are admitted.
    pub client_ca: PathBuf,
    /// The server's certificate, its issuers after it.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug)]
pub enum PkiError {
    /// A file cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is nothing to sign with.
    NoAuthority {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The authority's key and its certificate do not belong together, or it was not made by a gateway.
    NotOurs {
        /// Its certificate.
        path: PathBuf,
    },
    /// What is there would be replaced.
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The certificate cannot be made of these names.
    Make(rcgen::Error),
}

/// Makes what is missing in a state directory, and says where it is. A first start makes all of it: the authority, a server
/// certificate that covers `names` and the names of this machine, and a client certificate each for admin and viewer.
///
/// # Errors
/// A file cannot be read or written; the authority that is there cannot be signed with.
pub fn prepare(state_dir: &Path, names: &[IpAddr]) -> Result<Paths, PkiError> {
    let authority = match Authority::load(state_dir) {
        Ok(authority) => authority,
        Err(PkiError::NoAuthority { .. }) => Authority::make(state_dir)?,
        Err(error) => return Err(error),
    };
    let paths = Paths {
        client_ca: state_dir.join(CA_CERT),
        cert: state_dir.join("server.crt"),
        key: state_dir.join("server.key"),
    };
    authority.keep_server(&paths, names)?;
    let clients = state_dir.join("clients");
    make_private_dir(&clients)?;
    for role in ["admin", "viewer"] {
        let dir = clients.join(role);
        if !dir.exists() {
            let leaf = authority.client(role, &format!("ringfence://role/{role}"))?;
            place_dir(&dir, &authority.identity(&leaf))?;
        }
    }
    Ok(paths)
}

/// Makes the server's certificate anew if it is about to end, as the next start would (RPC-2).
///
/// # Errors
/// There is no authority any more, or it cannot be signed with; a file cannot be written.
pub fn renew(state_dir: &Path, paths: &Paths, names: &[IpAddr]) -> Result<(), PkiError> {
    Authority::load(state_dir)?.keep_server(paths, names)
}

/// Issues the identity of a data plane: `ca.crt`, `tls.crt` and `tls.key` in `out_dir`, which is made when it is missing.
///
/// # Errors
/// The gateway of `state_dir` never ran; one of the files exists; a file cannot be written.
pub fn enroll(state_dir: &Path, host_id: &HostId, out_dir: &Path) -> Result<(), PkiError> {
    let authority = Authority::load(state_dir)?;
    let leaf = authority.client(
        host_id.as_str(),
        &format!("ringfence://host/{}", host_id.as_str()),
    )?;
    make_private_dir(out_dir)?;
    let identity = authority.identity(&leaf);
    for (name, _) in &identity {
        let path = out_dir.join(name);
        if path.exists() {
            return Err(PkiError::Exists { path });
        }
    }
    for (name, content) in identity {
        write_private(&out_dir.join(name), content.as_bytes())?;
    }
    Ok(())
}

/// What signs.
struct Authority {
    cert: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
struct Leaf {
    cert: String,
    key: String,
}

impl Authority {
    fn load(state_dir: &Path) -> Result<Authority, PkiError> {
        let (cert_path, key_path) = (state_dir.join(CA_CERT), state_dir.join(CA_KEY));
        if !cert_path.exists() {
            return Err(PkiError::NoAuthority { path: cert_path });
        }
        let cert = read(&cert_path)?;
        let not_ours = || PkiError::NotOurs {
            path: cert_path.clone(),
        };
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|_| not_ours())?;
        let authority = Authority {
            cert,
            issuer: Issuer::new(authority_params(), key),
        };
        // Why: the issuer is built from what every authority of ours is called, so a foreign one is noticed here and not
        // by a data plane.
        let probe = authority.client("probe", "ringfence://role/probe")?;
        if authority.vouches_for(&probe.cert, KeyUsage::client_auth(), soon()) {
            Ok(authority)
        } else {
            Err(not_ours())
        }
    }

    fn make(state_dir: &Path) -> Result<Authority, PkiError> {
        let params = authority_params();
        let key = key_pair()?;
        let cert = params.self_signed(&key).map_err(PkiError::Make)?.pem();
        write_private(&state_dir.join(CA_KEY), key.serialize_pem().as_bytes())?;
        write_private(&state_dir.join(CA_CERT), cert.as_bytes())?;
        Ok(Authority {
            cert,
            issuer: Issuer::new(params, key),
        })
    }

    fn server(&self, names: &[IpAddr]) -> Result<Leaf, PkiError> {
        let mut sans = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        sans.extend(host_name());
        sans.extend(
            names
                .iter()
                .filter(|ip| !ip.is_unspecified())
                .map(IpAddr::to_string),
        );
        sans.sort_unstable();
        sans.dedup();
        let params = CertificateParams::new(sans).map_err(PkiError::Make)?;
        self.sign(
            params,
            "ringfence gateway",
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// Makes the server's pair, unless a good one is there.
    fn keep_server(&self, paths: &Paths, names: &[IpAddr]) -> Result<(), PkiError> {
        if self.vouches_for_server(&paths.cert, names) && paths.key.exists() {
            return Ok(());
        }
        let leaf = self.server(names)?;
        // Why: the key first. A crash in between leaves a pair that does not match, and a certificate that is made anew.
        remove(&paths.cert)?;
        write_private(&paths.key, leaf.key.as_bytes())?;
        write_private(&paths.cert, leaf.cert.as_bytes())
    }

    fn client(&self, name: &str, uri: &str) -> Result<Leaf, PkiError> {
        let mut params = CertificateParams::default();
        let uri = uri.try_into().map_err(PkiError::Make)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        self.sign(params, name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        common_name: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Leaf, PkiError> {
        params.distinguished_name = name(common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, LEAF_VALIDITY);
        let key = key_pair()?;
        let cert = params
            .signed_by(&key, &self.issuer)
            .map_err(PkiError::Make)?;
        Ok(Leaf {
            cert: cert.pem(),
            key: key.serialize_pem(),
        })
    }

    /// The three files of a client.
    fn identity<'a>(&'a self, leaf: &'a Leaf) -> [(&'static str, &'a str); 3] {
        [
            ("ca.crt", &self.cert),
            ("tls.crt", &leaf.cert),
            ("tls.key", &leaf.key),
        ]
    }

    /// Whether the certificate of a file is ours, covers the names of a listener, and does so for a while yet.
    fn vouches_for_server(&self, path: &Path, names: &[IpAddr]) -> bool {
        let Ok(pem) = read(path) else { return false };
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
            return false;
        };
        let Ok(cert) = EndEntityCert::try_from(&der) else {
            return false;
        };
        let named = names.iter().filter(|ip| !ip.is_unspecified()).all(|ip| {
            let name = ServerName::IpAddress((*ip).into());
            cert.verify_is_valid_for_subject_name(&name).is_ok()
        });
        named && self.vouches_for(&pem, KeyUsage::server_auth(), soon())
    }

    fn vouches_for(&self, pem: &str, usage: KeyUsage, at: UnixTime) -> bool {
        let Ok(ca) = CertificateDer::from_pem_slice(self.cert.as_bytes()) else {
            return false;
        };
        let Ok(anchor) = anchor_from_trusted_cert(&ca) else {
            return false;
        };
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
            return false;
        };
        let Ok(cert) = EndEntityCert::try_from(&der) else {
            return false;
        };
        let algorithms = [webpki::aws_lc_rs::ECDSA_P256_SHA256];
        cert.verify_for_usage(&algorithms, &[anchor], &[], at, usage, None, None)
            .is_ok()
    }
}

/// The same for every authority: with its key they make the issuer again.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("ringfence control plane");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, CA_VALIDITY);
    params
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "ringfence");
    name.push(DnType::CommonName, common_name);
    name
}

fn valid_for(params: &mut CertificateParams, validity: Duration) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + now + validity;
}

fn key_pair() -> Result<KeyPair, PkiError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(PkiError::Make)
}

/// When a certificate must still be valid to be kept.
fn soon() -> UnixTime {
    let now = UnixTime::now().as_secs();
    UnixTime::since_unix_epoch(Duration::from_secs(now) + RENEW_BEFORE)
}

/// This machine's name, if a certificate can hold it.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().to_ascii_lowercase();
    ServerName::try_from(name.as_str()).is_ok().then_some(name)
}

fn read(path: &Path) -> Result<String, PkiError> {
    std::fs::read_to_string(path).map_err(|error| PkiError::File {
        path: path.to_owned(),
        error,
    })
}

fn remove(path: &Path) -> Result<(), PkiError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PkiError::File {
            path: path.to_owned(),
            error,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl fmt::Display for PkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PkiError::File { path, error } => write!(f, "{}: {error}", path.display()),
            PkiError::NoAuthority { path } => write!(
                f,
                "there is no {}; it is made when `ringfence gateway` starts with this state directory",
                path.display()
            ),
            PkiError::NotOurs { path } => write!(
                f,
                "{} and its key cannot be signed with: they do not belong together, have expired, or were not made by a gateway",
                path.display()
            ),
            PkiError::Exists { path } => write!(
                f,
                "{} exists and is not replaced; name another directory, or remove it",
                path.display()
            ),
            PkiError::Make(error) => write!(f, "a certificate cannot be made: {error}"),
        }
    }
}

impl std::error::Error for PkiError {}

const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA_VALIDITY: Duration = DAY.saturating_mul(3_652);
const LEAF_VALIDITY: Duration = DAY.saturating_mul(365);

/// A server certificate of ours with less than this left is made anew, at the next start or while the gateway runs; of
/// others the operator is told.
const RENEW_BEFORE: Duration = DAY.saturating_mul(30);

/// Other machines' clocks may be behind by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);
