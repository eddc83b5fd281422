//! Routes files, profiles, the model flag and URL joining.

use std::time::Duration;

use super::{
    AuthStyle, BaseUrl, BaseUrlError, ModelFlagError, NoRoute, Profile, Protocol, Route, Routes,
    Scheme,
};

fn no_env(_: &str) -> Option<String> {
    None
}

fn some_env(variable: &str) -> Option<String> {
    match variable {
        "SET" => Some("sk-from-env".to_owned()),
        "BLANK" => Some(" ".to_owned()),
        _ => None,
    }
}

fn routes(entry: &str) -> Result<Routes, String> {
    let text = format!("routes:\n  - {{{entry}}}\n");
    Routes::parse(&text, "routes.yaml", &some_env).map_err(|problems| problems.to_string())
}

fn key(route: &Route) -> String {
    let mut head = wire::HeadWriter::response(200, b"OK");
    route.credential.expose_to(&mut head, b"x", b"").unwrap();
    String::from_utf8(head.finish()).unwrap()
}

const ENTRY: &str = "endpoint: 'https://h.test/v1', model: m, protocols: [openai_chat_completions]";

/// RB-1, RTE-3
#[test]
fn a_type_is_trimmed_and_compared_without_case() {
    for kind in [" OpenAI ", "OPENAI", "openai"] {
        assert_eq!(Profile::of(kind).unwrap().credential_key, "OPENAI_API_KEY");
    }
    for kind in ["github", "gitlab", "unknown", ""] {
        assert!(Profile::of(kind).is_none(), "{kind}");
    }
}

/// RB-2
#[test]
fn protocols_are_lower_case_trimmed_and_unique() {
    let list =
        "protocols: [OpenAI_Chat_Completions, ' openai_chat_completions ', anthropic_messages]";
    let routes = routes(&format!(
        "endpoint: 'https://h.test', model: m, api_key: k, {list}"
    ))
    .unwrap();
    assert_eq!(
        routes.as_slice()[0].protocols,
        [Protocol::OpenAiChatCompletions, Protocol::AnthropicMessages]
    );
}

/// RB-3
#[test]
fn a_key_is_required_and_the_written_one_wins() {
    let error = routes(ENTRY).unwrap_err();
    assert!(
        error.contains("routes.yaml:2:")
            && error.contains("routes[0]: needs `api_key` or `api_key_env`"),
        "{error}"
    );
    assert!(
        key(&routes(&format!("{ENTRY}, api_key_env: SET"))
            .unwrap()
            .as_slice()[0])
        .contains("sk-from-env")
    );
    let error = routes(&format!("{ENTRY}, api_key_env: UNSET")).unwrap_err();
    assert!(
        error.contains("routes[0].api_key_env: the environment variable `UNSET` is not set"),
        "{error}"
    );
    assert!(
        routes(&format!("{ENTRY}, api_key_env: BLANK"))
            .unwrap_err()
            .contains("blank")
    );
    let both = routes(&format!("{ENTRY}, api_key: sk-written, api_key_env: UNSET")).unwrap();
    assert!(key(&both.as_slice()[0]).contains("sk-written"));
}

