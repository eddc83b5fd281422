use super::*;

fn pairs(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    list.iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn build(
    user: &[(&str, &str)],
    providers: &[(&str, &str)],
    caller: &[(&str, &str)],
    hints: Hints,
) -> Vec<(OsString, OsString)> {
    let (user, providers) = (pairs(user), pairs(providers));
    let made = Environment {
        id: "sb-1",
        name: "demo",
        runtime_dir: Path::new("/run/x"),
        user: &user,
        providers: &providers,
        hints,
    };
    made.build(pairs(caller))
}

fn value<'a>(env: &'a [(OsString, OsString)], name: &str) -> Option<&'a str> {
    let found: Vec<_> = env.iter().filter(|(have, _)| have == name).collect();
    assert!(found.len() <= 1, "{name} is set twice");
    found.first().and_then(|(_, value)| value.to_str())
}

/// ENV-1, TR-117
#[test]
fn a_launcher_variable_that_is_not_listed_stays_outside() {
    let caller = [
        ("OPENAI_API_KEY", "sk-secret"),
        ("LD_PRELOAD", "/x.so"),
        ("PATH", "/bin"),
        ("LC_ALL", "C"),
        ("SSH_AUTH_SOCK", "/s"),
    ];
    let env = build(&[], &[], &caller, Hints::Set);
    assert_eq!(value(&env, "PATH"), Some("/bin"));
    assert_eq!(value(&env, "LC_ALL"), Some("C"));
    for name in ["OPENAI_API_KEY", "LD_PRELOAD", "SSH_AUTH_SOCK"] {
        assert_eq!(value(&env, name), None, "{name}");
    }
}

/// ENV-1, ENV-2
#[test]
fn the_four_names_of_ringfence_win_over_the_user_and_the_user_over_the_rest() {
    let user = [
        ("RINGFENCE_SANDBOX_ID", "forged"),
        ("HTTPS_PROXY", "http://other"),
        ("OPENAI_BASE_URL", "mine"),
        ("A", "1"),
        ("A", "2"),
    ];
    let env = build(&user, &[], &[("HOME", "/h")], Hints::Set);
    assert_eq!(value(&env, "RINGFENCE_SANDBOX_ID"), Some("sb-1"));
    assert_eq!(value(&env, "HTTPS_PROXY"), Some("http://other"));
    assert_eq!(value(&env, "HTTP_PROXY"), Some("http://127.0.0.1:3128"));
    assert_eq!(value(&env, "OPENAI_BASE_URL"), Some("mine"));
    assert_eq!(value(&env, "A"), Some("2"));
}

/// ENV-2, TLS-7
#[test]
fn proxy_and_trust_variables_are_set() {
    let env = build(&[], &[], &[], Hints::LeaveOut);
    for name in PROXY {
        assert_eq!(value(&env, name), Some("http://127.0.0.1:3128"), "{name}");
    }
    assert_eq!(value(&env, "no_proxy"), Some("localhost,127.0.0.1,::1"));
    assert_eq!(value(&env, "NODE_USE_ENV_PROXY"), Some("1"));
    assert_eq!(value(&env, "NODE_EXTRA_CA_CERTS"), Some("/run/x/ca.pem"));
    assert_eq!(value(&env, "SSL_CERT_FILE"), Some("/run/x/ca-bundle.pem"));
    assert_eq!(value(&env, "RINGFENCE_RUNTIME_DIR"), Some("/run/x"));
}

/// ENV-3
#[test]
fn hints_give_way_to_providers_and_to_the_flag() {
    let env = build(&[], &[("OPENAI_API_KEY", "k")], &[], Hints::Set);
    assert_eq!(value(&env, "OPENAI_BASE_URL"), None);
    assert_eq!(
        value(&env, "ANTHROPIC_BASE_URL"),
        Some("https://inference.local")
    );
    assert_eq!(
        value(&env, "RINGFENCE_INFERENCE_URL"),
        Some("https://inference.local/v1")
    );
    let env = build(&[], &[], &[], Hints::LeaveOut);
    assert!(
        [
            "RINGFENCE_INFERENCE_URL",
            "OPENAI_BASE_URL",
            "ANTHROPIC_BASE_URL"
        ]
        .iter()
        .all(|name| value(&env, name).is_none())
    );
}

/// CLI-19
#[test]
fn a_bare_name_takes_the_callers_value_or_is_an_error() {
    let caller = |name: &OsStr| (name == "KEY").then(|| OsString::from("v=1"));
    assert_eq!(
        user_entry(OsStr::new("KEY"), caller),
        Ok(("KEY".into(), "v=1".into()))
    );
    assert_eq!(
        user_entry(OsStr::new("KEY=a=b"), caller),
        Ok(("KEY".into(), "a=b".into()))
    );
    assert_eq!(
        user_entry(OsStr::new("KEY="), caller),
        Ok(("KEY".into(), "".into()))
    );
    assert_eq!(
        user_entry(OsStr::new("NONE"), caller),
        Err(EnvironmentError::Unset("NONE".into()))
    );
    assert!(user_entry(OsStr::new("=x"), caller).is_err());
}

/// PRV-4, SECURITY: a gateway that lets one through does not decide what runs or where it connects.
#[test]
fn a_provider_supplies_no_name_that_is_reserved() {
    let reserved = [
        ("PATH", "/evil"),
        ("LD_PRELOAD", "/evil.so"),
        ("BASH_ENV", "/evil.sh"),
        ("RINGFENCE_INFERENCE_URL", "https://evil.test"),
        ("HTTPS_PROXY", "http://evil.test"),
        ("SSL_CERT_FILE", "/evil.pem"),
        ("A=B", "x"),
    ];
    let env = build(&[], &reserved, &[("PATH", "/bin")], Hints::Set);
    assert_eq!(value(&env, "PATH"), Some("/bin"));
    assert!(
        !env.iter()
            .any(|(_, value)| value.to_string_lossy().contains("evil"))
    );
    assert_eq!(value(&env, "LD_PRELOAD"), None);
}
