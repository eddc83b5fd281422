use super::*;
use crate::spec::{Compatibility, Filesystem, Listed, Observe, Terminal};

fn kept(read_only: &[&str], read_write: &[&str], workdir: &str, include_workdir: bool) -> Kept {
    let listed = |paths: &[&str]| paths.iter().map(|path| Listed::author(*path)).collect();
    Kept::of(&Spec {
        command: vec![],
        env: vec![],
        workdir: workdir.into(),
        filesystem: Filesystem {
            read_only: listed(read_only),
            read_write: listed(read_write),
            include_workdir,
        },
        hidden: vec![],
        compatibility: Compatibility::BestEffort,
        run_as_user: None,
        run_as_group: None,
        runtime_dir: "/no/base/one".into(),
        terminal: Terminal::Detached,
        observe: Observe::Nothing(String::new()),
    })
}

fn shows(kept: &Kept, path: &str) -> bool {
    kept.shows(Path::new(path))
}

fn leads(kept: &Kept, path: &str) -> bool {
    kept.leads_through(Path::new(path))
}

/// SBX-3, LLK-5
#[test]
fn a_listed_path_is_shown_with_all_below_and_its_parents_lead_to_it() {
    let kept = kept(&["/no/a/b"], &["/no/c"], "/no/home/me/work", true);
    assert!(shows(&kept, "/no/a/b") && shows(&kept, "/no/a/b/x/y") && shows(&kept, "/no/c/x"));
    assert!(
        shows(&kept, "/no/home/me/work/x")
            && shows(&kept, "/proc/1")
            && shows(&kept, "/no/base/one")
    );
    assert!(
        !shows(&kept, "/no/a")
            && leads(&kept, "/no/a")
            && leads(&kept, "/no/home/me")
            && leads(&kept, "/")
    );
    for hidden in [
        "/no/ab",
        "/no/a/bc",
        "/no/home/you",
        "/no/home/me/.ssh",
        "/no/base/two",
    ] {
        assert!(!shows(&kept, hidden) && !leads(&kept, hidden), "{hidden}");
    }
}

/// SBX-3
#[test]
fn a_working_directory_that_is_not_listed_stays_without_its_entries() {
    let kept = kept(&["/no/a"], &[], "/no/work", false);
    assert!(leads(&kept, "/no/work") && !shows(&kept, "/no/work") && !shows(&kept, "/no/work/x"));
    assert!(!leads(&kept, "/no/work/x"));
}

#[test]
fn of_nested_listed_paths_the_outer_one_counts() {
    let kept = kept(&["/no/a/b", "/no/a"], &["/no/a-b"], "/no/work", true);
    assert_eq!(
        kept.below(Path::new("/no")),
        ["/no/a", "/no/a-b", "/no/base/one", "/no/work"].map(PathBuf::from)
    );
}
