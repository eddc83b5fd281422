//! The route as it is set, shown and resolved.

use std::collections::BTreeMap;

use proto::v1;

use super::*;
use crate::provider::vault::glass::GlassVault;
use crate::provider::{Deletion, Fresh};

/// A key that must show up where it is meant to and nowhere else.
const CANARY: &str = "sk-canary-0123456789";

#[derive(Default)]
struct World {
    state: State,
    vault: GlassVault,
    settings: Settings,
    drawn: u8,
}

impl World {
    /// A gateway with one provider `p` of type openai.
    fn with_openai() -> World {
        let mut world = World::default();
        world.provide("p", "openai", &[("OPENAI_API_KEY", CANARY)], &[]);
        world
    }

    fn take(&mut self, changes: &[Change]) {
        self.state = self.state.after(changes, self.state.generation + 1);
    }

    fn provide(
        &mut self,
        name: &str,
        kind: &str,
        credentials: &[(&str, &str)],
        config: &[(&str, &str)],
    ) {
        self.drawn += 1;
        let given = v1::Provider {
            name: name.to_owned(),
            r#type: kind.to_owned(),
            credentials: map(credentials),
            config: map(config),
            ..v1::Provider::default()
        };
        let fresh = Fresh::of([self.drawn; 24]);
        let now = i64::from(self.drawn);
        let made = provider::create(&self.state, &self.vault, &given, &fresh, now);
        self.take(&made.unwrap().0);
    }

    fn update(&mut self, given: &v1::Provider) {
        let (changes, _) = provider::update(&self.state, &self.vault, given).unwrap();
        self.take(&changes);
    }

    fn delete(&mut self, name: &str) {
        let (changes, _) = provider::delete(&self.state, name, Deletion::Forced).unwrap();
        self.take(&changes);
    }

    fn set(
        &mut self,
        given: &SetClusterInferenceRequest,
    ) -> Result<ClusterInferenceResponse, Refused> {
        let (changes, answer) = set(&self.state, &self.vault, given)?;
        self.take(&changes);
        Ok(answer)
    }

    fn unset(&mut self, expected_version: u64) -> Result<bool, Refused> {
        let (changes, removed) = unset(&self.state, expected_version)?;
        self.take(&changes);
        Ok(removed)
    }

    fn get(&self) -> Result<ClusterInferenceResponse, Refused> {
        get(&self.state, &self.vault, &self.settings)
    }

    fn bundle(&self) -> GetInferenceBundleResponse {
        bundle(&self.state, &self.vault, &self.settings, 7)
    }

    /// The one route there is.
    fn resolved(&self) -> ResolvedRoute {
        let mut routes = resolve(&self.state, &self.vault, &self.settings);
        assert_eq!(routes.len(), 1);
        routes.remove(0)
    }

    /// Status and code, as an operator and as a host are told.
    fn status(&self) -> (RouteStatus, String) {
        let shown = self.get().unwrap();
        let sent = self.resolved();
        assert_eq!(
            (shown.status, &shown.error_code),
            (sent.status, &sent.error_code)
        );
        (shown.status(), shown.error_code)
    }
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    entries.iter().map(owned).collect()
}

fn to(provider: &str, model: &str) -> SetClusterInferenceRequest {
    SetClusterInferenceRequest {
        provider_name: provider.to_owned(),
        model_id: model.to_owned(),
        ..SetClusterInferenceRequest::default()
    }
}

fn change(name: &str, credentials: &[(&str, &str)], config: &[(&str, &str)]) -> v1::Provider {
    v1::Provider {
        name: name.to_owned(),
        credentials: map(credentials),
        config: map(config),
        ..v1::Provider::default()
    }
}

/// RB-6, RPC-10
#[test]
fn the_version_grows_with_every_set_and_goes_on_after_an_unset() {
    let mut world = World::with_openai();
    let given = to("p", "m");
    assert_eq!(world.set(&given).unwrap().version, 1);
    assert_eq!(world.set(&given).unwrap().version, 2);
    assert!(world.unset(0).unwrap());
    assert!(!world.unset(0).unwrap());
    assert_eq!(world.set(&given).unwrap().version, 3);
    assert_eq!(world.get().unwrap().version, 3);
}

