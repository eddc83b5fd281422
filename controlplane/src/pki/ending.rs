//! Which certificates are about to end.
//!
//! Apart from `pki` because files that were not made here are asked as well. Invariant: a file that cannot be read is no
//! news; who serves from it says so.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::{DAY, soon};

/// A file with a certificate that ends within 30 days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// It.
    pub path: PathBuf,
    /// Whole days; 0 also when it has ended.
    pub days_left: u64,
}

/// Those of the files that hold a certificate which ends soon.
pub fn ending<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<Ending> {
    let now = UnixTime::now().as_secs();
    let paths = paths.into_iter();
    let ending = paths.filter_map(|path| {
        let certs = CertificateDer::pem_file_iter(path).ok()?;
        let ends = certs
            .filter_map(|cert| ends_before(&cert.ok()?, soon()))
            .min()?;
        Some(Ending {
            path: path.to_owned(),
            days_left: ends.saturating_sub(now) / DAY.as_secs(),
        })
    });
    ending.collect()
}

/// When a certificate ends, in seconds since 1970, if that is before `at`.
fn ends_before(der: &CertificateDer<'_>, at: UnixTime) -> Option<u64> {
    let cert = EndEntityCert::try_from(der).ok()?;
    // Why without an authority: the time is looked at before anything else is, also of what is an authority itself.
    let judged = cert.verify_for_usage(&[], &[], &[], at, KeyUsage::client_auth(), None, None);
    match judged.map(|_| ()) {
        Err(Error::CertExpired { not_after, .. }) => Some(not_after.as_secs()),
        Ok(()) | Err(_) => None,
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.days_left {
            0 => write!(f, "the certificate {path} ends within a day or has ended"),
            days => write!(f, "the certificate {path} ends in {days} day(s)"),
        }
    }
}
