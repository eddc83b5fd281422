//! Objects ⇄ rows. The payload of a row is the message (STO-2); what a row has in a column is not looked for in it.

use std::fmt;
use std::sync::Arc;

use prost::Message;
use proto::inference::{ClusterInferenceConfig, InferenceRoute};
use proto::v1;

use super::{Change, Provider, Revision, Route, Sealed, State};
use crate::store::{ObjectRow, ObjectType, RevisionRow, Rows, TombstoneRow, Write};

/// A row that cannot be understood: written by a newer version, or damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRow {
    /// Type and name.
    pub row: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for UnreadableRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the row of {} cannot be read: {}", self.row, self.why)
    }
}

impl std::error::Error for UnreadableRow {}

impl State {
    /// What rows say.
    ///
    /// # Errors
    /// The first row that cannot be understood.
    pub fn of(rows: &Rows) -> Result<State, UnreadableRow> {
        let mut state = State {
            generation: rows.generation,
            ..State::default()
        };
        for row in &rows.objects {
            state.apply(&object(row)?);
        }
        for row in &rows.revisions {
            state.put_revision(Arc::new(revision(row)?));
        }
        for row in &rows.tombstones {
            state.tombstones.insert(row.name.clone());
        }
        if let Some(version) = rows.meta.get(ROUTE_VERSION) {
            state.route_version = version.parse().map_err(|_| UnreadableRow {
                row: format!("meta `{ROUTE_VERSION}`"),
                why: "it is no number".to_owned(),
            })?;
        }
        Ok(state)
    }
}

fn object(row: &ObjectRow) -> Result<Change, UnreadableRow> {
    let unreadable = |error: prost::DecodeError| UnreadableRow {
        row: format!("{} `{}`", row.object_type.as_str(), row.name),
        why: error.to_string(),
    };
    let payload = row.payload.as_slice();
    Ok(match row.object_type {
        ObjectType::Provider => {
            let message = v1::Provider::decode(payload).map_err(unreadable)?;
            Change::PutProvider(Arc::new(provider(row, message)))
        }
        ObjectType::InferenceRoute => {
            let message = InferenceRoute::decode(payload).map_err(unreadable)?;
            let config = message.config.unwrap_or_default();
            Change::PutRoute(Arc::new(Route {
                provider_name: config.provider_name,
                model_id: config.model_id,
                deadlines: config.deadlines.unwrap_or_default(),
                version: message.version,
            }))
        }
        ObjectType::Sandbox => {
            let message = v1::Sandbox::decode(payload).map_err(unreadable)?;
            Change::PutSandbox(Arc::new(message))
        }
    })
}

fn provider(row: &ObjectRow, message: v1::Provider) -> Provider {
    let sealed = message.credentials.into_iter();
    Provider {
        id: message.id,
        name: message.name,
        kind: message.r#type,
        credentials: sealed.map(|(key, value)| (key, Sealed(value))).collect(),
        config: message.config,
        allow_private_endpoint: message.allow_private_endpoint.unwrap_or_default(),
        created_at_ms: row.created_at_ms,
    }
}

fn revision(row: &RevisionRow) -> Result<Revision, UnreadableRow> {
    let policy = v1::SandboxPolicy::decode(row.policy_payload.as_slice());
    let policy = policy.map_err(|error| UnreadableRow {
        row: format!("policy {} of sandbox {}", row.version, row.sandbox_id),
        why: error.to_string(),
    })?;
    Ok(Revision {
        sandbox_id: row.sandbox_id.clone(),
        version: row.version,
        policy: Arc::new(policy),
        hash: row.policy_hash.clone(),
        status: v1::PolicyStatus::try_from(row.status).unwrap_or_default(),
        load_error: row.load_error.clone(),
        created_at_ms: row.created_at_ms,
        loaded_at_ms: row.loaded_at_ms,
    })
}

