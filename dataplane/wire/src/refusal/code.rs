//! The codes a sandbox can meet (ERR-5): one row a code, with its status and its sentence.
//!
//! Apart from the answer that carries them because every layer names a code and only one builds an answer.
//! Invariant: words and statuses are stable; a new cause gets a new row.

/// Every code of ERR-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// 400: The request is malformed.
    BadRequest,
    /// 400: The request target or its authority is not acceptable.
    InvalidRequestTarget,
    /// 400: An https target needs CONNECT.
    UseConnectForHttps,
    /// 400: Only http targets can be forwarded.
    UnsupportedScheme,
    /// 400: The body is not one JSON object.
    InvalidJsonBody,
    /// 400: The member `model` occurs twice or in another letter case.
    AmbiguousModel,
    /// 400: No route speaks the protocol of this request.
    NoCompatibleRoute,
    /// 403: The policy of this sandbox does not allow the request.
    PolicyDenied,
    /// 403: The calling process could not be established.
    IdentityUnavailable,
    /// 403: An executable changed since its first use.
    IntegrityViolation,
    /// 403: The destination is not reachable from a sandbox.
    DestinationDenied,
    /// 403: Plain HTTP is forwarded only to endpoints with `allowed_ips`.
    ForwardRequiresAllowedIps,
    /// 403: Plain HTTP is forwarded only to private addresses.
    ForwardPrivateOnly,
    /// 403: The connection does not carry requests that can be inspected.
    UnsupportedProtocol,
    /// 403: The connection may not change its protocol.
    UpgradeNotAllowed,
    /// 403: The request names another authority than its tunnel.
    AuthorityMismatch,
    /// 403: inference.local is served over TLS only.
    InferenceRequiresHttps,
    /// 403: The method and path are not an inference request.
    InferenceRequestNotRecognised,
    /// 403: The calling program may not use inference.local.
    InferenceBinaryDenied,
    /// 403: The policy does not allow the model that would be used.
    ModelNotAllowed,
    /// 408: The request was not complete in time.
    RequestTimeout,
    /// 413: The body is larger than allowed.
    RequestTooLarge,
    /// 414: The request target is longer than allowed.
    TargetTooLong,
    /// 431: The head of the request is larger than allowed.
    HeaderTooLarge,
    /// 415: The body has a content coding.
    UnsupportedContentEncoding,
    /// 417: Only 100-continue can be expected.
    ExpectationFailed,
    /// 505: Only HTTP/1.1 and HTTP/1.0 are spoken.
    UnsupportedHttpVersion,
    /// 429: Too many requests in this minute.
    RateLimited,
    /// 429: The token budget is used up.
    TokenBudgetExceeded,
    /// 429: Too many requests at once.
    TooManyConcurrent,
    /// 502: The name has no address.
    DnsFailure,
    /// 502: The upstream could not be reached.
    UpstreamUnreachable,
    /// 502: The TLS session with the upstream failed.
    UpstreamTlsFailed,
    /// 502: The upstream closed the connection or sent a malformed answer.
    UpstreamProtocolError,
    /// 503: No inference route is configured.
    InferenceNotConfigured,
    /// 503: The inference routes are not loaded yet.
    InferenceNotReady,
    /// 503: The provider of the route does not exist any more.
    ProviderMissing,
    /// 503: The route cannot be used.
    RouteBroken,
    /// 503: The route was not confirmed for too long.
    RouteStale,
    /// 503: The inference backend could not be reached.
    UpstreamUnavailable,
    /// 503: TLS cannot be terminated because there is no certificate authority.
    TlsUnavailable,
    /// 503: A limit of this sandbox is reached.
    CapacityExceeded,
    /// 504: The name was not resolved in time.
    DnsTimeout,
    /// 504: The upstream was not connected in time.
    ConnectTimeout,
    /// 504: The upstream did not answer in time.
    ResponseTimeout,
}

