use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;

use super::role::caller_of;
use super::*;
use crate::api::auth::Caller;

/// CLI-21, TR-086.
#[test]
fn a_first_start_makes_everything_for_its_owner_alone() {
    let dir = Scratch::new("first");
    let paths = prepare(&dir.0, &[]).unwrap();
    assert_eq!(paths.cert, dir.0.join("server.crt"));
    let mut files = vec!["ca.crt", "ca.key", "server.crt", "server.key"];
    for role in ["clients/admin", "clients/viewer"] {
        assert_eq!(mode(&dir.0.join(role)), 0o700);
    }
    files.extend([
        "clients/admin/ca.crt",
        "clients/admin/tls.crt",
        "clients/admin/tls.key",
    ]);
    files.extend([
        "clients/viewer/ca.crt",
        "clients/viewer/tls.crt",
        "clients/viewer/tls.key",
    ]);
    for file in files {
        assert_eq!(mode(&dir.0.join(file)), 0o600, "{file}");
    }
    assert_eq!(
        caller_in(&dir.0.join("clients/admin/tls.crt")),
        Caller::Admin
    );
    assert_eq!(
        caller_in(&dir.0.join("clients/viewer/tls.crt")),
        Caller::Viewer
    );
    assert_eq!(caller_in(&dir.0.join("server.crt")), Caller::Stranger);
}

#[test]
fn a_second_start_changes_no_file() {
    let dir = Scratch::new("second");
    prepare(&dir.0, &[]).unwrap();
    let before = read(&dir.0.join("server.crt")).unwrap();
    let admin = read(&dir.0.join("clients/admin/tls.crt")).unwrap();
    prepare(&dir.0, &[]).unwrap();
    assert_eq!(read(&dir.0.join("server.crt")).unwrap(), before);
    assert_eq!(read(&dir.0.join("clients/admin/tls.crt")).unwrap(), admin);
}

#[test]
fn another_listen_address_gets_a_certificate_that_names_it() {
    let dir = Scratch::new("address");
    let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, 7));
    prepare(&dir.0, &[]).unwrap();
    let authority = Authority::load(&dir.0).unwrap();
    let cert = dir.0.join("server.crt");
    assert!(!authority.vouches_for_server(&cert, &[address]));
    prepare(&dir.0, &[address]).unwrap();
    assert!(authority.vouches_for_server(&cert, &[address]));
}

/// A start that was cut short is finished by the next one.
#[test]
fn what_is_missing_is_made_with_the_authority_that_is_there() {
    let dir = Scratch::new("missing");
    prepare(&dir.0, &[]).unwrap();
    let ca = read(&dir.0.join("ca.crt")).unwrap();
    std::fs::remove_file(dir.0.join("server.key")).unwrap();
    std::fs::remove_dir_all(dir.0.join("clients/viewer")).unwrap();
    prepare(&dir.0, &[]).unwrap();
    assert_eq!(read(&dir.0.join("ca.crt")).unwrap(), ca);
    assert_eq!(read(&dir.0.join("clients/viewer/ca.crt")).unwrap(), ca);
    assert!(dir.0.join("server.key").exists());
}

#[test]
fn a_host_is_enrolled_with_its_own_identity() {
    let dir = Scratch::new("enroll");
    prepare(&dir.0, &[]).unwrap();
    let host = HostId::parse("node-1").unwrap();
    let out = dir.0.join("out");
    enroll(&dir.0, &host, &out).unwrap();
    assert_eq!(caller_in(&out.join("tls.crt")), Caller::Host(host.clone()));
    assert_eq!(mode(&out.join("tls.key")), 0o600);
    let again = enroll(&dir.0, &host, &out).unwrap_err();
    assert!(matches!(again, PkiError::Exists { .. }), "{again}");
}

#[test]
fn without_an_authority_nobody_is_enrolled() {
    let dir = Scratch::new("none");
    let host = HostId::parse("node-1").unwrap();
    let error = enroll(&dir.0, &host, &dir.0.join("out")).unwrap_err();
    assert!(matches!(error, PkiError::NoAuthority { .. }), "{error}");
}

#[test]
fn an_authority_with_anothers_key_signs_nothing() {
    let (dir, other) = (Scratch::new("ours"), Scratch::new("theirs"));
    prepare(&dir.0, &[]).unwrap();
    prepare(&other.0, &[]).unwrap();
    std::fs::copy(other.0.join("ca.key"), dir.0.join("ca.key")).unwrap();
    let error = prepare(&dir.0, &[]).unwrap_err();
    assert!(matches!(error, PkiError::NotOurs { .. }), "{error}");
}

/// A certificate that a client could use as a server's, or the reverse, would let one play the other.
#[test]
fn no_certificate_serves_both_ends() {
    let dir = Scratch::new("usage");
    prepare(&dir.0, &[]).unwrap();
    let authority = Authority::load(&dir.0).unwrap();
    let server = read(&dir.0.join("server.crt")).unwrap();
    let admin = read(&dir.0.join("clients/admin/tls.crt")).unwrap();
    assert!(!authority.vouches_for(&server, KeyUsage::client_auth(), soon()));
    assert!(!authority.vouches_for(&admin, KeyUsage::server_auth(), soon()));
    assert!(authority.vouches_for(&admin, KeyUsage::client_auth(), soon()));
    let in_a_year =
        UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + DAY * 366);
    assert!(!authority.vouches_for(&admin, KeyUsage::client_auth(), in_a_year));
}

/// RPC-2
#[test]
fn a_certificate_that_ends_within_thirty_days_is_named_and_the_servers_own_made_anew() {
    let dir = Scratch::new("ending");
    let paths = prepare(&dir.0, &[]).unwrap();
    let all = ["ca.crt", "server.crt", "clients/admin/tls.crt"].map(|file| dir.0.join(file));
    let soon_ending = || ending(all.iter().map(PathBuf::as_path));
    assert_eq!(soon_ending(), []);
    renew(&dir.0, &paths, &[]).unwrap();

    // The same files with 20 days and a bit left; what signs included, because it ends as well.
    let authority = Authority::load(&dir.0).unwrap();
    let short = |mut params: CertificateParams| {
        valid_for(&mut params, DAY * 20 + CLOCK_SKEW);
        params
    };
    let key = key_pair().unwrap();
    let leaf = short(CertificateParams::new(["localhost".to_owned()]).unwrap());
    let leaf = leaf.signed_by(&key, &authority.issuer).unwrap().pem();
    let ca = short(authority_params());
    let ca = ca.self_signed(authority.issuer.key()).unwrap().pem();
    for (path, pem) in all.iter().zip([&ca, &leaf, &leaf]) {
        write_private(path, pem.as_bytes()).unwrap();
    }
    let told = soon_ending();
    let expected = all.clone().map(|path| Ending {
        path,
        days_left: 20,
    });
    assert_eq!(told, expected);
    assert!(
        told[2]
            .to_string()
            .ends_with("clients/admin/tls.crt ends in 20 day(s)")
    );

    let admin = read(&all[2]).unwrap();
    renew(&dir.0, &paths, &[]).unwrap();
    let left: Vec<PathBuf> = soon_ending().into_iter().map(|it| it.path).collect();
    assert_eq!(left, [all[0].clone(), all[2].clone()]);
    assert_eq!(read(&all[2]).unwrap(), admin);
}

fn caller_in(path: &Path) -> Caller {
    caller_of(&CertificateDer::from_pem_file(path).unwrap())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A directory that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("ringfence-pki-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&path);
        make_private_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}
