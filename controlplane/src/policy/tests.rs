//! The rows of VECTORS 11 and 12 that a gateway answers, and the rules of LIV over drawn histories.

mod drawn;
mod faults;

use super::*;

/// One sandbox and its policies.
struct World {
    state: State,
    sandbox: v1::Sandbox,
    now_ms: i64,
}

impl World {
    /// A sandbox created with that policy, or with none.
    fn new(yaml: Option<&str>) -> World {
        let spec = v1::SandboxSpec {
            policy: yaml.map(message),
            ..v1::SandboxSpec::default()
        };
        let created = crate::sandbox::create(&State::default(), "demo", Some(&spec), [7; 8], 1);
        let (changes, sandbox) = created.unwrap();
        World {
            state: State::default().after(&changes, 1),
            sandbox,
            now_ms: 1,
        }
    }

    fn apply(&mut self, changes: &[Change]) {
        self.state = self.state.after(changes, self.state.generation + 1);
        self.now_ms += 1;
    }

    fn submit(&mut self, given: &v1::SandboxPolicy) -> Result<Submitted, Refused> {
        let (changes, submitted) = submit(&self.state, &self.sandbox, given, self.now_ms)?;
        self.apply(&changes);
        Ok(submitted)
    }

    /// Submits a policy that must be taken, and gives its version.
    fn set(&mut self, yaml: &str) -> u32 {
        self.submit(&message(yaml))
            .unwrap_or_else(|refused| panic!("{yaml}: {refused}"))
            .version
    }

    fn refused(&mut self, yaml: &str) -> String {
        match self.submit(&message(yaml)) {
            Err(Refused::Invalid(why)) => why,
            other => panic!("{yaml}: {other:?}"),
        }
    }

    fn report(&mut self, version: u32, status: PolicyStatus) -> Result<(), Refused> {
        let error = "the reason";
        let changes = report(
            &self.state,
            &self.sandbox.id,
            version,
            status,
            error,
            self.now_ms,
        )?;
        self.apply(&changes);
        Ok(())
    }

    fn loaded(&mut self, version: u32) {
        self.report(version, PolicyStatus::Loaded).unwrap();
    }

    fn failed(&mut self, version: u32) {
        self.report(version, PolicyStatus::Failed).unwrap();
    }

    /// Each version's status, oldest first, in one letter: P, L, F, S.
    fn statuses(&self) -> String {
        let revisions = self.state.revisions_of(&self.sandbox.id).iter();
        revisions
            .map(|revision| match revision.status {
                PolicyStatus::Pending => 'P',
                PolicyStatus::Loaded => 'L',
                PolicyStatus::Failed => 'F',
                PolicyStatus::Superseded => 'S',
                PolicyStatus::Unspecified => '?',
            })
            .collect()
    }

    fn served(&self) -> u32 {
        served(&self.state, &self.sandbox.id).map_or(0, |revision| revision.version)
    }

    fn active(&self) -> u32 {
        active_version(&self.state, &self.sandbox.id)
    }

    fn stored(&self, version: u32) -> &Revision {
        revision(&self.state, &self.sandbox, version).unwrap()
    }
}

