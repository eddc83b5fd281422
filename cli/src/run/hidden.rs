//! Where the control plane keeps its keys and its socket, as far as this user's start can know (RPC-2, TR-108, SBX-3).
//!
//! Apart from `spec` because it is no wish of anybody: it holds under every policy, without a gateway too, because one may
//! run. Too much in the list costs a mount, too little a key.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::args::RunArgs;
use crate::settings::{Address, Settings};

/// What no sandbox of this start may see.
pub(super) fn places(args: &RunArgs, settings: &Settings, user: Option<&str>) -> Vec<PathBuf> {
    let socket = match settings.gateway().map(|gateway| &gateway.address) {
        Ok(Address::Unix(socket)) => Some(beside(socket)),
        Ok(Address::Https { certificates, .. }) => Some(certificates.clone()),
        Err(_) => None,
    };
    let state_dir = std::env::var_os("RINGFENCE_STATE_DIR").map(PathBuf::from);
    let named = [state_dir, args.host_certificate.clone()];
    let usual = [
        &settings.state_dir,
        &settings.own_state_dir,
        &settings.config_dir,
    ];
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let homes = homes(&passwd, user, rustix::process::geteuid().as_raw());
    let mut places: Vec<PathBuf> = named
        .into_iter()
        .flatten()
        // An empty variable is how a shell spells one that is not set.
        .filter_map(|path| std::path::absolute(path).ok())
        .chain(usual.into_iter().flatten().cloned())
        .chain(socket)
        .chain(homes.iter().flat_map(|home| in_home(home)))
        .collect();
    places.sort();
    places.dedup();
    places
}

/// The directory of a socket, which is a gateway's state directory; the socket alone where it cannot be one, because
/// others may write there, as in `/tmp`.
fn beside(socket: &Path) -> PathBuf {
    let shared = |dir: &&Path| {
        std::fs::metadata(dir).is_ok_and(|about| about.permissions().mode() & 0o022 != 0)
    };
    let dir = socket.parent().filter(|dir| !shared(dir));
    dir.unwrap_or(socket).to_owned()
}

/// The homes of this user and of the command's, whatever `HOME` says: a gateway of theirs has the same uid.
fn homes(passwd: &str, user: Option<&str>, uid: u32) -> Vec<PathBuf> {
    let uid = uid.to_string();
    passwd
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, number, _, _, home, ..] = fields.as_slice() else {
                return None;
            };
            let meant = *number == uid || user.is_some_and(|user| user == *name || user == *number);
            (meant && home.starts_with('/')).then(|| PathBuf::from(home))
        })
        .collect()
}

/// What the XDG Base Directory Specification says when no variable does.
fn in_home(home: &Path) -> [PathBuf; 2] {
    [".config/ringfence", ".local/state/ringfence"].map(|place| home.join(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nagent:x:1001:1001:,,,:/srv/agent:/bin/false\nodd:x:1000\nnone:x:1000:1000::relative:/\n";

    /// TR-108: the command has the caller's uid or that of the named user, and so may a gateway.
    #[test]
    fn the_homes_of_the_caller_and_of_the_commands_user_are_searched() {
        let found = |user, uid| {
            let homes = homes(PASSWD, user, uid);
            homes
                .iter()
                .map(|home| home.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(None, 1000), ["/home/me"]);
        assert_eq!(found(Some("agent"), 0), ["/root", "/srv/agent"]);
        assert_eq!(found(Some("1001"), 1000), ["/home/me", "/srv/agent"]);
        assert_eq!(found(Some("nobody-here"), 4), [""; 0]);
    }

    /// SBX-3: a directory that all may write is no gateway's, and hiding it would hide theirs.
    #[test]
    fn of_a_socket_its_directory_is_hidden_unless_others_may_write_there() {
        assert_eq!(beside(Path::new("/tmp/x.sock")), Path::new("/tmp/x.sock"));
        assert_eq!(beside(Path::new("/usr/x.sock")), Path::new("/usr"));
        let none = Path::new("/no/such/gateway.sock");
        assert_eq!(beside(none), Path::new("/no/such"));
    }
}
