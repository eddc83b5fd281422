//! `mock://`: answers made here, in the shape of each protocol (RTE-13). It opens no socket.

use link::record::End;
use policy::{Protocol, Route};
use wire::{HeadWriter, json_string};

use super::After;
use super::answer::{Outcome, Plan, close_head};
use super::body::Body;
use super::meter::Usage;
use super::recognise::Recognised;
use crate::relay::body::Framing;
use crate::stream::Stream;

/// Answers a recognised request.
pub(super) async fn answer(
    client: &mut Stream,
    route: &Route,
    found: &Recognised,
    body: &Body<'_>,
    plan: &Plan<'_>,
) -> Outcome {
    let mut model = Vec::new();
    json_string(&route.model, &mut model);
    let model = String::from_utf8_lossy(&model).into_owned();
    let is_stream = wants_stream(body);
    let pieces = if is_stream {
        events(found.protocol, &model)
    } else {
        vec![whole(found, &model)]
    };
    let bytes: usize = pieces.iter().map(String::len).sum();
    let framing = match is_stream {
        false => Framing::Length(bytes as u64),
        true => Framing::unknown(plan.version),
    };
    let sent = send(client, &pieces, framing, is_stream, plan).await;
    Outcome {
        status: 200,
        is_stream,
        first_byte: None,
        bytes: bytes as u64,
        usage: Usage {
            input: Some(1),
            output: Some(TEXT.len() as u64),
        },
        end: if sent.is_some() {
            End::Complete
        } else {
            End::ClientGone
        },
        after: match (sent, framing) {
            (None, _) => After::Gone,
            (Some(()), Framing::UntilClose) => After::Close,
            (Some(()), _) => After::Keep,
        },
    }
}

async fn send(
    client: &mut Stream,
    pieces: &[String],
    framing: Framing,
    is_stream: bool,
    plan: &Plan<'_>,
) -> Option<()> {
    let mut writer = HeadWriter::response(200, b"OK");
    writer.own_field(
        "Content-Type",
        if is_stream {
            "text/event-stream"
        } else {
            "application/json"
        },
    );
    writer.own_field("x-ringfence-mock", "true");
    let mut out = close_head(writer, framing, plan);
    for piece in pieces {
        framing.frame(piece.as_bytes(), &mut out);
        client.put(&out).ok()?;
        client.flush().await.ok()?;
        out.clear();
    }
    framing.end(&[], &mut out);
    client.put(&out).ok()?;
    client.flush().await.ok()?;
    Some(())
}

/// Whether the top level says `"stream": true`.
fn wants_stream(body: &Body<'_>) -> bool {
    // The body was found to be one JSON object; a tree is affordable where no model is called.
    serde_json::from_slice::<serde_json::Value>(&body.to_vec())
        .is_ok_and(|value| value.get("stream").and_then(serde_json::Value::as_bool) == Some(true))
}