fn message(yaml: &str) -> v1::SandboxPolicy {
    let text = format!("version: 1\n{yaml}");
    let loaded = policy::parse(&text, "p.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    policy_proto::message(&loaded.document)
}

fn network(keys: &[&str]) -> String {
    let entries = keys.iter().map(|key| {
        format!(
            "  {key}: {{endpoints: [{{host: {key}.test, port: 443}}], binaries: [{{path: /x}}]}}\n"
        )
    });
    format!("network_policies:\n{}", entries.collect::<String>())
}

const FILES: &str =
    "filesystem_policy: {include_workdir: true, read_only: [/srv, /opt], read_write: [/data]}\n";

fn files(policy: &v1::SandboxPolicy) -> (bool, Vec<&str>, Vec<&str>) {
    let section = policy.filesystem.as_ref().unwrap();
    (
        section.include_workdir,
        section.read_only.iter().map(String::as_str).collect(),
        section.read_write.iter().map(String::as_str).collect(),
    )
}

/// PD-11, LIV-4
#[test]
fn what_only_adds_becomes_the_next_version() {
    let mut world = World::new(Some(FILES));
    let more = "filesystem_policy: {include_workdir: true, read_only: [/srv, /opt, /new], read_write: [/data]}\n";
    assert_eq!(world.set(more), 2);
    assert_eq!(world.set(&format!("{FILES}{}", network(&["git"]))), 3);
    assert_eq!(world.set(FILES), 4);
    assert_eq!(
        world.set(&format!("{FILES}inference: {{models: [m]}}\n")),
        5
    );
    let mut without_files = World::new(Some(""));
    assert_eq!(without_files.set(FILES), 2);
    assert_eq!(
        without_files.set("filesystem_policy: {read_only: [/mnt]}\n"),
        3
    );
}

/// PD-12, LIV-2, LIV-3: all of it together, and nothing is stored.
#[test]
fn what_was_fixed_at_the_start_is_refused_by_name() {
    let removed = "cannot be removed on a live sandbox";
    let mut world = World::new(Some(&format!("{FILES}process: {{run_as_user: a}}\n")));
    let generation = world.state.generation;
    assert_eq!(
        world.refused("landlock: {compatibility: hard_requirement}\n"),
        format!(
            "filesystem_policy: the section {removed}\n\
             landlock.compatibility: cannot change from best_effort to hard_requirement on a live sandbox\n\
             process.run_as_user: cannot change from `a` to `` on a live sandbox"
        )
    );
    assert_eq!(
        world.refused(
            "filesystem_policy: {read_only: [/srv], read_write: [/data, /opt]}\nprocess: {run_as_user: a}\n"
        ),
        format!(
            "filesystem_policy.include_workdir: cannot change from true to false on a live sandbox\n\
             filesystem_policy.read_only: `/opt` {removed}, nor move to read_write"
        )
    );
    assert_eq!(
        (world.state.generation, world.statuses().as_str()),
        (generation, "P")
    );
}

/// LIV-3: the measure stays the policy of the creation, whatever came since.
#[test]
fn a_path_that_came_later_may_go_and_one_of_the_creation_may_not() {
    let mut world = World::new(Some(FILES));
    let more = "filesystem_policy: {include_workdir: true, read_only: [/srv, /opt, /new], read_write: [/data]}\n";
    assert_eq!((world.set(more), world.set(FILES)), (2, 3));
    let less = "filesystem_policy: {include_workdir: true, read_only: [/srv, /new], read_write: [/data]}\n";
    assert!(world.refused(less).contains("`/opt` cannot be removed"));
}

/// LIV-3: where none was given at the creation, version 1 is the measure.
#[test]
fn the_first_version_of_a_sandbox_without_a_policy_is_the_measure() {
    let mut world = World::new(None);
    assert_eq!((world.served(), world.statuses().as_str()), (0, ""));
    assert_eq!(world.set(FILES), 1);
    let less =
        "filesystem_policy: {include_workdir: true, read_only: [/srv], read_write: [/data]}\n";
    assert!(world.refused(less).contains("`/opt` cannot be removed"));
    assert_eq!(
        world.refused(""),
        "filesystem_policy: the section cannot be removed on a live sandbox"
    );
    // Nobody wrote a section of files into this one; that it is stored complete must not be held against its author.
    let mut bare = World::new(None);
    assert_eq!(bare.set(&network(&["git"])), 1);
    assert_eq!(bare.set(&network(&["git", "hub"])), 2);
}

/// PD-13, LIV-5, LIV-6
#[test]
fn the_same_policy_again_is_the_same_version() {
    let mut world = World::new(None);
    let first = world.submit(&message(&network(&["a", "b"]))).unwrap();
    let generation = world.state.generation;
    let again = world.submit(&message(&network(&["b", "a"]))).unwrap();
    assert_eq!((first.version, &again), (1, &first));
    let changes = submit(
        &world.state,
        &world.sandbox,
        &message(&network(&["a", "b"])),
        9,
    )
    .unwrap()
    .0;
    assert!(changes.is_empty() && world.state.generation == generation + 1);
    assert_eq!(again.hash.len(), 64);
}

/// LIV-6: the measure is the newest that is not FAILED.
#[test]
fn a_failed_policy_that_comes_again_is_a_new_version() {
    let mut world = World::new(Some(""));
    world.loaded(1);
    assert_eq!(world.set(&network(&["a"])), 2);
    world.failed(2);
    assert_eq!(world.set(""), 1);
    assert_eq!(world.set(&network(&["a"])), 3);
    assert_eq!(world.set(""), 4);
}

/// LIV-5, RGO-6: rules are part of a policy.
#[test]
fn rules_are_kept_and_make_another_version() {
    let mut world = World::new(Some(""));
    let mut given = message("");
    given.rego = "package ringfence.sandbox\nnetwork_action := \"deny\"\n".to_owned();
    let submitted = world.submit(&given).unwrap();
    assert_eq!(submitted.version, 2);
    assert_eq!(world.stored(2).policy.rego, given.rego);
    assert_eq!(world.submit(&given).unwrap(), submitted);
    given.rego.push('\n');
    assert_eq!(world.submit(&given).unwrap().version, 3);
    given.rego = "#".repeat(256 * 1024 + 1);
    assert_eq!(
        world.submit(&given),
        Err(Refused::Invalid(
            "rego: is longer than 262144 bytes".to_owned()
        ))
    );
}

/// PD-14, LIV-7, LIV-8
#[test]
fn one_version_is_loaded_and_a_failure_keeps_it() {
    let mut world = World::new(Some(""));
    world.loaded(1);
    world.set(&network(&["a"]));
    assert_eq!(
        (world.statuses().as_str(), world.active(), world.served()),
        ("LP", 1, 2)
    );
    world.loaded(2);
    assert_eq!(
        (world.statuses().as_str(), world.active(), world.served()),
        ("SL", 2, 2)
    );
    world.set(&network(&["b"]));
    world.failed(3);
    assert_eq!(
        (world.statuses().as_str(), world.active(), world.served()),
        ("SLF", 2, 2)
    );
    let failed = world.stored(3);
    assert_eq!(
        (failed.load_error.as_str(), failed.loaded_at_ms),
        ("the reason", 0)
    );
    assert!(world.stored(2).loaded_at_ms > world.stored(2).created_at_ms);
}

/// LIV-7: an older PENDING gives way as soon as a newer version is stored.
#[test]
fn a_pending_version_is_superseded_by_the_next() {
    let mut world = World::new(Some(""));
    world.set(&network(&["a"]));
    world.set(&network(&["b"]));
    assert_eq!((world.statuses().as_str(), world.served()), ("SSP", 3));
    // Its report may still come: it was in force for a moment.
    world.loaded(2);
    assert_eq!(
        (world.statuses().as_str(), world.active(), world.served()),
        ("SLP", 2, 3)
    );
    world.loaded(3);
    assert_eq!(world.statuses(), "SSL");
}

/// PD-15, LIV-9, TR-105
#[test]
fn a_late_report_never_lowers_the_active_version() {
    let mut world = World::new(Some(""));
    world.set(&network(&["a"]));
    world.loaded(2);
    world.loaded(1);
    assert_eq!((world.statuses().as_str(), world.active()), ("SL", 2));
    for (version, status) in [
        (0, PolicyStatus::Loaded),
        (2, PolicyStatus::Pending),
        (2, PolicyStatus::Superseded),
        (2, PolicyStatus::Unspecified),
    ] {
        let refused = world.report(version, status);
        assert!(
            matches!(refused, Err(Refused::Invalid(_))),
            "{version} {status:?}: {refused:?}"
        );
    }
    assert!(matches!(
        world.report(3, PolicyStatus::Loaded),
        Err(Refused::NotFound(_))
    ));
    let nobody = report(&world.state, "sb-none", 1, PolicyStatus::Loaded, "", 1);
    assert!(matches!(nobody, Err(Refused::NotFound(_))));
}

/// LIV-8, LIV-9: what is said twice changes nothing, so nothing is written.
#[test]
fn a_repeated_report_is_no_change() {
    let mut world = World::new(Some(""));
    world.loaded(1);
    let again = |world: &World, status| {
        report(
            &world.state,
            &world.sandbox.id,
            1,
            status,
            "another reason",
            99,
        )
        .unwrap()
        .len()
    };
    assert_eq!(again(&world, PolicyStatus::Loaded), 0);
    world.failed(1);
    assert_eq!(again(&world, PolicyStatus::Failed), 0);
    assert_eq!(world.stored(1).load_error, "the reason");
}

/// TR-074: after a restart the version that was loaded may fail, and one that failed may load.
#[test]
fn a_data_plane_that_starts_anew_may_say_otherwise() {
    let mut world = World::new(Some(""));
    world.loaded(1);
    world.set(&network(&["a"]));
    world.loaded(2);
    world.failed(2);
    assert_eq!(
        (world.statuses().as_str(), world.active(), world.served()),
        ("SF", 0, 1)
    );
    world.loaded(1);
    assert_eq!((world.statuses().as_str(), world.active()), ("LF", 1));
    world.loaded(2);
    assert_eq!(
        (world.statuses().as_str(), world.active(), world.served()),
        ("SL", 2, 2)
    );
    assert_eq!(world.stored(2).load_error, "");
}

/// TR-110, TR-096
#[test]
fn the_reason_of_a_failure_is_cut_to_what_is_kept() {
    let mut world = World::new(Some(""));
    let reason = "ä".repeat(4_096);
    let changes = report(
        &world.state,
        &world.sandbox.id,
        1,
        PolicyStatus::Failed,
        &reason,
        2,
    );
    world.apply(&changes.unwrap());
    assert_eq!(world.stored(1).load_error.len(), 4_096);
}

/// BA-1, BAS-2, BAS-3, LIV-12
#[test]
fn a_policy_is_stored_complete_and_the_same_file_again_is_no_news() {
    let mut world = World::new(Some(&network(&["git"])));
    assert_eq!(
        files(&world.stored(1).policy),
        (
            true,
            vec!["/usr", "/lib", "/etc", "/app", "/var/log"],
            vec!["/sandbox", "/tmp"]
        )
    );
    let again = world.submit(&message(&network(&["git"]))).unwrap();
    assert_eq!(
        (again.version, again.hash),
        (1, world.stored(1).hash.clone())
    );
    // The spec stays as it was given.
    let spec = world.sandbox.spec.as_ref().unwrap();
    assert!(spec.policy.as_ref().unwrap().filesystem.is_none());
}

/// BA-2, BA-3, BAS-2
#[test]
fn what_is_added_stands_behind_what_was_written() {
    let world = World::new(Some("filesystem_policy: {read_write: [/sandbox]}\n"));
    assert_eq!(
        files(&world.stored(1).policy),
        (
            false,
            vec!["/usr", "/lib", "/etc", "/app", "/var/log"],
            vec!["/sandbox", "/tmp"]
        )
    );
    let world = World::new(Some(
        "filesystem_policy: {read_only: [/opt], read_write: [/usr]}\n",
    ));
    assert_eq!(
        files(&world.stored(1).policy),
        (
            false,
            vec!["/opt", "/lib", "/etc", "/app", "/var/log"],
            vec!["/usr", "/sandbox", "/tmp"]
        )
    );
}

/// BA-3, BAS-3: what an older gateway stored incomplete is completed once; what is complete is not written again.
#[test]
fn a_host_may_complete_a_policy_and_do_nothing_else() {
    let mut world = World::new(Some(&network(&["git"])));
    let complete = v1::SandboxPolicy::clone(&world.stored(1).policy);
    let back = |world: &World, policy: &v1::SandboxPolicy| {
        write_back(&world.state, &world.sandbox, policy, 9)
    };
    assert!(back(&world, &complete).unwrap().0.is_empty());
    let incomplete = message(&network(&["git"]));
    let stored = Revision {
        hash: policy_proto::document(&incomplete).unwrap().document.hash(),
        policy: Arc::new(incomplete),
        ..world.stored(1).clone()
    };
    world.apply(&[Change::PutRevision(Arc::new(stored))]);
    let (changes, submitted) = back(&world, &complete).unwrap();
    assert_eq!((changes.len(), submitted.version), (2, 2));
    world.apply(&changes);
    assert_eq!(*world.stored(2).policy, complete);

    let mut wider = complete.clone();
    wider
        .filesystem
        .as_mut()
        .unwrap()
        .read_write
        .push("/home".to_owned());
    for other in [
        wider,
        message(&network(&["git", "more"])),
        v1::SandboxPolicy::default(),
    ] {
        assert!(matches!(back(&world, &other), Err(Refused::Forbidden(_))));
    }
}

/// POL-10: of a sandbox that has no policy, the host's own becomes the first.
#[test]
fn a_host_may_give_the_first_policy_and_no_second_one() {
    let mut world = World::new(None);
    let first = message(&network(&["git"]));
    let (changes, submitted) = write_back(&world.state, &world.sandbox, &first, 9).unwrap();
    assert_eq!(submitted.version, 1);
    world.apply(&changes);
    world.failed(1);
    assert!(matches!(
        write_back(&world.state, &world.sandbox, &message(""), 9),
        Err(Refused::Forbidden(_))
    ));
}

/// STO-3: history ends somewhere, and never with the first, the served or the loaded one.
#[test]
fn a_thousand_versions_are_kept_and_those_that_matter_among_them() {
    let mut world = World::new(Some(""));
    world.set(&network(&["good"]));
    world.loaded(2);
    for number in 0..1_000 {
        let version = world.set(&network(&[&format!("n{number}")]));
        world.failed(version);
    }
    let revisions = world.state.revisions_of(&world.sandbox.id);
    let versions: Vec<u32> = revisions.iter().map(|revision| revision.version).collect();
    assert_eq!(versions.len(), REVISIONS_MAX);
    assert_eq!(
        (versions[..3].to_vec(), versions.last()),
        (vec![1, 2, 5], Some(&1_002))
    );
    assert_eq!((world.served(), world.active()), (2, 2));
    let mut unseen = World::new(Some(""));
    for number in 0..1_005 {
        let version = unseen.set(&network(&[&format!("n{number}")]));
        if version > 3 {
            unseen.failed(version);
        }
    }
    assert_eq!(
        (
            unseen.served(),
            unseen.state.revisions_of(&unseen.sandbox.id).len()
        ),
        (3, 1_000)
    );
}

/// LIV-1
#[test]
fn a_version_is_found_by_its_number_and_the_newest_by_none() {
    let mut world = World::new(None);
    let none = revision(&world.state, &world.sandbox, 0);
    assert!(matches!(none, Err(Refused::NotFound(_))));
    world.set("");
    world.set(&network(&["a"]));
    assert_eq!((world.stored(0).version, world.stored(1).version), (2, 1));
    let missing = revision(&world.state, &world.sandbox, 3);
    assert!(matches!(missing, Err(Refused::NotFound(_))));
    let versions = |limit, offset| -> Vec<u32> {
        let page = list(&world.state, &world.sandbox.id, limit, offset);
        page.iter().map(|revision| revision.version).collect()
    };
    assert_eq!(
        (versions(0, 0), versions(1, 1), versions(1, 2)),
        (vec![2, 1], vec![1], vec![])
    );
}