/// RB-4, RTE-11
#[test]
fn an_empty_list_is_valid_and_anything_else_wrong_is_not() {
    assert!(
        Routes::parse("routes: []", "r", &no_env)
            .unwrap()
            .is_empty()
    );
    for text in [
        "",
        "routes:",
        "routes: {}",
        "routes: [",
        "{}",
        "routes: []\nextra: 1",
        "- a",
    ] {
        assert!(Routes::parse(text, "r", &no_env).is_err(), "{text}");
    }
    let rows = [
        ("surprise: 1", "routes[0].surprise: unknown key"),
        ("name: other", "routes[0].name: expected `inference.local`"),
        (
            "provider_type: github",
            "routes[0].provider_type: expected `openai` or",
        ),
        (
            "deadlines: {connect: 10}",
            "routes[0].deadlines.connect: expected a duration",
        ),
        (
            "deadlines: {connect: 0s}",
            "routes[0].deadlines.connect: expected a duration",
        ),
        (
            "deadlines: {never: 1s}",
            "routes[0].deadlines.never: unknown key",
        ),
        (
            "allow_private_endpoint: yes",
            "routes[0].allow_private_endpoint: expected true or false",
        ),
    ];
    for (extra, message) in rows {
        let error = routes(&format!("{ENTRY}, api_key: k, {extra}")).unwrap_err();
        assert!(error.contains(message), "{extra}: {error}");
    }
    let base = "endpoint: 'https://h.test', model: m, api_key: k";
    for (protocols, message) in [
        ("[]", "must not be empty"),
        ("[grpc]", "routes[0].protocols[0]: expected"),
        ("chat", "expected a list"),
    ] {
        let error = routes(&format!("{base}, protocols: {protocols}")).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    assert!(
        routes("model: m, protocols: [model_discovery], api_key: k")
            .unwrap_err()
            .contains("routes[0].endpoint: required")
    );
}

/// RTE-11: all entries in error are named together.
#[test]
fn every_entry_in_error_is_named() {
    let text = format!("routes:\n  - {{{ENTRY}}}\n  - {{{ENTRY}, api_key: k}}\n  - {{model: m}}\n");
    let problems = Routes::parse(&text, "r", &no_env).unwrap_err();
    let named = |index: usize| {
        problems
            .as_slice()
            .iter()
            .any(|it| it.path.starts_with(&format!("routes[{index}]")))
    };
    assert!(named(0) && !named(1) && named(2), "{problems}");
}

/// TR-087: a credential of the wrong type is not repeated.
#[test]
fn no_message_repeats_a_credential() {
    for value in [
        "123456789",
        "[sk-secret]",
        "{sk-secret: 1}",
        "1.5e9",
        "\"sk-secret\\u0001x\"",
    ] {
        let error = routes(&format!("{ENTRY}, api_key: {value}")).unwrap_err();
        assert!(
            !error.contains("sk-secret")
                && !error.contains("123456789")
                && !error.contains("1.5e9"),
            "{error}"
        );
    }
    let routes = routes(&format!("{ENTRY}, api_key: sk-secret")).unwrap();
    assert!(!format!("{routes:?}").contains("sk-secret"));
}

/// RTE-10, INF-19
#[test]
fn deadlines_have_defaults_and_units() {
    let text = format!("{ENTRY}, api_key: k, deadlines: {{connect: 500ms, idle: 2m, total: 1h}}");
    let deadlines = routes(&text).unwrap().as_slice()[0].deadlines;
    assert_eq!(deadlines.connect, Duration::from_millis(500));
    assert_eq!(deadlines.header, Duration::from_secs(300));
    assert_eq!(deadlines.idle, Duration::from_secs(120));
    assert_eq!(deadlines.total, Some(Duration::from_secs(3_600)));
}

/// IR-8, RTE-3, RTE-10
#[test]
fn the_provider_type_sets_style_and_default_headers() {
    let anthropic = routes(&format!("{ENTRY}, api_key: k, provider_type: Anthropic")).unwrap();
    assert!(
        matches!(&anthropic.as_slice()[0].auth, AuthStyle::Header(name) if name.as_str() == "x-api-key")
    );
    let added = anthropic.as_slice()[0].default_headers.iter();
    let added: Vec<_> = added
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(added, [("anthropic-version", "2023-06-01")]);
    let plain = routes(&format!("{ENTRY}, api_key: k")).unwrap();
    assert_eq!(plain.as_slice()[0].auth, AuthStyle::Bearer);
    assert!(plain.as_slice()[0].default_headers.is_empty());
}

/// RTE-2
#[test]
fn the_first_route_that_speaks_the_protocol_is_taken() {
    let entry = |model: &str, protocols: &str| {
        format!(
            "  - {{endpoint: 'https://h.test', model: {model}, protocols: {protocols}, api_key: k}}\n"
        )
    };
    let text = format!(
        "routes:\n{}{}{}",
        entry("a", "[openai_responses]"),
        entry("b", "[openai_chat_completions]"),
        entry("c", "[openai_chat_completions, anthropic_messages]")
    );
    let routes = Routes::parse(&text, "r", &no_env).unwrap();
    assert_eq!(
        routes
            .select(Protocol::OpenAiChatCompletions)
            .unwrap()
            .model,
        "b"
    );
    assert_eq!(
        routes.select(Protocol::AnthropicMessages).unwrap().model,
        "c"
    );
    assert_eq!(
        routes.select(Protocol::ModelDiscovery).unwrap_err(),
        NoRoute::Incompatible
    );
}

/// RB-11, RTE-6, RTE-8
#[test]
fn plain_http_needs_the_operators_word() {
    let entry = |endpoint: &str, extra: &str| {
        routes(&format!(
            "endpoint: '{endpoint}', model: m, protocols: [model_discovery], api_key: k{extra}"
        ))
    };
    for endpoint in [
        "http://127.0.0.1:8000/v1",
        "http://localhost:8000",
        "http://10.0.0.1",
        "http://[::1]:9/v1",
    ] {
        assert!(
            entry(endpoint, "").unwrap().as_slice()[0].allow_private_endpoint,
            "{endpoint}"
        );
    }
    assert!(
        entry("http://h.test/v1", "")
            .unwrap_err()
            .contains("routes[0].endpoint: plain `http`")
    );
    assert!(entry("http://8.8.8.8/v1", "").is_err());
    assert!(entry("http://h.test/v1", ", allow_private_endpoint: true").is_ok());
    assert!(!entry("https://h.test/v1", "").unwrap().as_slice()[0].allow_private_endpoint);
}

/// RTE-6
#[test]
fn a_base_url_has_no_userinfo_query_or_fragment() {
    let rows = [
        ("https://u:p@h/v1", BaseUrlError::Forbidden),
        ("https://h/v1?x", BaseUrlError::Forbidden),
        ("https://h/v1#x", BaseUrlError::Forbidden),
        ("ftp://h/v1", BaseUrlError::Scheme),
        ("h/v1", BaseUrlError::Scheme),
        ("https:///v1", BaseUrlError::Authority),
        ("https://127.1/v1", BaseUrlError::Authority),
        ("https://h:0/v1", BaseUrlError::Authority),
        ("https://inference.local/v1", BaseUrlError::Authority),
        ("https://h/a b", BaseUrlError::Path),
        ("https://h/../v1", BaseUrlError::Path),
        ("https://h/%zz", BaseUrlError::Path),
    ];
    for (text, error) in rows {
        assert_eq!(BaseUrl::parse(text), Err(error), "{text}");
    }
    let base = BaseUrl::parse("HTTPS://H.Test:8443/v1/").unwrap();
    assert_eq!((base.scheme, &*base.prefix), (Scheme::Https, "/v1"));
    assert_eq!(
        (base.authority.to_string(), base.host_field()),
        ("h.test:8443".into(), "h.test:8443".into())
    );
    assert_eq!(
        BaseUrl::parse("https://h.test:443").unwrap().host_field(),
        "h.test"
    );
    assert_eq!(
        BaseUrl::parse("http://[::1]/").unwrap().host_field(),
        "[::1]"
    );
}

fn joined(base: &str, path: &str, query: Option<&str>) -> String {
    let text = format!("endpoint: '{base}', model: m, protocols: [model_discovery], api_key: k");
    let routes = routes(&text).unwrap();
    let target = routes.as_slice()[0].upstream_target(path.as_bytes(), query.map(str::as_bytes));
    String::from_utf8(target).unwrap()
}

/// IR-14, RTE-7
#[test]
fn the_v1_of_the_request_is_dropped_when_the_base_ends_in_it() {
    let path = "/v1/chat/completions";
    assert_eq!(joined("https://h/v1", path, None), "/v1/chat/completions");
    assert_eq!(joined("https://h/v1/", path, None), "/v1/chat/completions");
    assert_eq!(joined("https://h", path, None), "/v1/chat/completions");
    assert_eq!(joined("https://h/x", path, None), "/x/v1/chat/completions");
    assert_eq!(
        joined("https://h/apiv1", path, None),
        "/apiv1/v1/chat/completions"
    );
    assert_eq!(
        joined("https://h/x/v1", "/v1/models", Some("a=b&c")),
        "/x/v1/models?a=b&c"
    );
}

/// IR-15
#[test]
fn joining_v1_to_v1_is_v1() {
    assert_eq!(joined("https://h/v1", "/v1", None), "/v1");
    assert_eq!(joined("https://h/v1", "/v1beta/x", None), "/v1/v1beta/x");
}

fn flag(text: &str, variables: &[(&str, &str)]) -> Result<Routes, ModelFlagError> {
    let env = |name: &str| {
        variables
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    Routes::from_model_flag(text, &env)
}

/// RTE-12
#[test]
fn the_model_flag_makes_one_route_from_the_profile() {
    let routes = flag("NVIDIA/meta/llama-3.1-8b", &[("NVIDIA_API_KEY", "nv")]).unwrap();
    let route = &routes.as_slice()[0];
    assert_eq!(
        (route.model.as_str(), routes.as_slice().len()),
        ("meta/llama-3.1-8b", 1)
    );
    assert_eq!(
        route.base.authority.to_string(),
        "integrate.api.nvidia.com:443"
    );
    assert!(route.protocols.contains(&Protocol::OpenAiResponses));
}

/// RTE-12: what is missing is named.
#[test]
fn the_model_flag_names_the_missing_variable() {
    let error = flag("openai/gpt", &[("OPENAI_API_KEY", "  ")]).unwrap_err();
    assert_eq!(
        error,
        ModelFlagError::MissingCredential {
            variable: "OPENAI_API_KEY"
        }
    );
    assert!(error.to_string().contains("OPENAI_API_KEY"));
    assert_eq!(flag("openai", &[]).unwrap_err(), ModelFlagError::Form);
    assert_eq!(flag("openai/", &[]).unwrap_err(), ModelFlagError::Form);
    assert!(matches!(
        flag("github/x", &[]),
        Err(ModelFlagError::UnknownType { .. })
    ));
}

/// RTE-12
#[test]
fn the_base_url_variables_override_the_profile_in_order() {
    let key = ("ANTHROPIC_API_KEY", "k");
    let own = ("ANTHROPIC_BASE_URL", "https://proxy.test/a");
    let base = |variables: &[(&str, &str)]| {
        flag("anthropic/m", variables).unwrap().as_slice()[0]
            .base
            .authority
            .to_string()
    };
    assert_eq!(base(&[key]), "api.anthropic.com:443");
    assert_eq!(base(&[key, own]), "proxy.test:443");
    assert_eq!(
        base(&[key, own, ("RINGFENCE_BASE_URL", "http://127.0.0.1:8000/v1")]),
        "127.0.0.1:8000"
    );
    let error = flag(
        "anthropic/m",
        &[key, ("RINGFENCE_BASE_URL", "http://h.test")],
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("RINGFENCE_BASE_URL: plain `http`"),
        "{error}"
    );
}

/// RTE-11, TR-082: an idle connection belongs to a route object; another credential is another object.
#[test]
fn a_route_that_was_read_again_unchanged_stays_the_same_object() {
    let file = |key: &str, second: &str| {
        let text = format!(
            "routes:\n  - {{{ENTRY}, api_key: {key}}}\n  - {{endpoint: 'https://two.test', model: {second}, protocols: [model_discovery], api_key: k}}\n"
        );
        Routes::parse(&text, "routes.yaml", &no_env).unwrap()
    };
    let before = file("one", "m");
    let same = file("one", "m").in_place_of(&before);
    for (kept, old) in same.as_slice().iter().zip(before.as_slice()) {
        assert!(std::sync::Arc::ptr_eq(kept, old));
    }
    let after = file("two", "m").in_place_of(&same);
    assert!(!std::sync::Arc::ptr_eq(
        &after.as_slice()[0],
        &before.as_slice()[0]
    ));
    assert!(std::sync::Arc::ptr_eq(
        &after.as_slice()[1],
        &before.as_slice()[1]
    ));
    let versions = |routes: &Routes| {
        let routes = routes.as_slice().iter();
        routes.map(|route| route.version).collect::<Vec<_>>()
    };
    assert_eq!(versions(&before), [1, 1]);
    assert_eq!(versions(&after), [2, 1]);
    let third = file("two", "other").in_place_of(&after);
    assert_eq!(versions(&third), [2, 3]);
    assert!(third.in_place_of(&Routes::default()).as_slice().len() == 2);
}

/// The reference shows what loads.
#[test]
fn the_example_of_the_reference_loads() {
    let reference = include_str!("../../../../docs/routes.md");
    let (_, rest) = reference.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let env = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-test".to_owned());
    let routes = Routes::parse(example, "routes.md", &env).unwrap();
    assert_eq!(routes.as_slice().len(), 2);
}
