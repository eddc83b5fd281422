//! Mutual TLS, with certificates that are read again when their files change (RPC-2).
//!
//! Apart from `pki`, which makes certificates. What is swapped is the whole configuration, because the clients' authority
//! changes as well as the server's pair. Invariants: no handshake without a client certificate that the authority signed;
//! files that do not fit together leave the last good ones in force; connections that are open stay as they are.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};
use tokio::sync::watch;

use crate::config::TlsFiles;
use crate::pki::Paths;

/// The files, and the newest configuration they gave.
#[derive(Clone)]
pub(super) struct Tls {
    paths: Paths,
    stamps: Stamps,
    newest: Arc<watch::Sender<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the files for the first time.
    pub(super) fn load(paths: Paths) -> Result<Tls, String> {
        // Why: the stamps first, so a file that changes meanwhile is read once too often and never once too seldom.
        let stamps = stamps(&paths);
        let config = configuration(&paths)?;
        let (newest, _) = watch::channel(Arc::new(config));
        Ok(Tls {
            paths,
            stamps,
            newest: Arc::new(newest),
        })
    }

    /// What a new connection is to use.
    pub(super) fn newest(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.newest.subscribe()
    }

    /// Looks at the files for ever.
    pub(super) async fn follow(mut self, every: Duration, notice: fn(&str)) {
        loop {
            tokio::time::sleep(every).await;
            let paths = self.paths.clone();
            let last = self.stamps;
            let look = tokio::task::spawn_blocking(move || {
                let stamps = stamps(&paths);
                (stamps != last).then(|| (stamps, configuration(&paths)))
            });
            let Ok(Some((stamps, read))) = look.await else {
                continue;
            };
            self.stamps = stamps;
            match read {
                Ok(config) => {
                    self.newest.send_replace(Arc::new(config));
                    notice("certificates read again");
                }
                Err(why) => notice(&format!("certificates changed and are not used: {why}")),
            }
        }
    }
}

/// The operator's files where some are named, ours otherwise.
pub(super) fn chosen(made: Paths, named: TlsFiles) -> Paths {
    Paths {
        client_ca: named.client_ca.unwrap_or(made.client_ca),
        cert: named.cert.unwrap_or(made.cert),
        key: named.key.unwrap_or(made.key),
    }
}

fn configuration(paths: &Paths) -> Result<ServerConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for cert in certificates(&paths.client_ca)? {
        let bad = |error| format!("{}: {error}", paths.client_ca.display());
        roots.add(cert).map_err(bad)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| format!("{}: {error}", paths.client_ca.display()))?;
    let key = PrivateKeyDer::from_pem_file(&paths.key)
        .map_err(|error| format!("{}: {error}", paths.key.display()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&paths.cert)?, key)
        .map_err(|error| {
            format!(
                "{} with {}: {error}",
                paths.cert.display(),
                paths.key.display()
            )
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Why: a resumed session would not show its certificate again, and connections here live long.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |error| format!("{}: {error}", path.display());
    let certs: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(named)?
        .collect();
    let certs = certs.map_err(named)?;
    if certs.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(certs)
}

/// What changes with a file's content: time, size and inode of each.
type Stamps = [Option<(i64, i64, u64, u64)>; 3];

fn stamps(paths: &Paths) -> Stamps {
    let stamp = |path: &PathBuf| {
        let metadata: Metadata = std::fs::metadata(path).ok()?;
        Some((
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.size(),
            metadata.ino(),
        ))
    };
    [
        stamp(&paths.client_ca),
        stamp(&paths.cert),
        stamp(&paths.key),
    ]
}