impl Code {
    /// All of them, in the order of ERR-5.
    pub const ALL: [Self; 45] = [
        Self::BadRequest,
        Self::InvalidRequestTarget,
        Self::UseConnectForHttps,
        Self::UnsupportedScheme,
        Self::InvalidJsonBody,
        Self::AmbiguousModel,
        Self::NoCompatibleRoute,
        Self::PolicyDenied,
        Self::IdentityUnavailable,
        Self::IntegrityViolation,
        Self::DestinationDenied,
        Self::ForwardRequiresAllowedIps,
        Self::ForwardPrivateOnly,
        Self::UnsupportedProtocol,
        Self::UpgradeNotAllowed,
        Self::AuthorityMismatch,
        Self::InferenceRequiresHttps,
        Self::InferenceRequestNotRecognised,
        Self::InferenceBinaryDenied,
        Self::ModelNotAllowed,
        Self::RequestTimeout,
        Self::RequestTooLarge,
        Self::TargetTooLong,
        Self::HeaderTooLarge,
        Self::UnsupportedContentEncoding,
        Self::ExpectationFailed,
        Self::UnsupportedHttpVersion,
        Self::RateLimited,
        Self::TokenBudgetExceeded,
        Self::TooManyConcurrent,
        Self::DnsFailure,
        Self::UpstreamUnreachable,
        Self::UpstreamTlsFailed,
        Self::UpstreamProtocolError,
        Self::InferenceNotConfigured,
        Self::InferenceNotReady,
        Self::ProviderMissing,
        Self::RouteBroken,
        Self::RouteStale,
        Self::UpstreamUnavailable,
        Self::TlsUnavailable,
        Self::CapacityExceeded,
        Self::DnsTimeout,
        Self::ConnectTimeout,
        Self::ResponseTimeout,
    ];

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The fixed sentence.
    #[must_use]
    pub fn detail(self) -> &'static str {
        self.row().2
    }

    /// Seconds of Retry-After where nothing better is known.
    #[must_use]
    pub fn retry_after_s(self) -> Option<u32> {
        match self.status() {
            429 => Some(1),
            _ if self == Self::CapacityExceeded => Some(1),
            _ => None,
        }
    }

    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "bad_request", "The request is malformed."),
            Self::InvalidRequestTarget => (
                400,
                "invalid_request_target",
                "The request target or its authority is not acceptable.",
            ),
            Self::UseConnectForHttps => (
                400,
                "use_connect_for_https",
                "An https target needs CONNECT.",
            ),
            Self::UnsupportedScheme => (
                400,
                "unsupported_scheme",
                "Only http targets can be forwarded.",
            ),
            Self::InvalidJsonBody => (400, "invalid_json_body", "The body is not one JSON object."),
            Self::AmbiguousModel => (
                400,
                "ambiguous_model",
                "The member `model` occurs twice or in another letter case.",
            ),
            Self::NoCompatibleRoute => (
                400,
                "no_compatible_route",
                "No route speaks the protocol of this request.",
            ),
            Self::PolicyDenied => (
                403,
                "policy_denied",
                "The policy of this sandbox does not allow the request.",
            ),
            Self::IdentityUnavailable => (
                403,
                "identity_unavailable",
                "The calling process could not be established.",
            ),
            Self::IntegrityViolation => (
                403,
                "integrity_violation",
                "An executable changed since its first use.",
            ),
            Self::DestinationDenied => (
                403,
                "destination_denied",
                "The destination is not reachable from a sandbox.",
            ),
            Self::ForwardRequiresAllowedIps => (
                403,
                "forward_requires_allowed_ips",
                "Plain HTTP is forwarded only to endpoints with `allowed_ips`.",
            ),
            Self::ForwardPrivateOnly => (
                403,
                "forward_private_only",
                "Plain HTTP is forwarded only to private addresses.",
            ),
            Self::UnsupportedProtocol => (
                403,
                "unsupported_protocol",
                "The connection does not carry requests that can be inspected.",
            ),
            Self::UpgradeNotAllowed => (
                403,
                "upgrade_not_allowed",
                "The connection may not change its protocol.",
            ),
            Self::AuthorityMismatch => (
                403,
                "authority_mismatch",
                "The request names another authority than its tunnel.",
            ),
            Self::InferenceRequiresHttps => (
                403,
                "inference_requires_https",
                "inference.local is served over TLS only.",
            ),
            Self::InferenceRequestNotRecognised => (
                403,
                "inference_request_not_recognised",
                "The method and path are not an inference request.",
            ),
            Self::InferenceBinaryDenied => (
                403,
                "inference_binary_denied",
                "The calling program may not use inference.local.",
            ),
            Self::ModelNotAllowed => (
                403,
                "model_not_allowed",
                "The policy does not allow the model that would be used.",
            ),
            Self::RequestTimeout => (
                408,
                "request_timeout",
                "The request was not complete in time.",
            ),
            Self::RequestTooLarge => (413, "request_too_large", "The body is larger than allowed."),
            Self::TargetTooLong => (
                414,
                "target_too_long",
                "The request target is longer than allowed.",
            ),
            Self::HeaderTooLarge => (
                431,
                "header_too_large",
                "The head of the request is larger than allowed.",
            ),
            Self::UnsupportedContentEncoding => (
                415,
                "unsupported_content_encoding",
                "The body has a content coding.",
            ),
            Self::ExpectationFailed => (
                417,
                "expectation_failed",
                "Only 100-continue can be expected.",
            ),
            Self::UnsupportedHttpVersion => (
                505,
                "unsupported_http_version",
                "Only HTTP/1.1 and HTTP/1.0 are spoken.",
            ),
            Self::RateLimited => (429, "rate_limited", "Too many requests in this minute."),
            Self::TokenBudgetExceeded => {
                (429, "token_budget_exceeded", "The token budget is used up.")
            }
            Self::TooManyConcurrent => (429, "too_many_concurrent", "Too many requests at once."),
            Self::DnsFailure => (502, "dns_failure", "The name has no address."),
            Self::UpstreamUnreachable => (
                502,
                "upstream_unreachable",
                "The upstream could not be reached.",
            ),
            Self::UpstreamTlsFailed => (
                502,
                "upstream_tls_failed",
                "The TLS session with the upstream failed.",
            ),
            Self::UpstreamProtocolError => (
                502,
                "upstream_protocol_error",
                "The upstream closed the connection or sent a malformed answer.",
            ),
            Self::InferenceNotConfigured => (
                503,
                "inference_not_configured",
                "No inference route is configured.",
            ),
            Self::InferenceNotReady => (
                503,
                "inference_not_ready",
                "The inference routes are not loaded yet.",
            ),
            Self::ProviderMissing => (
                503,
                "provider_missing",
                "The provider of the route does not exist any more.",
            ),
            Self::RouteBroken => (503, "route_broken", "The route cannot be used."),
            Self::RouteStale => (
                503,
                "route_stale",
                "The route was not confirmed for too long.",
            ),
            Self::UpstreamUnavailable => (
                503,
                "upstream_unavailable",
                "The inference backend could not be reached.",
            ),
            Self::TlsUnavailable => (
                503,
                "tls_unavailable",
                "TLS cannot be terminated because there is no certificate authority.",
            ),
            Self::CapacityExceeded => (
                503,
                "capacity_exceeded",
                "A limit of this sandbox is reached.",
            ),
            Self::DnsTimeout => (504, "dns_timeout", "The name was not resolved in time."),
            Self::ConnectTimeout => (
                504,
                "connect_timeout",
                "The upstream was not connected in time.",
            ),
            Self::ResponseTimeout => (
                504,
                "response_timeout",
                "The upstream did not answer in time.",
            ),
        }
    }
}
