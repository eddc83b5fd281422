//! Own rules that judge requests, on every way in.

use harness::{Scene, play};

use super::open;
use crate::inspect::{self, RULES, Way, ask, echo, once, setup, told};

/// Reads of `/open/`, but never of a secret kind; the endpoint is that of the policy.
const REQUESTS: &str = r#"
network_action := "allow" if input.network.host == "api.example.com"

matched_network_policy := "own"

matched_endpoint_config := data.network_policies.api.endpoints[0]

default allow_request := false

allow_request if {
	input.request.method == "GET"
	startswith(input.request.path, "/open/")
}

default deny_request := false

deny_request if "secret" in input.request.query.kind

request_deny_reason := sprintf("%s %s not permitted by policy", [input.request.method, input.request.path]) if not deny_request
"#;

/// RGO-3, L7-3, L7-5, L7-8, L7-13
fn judged(scene: &Scene, way: Way) {
    let world = open(setup(way, RULES).rules(REQUESTS));
    let origin = echo(scene, way);
    for (method, target, expected) in [
        ("GET", "/open/a?kind=plain", "200 GET /open/a?kind=plain"),
        ("GET", "/open/../open/b", "200 GET /open/b"),
        (
            "GET",
            "/closed",
            "403 policy_denied GET /closed not permitted by policy",
        ),
        (
            "POST",
            "/open/a",
            "403 policy_denied POST /open/a not permitted by policy",
        ),
        (
            "GET",
            "/open/a?kind=plain&kind=%73ecret",
            "403 policy_denied deny_rule",
        ),
        ("GET", "/open/a%2fb", "400 invalid_request_target"),
        (
            "GET",
            "/open/a?kind=%zz",
            "403 policy_denied policy_evaluation_failed",
        ),
    ] {
        assert_eq!(
            once(&world, way, method, target),
            expected,
            "{way:?} {method} {target}"
        );
    }
    // Each request on one connection is judged on its own, also by rules that came in between.
    let mut client = inspect::open(&world, way);
    assert_eq!(
        told(&ask(&mut client, way, "GET", "/open/c")),
        "200 GET /open/c"
    );
    let closed = REQUESTS.replace("/open/", "/other/");
    world.put_rules(&setup(way, RULES).rules(&closed));
    assert_eq!(
        told(&ask(&mut client, way, "GET", "/open/c")),
        "403 policy_denied GET /open/c not permitted by policy"
    );
    assert_eq!(
        origin.requests().len(),
        3,
        "nothing of what was refused was sent"
    );
}

/// RGO-3, L7-3
#[test]
fn own_rules_judge_requests_inside_a_plain_tunnel() {
    play(|scene| judged(scene, Way::Plain));
}

/// RGO-3, L7-3
#[test]
fn own_rules_judge_requests_inside_a_tunnel_whose_tls_is_ended() {
    play(|scene| judged(scene, Way::Tls));
}

/// RGO-3, L7-3
#[test]
fn own_rules_judge_requests_on_the_forward_path() {
    play(|scene| judged(scene, Way::Forward));
}

/// RGO-3: the module that is the specification, given as own rules, and the table it specifies. A path with `%2F` is
/// denied by both; only the table calls it a bad target.
#[test]
fn the_built_in_module_as_own_rules_judges_requests_as_the_table_does() {
    play(|scene| {
        let way = Way::Plain;
        let _origin = echo(scene, way);
        let asked = [
            ("GET", "/repos/myorg/foo"),
            ("POST", "/repos/myorg/issues"),
            ("GET", "/repos//x"),
            ("get", "/repos/myorg/foo"),
            ("DELETE", "/repos/myorg/foo"),
            ("GET", "/repos"),
        ];
        let (_, module) = policy::rego::RULES.split_once("import rego.v1").unwrap();
        let world = open(setup(way, RULES).rules(module));
        let verdicts = || asked.map(|(method, target)| once(&world, way, method, target));
        let own = verdicts();
        world.put_policy(&setup(way, RULES));
        assert_eq!(own, verdicts());
    });
}
