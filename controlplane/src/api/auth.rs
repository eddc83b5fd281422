//! Who may call what: one table, and whatever is not in it is refused (RPC-2, RPC-4, TR-107).
//!
//! Apart from the services because a question of rights must be answerable in one place. The server asks `admit` for every
//! request by its path, before a byte of the message is read; what a host may name beyond that, the services ask of the
//! [`Caller`].
//!
//! Invariant: every method of every service that is served has a line here; a test holds the table against the descriptors.

use std::fmt;

use proto::v1;
use tonic::{Request, Status};

/// What a caller may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Changes everything; reads no secret.
    Admin,
    /// Reads what an admin reads.
    Viewer,
    /// A data plane: reads what its own sandboxes use, secrets included.
    Host,
}

/// Who is at the other end of a connection, as its certificate or the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Root or the gateway's own user, over the Unix socket: admin, and host under any name.
    Local,
    /// A certificate of role admin.
    Admin,
    /// A certificate of role viewer.
    Viewer,
    /// A certificate of a host.
    Host(HostId),
    /// A peer without a role: another user at the Unix socket, or a certificate that names none, or more than one.
    Stranger,
}

/// What a host is enrolled as: 1 to 128 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(String);

impl HostId {
    /// Reads one.
    ///
    /// # Errors
    /// It is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<HostId, BadHostId> {
        let fits = (1..=HOST_ID_BYTES_MAX).contains(&text.len());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if fits && text.bytes().all(plain) {
            Ok(HostId(text.to_owned()))
        } else {
            Err(BadHostId)
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no host id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHostId;

impl fmt::Display for BadHostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host id is 1 to 128 characters of A-Z, a-z, 0-9, `.`, `_` and `-`")
    }
}

impl std::error::Error for BadHostId {}

impl Caller {
    /// Who sent a request. One that did not come through the server is a stranger's.
    pub fn of<T>(request: &Request<T>) -> Caller {
        let caller = request.extensions().get::<Caller>();
        caller.cloned().unwrap_or(Caller::Stranger)
    }

    fn has(&self, role: Role) -> bool {
        match self {
            Caller::Local => matches!(role, Role::Admin | Role::Host),
            Caller::Admin => role == Role::Admin,
            Caller::Viewer => role == Role::Viewer,
            Caller::Host(_) => role == Role::Host,
            Caller::Stranger => false,
        }
    }

    /// Whether this caller is the data plane `host_id`: `ID` itself, or `ID/anything` for one of its launchers.
    pub fn speaks_for(&self, host_id: &str) -> bool {
        match self {
            Caller::Local => true,
            Caller::Host(own) => host_id
                .strip_prefix(own.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Caller::Admin | Caller::Viewer | Caller::Stranger => false,
        }
    }

    /// Whether what belongs to a sandbox is this caller's to read and to report: always for people, for a host when
    /// the sandbox is bound to it.
    pub fn reaches(&self, sandbox: &v1::Sandbox) -> bool {
        match self {
            Caller::Local | Caller::Admin | Caller::Viewer => true,
            Caller::Host(_) => {
                let host_id = host_of(sandbox);
                !host_id.is_empty() && self.speaks_for(host_id)
            }
            Caller::Stranger => false,
        }
    }
}

/// The data plane a sandbox is bound to; empty for none.
pub fn host_of(sandbox: &v1::Sandbox) -> &str {
    let status = sandbox.status.as_ref();
    status.map_or("", |status| status.host_id.as_str())
}

/// Whether a caller may call the method of a path. Says no to every path that is not in the table.
///
/// # Errors
/// PERMISSION_DENIED.
pub fn admit(caller: &Caller, path: &str) -> Result<(), Status> {
    let admitted = TABLE.iter().find(|(method, _)| *method == path);
    match admitted {
        Some((_, roles)) if roles.iter().any(|role| caller.has(*role)) => Ok(()),
        Some(_) | None if *caller == Caller::Stranger => Err(Status::permission_denied(
            "this connection has no role: use the gateway's own user, outside of every sandbox and container that the gateway is not in, or a client certificate of one role",
        )),
        Some((method, roles)) => Err(Status::permission_denied(format!(
            "{method} is for {}",
            names(roles)
        ))),
        None => Err(Status::permission_denied("nobody may call this method")),
    }
}

fn names(roles: &[Role]) -> String {
    let names: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            Role::Admin => "admin",
            Role::Viewer => "viewer",
            Role::Host => "host",
        })
        .collect();
    names.join(", ")
}

const HOST_ID_BYTES_MAX: usize = 128;

const A: &[Role] = &[Role::Admin];
const AH: &[Role] = &[Role::Admin, Role::Host];
const AV: &[Role] = &[Role::Admin, Role::Viewer];
const AVH: &[Role] = &[Role::Admin, Role::Viewer, Role::Host];
const H: &[Role] = &[Role::Host];

/// Column Who of RPC-4.
pub(crate) const TABLE: &[(&str, &[Role])] = &[
    ("/ringfence.inference.v1.Inference/GetInferenceBundle", H),
    ("/ringfence.inference.v1.Inference/SetClusterInference", A),
    ("/ringfence.inference.v1.Inference/GetClusterInference", AV),
    ("/ringfence.inference.v1.Inference/UnsetClusterInference", A),
    ("/ringfence.v1.Ringfence/Health", AVH),
    ("/ringfence.v1.Ringfence/GetClusterStatus", AV),
    ("/ringfence.v1.Ringfence/CreateSandbox", A),
    ("/ringfence.v1.Ringfence/GetSandbox", AV),
    ("/ringfence.v1.Ringfence/DeleteSandbox", A),
    ("/ringfence.v1.Ringfence/ListSandboxes", AV),
    ("/ringfence.v1.Ringfence/GetSandboxPolicy", AVH),
    ("/ringfence.v1.Ringfence/UpdateSandboxPolicy", AH),
    ("/ringfence.v1.Ringfence/GetSandboxPolicyStatus", AV),
    ("/ringfence.v1.Ringfence/ListSandboxPolicies", AV),
    ("/ringfence.v1.Ringfence/ReportPolicyStatus", H),
    ("/ringfence.v1.Ringfence/GetSandboxLogs", AV),
    ("/ringfence.v1.Ringfence/GetSandboxProviderEnvironment", H),
    ("/ringfence.v1.Ringfence/CreateProvider", A),
    ("/ringfence.v1.Ringfence/UpdateProvider", A),
    ("/ringfence.v1.Ringfence/GetProvider", AV),
    ("/ringfence.v1.Ringfence/ListProviders", AV),
    ("/ringfence.v1.Ringfence/DeleteProvider", A),
    ("/ringfence.v1.Ringfence/TestProvider", A),
    ("/ringfence.v1.DataPlane/Subscribe", H),
    ("/ringfence.v1.DataPlane/Report", H),
    ("/grpc.health.v1.Health/Check", AVH),
    ("/grpc.health.v1.Health/Watch", AVH),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        AVH,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        AVH,
    ),
];

#[cfg(test)]
mod tests;
