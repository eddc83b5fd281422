//! Which command lines are understood, and as what.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::*;

fn parse(words: &str) -> Result<Cli, ErrorKind> {
    let words = std::iter::once("ringfence").chain(words.split_whitespace());
    Cli::try_parse_from(words).map_err(|error| error.kind())
}

#[test]
fn no_flag_is_there_twice_and_every_rule_between_flags_names_one_that_is_there() {
    Cli::command().debug_assert();
}

/// CLI-7, CLI-8
#[test]
fn a_duration_has_a_unit_and_fits_the_wire() {
    for (text, ms) in [
        ("0s", 0),
        ("500ms", 500),
        ("10s", 10_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("4294967295ms", u32::MAX),
    ] {
        assert_eq!(Millis::parse(text), Ok(Millis(ms)), "{text}");
    }
    for text in [
        "",
        "s",
        "10",
        "10 s",
        "1.5s",
        "-1s",
        "10S",
        "10d",
        "1193h1m",
        "4294967296ms",
        "1200h",
        "99999999999999999999s",
        "18446744073709551615h",
    ] {
        assert!(Millis::parse(text).is_err(), "{text}");
    }
}

/// CLI-4
#[test]
fn inference_is_short_for_cluster_inference() {
    let route = |words: &str| {
        let (Verb::Cluster(ClusterVerb::Inference(InferenceVerb::Set(args)))
        | Verb::Inference(InferenceVerb::Set(args))) = parse(words).unwrap().verb
        else {
            panic!("{words}");
        };
        (args.provider, args.model)
    };
    let expected = ("p".to_owned(), "a/b".to_owned());
    assert_eq!(
        route("cluster inference set --provider p --model a/b"),
        expected
    );
    assert_eq!(route("inference set --provider p --model a/b"), expected);
}

/// CLI-7, CLI-8
#[test]
fn set_needs_provider_and_model_and_update_needs_any_one_flag() {
    let missing = Some(ErrorKind::MissingRequiredArgument);
    for words in [
        "cluster inference set",
        "cluster inference set --provider p",
        "cluster inference set --model m",
        "cluster inference update",
        "cluster inference update --verify",
        "cluster inference update --output json",
    ] {
        assert_eq!(parse(words).err(), missing, "{words}");
    }
    for words in [
        "cluster inference update --model m",
        "cluster inference update --provider p --verify",
        "cluster inference update --total-timeout 0s",
    ] {
        assert!(parse(words).is_ok(), "{words}");
    }
}

/// PV-2, CLI-10
#[test]
fn credentials_are_discovered_or_named_and_never_both() {
    let both = "provider create --type openai --from-existing --credential OPENAI_API_KEY";
    assert_eq!(parse(both).err(), Some(ErrorKind::ArgumentConflict));
    let both = "provider update p --credential A=1 --from-existing";
    assert_eq!(parse(both).err(), Some(ErrorKind::ArgumentConflict));
    // What one verb refuses is not in the text of the refusal.
    let text = Cli::try_parse_from([
        "ringfence",
        "provider",
        "update",
        "p",
        "--from-existing",
        "--credential",
        "A=hidden",
    ]);
    assert!(!text.err().unwrap().to_string().contains("hidden"));
}

/// CLI-12
#[test]
fn a_private_endpoint_is_allowed_forbidden_or_not_spoken_of() {
    let allowed = |words: &str| {
        let Verb::Provider(ProviderVerb::Update(args)) = parse(words).unwrap().verb else {
            panic!("{words}");
        };
        args.allow_private_endpoint
    };
    assert_eq!(allowed("provider update p"), None);
    assert_eq!(
        allowed("provider update p --allow-private-endpoint"),
        Some(true)
    );
    assert_eq!(
        allowed("provider update p --allow-private-endpoint=false"),
        Some(false)
    );
    assert_eq!(
        allowed("provider update --allow-private-endpoint p"),
        Some(true)
    );
}

/// CLI-5
#[test]
fn every_flag_of_the_gateway_has_its_variable() {
    let command = Cli::command();
    let gateway = command.find_subcommand("gateway").unwrap();
    for arg in gateway.get_arguments() {
        let long = arg.get_long().unwrap();
        let variable = format!("RINGFENCE_{}", long.replace('-', "_").to_uppercase());
        assert_eq!(
            arg.get_env().and_then(|name| name.to_str()),
            Some(&*variable)
        );
    }
    assert!(parse("gateway").is_ok() && parse("gateway enroll h --out d").is_ok());
    assert_eq!(
        parse("gateway enroll h").err(),
        Some(ErrorKind::MissingRequiredArgument)
    );
    assert_eq!(
        parse("gateway --nvidia-default maybe").err(),
        Some(ErrorKind::InvalidValue)
    );
    assert_eq!(
        parse("gateway --tls-cert c").err(),
        Some(ErrorKind::MissingRequiredArgument)
    );
}

/// CLI-1
#[test]
fn every_verb_that_prints_data_prints_it_in_three_forms() {
    let mut silent = Vec::new();
    fn walk(path: &str, command: &clap::Command, silent: &mut Vec<String>) {
        let mut verbs = command.get_subcommands().peekable();
        if verbs.peek().is_none() && !command.get_arguments().any(|arg| arg.get_id() == "output") {
            silent.push(path.trim().to_owned());
        }
        for verb in verbs {
            walk(&format!("{path} {}", verb.get_name()), verb, silent);
        }
    }
    walk("", &Cli::command(), &mut silent);
    let expected = [
        "run",
        "gateway enroll",
        "gateway rotate-key",
        "completions",
        "man",
    ];
    assert_eq!(silent, expected);
    for form in ["table", "json", "yaml"] {
        assert!(parse(&format!("provider list --output {form}")).is_ok());
    }
    assert_eq!(
        parse("status --output xml").err(),
        Some(ErrorKind::InvalidValue)
    );
}

/// CLI-1
#[test]
fn flags_of_every_verb_stand_before_or_behind_it() {
    for words in [
        "-c prod --gateway https://g.test:1 -vv provider list",
        "provider list -c prod --gateway https://g.test:1 -v -v",
    ] {
        let Global {
            cluster,
            gateway,
            verbose,
        } = parse(words).unwrap().global;
        assert_eq!(cluster.as_deref(), Some("prod"), "{words}");
        assert_eq!(gateway.as_deref(), Some("https://g.test:1"), "{words}");
        assert_eq!(verbose, 2, "{words}");
    }
}

/// CLI-14
#[test]
fn a_time_out_is_for_who_waits() {
    let alone = "policy set s --policy p.yaml --timeout 5";
    assert_eq!(parse(alone).err(), Some(ErrorKind::MissingRequiredArgument));
    let zero = "policy set s --policy p.yaml --wait --timeout 0";
    assert_eq!(parse(zero).err(), Some(ErrorKind::ValueValidation));
    let Verb::Policy(PolicyVerb::Set(args)) =
        parse("policy set --policy p.yaml --wait").unwrap().verb
    else {
        panic!("not set");
    };
    assert_eq!((args.name, args.timeout), (None, 60));
}
