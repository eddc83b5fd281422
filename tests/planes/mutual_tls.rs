//! A gateway of another machine: everybody comes with a certificate, and a certificate is what may be done with it.

use std::fs;
use std::path::Path;

use harness::play;
use harness::policy::text;
use harness::scene::PRIVATE;

use crate::plane::{Plane, backends, last};

/// Issue: mutual TLS, enrolment; RPC-1, RPC-2, CLI-1, CLI-21, TR-107, TR-108
#[test]
fn over_tcp_a_certificate_says_what_may_be_done_and_a_run_follows_with_that_of_its_host() {
    play(|scene| {
        let provider = backends(scene);
        let listen = format!("{PRIVATE}:7443");
        let plane = Plane::start_with(scene, &["--listen", &listen]);
        let host = "/mnt/private/host";
        plane.done(&["gateway", "enroll", "worker-1", "--out", host]);
        let url = format!("https://{listen}");
        let cluster = |role: &str| -> [(&str, String); 2] {
            let config = format!("/mnt/private/config-{role}");
            let place = format!("{config}/ringfence/clusters/default/mtls");
            if !Path::new(&place).exists() {
                fs::create_dir_all(&place).unwrap();
                for file in ["ca.crt", "tls.crt", "tls.key"] {
                    let from = plane.state().join("clients").join(role).join(file);
                    fs::copy(from, format!("{place}/{file}")).unwrap();
                }
            }
            [
                ("RINGFENCE_GATEWAY", url.clone()),
                ("XDG_CONFIG_HOME", config),
            ]
        };
        let ask = |role: &str, words: &[&str]| {
            let env = cluster(role);
            let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
            plane.cli_with(words, &env)
        };
        let create = [
            "provider",
            "create",
            "--name",
            "one",
            "--type",
            "openai",
            "--credential",
            "OPENAI_API_KEY=key-of-one",
        ];
        let refused = ask("viewer", &create);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_eq!(ask("admin", &create).code, 0);
        let seen = ask("viewer", &["provider", "list", "--names"]);
        assert_eq!((seen.code, seen.stdout.as_str()), (0, "one\n"), "{seen:?}");
        let set = [
            "cluster",
            "inference",
            "set",
            "--provider",
            "one",
            "--model",
            "m",
        ];
        assert_eq!(ask("admin", &set).code, 0);

        let [gateway, config] = cluster("admin");
        let run = plane
            .run("far")
            .outer_env(gateway.0, &gateway.1)
            .outer_env(config.0, &config.1)
            .outer_env("RINGFENCE_HOST_CERTIFICATE", host)
            .outer_env("RINGFENCE_HOST_ID", "worker-1")
            .policy(&text("", ""));
        let inside = plane.inside(run);
        inside.ready();
        assert_eq!(
            last(&provider),
            (
                "api.openai.com".to_owned(),
                "Bearer key-of-one".to_owned(),
                "m".to_owned()
            )
        );
        let shown = ask("viewer", &["sandbox", "get", "far", "--output", "json"]);
        assert!(shown.stdout.contains("worker-1/far"), "{shown:?}");

        // A host's certificate is no operator's, and one of nobody's is none.
        let place = "/mnt/private/config-host/ringfence/clusters/default/mtls";
        fs::create_dir_all(place).unwrap();
        for file in ["ca.crt", "tls.crt", "tls.key"] {
            fs::copy(format!("{host}/{file}"), format!("{place}/{file}")).unwrap();
        }
        let env = [
            ("RINGFENCE_GATEWAY", url.as_str()),
            ("XDG_CONFIG_HOME", "/mnt/private/config-host"),
        ];
        let refused = plane.cli_with(&["provider", "list"], &env);
        assert_eq!(refused.code, 1, "{refused:?}");
        let env = [("RINGFENCE_GATEWAY", url.as_str())];
        let refused = plane.cli_with(&["provider", "list"], &env);
        assert!(matches!(refused.code, 2 | 4), "{refused:?}");
    });
}