fn whole(found: &Recognised, model: &str) -> String {
    let tokens = TEXT.len();
    match found.protocol {
        Protocol::OpenAiChatCompletions => format!(
            r#"{{"id":"chatcmpl-mock","object":"chat.completion","created":0,"model":{model},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{TEXT}"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":{tokens},"total_tokens":{}}}}}"#,
            tokens + 1
        ),
        Protocol::OpenAiCompletions => format!(
            r#"{{"id":"cmpl-mock","object":"text_completion","created":0,"model":{model},"choices":[{{"index":0,"text":"{TEXT}","logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":{tokens},"total_tokens":{}}}}}"#,
            tokens + 1
        ),
        Protocol::OpenAiResponses => response(model, "completed", &output_message()),
        Protocol::AnthropicMessages => format!(
            r#"{{"id":"msg_mock","type":"message","role":"assistant","model":{model},"content":[{{"type":"text","text":"{TEXT}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":1,"output_tokens":{tokens}}}}}"#
        ),
        Protocol::ModelDiscovery if found.kind == "models_list" => {
            format!(
                r#"{{"object":"list","data":[{{"id":{model},"object":"model","created":0,"owned_by":"ringfence"}}]}}"#
            )
        }
        Protocol::ModelDiscovery => {
            format!(r#"{{"id":{model},"object":"model","created":0,"owned_by":"ringfence"}}"#)
        }
    }
}

fn events(protocol: Protocol, model: &str) -> Vec<String> {
    let words = TEXT.split_inclusive(' ');
    match protocol {
        Protocol::OpenAiChatCompletions | Protocol::ModelDiscovery => {
            let chunk = |delta: &str, finish: &str| {
                format!(
                    "data: {{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":{model},\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
                )
            };
            std::iter::once(chunk(r#"{"role":"assistant","content":""}"#, "null"))
                .chain(words.map(|word| chunk(&format!(r#"{{"content":"{word}"}}"#), "null")))
                .chain([chunk("{}", "\"stop\""), "data: [DONE]\n\n".to_owned()])
                .collect()
        }
        Protocol::OpenAiCompletions => {
            let chunk = |text: &str, finish: &str| {
                format!(
                    "data: {{\"id\":\"cmpl-mock\",\"object\":\"text_completion\",\"created\":0,\"model\":{model},\"choices\":[{{\"index\":0,\"text\":\"{text}\",\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n"
                )
            };
            words
                .map(|word| chunk(word, "null"))
                .chain([chunk("", "\"stop\""), "data: [DONE]\n\n".to_owned()])
                .collect()
        }
        Protocol::OpenAiResponses => response_events(model),
        Protocol::AnthropicMessages => message_events(model),
    }
}

fn response(model: &str, status: &str, output: &str) -> String {
    let tokens = TEXT.len();
    format!(
        r#"{{"id":"resp_mock","object":"response","created_at":0,"status":"{status}","error":null,"incomplete_details":null,"instructions":null,"metadata":{{}},"model":{model},"output":[{output}],"parallel_tool_calls":true,"temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,"usage":{{"input_tokens":1,"input_tokens_details":{{"cached_tokens":0}},"output_tokens":{tokens},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}}}}"#,
        tokens + 1
    )
}

fn output_message() -> String {
    format!(
        r#"{{"id":"msg_mock","type":"message","status":"completed","role":"assistant","content":[{{"type":"output_text","text":"{TEXT}","annotations":[]}}]}}"#
    )
}

fn response_events(model: &str) -> Vec<String> {
    let mut sequence = 0;
    let mut event = |kind: &str, rest: &str| {
        sequence += 1;
        format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{},{rest}}}\n\n",
            sequence - 1
        )
    };
    let place = r#""item_id":"msg_mock","output_index":0,"content_index":0"#;
    let mut events = vec![
        event(
            "response.created",
            &format!("\"response\":{}", response(model, "in_progress", "")),
        ),
        event(
            "response.output_item.added",
            r#""output_index":0,"item":{"id":"msg_mock","type":"message","status":"in_progress","role":"assistant","content":[]}"#,
        ),
        event(
            "response.content_part.added",
            &format!(r#"{place},"part":{{"type":"output_text","text":"","annotations":[]}}"#),
        ),
    ];
    for word in TEXT.split_inclusive(' ') {
        events.push(event(
            "response.output_text.delta",
            &format!(r#"{place},"delta":"{word}","logprobs":[]"#),
        ));
    }
    events.push(event(
        "response.output_text.done",
        &format!(r#"{place},"text":"{TEXT}","logprobs":[]"#),
    ));
    events.push(event(
        "response.content_part.done",
        &format!(r#"{place},"part":{{"type":"output_text","text":"{TEXT}","annotations":[]}}"#),
    ));
    events.push(event(
        "response.output_item.done",
        &format!(r#""output_index":0,"item":{}"#, output_message()),
    ));
    events.push(event(
        "response.completed",
        &format!(
            "\"response\":{}",
            response(model, "completed", &output_message())
        ),
    ));
    events
}

fn message_events(model: &str) -> Vec<String> {
    let event =
        |kind: &str, rest: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n");
    let tokens = TEXT.len();
    let mut events = vec![
        event(
            "message_start",
            &format!(
                r#","message":{{"id":"msg_mock","type":"message","role":"assistant","model":{model},"content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":1,"output_tokens":0}}}}"#
            ),
        ),
        event(
            "content_block_start",
            r#","index":0,"content_block":{"type":"text","text":""}"#,
        ),
    ];
    for word in TEXT.split_inclusive(' ') {
        events.push(event(
            "content_block_delta",
            &format!(r#","index":0,"delta":{{"type":"text_delta","text":"{word}"}}"#),
        ));
    }
    events.push(event("content_block_stop", r#","index":0"#));
    events.push(event(
        "message_delta",
        &format!(r#","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{{"output_tokens":{tokens}}}"#),
    ));
    events.push(event("message_stop", ""));
    events
}

const TEXT: &str = "Hello from ringfence mock backend";
