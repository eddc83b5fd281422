//! Providers as operators make, change, read and delete them.

use std::collections::BTreeMap;

use proto::inference::Deadlines;

use super::vault::glass::GlassVault;
use super::*;
use crate::model::Route;

/// A value that must show up nowhere.
const CANARY: &str = "sk-canary-0123456789";

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    entries.iter().map(owned).collect()
}

fn given(name: &str, kind: &str, credentials: &[(&str, &str)]) -> v1::Provider {
    v1::Provider {
        name: name.to_owned(),
        r#type: kind.to_owned(),
        credentials: map(credentials),
        ..v1::Provider::default()
    }
}

fn fresh(byte: u8) -> Fresh {
    Fresh::of([byte; 24])
}

/// A gateway without one: a state, a vault, and the next random bytes.
#[derive(Default)]
struct World {
    state: State,
    vault: GlassVault,
    drawn: u8,
}

impl World {
    fn take(&mut self, changes: &[Change]) {
        self.state = self.state.after(changes, self.state.generation + 1);
    }

    fn create(&mut self, given: &v1::Provider) -> Result<v1::Provider, Refused> {
        self.drawn += 1;
        let now = i64::from(self.drawn);
        let (changes, made) = create(&self.state, &self.vault, given, &fresh(self.drawn), now)?;
        self.take(&changes);
        Ok(made)
    }

    fn update(&mut self, given: &v1::Provider) -> Result<v1::Provider, Refused> {
        let (changes, made) = update(&self.state, &self.vault, given)?;
        self.take(&changes);
        Ok(made)
    }

    fn delete(&mut self, name: &str, deletion: Deletion) -> Result<bool, Refused> {
        let (changes, deleted) = delete(&self.state, name, deletion)?;
        self.take(&changes);
        Ok(deleted)
    }

    /// What a provider has, in plain.
    fn plain(&self, name: &str) -> BTreeMap<String, String> {
        let provider = &self.state.providers[name];
        let open = |(key, sealed): (&String, &Sealed)| {
            let value = self.vault.open(&provider.id, key, sealed).unwrap();
            (key.clone(), value.to_string())
        };
        provider.credentials.iter().map(open).collect()
    }

    fn sandbox(&mut self, name: &str, providers: &[&str]) -> v1::Sandbox {
        let sandbox = v1::Sandbox {
            id: format!("sb-{name}"),
            name: name.to_owned(),
            spec: Some(v1::SandboxSpec {
                providers: providers.iter().map(|name| (*name).to_owned()).collect(),
                ..v1::SandboxSpec::default()
            }),
            ..v1::Sandbox::default()
        };
        self.take(&[Change::PutSandbox(Arc::new(sandbox.clone()))]);
        sandbox
    }
}