/// RB-7, RPC-10
#[test]
fn a_route_that_could_not_work_is_not_set() {
    let mut world = World::with_openai();
    world.provide("hub", "github", &[("GITHUB_TOKEN", "t")], &[]);
    world.provide(
        "blank",
        "openai",
        &[("OPENAI_API_KEY", " "), ("B", "\t")],
        &[],
    );
    world.provide("odd", "openai", &[("OPENAI_API_KEY", "schlüssel")], &[]);
    let unknown = world.set(&to("none", "m")).unwrap_err();
    assert!(
        matches!(&unknown, Refused::Precondition(why) if why.contains("`none`")),
        "{unknown:?}"
    );
    let rows = [
        (to("", "m"), "provider_name"),
        (to("p", "  "), "model_id"),
        (to("p", "a\r\nb"), "model_id"),
        (to("hub", "m"), "github"),
        (to("blank", "m"), "OPENAI_API_KEY"),
        (to("odd", "m"), "OPENAI_API_KEY"),
    ];
    for (given, named) in rows {
        let refused = world.set(&given).unwrap_err();
        assert!(
            matches!(&refused, Refused::Invalid(why) if why.contains(named)),
            "{refused:?}"
        );
    }
    let long = SetClusterInferenceRequest {
        deadlines: Some(Deadlines {
            idle_ms: DEADLINE_MS_MAX + 1,
            ..Deadlines::default()
        }),
        ..to("p", "m")
    };
    let refused = world.set(&long).unwrap_err();
    assert!(
        refused.to_string().starts_with("deadlines.idle_ms"),
        "{refused}"
    );
    assert!(world.state.route.is_none());
}

/// RB-7, TR-109
#[test]
fn another_expected_version_than_the_current_is_a_conflict() {
    let mut world = World::with_openai();
    let expecting = |expected_version| SetClusterInferenceRequest {
        expected_version,
        ..to("p", "m")
    };
    world.set(&to("p", "m")).unwrap();
    world.set(&expecting(1)).unwrap();
    let stale = world.set(&expecting(1)).unwrap_err();
    assert!(matches!(stale, Refused::Conflict(_)), "{stale:?}");
    let stale = world.unset(1).unwrap_err();
    assert!(matches!(stale, Refused::Conflict(_)), "{stale:?}");
    assert!(world.unset(2).unwrap());
    // Whoever read version 2 does not bring back what was unset since.
    let gone = world.set(&expecting(2)).unwrap_err();
    assert!(matches!(gone, Refused::Conflict(_)), "{gone:?}");
}

/// RPC-10: what is stored has no key and no address.
#[test]
fn the_stored_route_has_names_and_deadlines_only() {
    let mut world = World::with_openai();
    let deadlines = Deadlines {
        total_ms: 5_000,
        ..Deadlines::default()
    };
    let given = SetClusterInferenceRequest {
        deadlines: Some(deadlines),
        ..to(" p ", " meta/llama-3.1-8b-instruct ")
    };
    let answer = world.set(&given).unwrap();
    let stored = Route {
        provider_name: "p".to_owned(),
        model_id: "meta/llama-3.1-8b-instruct".to_owned(),
        deadlines,
        version: 1,
    };
    assert_eq!(world.state.route.as_deref(), Some(&stored));
    assert_eq!(world.get().unwrap(), answer);
    assert_eq!(world.resolved().deadlines, Some(deadlines));
}

/// RB-8, RPC-11, RPC-12
#[test]
fn without_a_route_the_bundle_is_empty_and_the_operator_is_told_how_to_set_one() {
    let world = World::with_openai();
    let bundle = world.bundle();
    assert!(bundle.routes.is_empty());
    assert!(!bundle.revision.is_empty());
    assert_eq!((bundle.generated_at_ms, bundle.generation), (7, 1));
    let missing = world.get().unwrap_err();
    assert!(
        matches!(&missing, Refused::NotFound(why)
            if why.contains("ringfence cluster inference set --provider NAME --model ID")),
        "{missing:?}"
    );
}

/// RB-9, INF-27
#[test]
fn the_oldest_nvidia_provider_is_the_default_until_something_better_is_known() {
    let mut world = World::with_openai();
    let key = [("NVIDIA_API_KEY", CANARY)];
    world.provide("z-first", "nvidia", &key, &[]);
    world.provide("a-second", "nvidia", &key, &[]);
    let shown = world.get().unwrap();
    assert_eq!(
        (shown.source(), shown.version),
        (RouteSource::NvidiaDefault, 0)
    );
    assert_eq!(
        (shown.provider_name.as_str(), shown.model_id.as_str()),
        ("z-first", "meta/llama-3.1-8b-instruct")
    );
    let sent = world.resolved();
    assert_eq!(
        (sent.base_url.as_str(), sent.api_key.as_str(), sent.version),
        ("https://integrate.api.nvidia.com/v1", CANARY, 0)
    );
    world.update(&change("z-first", &[], &[("NVIDIA_DEFAULT_MODEL", "own")]));
    assert_eq!(world.get().unwrap().model_id, "own");
    world.update(&change("z-first", &[], &[("NVIDIA_DEFAULT_MODEL", " ")]));
    world.settings.nvidia_default_model = "the gateway's".to_owned();
    assert_eq!(world.get().unwrap().model_id, "the gateway's");
    world.set(&to("p", "m")).unwrap();
    assert_eq!(world.get().unwrap().source(), RouteSource::Configured);
    world.unset(0).unwrap();
    world.delete("z-first");
    assert_eq!(world.get().unwrap().provider_name, "a-second");
    world.settings.nvidia_default = false;
    assert!(matches!(world.get(), Err(Refused::NotFound(_))));
    assert!(world.bundle().routes.is_empty());
}

