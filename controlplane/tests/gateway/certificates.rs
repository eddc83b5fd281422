//! Certificates that change while the gateway runs (RPC-2).

use proto::v1;
use proto::v1::ringfence_client::RingfenceClient;
use ringfence_controlplane::api::auth::HostId;
use ringfence_controlplane::pki;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::world::{PATIENCE, World, tls};

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart() {
    let world =
        World::start_with(|config| config.limits.reload = std::time::Duration::from_millis(20))
            .await;
    let admin = world.role("admin");
    let channel = world.remote(&admin).await;
    let cert = world.config.state_dir.join("server.crt");
    let before = served(&world).await;
    assert_eq!(before, CertificateDer::from_pem_file(&cert).unwrap());

    // What is broken changes nothing.
    let whole = std::fs::read(&cert).unwrap();
    std::fs::write(&cert, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(served(&world).await, before);
    std::fs::remove_file(&cert).unwrap();
    assert_eq!(served(&world).await, before);

    // A new pair of the same authority, made as a start makes it.
    pki::prepare(&world.config.state_dir, &[]).unwrap();
    let after = CertificateDer::from_pem_file(&cert).unwrap();
    assert_ne!(after, before);
    let switched = async {
        while served(&world).await != after {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, switched)
        .await
        .expect("the new certificate in time");
    // The connection from before goes on.
    RingfenceClient::new(channel)
        .health(v1::HealthRequest {})
        .await
        .unwrap();
}

#[tokio::test]
async fn a_host_that_was_just_enrolled_is_let_in() {
    let world = World::start().await;
    let channel = world.remote(&world.host("node-7")).await;
    RingfenceClient::new(channel)
        .health(v1::HealthRequest {})
        .await
        .unwrap();
    let again = world.config.state_dir.join("hosts/node-7");
    let host = HostId::parse("node-7").unwrap();
    assert!(pki::enroll(&world.config.state_dir, &host, &again).is_err());
}

/// RPC-2: not at a start only.
#[tokio::test]
async fn a_server_certificate_that_is_about_to_end_is_replaced_while_the_gateway_runs() {
    let world = World::start_with(|config| {
        config.limits.reload = std::time::Duration::from_millis(20);
        config.limits.expiry = std::time::Duration::from_millis(20);
    })
    .await;
    let cert = world.config.state_dir.join("server.crt");
    let before = served(&world).await;
    // Self-signed: none of ours, as one that ends is none for long.
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, params.self_signed(&key).unwrap().pem()).unwrap();
    let renewed = async {
        loop {
            let stream = tls(world.tcp, &world.role("admin")).await;
            let now =
                stream.map(|stream| stream.get_ref().1.peer_certificates().unwrap()[0].clone());
            match now {
                Ok(now) if now != before => return,
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed)
        .await
        .expect("a certificate that the authority signed, in time");
}

async fn served(world: &World) -> CertificateDer<'static> {
    let stream = tls(world.tcp, &world.role("admin")).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}
