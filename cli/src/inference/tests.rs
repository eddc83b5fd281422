//! How the route is shown, and what an update keeps.

use super::*;

fn answer() -> ClusterInferenceResponse {
    ClusterInferenceResponse {
        provider_name: "nvidia-build".to_owned(),
        model_id: "meta/llama-3.1-8b-instruct".to_owned(),
        version: 1,
        deadlines: Some(Deadlines {
            connect_ms: 5_000,
            ..Deadlines::default()
        }),
        source: RouteSource::Configured.into(),
        status: RouteStatus::Ready.into(),
        error_code: String::new(),
    }
}

/// CLI-7, CLI-9
#[test]
fn the_route_is_shown_as_provider_model_and_version() {
    let text = people(&view(&answer()));
    let expected = "provider: nvidia-build
model: meta/llama-3.1-8b-instruct
version: 1
source: configured
status: ready
connect_ms: 5000";
    assert_eq!(text, expected);
}

/// RPC-11
#[test]
fn a_broken_route_has_its_code_and_a_default_time_out_is_null() {
    let broken = ClusterInferenceResponse {
        status: RouteStatus::Broken.into(),
        error_code: "provider_missing".to_owned(),
        ..answer()
    };
    let value = view(&broken);
    assert_eq!(value["status"], "broken");
    assert_eq!(value["error_code"], "provider_missing");
    assert_eq!(value["timeouts"]["connect_ms"], 5_000);
    assert!(value["timeouts"]["total_ms"].is_null());
    assert!(people(&value).contains("error_code: provider_missing"));
    let keys: Vec<_> = value.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "error_code",
            "model",
            "provider",
            "source",
            "status",
            "timeouts",
            "version"
        ]
    );
}

/// CLI-8
#[test]
fn a_time_out_that_is_not_named_stays_and_zero_puts_the_default_back() {
    let stored = Deadlines {
        connect_ms: 1,
        header_ms: 2,
        idle_ms: 3,
        total_ms: 4,
    };
    let typed = Timeouts {
        header_timeout: Some(Millis(20)),
        total_timeout: Some(Millis(0)),
        ..Timeouts::default()
    };
    let expected = Deadlines {
        connect_ms: 1,
        header_ms: 20,
        idle_ms: 3,
        total_ms: 0,
    };
    assert_eq!(merged(stored, typed), expected);
}
