//! How a broken stream ends: visibly (INF-21, INF-22).
//!
//! An event stream gets one error event in the dialect of its protocol and then an end without a last
//! chunk; `[DONE]` and `message_stop` are never made up. Texts are fixed: nothing an upstream said gets
//! in, so nobody can forge a frame with it.

use policy::Protocol;

/// The event, complete with its closing blank line.
pub(crate) fn error_event(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::OpenAiChatCompletions | Protocol::OpenAiCompletions | Protocol::ModelDiscovery => {
            b"data: {\"error\":{\"message\":\"the model's answer was interrupted\",\"type\":\"upstream_error\",\"code\":\"stream_interrupted\"}}\n\n"
        }
        Protocol::OpenAiResponses => {
            b"event: error\ndata: {\"type\":\"error\",\"code\":\"stream_interrupted\",\"message\":\"the model's answer was interrupted\",\"param\":null}\n\n"
        }
        Protocol::AnthropicMessages => {
            b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"stream_interrupted: the model's answer was interrupted\"}}\n\n"
        }
    }
}
