//! Which requests `inference.local` answers: six patterns, compared byte for byte (INF-4, INF-5).
//!
//! Nothing is normalised before matching: what matched is what is sent, and everything else is refused,
//! because a traversal under a prefix match would spend the key anywhere (TR-053).

use policy::Protocol;

/// A request that may carry the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recognised {
    pub(crate) protocol: Protocol,
    /// The stable word of the record.
    pub(crate) kind: &'static str,
    pub(crate) body: Body,
    /// The path as it was sent.
    pub(crate) path: Vec<u8>,
    /// The query without parameters that could carry a credential.
    pub(crate) query: Option<Vec<u8>>,
}

/// Whether a request of this kind has a body with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// One JSON object whose `model` is pinned.
    Model,
    /// None at all.
    Absent,
}

/// The pattern that `method` and the origin-form `target` match.
pub(crate) fn recognise(method: &[u8], target: &[u8]) -> Option<Recognised> {
    let (path, query) = wire::target::split_query(target);
    let (protocol, kind, body) = match (method, path) {
        (b"POST", b"/v1/chat/completions") => (
            Protocol::OpenAiChatCompletions,
            "chat_completion",
            Body::Model,
        ),
        (b"POST", b"/v1/completions") => (Protocol::OpenAiCompletions, "completion", Body::Model),
        (b"POST", b"/v1/responses") => (Protocol::OpenAiResponses, "responses", Body::Model),
        (b"POST", b"/v1/messages") => (Protocol::AnthropicMessages, "messages", Body::Model),
        (b"GET", b"/v1/models") => (Protocol::ModelDiscovery, "models_list", Body::Absent),
        (b"GET", _) if path.strip_prefix(b"/v1/models/").is_some_and(is_model_id) => {
            (Protocol::ModelDiscovery, "models_get", Body::Absent)
        }
        _ => return None,
    };
    Some(Recognised {
        protocol,
        kind,
        body,
        path: path.to_vec(),
        query: query.and_then(without_credentials),
    })
}

/// The `<id>` of `/v1/models/<id>`, any depth. After one decoding no segment may be empty, `.` or `..`;
/// a backslash, `;`, control bytes and a second layer of escapes are not allowed.
fn is_model_id(id: &[u8]) -> bool {
    let Some(decoded) = percent_decode(id) else {
        return false;
    };
    let byte_allowed = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b';' | b'%');
    decoded.iter().all(byte_allowed)
        && decoded
            .split(|byte| *byte == b'/')
            .all(|segment| !matches!(segment, b"" | b"." | b".."))
}

/// Drops parameters by which a client could bring its own credential; `None` when nothing is left.
fn without_credentials(query: &[u8]) -> Option<Vec<u8>> {
    let kept: Vec<&[u8]> = query
        .split(|byte| *byte == b'&')
        .filter(|pair| !is_credential(pair))
        .collect();
    let joined = kept.join(&b'&');
    (!joined.is_empty()).then_some(joined)
}

fn is_credential(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    // A name that does not decode is no parameter anybody knows: it goes, too.
    let Some(name) = percent_decode(name) else {
        return true;
    };
    CREDENTIAL_PARAMETERS
        .iter()
        .any(|credential| name.eq_ignore_ascii_case(credential))
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(*bytes.next()?)? << 4 | hex(*bytes.next()?)?,
            other => *other,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const CREDENTIAL_PARAMETERS: [&[u8]; 7] = [
    b"key",
    b"api_key",
    b"api-key",
    b"apikey",
    b"token",
    b"access_token",
    b"auth",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(method: &str, target: &str) -> Option<&'static str> {
        recognise(method.as_bytes(), target.as_bytes()).map(|found| found.kind)
    }

    /// IR-1
    #[test]
    fn the_six_patterns_are_recognised() {
        assert_eq!(
            kind("POST", "/v1/chat/completions?stream=true"),
            Some("chat_completion")
        );
        assert_eq!(kind("POST", "/v1/completions"), Some("completion"));
        assert_eq!(kind("POST", "/v1/responses"), Some("responses"));
        assert_eq!(kind("POST", "/v1/messages"), Some("messages"));
        assert_eq!(kind("GET", "/v1/models"), Some("models_list"));
        assert_eq!(kind("GET", "/v1/models/gpt-4.1"), Some("models_get"));
        assert_eq!(kind("GET", "/v1/models/meta%2Fllama"), Some("models_get"));
        assert_eq!(kind("GET", "/v1/models/meta/llama/3"), Some("models_get"));
        let found = recognise(b"POST", b"/v1/chat/completions?stream=true").unwrap();
        assert_eq!(found.query.as_deref(), Some(&b"stream=true"[..]));
    }

    /// IR-2
    #[test]
    fn neighbours_of_the_patterns_are_not_recognised() {
        for (method, target) in [
            ("GET", "/v1/chat/completions"),
            ("POST", "/v1/embeddings"),
            ("GET", "/v1/not-inference"),
            ("POST", "/V1/chat/completions"),
            ("POST", "/v1/chat/completions/"),
            ("POST", "/v1/chat/completions;x=y"),
            ("post", "/v1/chat/completions"),
            ("HEAD", "/v1/models"),
            ("POST", "/v1/chat%2Fcompletions"),
        ] {
            assert_eq!(kind(method, target), None, "{method} {target}");
        }
    }

    /// IR-3
    #[test]
    fn a_traversal_in_a_model_id_is_not_recognised() {
        for target in [
            "/v1/models/../files",
            "/v1/models/%2e%2e/files",
            "/v1/models/a%2F..%2Fb",
            "//v1/models",
            "/v1/models/",
            "/v1/models/a//b",
            "/v1/models/a%252e",
            "/v1/models/a%00",
            "/v1/models/a\\b",
            "/v1/models/a;b",
            "/v1/models/a%zz",
            "/v1/models/a%2",
        ] {
            assert_eq!(kind("GET", target), None, "{target}");
        }
    }

    /// IR-4, IR-6
    #[test]
    fn credentials_leave_the_query_and_the_rest_stays() {
        let query = |target: &str| recognise(b"GET", target.as_bytes()).unwrap().query;
        assert_eq!(
            query("/v1/models?x=http://a/v1/files"),
            Some(b"x=http://a/v1/files".to_vec())
        );
        assert_eq!(query("/v1/models?key=k&api_key=k"), None);
        assert_eq!(
            query("/v1/models?a=1&API-KEY=k&b=2&ap%69key=3&token"),
            Some(b"a=1&b=2".to_vec())
        );
    }
}
