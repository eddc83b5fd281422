//! The shapes of answers, one dialect a recognised path.
//!
//! Written out by hand as providers send them; the SDKs that read them are the judges.

/// An API's way of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/responses`
    Responses,
    /// `/v1/messages`
    Messages,
}

impl Dialect {
    /// The dialect of a path.
    pub fn of(path: &str) -> Option<Dialect> {
        match path {
            "/v1/chat/completions" => Some(Dialect::Chat),
            "/v1/completions" => Some(Dialect::Completions),
            "/v1/responses" => Some(Dialect::Responses),
            "/v1/messages" => Some(Dialect::Messages),
            _ => None,
        }
    }

    /// A whole answer.
    pub(super) fn whole(self, model: &str, text: &str) -> String {
        match self {
            Dialect::Chat => format!(
                r#"{{"id":"c1","object":"chat.completion","created":1,"model":"{model}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{USAGE}}}"#
            ),
            Dialect::Completions => format!(
                r#"{{"id":"c1","object":"text_completion","created":1,"model":"{model}","choices":[{{"index":0,"text":"{text}","finish_reason":"stop","logprobs":null}}],"usage":{USAGE}}}"#
            ),
            Dialect::Responses => response(model, "completed", text),
            Dialect::Messages => format!(
                r#"{{"id":"m1","type":"message","role":"assistant","model":"{model}","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":3,"output_tokens":4}}}}"#
            ),
        }
    }

    /// Events before the first piece of text.
    pub(super) fn opening(self, model: &str) -> Vec<String> {
        match self {
            Dialect::Chat | Dialect::Completions => Vec::new(),
            Dialect::Responses => vec![
                named(
                    "response.created",
                    &format!(
                        r#"{{"type":"response.created","sequence_number":0,"response":{}}}"#,
                        response(model, "in_progress", "")
                    ),
                ),
                named(
                    "response.output_item.added",
                    r#"{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"i1","type":"message","role":"assistant","status":"in_progress","content":[]}}"#,
                ),
                named(
                    "response.content_part.added",
                    r#"{"type":"response.content_part.added","sequence_number":2,"item_id":"i1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}"#,
                ),
            ],
            Dialect::Messages => vec![
                named(
                    "message_start",
                    &format!(
                        r#"{{"type":"message_start","message":{{"id":"m1","type":"message","role":"assistant","model":"{model}","content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":3,"output_tokens":0}}}}}}"#
                    ),
                ),
                named(
                    "content_block_start",
                    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                ),
            ],
        }
    }

    /// An event with a piece of text.
    pub(super) fn piece(self, model: &str, text: &str) -> String {
        match self {
            Dialect::Chat => data(&format!(
                r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"{model}","choices":[{{"index":0,"delta":{{"role":"assistant","content":"{text}"}},"finish_reason":null}}]}}"#
            )),
            Dialect::Completions => data(&format!(
                r#"{{"id":"c1","object":"text_completion","created":1,"model":"{model}","choices":[{{"index":0,"text":"{text}","finish_reason":null,"logprobs":null}}]}}"#
            )),
            Dialect::Responses => named(
                "response.output_text.delta",
                &format!(
                    r#"{{"type":"response.output_text.delta","sequence_number":3,"item_id":"i1","output_index":0,"content_index":0,"delta":"{text}","logprobs":[]}}"#
                ),
            ),
            Dialect::Messages => named(
                "content_block_delta",
                &format!(
                    r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
                ),
            ),
        }
    }

    /// Events after the last piece of text; `pieces` is how many there were.
    pub(super) fn closing(self, model: &str, pieces: usize) -> Vec<String> {
        let text: String = (0..pieces)
            .map(|number| format!("piece-{number} "))
            .collect();
        match self {
            Dialect::Chat => vec![
                data(&format!(
                    r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"{model}","choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":{USAGE}}}"#
                )),
                data("[DONE]"),
            ],
            Dialect::Completions => vec![data("[DONE]")],
            Dialect::Responses => vec![
                named(
                    "response.output_text.done",
                    &format!(
                        r#"{{"type":"response.output_text.done","sequence_number":4,"item_id":"i1","output_index":0,"content_index":0,"text":"{text}","logprobs":[]}}"#
                    ),
                ),
                named(
                    "response.content_part.done",
                    &format!(
                        r#"{{"type":"response.content_part.done","sequence_number":5,"item_id":"i1","output_index":0,"content_index":0,"part":{{"type":"output_text","text":"{text}","annotations":[]}}}}"#
                    ),
                ),
                named(
                    "response.output_item.done",
                    &format!(
                        r#"{{"type":"response.output_item.done","sequence_number":6,"output_index":0,"item":{}}}"#,
                        item(&text)
                    ),
                ),
                named(
                    "response.completed",
                    &format!(
                        r#"{{"type":"response.completed","sequence_number":7,"response":{}}}"#,
                        response(model, "completed", &text)
                    ),
                ),
            ],
            Dialect::Messages => vec![
                named(
                    "content_block_stop",
                    r#"{"type":"content_block_stop","index":0}"#,
                ),
                named(
                    "message_delta",
                    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":4}}"#,
                ),
                named("message_stop", r#"{"type":"message_stop"}"#),
            ],
        }
    }
}

const USAGE: &str = r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#;

fn item(text: &str) -> String {
    format!(
        r#"{{"id":"i1","type":"message","role":"assistant","status":"completed","content":[{{"type":"output_text","text":"{text}","annotations":[]}}]}}"#
    )
}

fn response(model: &str, status: &str, text: &str) -> String {
    let output = if status == "completed" {
        item(text)
    } else {
        String::new()
    };
    format!(
        r#"{{"id":"r1","object":"response","created_at":1,"status":"{status}","model":"{model}","output":[{output}],"error":null,"incomplete_details":null,"instructions":null,"metadata":{{}},"parallel_tool_calls":true,"temperature":1.0,"tool_choice":"auto","tools":[],"top_p":1.0,"usage":{{"input_tokens":3,"input_tokens_details":{{"cached_tokens":0}},"output_tokens":4,"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":7}}}}"#
    )
}

fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

fn named(event: &str, json: &str) -> String {
    format!("event: {event}\ndata: {json}\n\n")
}
