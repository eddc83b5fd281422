use super::*;

/// RB-13, RTE-13
#[test]
fn the_mock_speaks_every_dialect_whole() {
    for (protocol, kind, object) in [
        (
            Protocol::OpenAiChatCompletions,
            "chat_completion",
            "chat.completion",
        ),
        (Protocol::OpenAiCompletions, "completion", "text_completion"),
        (Protocol::OpenAiResponses, "responses", "response"),
        (Protocol::AnthropicMessages, "messages", "message"),
        (Protocol::ModelDiscovery, "models_list", "list"),
        (Protocol::ModelDiscovery, "models_get", "model"),
    ] {
        let body: Value = serde_json::from_str(&whole(protocol, kind, "the-model")).unwrap();
        assert_eq!(
            body["object"].as_str().or(body["type"].as_str()),
            Some(object)
        );
        assert!(body.to_string().contains("the-model"));
        assert_eq!(
            body.to_string().contains(TEXT),
            protocol != Protocol::ModelDiscovery
        );
    }
}

/// RB-13, RTE-13
#[test]
fn the_mock_streams_every_dialect_word_by_word() {
    for (protocol, last) in [
        (Protocol::OpenAiChatCompletions, "data: [DONE]\n\n"),
        (Protocol::OpenAiCompletions, "data: [DONE]\n\n"),
        (Protocol::OpenAiResponses, "response.completed"),
        (Protocol::AnthropicMessages, "message_stop"),
    ] {
        let events = events(protocol, "the-model");
        assert!(events.iter().all(|event| event.ends_with("\n\n")));
        assert!(events.last().unwrap().contains(last));
        let words = words().filter(|word| {
            events
                .iter()
                .any(|event| event.contains(&format!("{word:?}")))
        });
        assert_eq!(words.count(), 5);
        for data in events
            .iter()
            .flat_map(|event| event.lines())
            .filter_map(|line| line.strip_prefix("data: "))
        {
            assert!(
                data == "[DONE]" || serde_json::from_str::<Value>(data).is_ok(),
                "{data}"
            );
        }
    }
}
