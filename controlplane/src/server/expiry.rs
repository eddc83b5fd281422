//! What becomes of certificates that are about to end: the server's own is made anew, of the others the operator is told.
//!
//! Apart from `tls`, which reads files that changed, whoever changed them. Invariant: a file that was not made here is never
//! written.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pki::{self, Paths};

/// The files of a gateway.
#[derive(Clone)]
pub(super) struct Expiry {
    pub(super) state_dir: PathBuf,
    /// What the server made for itself.
    pub(super) made: Paths,
    /// What it serves with: the same, or the operator's.
    pub(super) chosen: Paths,
    /// What its certificate covers.
    pub(super) names: Vec<IpAddr>,
}

impl Expiry {
    /// Looks at once and then now and again, for ever.
    pub(super) async fn follow(self, every: Duration, notice: fn(&str)) {
        loop {
            let files = self.clone();
            let looked = tokio::task::spawn_blocking(move || files.look()).await;
            for said in looked.unwrap_or_default() {
                notice(&said);
            }
            tokio::time::sleep(every).await;
        }
    }

    fn look(&self) -> Vec<String> {
        let mut said = Vec::new();
        if self.chosen.cert == self.made.cert
            && let Err(error) = pki::renew(&self.state_dir, &self.made, &self.names)
        {
            said.push(format!(
                "the server's certificate cannot be renewed: {error}"
            ));
        }
        let roles = ["admin", "viewer"];
        let clients = roles.map(|role| self.state_dir.join("clients").join(role).join("tls.crt"));
        let authority = self.state_dir.join("ca.crt");
        let mut files: Vec<&Path> = vec![&authority, &self.chosen.client_ca, &self.chosen.cert];
        files.extend(clients.iter().map(PathBuf::as_path));
        files.dedup();
        for ending in pki::ending(files) {
            let remedy = if clients.contains(&ending.path) {
                "move its directory away and start the gateway again, which makes a new one"
            } else if ending.path == authority {
                "a gateway that starts without ca.crt and ca.key makes a new authority, and every host is to be enrolled again"
            } else {
                "put a new one in its place; it is read without a restart"
            };
            said.push(format!("{ending}; {remedy}"));
        }
        said
    }
}
