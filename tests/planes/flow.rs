//! The flow an operator is promised, word for word, against servers that speak the providers' dialects and keep what
//! arrived.

use harness::clients::{Client, present};
use harness::play;

use crate::plane::{Plane, backends, last, until};

const NVIDIA_KEY: &str = "nvapi-flow-0123456789abcdef";
const OPENAI_KEY: &str = "sk-flow-fedcba9876543210";

/// The words of the quick start of docs/inference-routing.md; CLI-7 to CLI-13, RB-6, PV-8, TR-082
#[test]
fn the_flow_of_the_quick_start_works_word_for_word() {
    if !present(&[Client::Program("curl")]) {
        return;
    }
    play(|scene| {
        let provider = backends(scene);
        let plane = Plane::start(scene);
        plane.done_with(
            &words("provider create --name nvidia-build --type nvidia --from-existing"),
            &[("NVIDIA_API_KEY", NVIDIA_KEY)],
        );
        plane.done(&words(
            "cluster inference set --provider nvidia-build --model meta/llama-3.1-8b-instruct",
        ));
        let shown = plane.done(&words("cluster inference get"));
        for word in ["nvidia-build", "meta/llama-3.1-8b-instruct", "1"] {
            assert!(shown.contains(word), "{word} in {shown}");
        }
        let demo = plane
            .run("demo")
            .command([
                "curl",
                "-sS",
                "https://inference.local/v1/chat/completions",
                "-H",
                "Content-Type: application/json",
                "-d",
                r#"{"model":"anything","messages":[{"role":"user","content":"Hello!"}]}"#,
            ])
            .end();
        let text = String::from_utf8_lossy(&demo.stdout);
        assert!(
            demo.status.success() && text.contains("Hello from the scene"),
            "{demo:?}\ngateway: {}",
            plane.said()
        );
        assert_eq!(
            last(&provider),
            arrived(
                "integrate.api.nvidia.com",
                NVIDIA_KEY,
                "meta/llama-3.1-8b-instruct"
            )
        );

        let inside = plane.fence("worker");
        assert_eq!(inside.verdict(), "200");
        assert_eq!(last(&provider).2, "meta/llama-3.1-8b-instruct");
        let set = plane.json(&words(
            "cluster inference update --model meta/llama-3.3-70b-instruct",
        ));
        assert_eq!(set["version"], 2, "{set}");
        until("the running sandbox follows", || {
            inside.verdict() == "200" && last(&provider).2 == "meta/llama-3.3-70b-instruct"
        });

        let refused = plane.cli(&words("provider delete nvidia-build --yes"));
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("inference"), "{refused:?}");
        plane.done_with(
            &words("provider create --name openai-prod --type openai --from-existing"),
            &[("OPENAI_API_KEY", OPENAI_KEY)],
        );
        plane.done(&words(
            "cluster inference set --provider openai-prod --model gpt-4o",
        ));
        until("the running sandbox follows to another provider", || {
            inside.verdict() == "200"
                && last(&provider) == arrived("api.openai.com", OPENAI_KEY, "gpt-4o")
        });
        plane.done(&words("provider delete nvidia-build --yes"));

        let demo = plane.json(&words("sandbox get demo"));
        let policy = demo["policy"].to_string();
        for path in [
            "/usr", "/lib", "/etc", "/app", "/var/log", "/sandbox", "/tmp",
        ] {
            assert!(policy.contains(path), "{path} in {demo:#}");
        }
        assert_eq!(demo["policy_version"], 1, "{demo:#}");
        assert_ne!(demo["host"], "", "{demo:#}");
        assert_ne!(demo["landlock"], "", "{demo:#}");
    });
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn arrived(host: &str, key: &str, model: &str) -> (String, String, String) {
    (host.to_owned(), format!("Bearer {key}"), model.to_owned())
}