fn invalid<T: std::fmt::Debug>(result: Result<T, Refused>) -> String {
    match result {
        Err(Refused::Invalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// PV-1, PRV-1
#[test]
fn an_alias_is_stored_as_its_type_and_an_unknown_type_lists_the_known() {
    let mut world = World::default();
    for (name, alias, stored) in [("a", "glab", "gitlab"), ("b", "gh", "github")] {
        let made = world.create(&given(name, alias, &[("T", "x")])).unwrap();
        assert_eq!(made.r#type, stored);
    }
    let why = invalid(world.create(&given("c", "foo", &[("T", "x")])));
    for kind in &kinds::KINDS {
        assert!(why.contains(kind.name), "{why}");
    }
}

/// PRV-3
#[test]
fn a_provider_without_type_or_credential_is_refused() {
    let mut world = World::default();
    let why = invalid(world.create(&given("a", " ", &[("T", "x")])));
    assert!(why.starts_with("type:"), "{why}");
    let why = invalid(world.create(&given("a", "openai", &[])));
    assert!(why.starts_with("credentials:"), "{why}");
    let why = invalid(world.create(&given("a", "openai", &[("T", "")])));
    assert!(why.starts_with("credentials:"), "{why}");
}

/// PRV-3
#[test]
fn a_blank_name_becomes_six_lower_case_letters_and_a_taken_one_is_refused() {
    let mut world = World::default();
    let made = world
        .create(&given("  ", "openai", &[("T", "x")]))
        .unwrap()
        .name;
    assert_eq!(made.len(), 6);
    assert!(made.bytes().all(|byte| byte.is_ascii_lowercase()), "{made}");
    let again = world.create(&given(&made, "openai", &[("T", "x")]));
    assert!(matches!(again, Err(Refused::Exists(_))), "{again:?}");
    // The same chance again finds the name taken.
    let taken = |name: &str| name == made;
    let other = fresh(1).name(taken);
    assert_ne!(other, made);
    assert_eq!(other.len(), 6);
}

/// PRV-3: what the request says of an id is not heard.
#[test]
fn the_gateway_makes_the_id() {
    let mut world = World::default();
    let made = world.create(&v1::Provider {
        id: "mine".to_owned(),
        ..given("a", "openai", &[("T", "x")])
    });
    let id = made.unwrap().id;
    assert!(id.starts_with("prv-") && id.len() == 36, "{id}");
}

/// PV-3, PRV-4
#[test]
fn keys_are_names_of_variables_and_not_reserved_ones() {
    let mut world = World::default();
    let made = world.create(&given("p", "generic", &[("_X1", "x"), ("A_B", "y")]));
    assert_eq!(made.unwrap().credentials.len(), 2);
    for key in ["", "1PATH", "BAD-KEY", "BAD KEY", "X=Y", "É"] {
        let why = invalid(world.create(&given("q", "generic", &[(key, "x")])));
        assert!(why.contains("is not of the form"), "{key:?}: {why}");
        let why = invalid(world.update(&given("p", "", &[(key, "x")])));
        assert!(why.contains("is not of the form"), "{key:?}: {why}");
    }
    let reserved = [
        "PATH",
        "LD_PRELOAD",
        "HTTPS_PROXY",
        "https_proxy",
        "RINGFENCE_X",
        "SSL_CERT_FILE",
        "NODE_OPTIONS",
    ];
    for key in reserved {
        let why = invalid(world.create(&given("q", "generic", &[(key, "x")])));
        assert!(why.contains("reserved"), "{key}: {why}");
        let why = invalid(world.update(&given("p", "", &[(key, "x")])));
        assert!(why.contains("reserved"), "{key}: {why}");
        // Settings are never variables of a sandbox.
        let config = v1::Provider {
            config: map(&[(key, "x")]),
            ..given("p", "", &[])
        };
        assert!(world.update(&config).is_ok(), "{key}");
    }
}

/// PV-4, PRV-4, TR-085
#[test]
fn limits_hold_on_create_and_on_update() {
    let mut world = World::default();
    let many = |count: usize| {
        let keys: Vec<_> = (0..count).map(|at| format!("K{at:03}")).collect();
        keys.into_iter()
            .map(|key| (key, "x".to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let with = |change: &dyn Fn(&mut v1::Provider)| {
        let mut provider = given("p", "generic", &[("A", "x")]);
        change(&mut provider);
        provider
    };
    world.create(&with(&|_| {})).unwrap();
    let long = "v".repeat(8_193);
    let bad: [(&str, v1::Provider); 8] = [
        ("credentials:", with(&|it| it.credentials = many(33))),
        ("config:", with(&|it| it.config = many(65))),
        (
            "credentials[A]:",
            with(&|it| it.credentials = map(&[("A", &long)])),
        ),
        ("config[A]:", with(&|it| it.config = map(&[("A", &long)]))),
        (
            "credentials:",
            with(&|it| it.credentials = map(&[(&"K".repeat(257), "x")])),
        ),
        (
            "credentials[A]:",
            with(&|it| it.credentials = map(&[("A", "a\r\nX-Evil: 1")])),
        ),
        ("config[A]:", with(&|it| it.config = map(&[("A", "a\0b")]))),
        ("name:", with(&|it| it.name = "n".repeat(254))),
    ];
    for (field, provider) in bad {
        let why = invalid(world.update(&provider));
        assert!(why.starts_with(field), "update, {field} {why}");
        let mut provider = provider;
        if provider.name == "p" {
            provider.name = "q".to_owned();
        }
        let why = invalid(world.create(&provider));
        assert!(why.starts_with(field), "create, {field} {why}");
    }
    let full = v1::Provider {
        name: "n".repeat(253),
        r#type: "generic".to_owned(),
        credentials: many(32),
        config: many(64),
        allow_private_endpoint: None,
        id: String::new(),
    };
    world.create(&full).unwrap();
    let value = "v".repeat(8_192);
    world.update(&given("p", "", &[("A", &value)])).unwrap();
    // The limit is for the whole and not for the request.
    let one_more = given(&"n".repeat(253), "", &[("Z", "x")]);
    assert!(invalid(world.update(&one_more)).starts_with("credentials:"));
}

/// PV-5, PRV-5, TR-084
#[test]
fn an_update_merges() {
    let mut world = World::default();
    let config = map(&[("C", "1")]);
    let made = world.create(&v1::Provider {
        config: config.clone(),
        ..given("p", "openai", &[("A", "1"), ("B", "b")])
    });
    let made = made.unwrap();
    let before = world.state.clone();
    assert_eq!(world.update(&given("p", "", &[])).unwrap(), made);
    assert_eq!(
        world.state.providers["p"], before.providers["p"],
        "empty maps change nothing"
    );
    world.update(&given("p", "openai", &[("A", "2")])).unwrap();
    assert_eq!(world.plain("p"), map(&[("A", "2"), ("B", "b")]));
    assert_eq!(world.state.providers["p"].config, config);
    world.update(&given("p", "", &[("B", "")])).unwrap();
    assert_eq!(world.plain("p"), map(&[("A", "2")]));
    let why = invalid(world.update(&given("p", "", &[("A", "")])));
    assert!(why.starts_with("credentials:"), "{why}");
    // Another one in its place is not the last one deleted.
    world
        .update(&given("p", "", &[("A", ""), ("D", "d")]))
        .unwrap();
    assert_eq!(world.plain("p"), map(&[("D", "d")]));
    let drop = v1::Provider {
        config: map(&[("C", "")]),
        ..given("p", "", &[])
    };
    world.update(&drop).unwrap();
    assert!(world.state.providers["p"].config.is_empty());
}

/// PRV-5: `optional`, so that it can be left out.
#[test]
fn the_word_for_private_addresses_stays_when_it_is_left_out() {
    let mut world = World::default();
    let word = |name: &str, word| v1::Provider {
        allow_private_endpoint: word,
        ..given(name, "generic", &[("A", "x")])
    };
    world.create(&word("p", Some(true))).unwrap();
    let kept = world.update(&word("p", None)).unwrap();
    assert_eq!(kept.allow_private_endpoint, Some(true));
    let taken = world.update(&word("p", Some(false))).unwrap();
    assert_eq!(taken.allow_private_endpoint, Some(false));
}

/// PRV-9: what is the same is no new generation for every host.
#[test]
fn the_same_values_again_are_no_change() {
    let mut world = World::default();
    world.create(&given("p", "openai", &[("A", "1")])).unwrap();
    let again = given("p", "openai", &[("A", "1")]);
    let (changes, _) = update(&world.state, &world.vault, &again).unwrap();
    assert!(changes.is_empty(), "{changes:?}");
}

/// PV-6, PRV-5, TR-083
#[test]
fn another_type_or_id_and_a_redacted_value_are_refused() {
    let mut world = World::default();
    let made = world.create(&given("p", "github", &[("A", "1")])).unwrap();
    assert!(world.update(&given("p", "gh", &[])).is_ok());
    assert!(invalid(world.update(&given("p", "openai", &[]))).starts_with("type:"));
    let other_id = v1::Provider {
        id: "prv-other".to_owned(),
        ..given("p", "", &[])
    };
    assert!(invalid(world.update(&other_id)).starts_with("id:"));
    // What was read cannot be written back.
    assert!(invalid(world.update(&made)).contains(REDACTED));
    let new = v1::Provider {
        name: "q".to_owned(),
        ..made
    };
    assert!(invalid(world.create(&new)).contains(REDACTED));
    assert_eq!(world.plain("p"), map(&[("A", "1")]));
}

/// PV-7, PRV-6
#[test]
fn every_answer_has_the_keys_and_no_value() {
    let mut world = World::default();
    let expected = map(&[("A", REDACTED), ("B", REDACTED)]);
    let made = world.create(&given("p", "openai", &[("A", CANARY), ("B", CANARY)]));
    assert_eq!(made.unwrap().credentials, expected);
    let changed = world.update(&given("p", "", &[("A", "other")])).unwrap();
    assert_eq!(changed.credentials, expected);
    assert_eq!(get(&world.state, " p ").unwrap().credentials, expected);
    assert_eq!(list(&world.state, 0, 0)[0].credentials, expected);
}

/// PV-8, PRV-7, PRV-8, TR-088
#[test]
fn a_provider_in_use_is_deleted_by_force_only_and_leaves_a_tombstone() {
    let mut world = World::default();
    let provider = given("p", "openai", &[("OPENAI_API_KEY", CANARY)]);
    world.create(&provider).unwrap();
    world.sandbox("s1", &["p"]);
    world.sandbox("s2", &["q", "p"]);
    world.sandbox("s3", &["q"]);
    world.take(&[Change::PutRoute(Arc::new(Route {
        provider_name: "p".to_owned(),
        model_id: "m".to_owned(),
        deadlines: Deadlines::default(),
        version: 1,
    }))]);
    let refused = world.delete("p", Deletion::WhenUnused).unwrap_err();
    let Refused::Precondition(why) = &refused else {
        panic!("{refused:?}");
    };
    for named in ["the inference route", "`s1`", "`s2`"] {
        assert!(why.contains(named), "{why}");
    }
    assert!(!why.contains("s3"), "{why}");
    assert!(world.delete("p", Deletion::Forced).unwrap());
    assert!(world.state.providers.is_empty() && world.state.tombstones.contains("p"));
    world.create(&provider).unwrap();
    assert!(world.state.tombstones.is_empty());
}

/// PRV-8: nothing referred to it, so nothing is left behind.
#[test]
fn force_without_a_reference_leaves_no_tombstone() {
    let mut world = World::default();
    world.create(&given("p", "nvidia", &[("A", "x")])).unwrap();
    assert!(world.delete("p", Deletion::Forced).unwrap());
    assert!(world.state.tombstones.is_empty());
}

/// PRV-7: the default of INF-27 is not a reference.
#[test]
fn the_nvidia_default_keeps_no_provider() {
    let mut world = World::default();
    world.create(&given("p", "nvidia", &[("A", "x")])).unwrap();
    assert!(world.delete("p", Deletion::WhenUnused).unwrap());
}

/// PV-9, PRV-7
#[test]
fn a_missing_provider_was_not_deleted_and_a_blank_name_is_refused() {
    let mut world = World::default();
    for deletion in [Deletion::WhenUnused, Deletion::Forced] {
        assert!(!world.delete("none", deletion).unwrap());
        assert!(invalid(world.delete("  ", deletion)).starts_with("name:"));
    }
    assert!(matches!(
        get(&world.state, "none"),
        Err(Refused::NotFound(_))
    ));
}

/// PV-10, PRV-10
#[test]
fn of_equal_keys_the_first_provider_wins_and_settings_stay_out() {
    let mut world = World::default();
    let config = v1::Provider {
        config: map(&[("REGION", "eu")]),
        ..given("one", "generic", &[("K", "first"), ("A", "a")])
    };
    world.create(&config).unwrap();
    let two = given("two", "generic", &[("K", "second"), ("B", "b")]);
    world.create(&two).unwrap();
    let sandbox = world.sandbox("s", &["one", "two"]);
    let made = environment(&world.state, &world.vault, &sandbox).unwrap();
    assert_eq!(made, map(&[("A", "a"), ("B", "b"), ("K", "first")]));
    let reversed = world.sandbox("r", &["two", "one"]);
    let made = environment(&world.state, &world.vault, &reversed).unwrap();
    assert_eq!(made["K"], "second");
    let none = world.sandbox("n", &[]);
    let made = environment(&world.state, &world.vault, &none).unwrap();
    assert!(
        made.is_empty(),
        "a provider of nobody is exported to nobody"
    );
}

/// PV-11, PRV-8, PRV-10
#[test]
fn a_sandbox_whose_provider_is_missing_gets_no_environment() {
    let mut world = World::default();
    let sandbox = world.sandbox("s", &["gone"]);
    let refused = environment(&world.state, &world.vault, &sandbox).unwrap_err();
    let Refused::Precondition(why) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        why.starts_with("provider_missing") && why.contains("`gone`"),
        "{why}"
    );
}

/// PRV-4: a value that came past the door all the same is stopped where it would be used.
#[test]
fn a_stored_value_of_two_lines_is_not_exported() {
    let mut world = World::default();
    world.create(&given("p", "generic", &[("A", "x")])).unwrap();
    let mut provider = Provider::clone(&world.state.providers["p"]);
    let evil = world
        .vault
        .seal(&provider.id, "A", "x\nLD_PRELOAD=/evil")
        .unwrap();
    provider.credentials.insert("A".to_owned(), evil);
    world.take(&[Change::PutProvider(Arc::new(provider))]);
    let sandbox = world.sandbox("s", &["p"]);
    let refused = environment(&world.state, &world.vault, &sandbox).unwrap_err();
    assert!(!refused.to_string().contains("evil"), "{refused}");
}

/// STO-6: sealed for another place.
#[test]
fn a_credential_that_cannot_be_opened_is_named_and_can_be_set_again() {
    let mut world = World::default();
    world.create(&given("p", "generic", &[("A", "x")])).unwrap();
    let mut provider = Provider::clone(&world.state.providers["p"]);
    let sealed = world.vault.seal("prv-other", "A", CANARY).unwrap();
    provider.credentials.insert("A".to_owned(), sealed);
    world.take(&[Change::PutProvider(Arc::new(provider))]);
    let sandbox = world.sandbox("s", &["p"]);
    let refused = environment(&world.state, &world.vault, &sandbox).unwrap_err();
    assert!(
        matches!(&refused, Refused::Precondition(why) if why.contains("credential A of provider `p`")),
        "{refused}"
    );
    world.update(&given("p", "", &[("A", "x")])).unwrap();
    assert_eq!(world.plain("p"), map(&[("A", "x")]));
}

/// PV-11, PRV-12
#[test]
fn a_list_is_by_age_and_then_by_name_and_never_longer_than_a_thousand() {
    let mut world = World::default();
    let put = |name: String, created_at_ms: i64| {
        Change::PutProvider(Arc::new(Provider {
            id: format!("prv-{name}"),
            name,
            kind: "generic".to_owned(),
            credentials: BTreeMap::new(),
            config: BTreeMap::new(),
            allow_private_endpoint: false,
            created_at_ms,
        }))
    };
    let changes: Vec<_> = (0..1_100)
        .map(|at| put(format!("p{at:04}"), 1_000 - at % 2))
        .collect();
    world.take(&changes);
    let names = |limit, offset| {
        let listed = list(&world.state, limit, offset).into_iter();
        listed.map(|provider| provider.name).collect::<Vec<_>>()
    };
    assert_eq!(names(3, 0), ["p0001", "p0003", "p0005"]);
    assert_eq!(names(2, 549), ["p1099", "p0000"]);
    let lengths = [0, 1_000, 1_001, u32::MAX].map(|limit| names(limit, 0).len());
    assert_eq!(lengths, [100, 1_000, 1_000, 1_000]);
    assert_eq!(names(0, 1_099).len(), 1);
    assert!(names(0, u32::MAX).is_empty());
}

/// RB-11, PRV-11, RTE-6, RTE-8
#[test]
fn a_base_url_that_could_never_be_dialled_is_refused_at_the_door() {
    let never = [
        "http://8.8.8.8/v1",
        "https://169.254.169.254/v1",
        "https://[fd00:ec2::254]/v1",
        "https://0.0.0.0/v1",
        "https://[::ffff:169.254.169.254]",
        "https://u:p@api.test/v1",
        "https://api.test/v1?x=1",
        "https://api.test/v1#x",
        "ftp://api.test",
        "api.test",
        "https://127.1/v1",
    ];
    let by_word = [
        "http://127.0.0.1:8000/v1",
        "https://127.0.0.1:8000/v1",
        "http://localhost:8000",
        "https://localhost:8000",
        "https://10.0.0.1",
        "http://[::1]:9/v1",
        "http://inside.test/v1",
    ];
    let always = ["https://api.test/v1", "https://8.8.8.8", "mock://x", " "];
    let provider = |url: &str, word| v1::Provider {
        config: map(&[("OPENAI_BASE_URL", url)]),
        allow_private_endpoint: Some(word),
        ..given("p", "openai", &[("OPENAI_API_KEY", "x")])
    };
    let rows = never
        .map(|url| (url, false, false))
        .into_iter()
        .chain(by_word.map(|url| (url, false, true)))
        .chain(always.map(|url| (url, true, true)));
    for (url, plain, word) in rows {
        for (given, taken) in [(false, plain), (true, word)] {
            let mut world = World::default();
            let made = world.create(&provider(url, given));
            assert_eq!(made.is_ok(), taken, "create {url} {given}: {made:?}");
            if !taken {
                let why = invalid(made);
                assert!(why.starts_with("config[OPENAI_BASE_URL]: "), "{why}");
            }
            let plain = self::given("p", "openai", &[("OPENAI_API_KEY", "x")]);
            world = World::default();
            world.create(&plain).unwrap();
            let changed = world.update(&provider(url, given));
            assert_eq!(changed.is_ok(), taken, "update {url} {given}: {changed:?}");
        }
    }
}

/// PRV-11: the second door is the word itself.
#[test]
fn the_word_cannot_be_taken_back_while_the_address_needs_it() {
    let mut world = World::default();
    let local = v1::Provider {
        config: map(&[("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")]),
        allow_private_endpoint: Some(true),
        ..given("p", "openai", &[("OPENAI_API_KEY", "x")])
    };
    world.create(&local).unwrap();
    let back = v1::Provider {
        allow_private_endpoint: Some(false),
        ..given("p", "", &[])
    };
    assert!(invalid(world.update(&back)).contains("allow_private_endpoint"));
}

/// TR-111: a key is rotated whatever else is wrong.
#[test]
fn an_old_fault_that_is_not_touched_refuses_no_change() {
    let mut world = World::default();
    let plain = given("p", "openai", &[("OPENAI_API_KEY", "x")]);
    world.create(&plain).unwrap();
    let mut provider = Provider::clone(&world.state.providers["p"]);
    provider.config = map(&[("OPENAI_BASE_URL", "https://169.254.169.254")]);
    world.take(&[Change::PutProvider(Arc::new(provider))]);
    world
        .update(&given("p", "", &[("OPENAI_API_KEY", "y")]))
        .unwrap();
    assert_eq!(world.plain("p")["OPENAI_API_KEY"], "y");
}

/// PRV-6, TR-087
#[test]
fn no_debug_and_no_refusal_shows_a_credential() {
    let mut world = World::default();
    let mut printed = vec![format!("{:?}", given("p", "openai", &[("A", CANARY)]))];
    world
        .create(&given("p", "openai", &[("OPENAI_API_KEY", CANARY)]))
        .unwrap();
    let refusals = [
        given("p", "openai", &[("A", CANARY)]),
        given("q", "foo", &[("A", CANARY)]),
        given("q", "openai", &[("BAD KEY", CANARY)]),
        given("q", "openai", &[("PATH", CANARY)]),
        given("q", "openai", &[("A", &format!("{CANARY}\n"))]),
        given("q", "openai", &[("A", &CANARY.repeat(500))]),
        given("q", "openai", &[("A", CANARY), ("B", REDACTED)]),
        given("q", "openai", &[("A", CANARY), ("B", "")]),
    ];
    for provider in refusals {
        let refused = world.create(&provider).unwrap_err();
        printed.push(format!("{refused} {refused:?}"));
    }
    let changes = create(
        &world.state,
        &world.vault,
        &given("z", "openai", &[("A", CANARY)]),
        &fresh(9),
        0,
    );
    printed.push(format!("{:?} {changes:?}", world.state));
    for text in printed {
        assert!(!text.contains("canary"), "{text}");
    }
}