/// RB-10, RTE-3, RTE-4
#[test]
fn style_and_default_headers_travel_on_the_route() {
    let mut world = World::default();
    world.provide("c", "anthropic", &[("ANTHROPIC_API_KEY", CANARY)], &[]);
    world.set(&to("c", "claude")).unwrap();
    let expected = ResolvedRoute {
        name: "inference.local".to_owned(),
        base_url: "https://api.anthropic.com/v1".to_owned(),
        protocols: vec![
            "anthropic_messages".to_owned(),
            "model_discovery".to_owned(),
        ],
        api_key: CANARY.to_owned(),
        model_id: "claude".to_owned(),
        provider_type: "anthropic".to_owned(),
        auth_header: "x-api-key".to_owned(),
        default_headers: map(&[("anthropic-version", "2023-06-01")]),
        deadlines: Some(Deadlines::default()),
        allow_private_endpoint: false,
        status: RouteStatus::Ready.into(),
        error_code: String::new(),
        version: 1,
    };
    assert!(world.resolved() == expected);
    let mut world = World::with_openai();
    world.set(&to("p", "m")).unwrap();
    let sent = world.resolved();
    assert_eq!(sent.auth_header, "authorization");
    assert!(sent.default_headers.is_empty());
    assert_eq!(sent.protocols.len(), 4);
}

/// RB-10, RTE-5
#[test]
fn the_key_is_the_profiles_and_else_the_first_that_is_not_blank() {
    let mut world = World::default();
    world.provide("p", "openai", &[("Z", "z"), ("B", "b"), ("A", " ")], &[]);
    world.set(&to("p", "m")).unwrap();
    assert_eq!(world.resolved().api_key, "b");
    world.update(&change("p", &[("OPENAI_API_KEY", "own")], &[]));
    assert_eq!(world.resolved().api_key, "own");
    world.update(&change("p", &[("OPENAI_API_KEY", "  ")], &[]));
    assert_eq!(world.resolved().api_key, "b");
}

/// RB-10, RPC-12, TR-089
#[test]
fn whatever_changes_in_the_provider_is_in_the_next_bundle_and_makes_another_revision() {
    let mut world = World::with_openai();
    world.set(&to("p", "m")).unwrap();
    let mut seen = vec![world.bundle()];
    assert!(world.bundle() == seen[0], "equal content, equal revision");
    world.update(&change("p", &[("OPENAI_API_KEY", "sk-rotated-0123")], &[]));
    seen.push(world.bundle());
    assert_eq!(seen[1].routes[0].api_key, "sk-rotated-0123");
    let url = [("OPENAI_BASE_URL", "https://other.test/v1/")];
    world.update(&change("p", &[], &url));
    seen.push(world.bundle());
    assert_eq!(seen[2].routes[0].base_url, "https://other.test/v1/");
    let deadlines = SetClusterInferenceRequest {
        deadlines: Some(Deadlines {
            header_ms: 1,
            ..Deadlines::default()
        }),
        ..to("p", "m")
    };
    world.set(&deadlines).unwrap();
    seen.push(world.bundle());
    world.delete("p");
    seen.push(world.bundle());
    world.unset(0).unwrap();
    seen.push(world.bundle());
    let revisions: std::collections::BTreeSet<_> =
        seen.iter().map(|bundle| &bundle.revision).collect();
    assert_eq!(revisions.len(), seen.len());
}

/// RPC-12: one field after the other, and the places where two lists could read the same.
#[test]
fn every_field_of_a_route_counts_in_the_revision() {
    let vault = GlassVault::default();
    let mut world = World::with_openai();
    world.set(&to("p", "m")).unwrap();
    let route = world.resolved();
    let edits: [&dyn Fn(&mut ResolvedRoute); 13] = [
        &|it| it.name.push('x'),
        &|it| it.base_url.push('x'),
        &|it| it.protocols.push("x".to_owned()),
        &|it| it.api_key.push('x'),
        &|it| it.model_id.push('x'),
        &|it| it.provider_type.push('x'),
        &|it| it.auth_header.push('x'),
        &|it| {
            it.default_headers.insert("a".to_owned(), "b".to_owned());
        },
        &|it| it.deadlines = None,
        &|it| it.allow_private_endpoint = true,
        &|it| it.status = RouteStatus::Broken.into(),
        &|it| it.error_code.push('x'),
        &|it| it.version += 1,
    ];
    let mut revisions = vec![
        revision(&vault, &[]),
        revision(&vault, std::slice::from_ref(&route)),
        revision(&vault, &[route.clone(), route.clone()]),
    ];
    for edit in edits {
        let mut edited = route.clone();
        edit(&mut edited);
        revisions.push(revision(&vault, &[edited]));
    }
    let all = revisions.len();
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), all);
    assert!(revisions.iter().all(|text| !text.contains(CANARY)));
}

