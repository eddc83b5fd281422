//! The pages for load balancers and for curl (RPC-1).

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use tonic::body::Body;

use crate::raw;
use crate::world::World;

#[tokio::test]
async fn health_is_answered_over_http1_and_over_http2() {
    let world = World::start().await;
    let channels = [
        world.local().await,
        world.remote(&world.role("viewer")).await,
    ];
    for (path, body) in pages() {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = raw::http1(&world.socket(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
        for channel in &channels {
            let request = Request::get(format!("http://localhost{path}"));
            let response = raw::send(channel, request.body(Body::empty()).unwrap()).await;
            assert_eq!(response.status(), StatusCode::OK);
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(bytes, body.as_bytes());
        }
    }
}

#[tokio::test]
async fn curl_reads_the_health_page() {
    let world = World::start().await;
    let curl = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--unix-socket"])
        .arg(world.socket())
        .arg("http://localhost/readyz")
        .output()
        .await;
    let Ok(output) = curl else {
        let required = std::env::var("RINGFENCE_CLIENTS").is_ok_and(|value| value == "required");
        assert!(!required, "curl is missing");
        eprintln!("SKIPPED: curl is missing");
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), pages()[2].1);
}

#[tokio::test]
async fn the_pages_are_read_only_and_there_are_no_others() {
    let world = World::start().await;
    let channel = world.local().await;
    let post = Request::builder()
        .method(Method::POST)
        .uri("http://localhost/health");
    let response = raw::send(&channel, post.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    for path in ["/", "/metrics", "/ringfence.v1.Ringfence/Health"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = raw::http1(&world.socket(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
}

/// The health service and reflection of gRPC's own tools.
#[tokio::test]
async fn grpcs_own_services_are_there() {
    let world = World::start().await;
    let channel = world.remote(&world.role("viewer")).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let checked = health
        .check(tonic_health::pb::HealthCheckRequest::default())
        .await
        .unwrap();
    assert_eq!(
        checked.into_inner().status(),
        tonic_health::pb::health_check_response::ServingStatus::Serving
    );

    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let asked = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(channel);
    let answers = reflection
        .server_reflection_info(tokio_stream::once(asked))
        .await
        .unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = listed
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        "ringfence.v1.Ringfence",
        "ringfence.v1.DataPlane",
        "ringfence.inference.v1.Inference",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

fn pages() -> [(&'static str, String); 3] {
    let version = env!("CARGO_PKG_VERSION");
    let ready = format!(r#"{{"status":"ready","version":"{version}"}}"#);
    [
        ("/health", String::new()),
        ("/healthz", String::new()),
        ("/readyz", ready),
    ]
}
