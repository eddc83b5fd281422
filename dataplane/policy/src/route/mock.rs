//! The mock backend: an answer in the shape of each protocol, from no network at all (RTE-13).
//!
//! Apart from the data plane because it is a pure function of protocol and model. Invariant: the
//! bytes are the same for the same question; no clock, no randomness.

use serde_json::{Value, json};

use super::Protocol;

/// What the mock says.
pub const TEXT: &str = "Hello from ringfence mock backend";

/// Whether the client asked for an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// One JSON body.
    Whole,
    /// The same, as events of the dialect.
    Events,
}

/// A body and its type; the status is 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockAnswer {
    /// Value of Content-Type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Answers a request. Model lists have no event form.
pub fn answer(protocol: Protocol, model: &str, delivery: Delivery) -> MockAnswer {
    let body = match (protocol, delivery) {
        (Protocol::ModelDiscovery, _) | (_, Delivery::Whole) => whole(protocol, model).to_string(),
        (_, Delivery::Events) => events(protocol, model),
    };
    let content_type = match (protocol, delivery) {
        (Protocol::ModelDiscovery, _) | (_, Delivery::Whole) => "application/json",
        (_, Delivery::Events) => "text/event-stream",
    };
    MockAnswer {
        content_type,
        body: body.into_bytes(),
    }
}

fn whole(protocol: Protocol, model: &str) -> Value {
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 6, "total_tokens": 7});
    match protocol {
        Protocol::OpenAiChatCompletions => json!({
            "id": "chatcmpl-mock", "object": "chat.completion", "created": 0, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
            "usage": usage,
        }),
        Protocol::OpenAiCompletions => json!({
            "id": "cmpl-mock", "object": "text_completion", "created": 0, "model": model,
            "choices": [{"index": 0, "text": TEXT, "logprobs": null, "finish_reason": "stop"}],
            "usage": usage,
        }),
        Protocol::OpenAiResponses => response(model, "completed", &[output_item()]),
        Protocol::AnthropicMessages => message(
            model,
            &[json!({"type": "text", "text": TEXT})],
            Some("end_turn"),
            6,
        ),
        Protocol::ModelDiscovery => json!({
            "object": "list",
            "data": [{"id": model, "object": "model", "type": "model", "display_name": model, "created": 0, "owned_by": "ringfence"}],
            "has_more": false,
        }),
    }
}

fn response(model: &str, status: &str, output: &[Value]) -> Value {
    json!({
        "id": "resp_mock", "object": "response", "created_at": 0, "status": status, "model": model, "output": output,
        "usage": {"input_tokens": 1, "output_tokens": 6, "total_tokens": 7},
        "error": null, "incomplete_details": null, "instructions": null, "metadata": {}, "parallel_tool_calls": true,
        "temperature": null, "tool_choice": "auto", "tools": [], "top_p": null,
    })
}

fn output_item() -> Value {
    json!({"id": "msg_mock", "type": "message", "status": "completed", "role": "assistant", "content": [output_part(TEXT)]})
}

fn output_part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn message(model: &str, content: &[Value], stop_reason: Option<&str>, output_tokens: u32) -> Value {
    json!({
        "id": "msg_mock", "type": "message", "role": "assistant", "model": model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null,
        "usage": {"input_tokens": 1, "output_tokens": output_tokens},
    })
}

fn events(protocol: Protocol, model: &str) -> String {
    match protocol {
        Protocol::OpenAiChatCompletions => {
            let chunk = |delta: Value, finish: Option<&str>| {
                json!({
                    "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 0, "model": model,
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
                })
            };
            let first = chunk(json!({"role": "assistant", "content": TEXT}), None);
            data_lines(&[first, chunk(json!({}), Some("stop"))]) + DONE
        }
        Protocol::OpenAiCompletions => data_lines(&[whole(protocol, model)]) + DONE,
        Protocol::OpenAiResponses => named_events(&response_events(model)),
        Protocol::AnthropicMessages => named_events(&message_events(model)),
        // `answer` never asks for these as events; a model list is one body.
        Protocol::ModelDiscovery => whole(protocol, model).to_string(),
    }
}

fn response_events(model: &str) -> Vec<Value> {
    let at = |kind: &str, rest: Value| {
        let mut event =
            json!({"type": kind, "item_id": "msg_mock", "output_index": 0, "content_index": 0});
        merge(&mut event, rest);
        event
    };
    let item = json!({"id": "msg_mock", "type": "message", "status": "in_progress", "role": "assistant", "content": []});
    let events = vec![
        json!({"type": "response.created", "response": response(model, "in_progress", &[])}),
        json!({"type": "response.in_progress", "response": response(model, "in_progress", &[])}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
        at(
            "response.content_part.added",
            json!({"part": output_part("")}),
        ),
        at(
            "response.output_text.delta",
            json!({"delta": TEXT, "logprobs": []}),
        ),
        at(
            "response.output_text.done",
            json!({"text": TEXT, "logprobs": []}),
        ),
        at(
            "response.content_part.done",
            json!({"part": output_part(TEXT)}),
        ),
        json!({"type": "response.output_item.done", "output_index": 0, "item": output_item()}),
        json!({"type": "response.completed", "response": response(model, "completed", &[output_item()])}),
    ];
    let numbered = |(number, mut event): (usize, Value)| {
        merge(&mut event, json!({"sequence_number": number}));
        event
    };
    events.into_iter().enumerate().map(numbered).collect()
}

fn message_events(model: &str) -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": message(model, &[], None, 0)}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 6}}),
        json!({"type": "message_stop"}),
    ]
}

fn merge(event: &mut Value, rest: Value) {
    if let (Value::Object(event), Value::Object(rest)) = (event, rest) {
        event.extend(rest);
    }
}

fn data_lines(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

fn named_events(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap_or_default()
            )
        })
        .collect()
}

const DONE: &str = "data: [DONE]\n\n";
