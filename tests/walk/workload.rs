//! What an agent does all day: completion after completion, and many at once, through one sandbox.

use std::time::Duration;

use harness::clients::{Client, PYTHON, present};
use harness::policy::text;
use harness::scene::PRIVATE;
use harness::{model, play_within};

#[test]
fn two_hundred_completions_in_a_row_and_sixty_four_at_once_arrive_whole() {
    if !present(&[Client::Python("openai")]) {
        return;
    }
    play_within(Duration::from_secs(400), |scene| {
        let tls = scene.authority().server(&["model.test"]);
        let server = model::start(&format!("{PRIVATE}:443"), Some(tls));
        let ended = scene
            .run()
            .policy(&text("", ""))
            .routes(&model::routes("https://model.test/v1"))
            .env("HOME", "/mnt/work")
            .limit(Duration::from_secs(360))
            .command([PYTHON, "/mnt/scripts/workload.py", "200", "64", "20"])
            .end()
            .success();
        assert_eq!(ended.out(), "264 whole\n", "{}", ended.story());
        assert_eq!(server.requests().len(), 264);
        let records = ended.records_of("INFERENCE");
        assert_eq!(
            records.len(),
            264,
            "one record an inference request (LOG-2)"
        );
        for record in &records {
            assert_eq!(
                (&record["end"], &record["status"]),
                (&"complete".into(), &200.into()),
                "{record}"
            );
        }
        // 264 requests over far fewer connections: the upstream pool works (RTE-9).
        assert!(
            server.connections() <= 80,
            "{} upstream connections",
            server.connections()
        );
    });
}
