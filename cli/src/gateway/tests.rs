//! Flags of a gateway as what they mean.

use clap::Parser;

use super::*;
use crate::args::{Cli, Verb};

fn planned(words: &str) -> Plan {
    let words = std::iter::once("ringfence").chain(words.split_whitespace());
    let cli = Cli::try_parse_from(words).unwrap();
    let mut settings = Settings::lift(&cli.global).unwrap();
    settings.state_dir = Some("/usual".into());
    let Verb::Gateway(args) = cli.verb else {
        panic!("not gateway");
    };
    plan(args, &settings).unwrap()
}

/// CLI-21
#[test]
fn a_gateway_runs_without_a_flag() {
    let plan = planned("gateway");
    assert_eq!(plan.store.state_dir, PathBuf::from("/usual"));
    assert_eq!((plan.store.db, plan.listen), (None, None));
    assert_eq!(plan.nvidia_default, NvidiaDefault::On);
}

/// CLI-21
#[test]
fn what_is_typed_is_what_is_meant() {
    let plan = planned(
        "gateway --state-dir /x --db postgres://u:canary@h/d --listen 127.0.0.1:1 --nvidia-default off",
    );
    assert_eq!(plan.store.state_dir, PathBuf::from("/x"));
    assert_eq!(plan.listen, Some(([127, 0, 0, 1], 1).into()));
    assert_eq!(plan.nvidia_default, NvidiaDefault::Off);
    assert!(!format!("{plan:?}").contains("canary"));
}
