//! What is measured: a table.

use serde::{Deserialize, Serialize};

use crate::chat::{Answer, Backend, Chat, Keep};

/// One line of the suite.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// In words, for people.
    pub(crate) question: &'static str,
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Tunnels of the same program that are open and silent meanwhile.
    pub(crate) idle: usize,
    /// Other processes beside the load, and half as many of its open files.
    pub(crate) crowd: usize,
    pub(crate) ways: &'static [Way],
    /// Which figure is compared.
    pub(crate) figure: Figure,
}

/// What the load does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Kind {
    SetUp,
    /// A set-up by a process that is made for it.
    Fresh,
    Pull,
    PingPong,
    Chat(Chat),
}

/// How the load reaches the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    /// A relay that reads and writes.
    RelayCopy,
    /// A relay that splices.
    RelaySplice,
    Gate,
    /// The same, where connect(2) is not observed (IDN-3).
    GateUnseen,
}

/// What a line is compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Operations per CPU-second.
    PerCpu,
    /// GB per CPU-second.
    Gigabytes,
    /// Median time of an operation.
    Median,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::RelayCopy => "relay, copy",
            Way::RelaySplice => "relay, splice",
            Way::Gate => "ringfence",
            Way::GateUnseen => "the fallback",
        }
    }
}

const ALL: &[Way] = &[Way::Direct, Way::RelayCopy, Way::RelaySplice, Way::Gate];
const COPY: &[Way] = &[Way::Direct, Way::RelayCopy, Way::Gate];
const TLS: &[Way] = &[Way::Direct, Way::Gate];
const GATE: &[Way] = &[Way::Gate];
const BOTH: &[Way] = &[Way::Gate, Way::GateUnseen];

const fn chat(answer: Answer, keep: Keep, backend: Backend) -> Kind {
    Kind::Chat(Chat {
        answer,
        keep,
        backend,
    })
}

const fn scenario(
    name: &'static str,
    question: &'static str,
    kind: Kind,
    connections: usize,
    ways: &'static [Way],
    figure: Figure,
) -> Scenario {
    Scenario {
        name,
        question,
        kind,
        connections,
        idle: 0,
        crowd: 0,
        ways,
        figure,
    }
}

/// A sandbox may have 1,024 connections.
const IDLE: usize = 900;

/// SECURITY 29, TR-050.
const CROWD: usize = 5_000;

const FLAT_OUT: Answer = Answer::Events {
    count: 500,
    gap_ms: 0,
};
const PACED: Answer = Answer::Events {
    count: 200,
    gap_ms: 10,
};

/// The suite.
pub(crate) const SUITE: &[Scenario] = &[
    scenario(
        "S2",
        "CONNECT set-ups a second, 32 at once",
        Kind::SetUp,
        32,
        COPY,
        Figure::PerCpu,
    ),
    Scenario {
        idle: IDLE,
        ..scenario(
            "S2i",
            "the same with 900 idle tunnels of the same program",
            Kind::SetUp,
            32,
            COPY,
            Figure::PerCpu,
        )
    },
    scenario(
        "S2c1",
        "time of a CONNECT set-up, one at a time",
        Kind::SetUp,
        1,
        COPY,
        Figure::Median,
    ),
    scenario(
        "ID",
        "who calls, one set-up at a time, of a process that is known",
        Kind::SetUp,
        1,
        BOTH,
        Figure::PerCpu,
    ),
    Scenario {
        crowd: CROWD,
        ..scenario(
            "IDcrowd",
            "the same beside 5,000 processes and with 10,000 descriptors",
            Kind::SetUp,
            1,
            BOTH,
            Figure::PerCpu,
        )
    },
    scenario(
        "IDcold",
        "the same of a process that is new each time",
        Kind::Fresh,
        1,
        BOTH,
        Figure::PerCpu,
    ),
    scenario(
        "S3-1",
        "bulk through 1 tunnel",
        Kind::Pull,
        1,
        ALL,
        Figure::Gigabytes,
    ),
    scenario(
        "S3-64",
        "bulk through 64 tunnels",
        Kind::Pull,
        64,
        ALL,
        Figure::Gigabytes,
    ),
    scenario(
        "ping",
        "64-byte round trips through 64 tunnels",
        Kind::PingPong,
        64,
        COPY,
        Figure::PerCpu,
    ),
    scenario(
        "S6",
        "unary chat requests, 32 connections, plain backend",
        chat(Answer::Whole, Keep::Open, Backend::Plain),
        32,
        TLS,
        Figure::PerCpu,
    ),
    scenario(
        "S6tls",
        "the same with a backend in TLS",
        chat(Answer::Whole, Keep::Open, Backend::Tls),
        32,
        GATE,
        Figure::PerCpu,
    ),
    scenario(
        "S6c1",
        "time of a unary chat request, one at a time",
        chat(Answer::Whole, Keep::Open, Backend::Plain),
        1,
        TLS,
        Figure::Median,
    ),
    scenario(
        "S7",
        "SSE events flat out, 16 streams of 500",
        chat(FLAT_OUT, Keep::Open, Backend::Plain),
        16,
        TLS,
        Figure::PerCpu,
    ),
    scenario(
        "S7p",
        "delay of an SSE event, 32 streams of one every 10 ms",
        chat(PACED, Keep::Open, Backend::Plain),
        32,
        TLS,
        Figure::Median,
    ),
    scenario(
        "S8",
        "full handshake and one chat request, 16 at once",
        chat(Answer::Whole, Keep::Once, Backend::Plain),
        16,
        TLS,
        Figure::PerCpu,
    ),
    scenario(
        "S8r",
        "the same with a resumed session",
        chat(Answer::Whole, Keep::OnceResumed, Backend::Plain),
        16,
        TLS,
        Figure::PerCpu,
    ),
];