/// PV-8, PRV-8, RPC-11
#[test]
fn a_route_whose_provider_is_gone_is_broken_until_it_is_back_or_another_is_set() {
    let mut world = World::with_openai();
    world.set(&to("p", "m")).unwrap();
    assert_eq!(world.status(), (RouteStatus::Ready, String::new()));
    world.delete("p");
    let missing = (RouteStatus::Broken, "provider_missing".to_owned());
    assert_eq!(world.status(), missing);
    let sent = world.resolved();
    assert!(sent.api_key.is_empty() && sent.base_url.is_empty());
    // Every request is to hear of it, whatever it speaks.
    assert_eq!(sent.protocols.len(), Protocol::ALL.len());
    world.provide("p", "openai", &[("OPENAI_API_KEY", CANARY)], &[]);
    assert_eq!(world.status(), (RouteStatus::Ready, String::new()));
    world.delete("p");
    assert!(world.state.tombstones.contains("p"));
    world.provide("q", "openai", &[("OPENAI_API_KEY", CANARY)], &[]);
    world.set(&to("q", "m")).unwrap();
    assert!(world.state.tombstones.is_empty());
    assert_eq!(world.status(), (RouteStatus::Ready, String::new()));
}

/// PRV-8: the default is no way out of a route that an operator set.
#[test]
fn a_broken_route_is_not_replaced_by_the_default() {
    let mut world = World::with_openai();
    world.provide("n", "nvidia", &[("NVIDIA_API_KEY", CANARY)], &[]);
    world.set(&to("p", "m")).unwrap();
    world.delete("p");
    assert_eq!(world.status().1, "provider_missing");
}

/// RPC-12, STO-6
#[test]
fn a_route_whose_provider_is_damaged_is_broken_and_carries_no_key() {
    let mut world = World::with_openai();
    world.set(&to("p", "m")).unwrap();
    let broken = (RouteStatus::Broken, "route_broken".to_owned());
    let good = Provider::clone(&world.state.providers["p"]);
    let damage: [&dyn Fn(&mut Provider); 4] = [
        &|it| {
            let sealed = it.credentials.values_mut().next().unwrap();
            sealed.0.insert(0, 'x');
        },
        &|it| {
            let url = "https://169.254.169.254/v1".to_owned();
            it.config.insert("OPENAI_BASE_URL".to_owned(), url);
        },
        &|it| it.credentials.clear(),
        &|it| it.kind = "github".to_owned(),
    ];
    for harm in damage {
        let mut provider = good.clone();
        harm(&mut provider);
        world.take(&[Change::PutProvider(Arc::new(provider))]);
        assert_eq!(world.status(), broken);
        assert!(world.resolved().api_key.is_empty());
        assert_eq!(world.bundle().routes.len(), 1);
    }
}

/// RB-11 (provider part), RTE-8
#[test]
fn a_local_backend_is_used_by_the_operators_word() {
    let mut world = World::with_openai();
    let mut local = change("p", &[], &[("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")]);
    local.allow_private_endpoint = Some(true);
    world.update(&local);
    world.set(&to("p", "m")).unwrap();
    let sent = world.resolved();
    assert_eq!(sent.base_url, "http://127.0.0.1:8000/v1");
    assert!(sent.allow_private_endpoint);
}

/// PRV-6, TR-087
#[test]
fn no_debug_and_no_refusal_shows_the_key() {
    let mut world = World::with_openai();
    world.set(&to("p", "m")).unwrap();
    let backend = backend(&world.state, &world.vault, "p").unwrap();
    let mut printed = format!("{backend:?} {:?} {:?}", world.bundle(), world.get());
    let odd = format!("{CANARY}\u{7f}");
    world.provide("odd", "openai", &[("OPENAI_API_KEY", &odd)], &[]);
    let refused = world.set(&to("odd", "m")).unwrap_err();
    printed.push_str(&format!("{refused} {refused:?}"));
    assert!(!printed.contains("canary"), "{printed}");
}
