//! Rows and changes agree.

use super::*;
use crate::store::{Rows, Write};

fn provider(name: &str) -> Arc<Provider> {
    Arc::new(Provider {
        id: format!("prv-{name}"),
        name: name.to_owned(),
        kind: "openai".to_owned(),
        credentials: BTreeMap::from([("OPENAI_API_KEY".to_owned(), Sealed("v1:x".to_owned()))]),
        config: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        allow_private_endpoint: true,
        created_at_ms: 7,
    })
}

fn revision(version: u32, status: v1::PolicyStatus) -> Arc<Revision> {
    Arc::new(Revision {
        sandbox_id: "sb-1".to_owned(),
        version,
        policy: Arc::new(v1::SandboxPolicy {
            version: 1,
            ..v1::SandboxPolicy::default()
        }),
        hash: format!("hash {version}"),
        status,
        load_error: String::new(),
        created_at_ms: 9,
        loaded_at_ms: 0,
    })
}

/// What a store would hold after these writes.
fn kept(changes: &[Change]) -> Rows {
    let mut rows = Rows {
        generation: 5,
        ..Rows::default()
    };
    for write in changes.iter().flat_map(|change| change.writes(11)) {
        match write {
            Write::PutObject(row) => {
                rows.objects.retain(|kept| kept.id != row.id);
                rows.objects.push(row);
            }
            Write::RemoveObject { id, .. } => {
                rows.objects.retain(|kept| kept.id != id);
                rows.revisions.retain(|kept| kept.sandbox_id != id);
            }
            Write::PutRevision(row) => {
                rows.revisions.retain(|kept| {
                    (&kept.sandbox_id, kept.version) != (&row.sandbox_id, row.version)
                });
                // In the wrong order on purpose: a store gives none.
                rows.revisions.insert(0, row);
            }
            Write::RemoveRevision {
                sandbox_id,
                version,
            } => rows
                .revisions
                .retain(|kept| (&kept.sandbox_id, kept.version) != (&sandbox_id, version)),
            Write::PutTombstone(row) => rows.tombstones.push(row),
            Write::RemoveTombstone { name, .. } => rows.tombstones.retain(|kept| kept.name != name),
            Write::PutMeta { key, value } => {
                rows.meta.insert(key, value);
            }
            Write::AdvanceTo(generation) => rows.generation = generation,
        }
    }
    rows
}

#[test]
fn a_state_read_from_rows_is_the_state_that_its_changes_made() {
    let sandbox = Arc::new(v1::Sandbox {
        id: "sb-1".to_owned(),
        name: "demo".to_owned(),
        created_at_ms: 3,
        ..v1::Sandbox::default()
    });
    let other = Arc::new(v1::Sandbox {
        id: "sb-2".to_owned(),
        name: "other".to_owned(),
        ..v1::Sandbox::default()
    });
    let route = |version| {
        Arc::new(Route {
            provider_name: "one".to_owned(),
            model_id: "m".to_owned(),
            deadlines: Deadlines {
                idle_ms: 5,
                ..Deadlines::default()
            },
            version,
        })
    };
    let changes = [
        Change::PutProvider(provider("one")),
        Change::PutProvider(provider("two")),
        Change::RemoveProvider(provider("two")),
        Change::PutTombstone("two".to_owned()),
        Change::PutTombstone("three".to_owned()),
        Change::LiftTombstone("three".to_owned()),
        Change::PutRoute(route(1)),
        Change::RemoveRoute,
        Change::PutRoute(route(2)),
        Change::PutSandbox(sandbox),
        Change::PutSandbox(Arc::clone(&other)),
        Change::PutRevision(revision(1, v1::PolicyStatus::Pending)),
        Change::PutRevision(revision(2, v1::PolicyStatus::Pending)),
        Change::PutRevision(revision(1, v1::PolicyStatus::Superseded)),
        Change::PutRevision(revision(3, v1::PolicyStatus::Pending)),
        Change::RemoveRevision {
            sandbox_id: "sb-1".to_owned(),
            version: 1,
        },
        Change::RemoveSandbox(other),
    ];
    let made = State::default().after(&changes, 5);
    let read = State::of(&kept(&changes)).unwrap();
    assert_eq!(format!("{made:?}"), format!("{read:?}"));
    assert_eq!(made.revisions_of("sb-1").len(), 2);
    assert_eq!(made.route_version, 2);
}

#[test]
fn a_route_that_was_removed_leaves_its_version_behind() {
    let route = Arc::new(Route {
        provider_name: "one".to_owned(),
        model_id: "m".to_owned(),
        deadlines: Deadlines::default(),
        version: 4,
    });
    let changes = [Change::PutRoute(route), Change::RemoveRoute];
    let read = State::of(&kept(&changes)).unwrap();
    assert_eq!((read.route, read.route_version), (None, 4));
}

#[test]
fn a_damaged_row_is_named() {
    let mut rows = kept(&[Change::PutProvider(provider("one"))]);
    rows.objects[0].payload = vec![0xff; 4];
    let error = State::of(&rows).unwrap_err();
    assert_eq!(error.row, "provider `one`");
}
