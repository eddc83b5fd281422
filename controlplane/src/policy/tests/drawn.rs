//! Histories drawn at random: whatever is submitted and reported in whatever order, the rules of LIV hold.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Submits one of a few policies, so that equal ones come again.
    Submit(u8),
    /// Reports a version counted back from the one after the newest, which is not there.
    Report(u32, PolicyStatus),
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop::sample::select(vec![
        PolicyStatus::Loaded,
        PolicyStatus::Loaded,
        PolicyStatus::Failed,
        PolicyStatus::Pending,
    ]);
    prop_oneof![
        (0u8..4).prop_map(Step::Submit),
        (0u32..4, status).prop_map(|(back, status)| Step::Report(back, status)),
    ]
}

fn hold(world: &World, active_before: u32) -> Result<(), TestCaseError> {
    let revisions = world.state.revisions_of(&world.sandbox.id);
    let versions: Vec<u32> = revisions.iter().map(|revision| revision.version).collect();
    let newest = u32::try_from(versions.len()).unwrap();
    prop_assert_eq!(versions, Vec::from_iter(1..=newest), "not consecutive");
    let of = |status| {
        let revisions = revisions.iter();
        revisions.filter(move |revision| revision.status == status)
    };
    prop_assert!(of(PolicyStatus::Loaded).count() <= 1, "two are loaded");
    let mut newest_first = revisions.iter().rev();
    let good = newest_first.find(|revision| revision.status != PolicyStatus::Failed);
    prop_assert_eq!(world.served(), good.map_or(0, |revision| revision.version));
    prop_assert!(world.served() >= world.active(), "an older one is served");
    prop_assert!(
        of(PolicyStatus::Pending).all(|revision| revision.version == newest),
        "an older one is pending"
    );
    let failed = active_before > 0 && world.stored(active_before).status == PolicyStatus::Failed;
    prop_assert!(
        world.active() >= active_before || failed,
        "the active version was lowered"
    );
    for revision in revisions {
        let is_failed = revision.status == PolicyStatus::Failed;
        prop_assert_eq!(is_failed, !revision.load_error.is_empty());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// LIV-6, LIV-7, LIV-8, LIV-9
    #[test]
    fn a_drawn_history_keeps_the_rules(steps in vec(step(), 1..24)) {
        let mut world = World::new(None);
        for step in steps {
            let (active, served) = (world.active(), world.served());
            let newest = u32::try_from(world.statuses().len()).unwrap();
            match step {
                Step::Submit(number) => {
                    let policy = message(&network(&[&format!("p{number}")]));
                    let submitted = world.submit(&policy).unwrap();
                    prop_assert!([served, newest + 1].contains(&submitted.version));
                    prop_assert_eq!(world.served(), submitted.version);
                    prop_assert_eq!(world.active(), active, "submitting loaded something");
                }
                Step::Report(back, status) => {
                    let version = (newest + 1).saturating_sub(back);
                    let is_known = (1..=newest).contains(&version);
                    let is_sensible = version > 0 && status != PolicyStatus::Pending;
                    let taken = world.report(version, status).is_ok();
                    prop_assert_eq!(taken, is_known && is_sensible);
                }
            }
            hold(&world, active)?;
        }
    }
}
