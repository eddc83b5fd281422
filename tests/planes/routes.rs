//! Whose routes count, who is told of them, and what becomes of connections whose credential was replaced.

use harness::play;
use harness::policy::text;
use harness::scene::PRIVATE;
use harness::{model, scene::Scene};
use serde_json::Value;

use crate::plane::{Inside, Plane, backends, last, until};

/// A provider and a route to it.
fn routed<'a>(scene: &'a Scene, model: &str) -> Plane<'a> {
    let plane = Plane::start(scene);
    let key = "OPENAI_API_KEY=key-of-one";
    plane.provider("one", "openai", key);
    plane.done(&["inference", "set", "--provider", "one", "--model", model]);
    plane
}

/// What a program in the sandbox is told of its routes.
fn inference_file(inside: &Inside) -> Value {
    let directory = inside.fence.variable("RINGFENCE_RUNTIME_DIR");
    let text = inside.fence.file(&format!("{directory}/inference.json"));
    serde_json::from_slice(&text).expect("it is JSON at any time")
}

/// RB-5
#[test]
fn a_routes_file_wins_over_the_routes_of_the_gateway() {
    play(|scene| {
        let gateways = backends(scene);
        let plane = routed(scene, "of-the-gateway");
        let files = model::start(&format!("{PRIVATE}:8080"), None);
        let routes = model::routes(&model::endpoint("http", files.address()));
        let inside = plane.inside(plane.run("worker").policy(&text("", "")).routes(&routes));
        assert_eq!(inside.verdict(), "200");
        assert_eq!(last(&files).2, model::MODEL);
        plane.done(&["inference", "update", "--model", "changed"]);
        let loaded = text("", "inference: {max_concurrent: 3}");
        let file = crate::plane::private_file(scene, "next.yaml", &loaded);
        // Later than the change of the route, and known to be in force.
        plane.done(&["policy", "set", "worker", "--policy", &file, "--wait"]);
        assert_eq!(inside.verdict(), "200");
        assert_eq!(last(&files).2, model::MODEL);
        assert!(gateways.requests().is_empty(), "nothing went by the other");
        assert_eq!(inference_file(&inside)["model"], model::MODEL);
    });
}

/// ENV-4: what programs are told follows the gateway's route, to and fro.
#[test]
fn the_inference_file_follows_the_route_of_the_gateway() {
    play(|scene| {
        let _provider = backends(scene);
        let plane = routed(scene, "first");
        let inside = plane.fence("worker");
        inside.ready();
        until("the first model is told", || {
            inference_file(&inside)["model"] == "first"
        });
        plane.done(&["inference", "update", "--model", "second"]);
        until("the second model is told", || {
            inference_file(&inside)["model"] == "second"
        });
        plane.done(&["inference", "unset", "--yes"]);
        until("nothing is told to be there", || {
            inference_file(&inside)["available"] == false
        });
        plane.done(&["inference", "set", "--provider", "one", "--model", "third"]);
        until("the third model is told", || {
            inference_file(&inside)["model"] == "third"
        });
    });
}

/// PRV-8, PRV-9, TR-082: a replaced credential is held by no idle connection.
#[test]
fn the_idle_connection_of_a_replaced_credential_is_closed() {
    play(|scene| {
        let provider = backends(scene);
        let plane = routed(scene, "m");
        let inside = plane.fence("worker");
        inside.ready();
        let first = provider.connections();
        assert_eq!(inside.verdict(), "200");
        assert_eq!(last(&provider).1, "Bearer key-of-one");
        assert_eq!(provider.connections(), first, "the idle one was used again");
        assert!(provider.open() > 0, "and is kept");
        plane.done(&[
            "provider",
            "update",
            "one",
            "--credential",
            "OPENAI_API_KEY=another-key",
        ]);
        until("no connection is left", || provider.open() == 0);
        assert_eq!(inside.verdict(), "200");
        assert_eq!(last(&provider).1, "Bearer another-key");
        assert_eq!(provider.connections(), first + 1, "by a new connection");
    });
}
