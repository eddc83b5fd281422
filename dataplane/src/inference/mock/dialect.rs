//! What the mock says, in the shape of each protocol: a pure function of protocol and model.

use policy::Protocol;
use serde_json::{Value, json};

/// One JSON body.
pub(super) fn whole(protocol: Protocol, kind: &str, model: &str) -> String {
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 6, "total_tokens": 7});
    let body = match protocol {
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
        Protocol::ModelDiscovery if kind == "models_list" => {
            json!({"object": "list", "data": [model_object(model)], "has_more": false})
        }
        Protocol::ModelDiscovery => model_object(model),
    };
    body.to_string()
}

/// The same as an event stream, one event a piece.
pub(super) fn events(protocol: Protocol, model: &str) -> Vec<String> {
    match protocol {
        Protocol::OpenAiChatCompletions => {
            let chunk = |delta: Value, finish: Option<&str>| {
                json!({
                    "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 0, "model": model,
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
                })
            };
            let first = chunk(json!({"role": "assistant", "content": ""}), None);
            let words = words().map(|word| chunk(json!({"content": word}), None));
            let last = chunk(json!({}), Some("stop"));
            done(std::iter::once(first).chain(words).chain([last]))
        }
        Protocol::OpenAiCompletions => {
            let chunk = |text: &str, finish: Option<&str>| {
                json!({
                    "id": "cmpl-mock", "object": "text_completion", "created": 0, "model": model,
                    "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}],
                })
            };
            done(
                words()
                    .map(|word| chunk(word, None))
                    .chain([chunk("", Some("stop"))]),
            )
        }
        Protocol::OpenAiResponses => named(response_events(model)),
        Protocol::AnthropicMessages => named(message_events(model)),
        // Requests of this protocol have no body that could ask for a stream.
        Protocol::ModelDiscovery => vec![],
    }
}

fn words() -> impl Iterator<Item = &'static str> {
    TEXT.split_inclusive(' ')
}

fn model_object(model: &str) -> Value {
    json!({
        "id": model, "object": "model", "type": "model", "display_name": model, "created": 0, "owned_by": "ringfence",
    })
}

fn response(model: &str, status: &str, output: &[Value]) -> Value {
    json!({
        "id": "resp_mock", "object": "response", "created_at": 0, "status": status, "model": model, "output": output,
        "usage": {
            "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 7,
        },
        "error": null, "incomplete_details": null, "instructions": null, "metadata": {}, "parallel_tool_calls": true,
        "temperature": null, "tool_choice": "auto", "tools": [], "top_p": null,
    })
}

fn output_item() -> Value {
    json!({
        "id": "msg_mock", "type": "message", "status": "completed", "role": "assistant", "content": [output_part(TEXT)],
    })
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

fn response_events(model: &str) -> Vec<Value> {
    let at = |kind: &str, rest: Value| {
        let place =
            json!({"type": kind, "item_id": "msg_mock", "output_index": 0, "content_index": 0});
        merge(place, rest)
    };
    let item = json!({
        "id": "msg_mock", "type": "message", "status": "in_progress", "role": "assistant", "content": [],
    });
    let mut events = vec![
        json!({"type": "response.created", "response": response(model, "in_progress", &[])}),
        json!({"type": "response.in_progress", "response": response(model, "in_progress", &[])}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
        at(
            "response.content_part.added",
            json!({"part": output_part("")}),
        ),
    ];
    events.extend(words().map(|word| {
        at(
            "response.output_text.delta",
            json!({"delta": word, "logprobs": []}),
        )
    }));
    events.extend([
        at("response.output_text.done", json!({"text": TEXT, "logprobs": []})),
        at("response.content_part.done", json!({"part": output_part(TEXT)})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": output_item()}),
        json!({"type": "response.completed", "response": response(model, "completed", &[output_item()])}),
    ]);
    let numbered =
        |(number, event): (usize, Value)| merge(event, json!({"sequence_number": number}));
    events.into_iter().enumerate().map(numbered).collect()
}

fn message_events(model: &str) -> Vec<Value> {
    let mut events = vec![
        json!({"type": "message_start", "message": message(model, &[], None, 0)}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ];
    events.extend(words().map(|word| {
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
    }));
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 6},
        }),
        json!({"type": "message_stop"}),
    ]);
    events
}

fn merge(mut event: Value, rest: Value) -> Value {
    if let (Value::Object(event), Value::Object(rest)) = (&mut event, rest) {
        event.extend(rest);
    }
    event
}

/// Events without a name, and the mark that ends them.
fn done(events: impl Iterator<Item = Value>) -> Vec<String> {
    let lines = events.map(|event| format!("data: {event}\n\n"));
    lines.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

/// Events named by their own type.
fn named(events: Vec<Value>) -> Vec<String> {
    let line = |event: Value| {
        format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap_or_default()
        )
    };
    events.into_iter().map(line).collect()
}

const TEXT: &str = "Hello from ringfence mock backend";

#[cfg(test)]
mod tests;
