//! Who may call what: every method, every kind of peer (RPC-1, RPC-2, RPC-4).

use tokio::process::Command;
use tonic::Code;

use crate::raw;
use crate::world::{Scratch, World, tls};

/// Column Who of RPC-4, written down a second time.
const WHO: &str = "
ringfence.inference.v1.Inference/GetInferenceBundle h
ringfence.inference.v1.Inference/SetClusterInference a
ringfence.inference.v1.Inference/GetClusterInference a v
ringfence.inference.v1.Inference/UnsetClusterInference a
ringfence.v1.Ringfence/Health a v h
ringfence.v1.Ringfence/GetClusterStatus a v
ringfence.v1.Ringfence/CreateSandbox a
ringfence.v1.Ringfence/GetSandbox a v
ringfence.v1.Ringfence/DeleteSandbox a
ringfence.v1.Ringfence/ListSandboxes a v
ringfence.v1.Ringfence/GetSandboxPolicy a v h
ringfence.v1.Ringfence/UpdateSandboxPolicy a h
ringfence.v1.Ringfence/GetSandboxPolicyStatus a v
ringfence.v1.Ringfence/ListSandboxPolicies a v
ringfence.v1.Ringfence/ReportPolicyStatus h
ringfence.v1.Ringfence/GetSandboxLogs a v
ringfence.v1.Ringfence/GetSandboxProviderEnvironment h
ringfence.v1.Ringfence/CreateProvider a
ringfence.v1.Ringfence/UpdateProvider a
ringfence.v1.Ringfence/GetProvider a v
ringfence.v1.Ringfence/ListProviders a v
ringfence.v1.Ringfence/DeleteProvider a
ringfence.v1.Ringfence/TestProvider a
ringfence.v1.DataPlane/Subscribe h
ringfence.v1.DataPlane/Report h
grpc.health.v1.Health/Check a v h
grpc.health.v1.Health/Watch a v h
grpc.reflection.v1.ServerReflection/ServerReflectionInfo a v h
grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo a v h
ringfence.v1.Ringfence/Undeclared
grpc.health.v1.Health/List
nobody.v1.Nobody/Nothing
";

/// RPC-2, TR-107.
#[tokio::test]
async fn every_method_is_for_whom_the_table_says_and_for_nobody_else() {
    let world = World::start().await;
    let channels = [
        ("a", world.remote(&world.role("admin")).await),
        ("v", world.remote(&world.role("viewer")).await),
        ("h", world.remote(&world.host("node-1")).await),
        // Root and the gateway's own user: admin and host.
        ("a h", world.local().await),
    ];
    for line in WHO.trim().lines() {
        let (method, who) = line.split_once(' ').unwrap_or((line, ""));
        for (is, channel) in &channels {
            let admitted = is
                .split(' ')
                .any(|role| who.split(' ').any(|other| other == role));
            let code = raw::call(channel, &format!("/{method}")).await;
            let denied = code == Some(Code::PermissionDenied);
            assert_eq!(denied, !admitted, "{method} by {is}: {code:?}");
            assert_ne!(code, Some(Code::Unimplemented), "{method} by {is}");
        }
    }
}

/// RPC-1: mutual TLS always.
#[tokio::test]
async fn without_a_certificate_of_the_authority_nobody_is_let_in() {
    let world = World::start().await;
    let other = World::start().await;
    let strangers = Scratch::new();
    std::fs::create_dir_all(strangers.path()).unwrap();
    let ca = world.role("admin").join("ca.crt");
    std::fs::copy(&ca, strangers.path().join("ca.crt")).unwrap();
    refused(&world, strangers.path(), "no certificate").await;

    let theirs = other.role("admin");
    std::fs::copy(theirs.join("tls.crt"), strangers.path().join("tls.crt")).unwrap();
    std::fs::copy(theirs.join("tls.key"), strangers.path().join("tls.key")).unwrap();
    refused(&world, strangers.path(), "another authority's certificate").await;

    // The server's own pair is no client's.
    let ours = &world.config.state_dir;
    std::fs::copy(ours.join("server.crt"), strangers.path().join("tls.crt")).unwrap();
    std::fs::copy(ours.join("server.key"), strangers.path().join("tls.key")).unwrap();
    refused(&world, strangers.path(), "a server's certificate").await;

    // And a client that trusts another authority does not take this server for its own.
    assert!(tls(world.tcp, &other.role("admin")).await.is_err());
}

#[tokio::test]
async fn plaintext_is_not_answered() {
    let world = World::start().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for request in [&b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"[..], preface] {
        // The other end may already be gone while this one still writes.
        let answer = raw::plaintext(world.tcp, request).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("HTTP/1.1"), "{text}");
        // At most a TLS alert.
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    }
}

/// A TLS 1.3 client learns that its certificate was refused when it reads.
async fn refused(world: &World, identity: &std::path::Path, who: &str) {
    use tokio::io::AsyncReadExt;
    let Ok(mut stream) = tls(world.tcp, identity).await else {
        return;
    };
    let mut answer = [0; 1];
    let read = tokio::time::timeout(crate::world::PATIENCE, stream.read(&mut answer));
    assert!(
        read.await.expect("an end in time").is_err(),
        "{who} was let in"
    );
}

/// RPC-1: the kernel says who is at the other end, and another user has no role.
#[tokio::test]
async fn another_user_has_no_role_at_the_unix_socket() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become another user");
        return;
    }
    let world = World::start().await;
    // Why: its files would keep another user out before the gateway is asked.
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&world.config.state_dir, 0o711);
    open(&world.socket(), 0o666);
    let mut nobody = Command::new("python3");
    nobody.uid(65_534).gid(65_534);
    asks_for_health(nobody, &world, "403").await;
}

/// SBX-3: a command in a sandbox has the uid of its caller; in which namespaces it lives tells them apart.
#[tokio::test]
async fn who_lives_in_other_namespaces_has_no_role_at_the_unix_socket() {
    let world = World::start().await;
    asks_for_health(Command::new("python3"), &world, "200").await;
    for flags in [
        &["--user", "--map-root-user"][..],
        &["--user", "--map-current-user"],
        &["--user", "--map-root-user", "--pid", "--fork"],
    ] {
        let mut elsewhere = Command::new("unshare");
        elsewhere.args(flags).arg("python3");
        asks_for_health(elsewhere, &world, "403").await;
    }
}

/// Asks at the Unix socket, by the Python that is started, and holds the status against what is expected.
async fn asks_for_health(mut python: Command, world: &World, expected: &str) {
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
        s.sendall(b'GET /health HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n')\n\
        print(s.recv(100).decode().split()[1])\n";
    python
        .args(["-c", script])
        .arg(world.socket())
        .current_dir("/");
    match python.output().await {
        Ok(output) if output.status.success() => {
            let status = String::from_utf8_lossy(&output.stdout);
            assert_eq!(status.trim(), expected, "{python:?}");
        }
        missing => {
            let required =
                std::env::var("RINGFENCE_CLIENTS").is_ok_and(|value| value == "required");
            assert!(!required, "python3 cannot be run: {python:?} {missing:?}");
            eprintln!("SKIPPED: python3 cannot be run as {python:?}");
        }
    }
}