impl Change {
    /// The steps of a commit.
    pub(crate) fn writes(&self, now_ms: i64) -> Vec<Write> {
        match self {
            Change::PutProvider(provider) => vec![Write::PutObject(provider_row(provider, now_ms))],
            Change::RemoveProvider(provider) => vec![Write::RemoveObject {
                object_type: ObjectType::Provider,
                id: provider.id.clone(),
            }],
            Change::PutTombstone(name) => vec![Write::PutTombstone(TombstoneRow {
                object_type: ObjectType::Provider,
                name: name.clone(),
                created_at_ms: now_ms,
            })],
            Change::LiftTombstone(name) => vec![Write::RemoveTombstone {
                object_type: ObjectType::Provider,
                name: name.clone(),
            }],
            Change::PutRoute(route) => vec![
                Write::PutObject(route_row(route, now_ms)),
                Write::PutMeta {
                    key: ROUTE_VERSION.to_owned(),
                    value: route.version.to_string(),
                },
            ],
            Change::RemoveRoute => vec![Write::RemoveObject {
                object_type: ObjectType::InferenceRoute,
                id: ROUTE_ID.to_owned(),
            }],
            Change::PutSandbox(sandbox) => vec![Write::PutObject(ObjectRow {
                object_type: ObjectType::Sandbox,
                id: sandbox.id.clone(),
                name: sandbox.name.clone(),
                payload: sandbox.encode_to_vec(),
                created_at_ms: sandbox.created_at_ms,
                updated_at_ms: now_ms,
            })],
            Change::RemoveSandbox(sandbox) => vec![Write::RemoveObject {
                object_type: ObjectType::Sandbox,
                id: sandbox.id.clone(),
            }],
            Change::PutRevision(revision) => vec![Write::PutRevision(revision_row(revision))],
            Change::RemoveRevision {
                sandbox_id,
                version,
            } => vec![Write::RemoveRevision {
                sandbox_id: sandbox_id.clone(),
                version: *version,
            }],
            Change::AdvanceTo(generation) => vec![Write::AdvanceTo(*generation)],
        }
    }
}

fn provider_row(provider: &Provider, now_ms: i64) -> ObjectRow {
    let sealed = provider.credentials.iter();
    let message = v1::Provider {
        id: provider.id.clone(),
        name: provider.name.clone(),
        r#type: provider.kind.clone(),
        credentials: sealed
            .map(|(key, Sealed(value))| (key.clone(), value.clone()))
            .collect(),
        config: provider.config.clone(),
        allow_private_endpoint: Some(provider.allow_private_endpoint),
    };
    ObjectRow {
        object_type: ObjectType::Provider,
        id: provider.id.clone(),
        name: provider.name.clone(),
        payload: message.encode_to_vec(),
        created_at_ms: provider.created_at_ms,
        updated_at_ms: now_ms,
    }
}

fn route_row(route: &Route, now_ms: i64) -> ObjectRow {
    let message = InferenceRoute {
        id: ROUTE_ID.to_owned(),
        config: Some(ClusterInferenceConfig {
            provider_name: route.provider_name.clone(),
            model_id: route.model_id.clone(),
            deadlines: Some(route.deadlines),
        }),
        name: ROUTE_NAME.to_owned(),
        version: route.version,
    };
    ObjectRow {
        object_type: ObjectType::InferenceRoute,
        id: ROUTE_ID.to_owned(),
        name: ROUTE_NAME.to_owned(),
        payload: message.encode_to_vec(),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
    }
}

fn revision_row(revision: &Revision) -> RevisionRow {
    RevisionRow {
        sandbox_id: revision.sandbox_id.clone(),
        version: revision.version,
        policy_payload: revision.policy.encode_to_vec(),
        policy_hash: revision.hash.clone(),
        status: revision.status.into(),
        load_error: revision.load_error.clone(),
        created_at_ms: revision.created_at_ms,
        loaded_at_ms: revision.loaded_at_ms,
    }
}

/// The one route's id.
const ROUTE_ID: &str = "route-inference.local";

/// The one route's name.
const ROUTE_NAME: &str = "inference.local";

/// Where the version of the route is counted on after an unset.
const ROUTE_VERSION: &str = "route_version";
