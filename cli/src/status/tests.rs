//! Whose facts are shown, and how.

use std::path::PathBuf;

use super::board::running_in;
use super::*;
use sandbox::RuntimeDir;

fn base(name: &str) -> PathBuf {
    let base = std::env::temp_dir().join(format!("ringfence-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&base));
    base
}

fn facts(id: &str) -> Facts {
    Facts {
        id: id.to_owned(),
        name: "box".to_owned(),
        pid: 7,
        started: "2026-01-01T00:00:00.000Z".to_owned(),
        policy: PolicyFacts {
            file: Some("/p.yaml".to_owned()),
            version: 3,
            hash: "0123456789abcdef".to_owned(),
            loaded: "2026-01-01T00:00:01.000Z".to_owned(),
        },
        routes: RouteFacts {
            file: None,
            count: 2,
        },
        gateway: None,
        reload_error: None,
        watch: false,
        identity: "notification".to_owned(),
        landlock: LandlockFacts {
            state: "full".to_owned(),
            skipped: Vec::new(),
        },
    }
}

/// CLI-22
#[test]
fn a_sandbox_is_shown_as_long_as_its_launcher_lives() {
    use std::os::unix::fs::PermissionsExt;
    let base = base("board");
    let dir = RuntimeDir::create_in(&base, "sb-1").unwrap();
    let board = Board::hang(&base, facts("sb-1")).unwrap();
    assert_eq!(running_in(&base), [facts("sb-1")]);
    board.change(|facts| facts.policy.version = 4);
    assert_eq!(running_in(&base)[0].policy.version, 4);
    let mode = |path: &str| {
        let about = std::fs::metadata(base.join(path)).unwrap();
        about.permissions().mode() & 0o777
    };
    assert_eq!((mode(".status"), mode(".status/sb-1.json")), (0o700, 0o600));
    // A launcher that was killed removes nothing and holds no lock.
    let left = base.join(".status/sb-2.json");
    std::fs::write(&left, serde_json::to_vec(&facts("sb-2")).unwrap()).unwrap();
    std::fs::create_dir(base.join("sb-2")).unwrap();
    assert_eq!(running_in(&base).len(), 1);
    assert!(!left.exists());
    drop(board);
    assert_eq!(running_in(&base), []);
    drop(dir);
    std::fs::remove_dir_all(&base).unwrap();
}

#[test]
fn a_directory_that_others_can_enter_gets_no_facts() {
    use std::os::unix::fs::PermissionsExt;
    let base = base("open");
    std::fs::create_dir_all(base.join(".status")).unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(base.join(".status"), open).unwrap();
    assert!(Board::hang(&base, facts("sb-1")).is_err());
    std::fs::remove_dir_all(&base).unwrap();
}

#[test]
fn the_last_error_stands_below_its_sandbox_and_cannot_move_the_cursor() {
    let mut broken = facts("sb-1");
    broken.name = "a\u{1b}[2J".to_owned();
    broken.identity = "\u{1b}[1A".to_owned();
    broken.policy.loaded = "2026-\u{1b}[1A".to_owned();
    broken.reload_error = Some(Refused {
        at: "\u{1b}[2J".to_owned(),
        error: "p.yaml:1:1: one\np.yaml:2:1: two".to_owned(),
    });
    let text = table(&[broken, facts("sb-2")]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("ID    NAME"), "{text}");
    assert!(lines[1].contains("0123456789ab  2026"), "{text}");
    assert_eq!(lines[3], "    p.yaml:1:1: one");
    assert!(lines[5].starts_with("sb-2  box"), "{text}");
    assert!(!text.contains('\u{1b}'));
}

/// CLI-22
#[test]
fn a_gateway_is_shown_with_its_hosts_its_route_and_what_is_not_as_it_should_be() {
    use proto::v1::{
        DataPlaneStatus, GetClusterStatusResponse, LandlockState, Sandbox, SandboxPhase,
        SandboxStatus,
    };
    let plane = |host_id: &str, connected, applied_generation| DataPlaneStatus {
        host_id: host_id.to_owned(),
        connected,
        applied_generation,
        last_seen_ms: 1_767_225_600_000,
        sandboxes: 1,
        routes: Vec::new(),
    };
    let answer = GetClusterStatusResponse {
        version: "1".to_owned(),
        generation: 7,
        data_planes: vec![
            plane("a", true, 7),
            plane("b", true, 6),
            plane("c", false, 7),
        ],
    };
    let sandbox = |name: &str, phase: SandboxPhase, landlock: LandlockState| Sandbox {
        name: name.to_owned(),
        phase: phase.into(),
        status: Some(SandboxStatus {
            landlock: landlock.into(),
            skipped_paths: vec!["/app".to_owned()],
            message: "m".to_owned(),
            ..SandboxStatus::default()
        }),
        ..Sandbox::default()
    };
    let sandboxes = [
        sandbox("x", SandboxPhase::Ready, LandlockState::Full),
        sandbox("y", SandboxPhase::Ready, LandlockState::Partial),
        sandbox("z", SandboxPhase::Error, LandlockState::Unspecified),
    ];
    let route = json!({"model": "m", "provider": "p", "version": 2, "status": "broken", "error_code": "provider_missing"});
    let mut value = cluster::view(&answer, Some(route), &sandboxes);
    value["address"] = "unix:/g".into();
    let stale: Vec<_> = value["data_planes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|plane| &plane["stale"])
        .collect();
    assert_eq!(stale, [false, true, true]);
    assert_eq!(value["sandboxes"], json!({"error": 1, "ready": 2}));
    let expected = [
        "data plane c is away and serves generation 7",
        "the inference route is broken: provider_missing",
        "sandbox y: Landlock is partial, without /app",
        "sandbox z: m",
    ];
    assert_eq!(value["degradations"], json!(expected));
    let text = cluster::people(&value);
    assert!(
        text.starts_with(
            "gateway: unix:/g\nversion: 1\ngeneration: 7\ninference: m, p, 2, broken\n"
        ),
        "{text}"
    );
    assert!(text.contains("degraded: sandbox z: m"), "{text}");
}
