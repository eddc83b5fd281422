//! Every bound of the data plane, with its unit, default and reason.
//!
//! Limits are values handed in at the start, never constants looked up on the way, so a test runs the
//! same code with smaller numbers. Hitting a bound is an answer (a refusal of `wire::refusal`) or
//! back-pressure; nothing here may be exceeded "for a moment".

use std::time::Duration;

use wire::HeadLimits;

/// The bounds of one data plane. `Default` holds the values of the reference (LIM).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of a request head, its fields and its target.
    pub head: HeadLimits,
    /// Time for a request head to be complete, counted from its first byte (or from accept).
    pub head_time: Duration,
    /// Time for a TLS handshake, on either side.
    pub handshake_time: Duration,
    /// Time a kept-alive client connection may wait for its next request.
    pub keep_alive_time: Duration,
    /// Silence allowed inside a request body.
    pub body_idle_time: Duration,
    /// Silence allowed in a raw tunnel, both directions together.
    pub tunnel_idle_time: Duration,
    /// Time for an upstream's response head on the forward path, from the last byte sent.
    pub forward_header_time: Duration,
    /// Silence allowed inside an upstream's response body on the forward path.
    pub forward_idle_time: Duration,
    /// Heads of one answer, interim ones included: an upstream that sends them without end answers nothing.
    pub answer_heads_max: u32,
    /// Resolving and connecting together (DST-9).
    pub dial_time: Duration,
    /// Time for the identity of a caller to be established.
    pub identify_time: Duration,
    /// How long a caller that was seen at its connect(2) waits for its connection to be accepted (TR-046).
    pub caller_filed_time: Duration,
    /// Callers of one sandbox that may wait so: the connections that may wait to be accepted on both listeners.
    pub callers_filed_per_sandbox_max: usize,
    /// After a refusal, how long unread request bytes are drained (ERR-3).
    pub drain_time: Duration,
    /// After a refusal, how many unread request bytes are drained (ERR-3).
    pub drain_bytes_max: usize,
    /// Size of an inference request body.
    pub inference_body_bytes_max: u64,
    /// Open client connections of one sandbox.
    pub connections_per_sandbox_max: u32,
    /// Inference requests of one sandbox between head and end of the answer.
    pub inference_in_flight_per_sandbox_max: u32,
    /// Request bodies held in memory for one sandbox.
    pub buffered_bytes_per_sandbox_max: u64,
    /// Smallest read buffer; what a chat connection uses.
    pub buffer_bytes_min: usize,
    /// Largest read buffer; what a bulk flow grows to.
    pub buffer_bytes_max: usize,
    /// Free buffers a worker keeps for reuse, in bytes.
    pub buffers_kept_bytes_max: usize,
    /// Full reads in a row after which a tunnel direction moves to splice.
    pub splice_after_full_reads: u32,
    /// Idle upstream connections kept for one pool key.
    pub pool_idle_per_key_max: usize,
    /// Idle upstream connections kept by a worker.
    pub pool_idle_max: usize,
    /// How long an idle upstream connection is kept.
    pub pool_idle_time: Duration,
    /// Idle upstream connections of inspected tunnels kept for one sandbox, authority and form.
    pub inspected_idle_per_key_max: usize,
    /// Idle upstream connections of inspected tunnels kept by a worker.
    pub inspected_idle_max: usize,
    /// Leaf certificates kept by the data plane, its workers together (TLS-3).
    pub leaves_max: usize,
    /// Delay between two dial attempts of one connection (RFC 8305 §5).
    pub dial_stagger: Duration,
    /// Processor time of one evaluation of an operator's own rules (RGO-6).
    pub rules_cpu_time: Duration,
    /// The same by the clock, for a host whose processors are all taken: an evaluation that waits for one is not the
    /// fault of its rules, and is not waited for without end either.
    pub rules_wall_time: Duration,
    /// Memory of one evaluation, beyond what the prepared rules and their data take.
    pub rules_memory_bytes_max: u64,
    /// Time to read and prepare an operator's own rules, at the start and on a change.
    pub rules_ready_time: Duration,
    /// Questions of one sandbox that wait for its rules: at the bound on one evaluation, 64 ms of them.
    pub rules_queue_max: usize,
    /// Answers of one sandbox's rules that a worker keeps: some thousands.
    pub rules_cache_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: HeadLimits::default(),
            head_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(10),
            keep_alive_time: Duration::from_secs(60),
            body_idle_time: Duration::from_secs(60),
            tunnel_idle_time: Duration::from_secs(3600),
            forward_header_time: Duration::from_secs(300),
            forward_idle_time: Duration::from_secs(300),
            answer_heads_max: 128,
            dial_time: Duration::from_secs(10),
            identify_time: Duration::from_secs(10),
            caller_filed_time: Duration::from_secs(10),
            callers_filed_per_sandbox_max: 2048,
            drain_time: Duration::from_secs(1),
            drain_bytes_max: 64 * 1024,
            inference_body_bytes_max: 32 * 1024 * 1024,
            connections_per_sandbox_max: 1024,
            inference_in_flight_per_sandbox_max: 256,
            buffered_bytes_per_sandbox_max: 128 * 1024 * 1024,
            buffer_bytes_min: 4 * 1024,
            buffer_bytes_max: 256 * 1024,
            buffers_kept_bytes_max: 16 * 1024 * 1024,
            splice_after_full_reads: 8,
            pool_idle_per_key_max: 64,
            pool_idle_max: 1024,
            pool_idle_time: Duration::from_secs(60),
            inspected_idle_per_key_max: 8,
            inspected_idle_max: 512,
            leaves_max: 1024,
            dial_stagger: Duration::from_millis(250),
            rules_cpu_time: Duration::from_millis(1),
            rules_wall_time: Duration::from_secs(1),
            rules_memory_bytes_max: 32 * 1024 * 1024,
            rules_ready_time: Duration::from_secs(5),
            rules_queue_max: 64,
            rules_cache_bytes_max: 8 * 1024 * 1024,
        }
    }
}
