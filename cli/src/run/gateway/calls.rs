//! What a run asks of a gateway, call by call, each made to its end.
//!
//! Apart from `clerk`, which asks beside the command. This is the only file of `run` that is asynchronous; each call has a
//! runtime of its own, which takes its connection along: an idle one would hold up a gateway that ends. Invariants: every
//! call has a deadline; whether a call may be made again is told by the kind of its error, and
//! no error holds a credential.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use link::channel::{self, ChannelError, Peer};
use proto::v1::ringfence_client::RingfenceClient;
use proto::v1::{
    CreateSandboxRequest, DeleteSandboxRequest, GetSandboxPolicyRequest,
    GetSandboxProviderEnvironmentRequest, GetSandboxRequest, Sandbox, SandboxPolicy, SandboxSpec,
    UpdateSandboxPolicyRequest,
};
use tokio::runtime::Builder;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::place::Place;
use crate::client::MESSAGE_BYTES_MAX;
use crate::print;
use crate::run::Stop;

/// A gateway that is asked.
pub(super) struct Calls {
    operator: Peer,
    host: Peer,
}

/// The record a run wants to have.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Whether it outlives the run (CLI-1a).
    pub(super) stays: bool,
    /// Version 1, where the record has none (POL-10).
    pub(super) policy: SandboxPolicy,
    pub(super) providers: Vec<String>,
}

/// A record.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) id: String,
    /// The policy that is served; none of a record whose versions all failed.
    pub(super) policy: Option<SandboxPolicy>,
}

/// Why a gateway did not do it.
#[derive(Debug)]
pub(super) enum CallError {
    /// It does not answer; later it may.
    Away(String),
    /// It does not want to, or it cannot be asked like this.
    Refused(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Away(why) | CallError::Refused(why) => f.write_str(why),
        }
    }
}

impl CallError {
    pub(super) fn stop(&self, place: &Place) -> Stop {
        let address = &place.operator.address;
        Stop::own(match self {
            CallError::Away(why) => format!("the gateway at {address} does not answer: {why}"),
            CallError::Refused(why) => format!("the gateway at {address} refused: {why}"),
        })
    }
}

impl From<ChannelError> for CallError {
    fn from(error: ChannelError) -> CallError {
        let why = error.to_string();
        match error {
            ChannelError::NobodyListens(_) | ChannelError::Unreachable(_) => CallError::Away(why),
            ChannelError::Certificates { .. } | ChannelError::NoCertificates => {
                CallError::Refused(why)
            }
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> CallError {
        let why = match status.message() {
            "" => status.code().to_string(),
            words => printable(words),
        };
        match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Aborted
            | Code::ResourceExhausted => CallError::Away(why),
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => CallError::Refused(why),
        }
    }
}

/// A gateway's words on a terminal, line by line.
fn printable(text: &str) -> String {
    let lines = text.split('\n').map(print::printable);
    lines.collect::<Vec<_>>().join("\n")
}

impl Calls {
    pub(super) fn new(place: &Place) -> Calls {
        Calls {
            operator: place.operator.clone(),
            host: place.host.clone(),
        }
    }

    /// Finds the record, or makes it, and sees to it that it has a policy.
    pub(super) fn claim(&self, wanted: &Wanted) -> Result<Claimed, CallError> {
        self.finish(async {
            let mut client = client(&self.operator).await?;
            let record = record(&mut client, wanted).await?;
            if record.current_policy_version == 0 {
                let update = UpdateSandboxPolicyRequest {
                    name: wanted.name.clone(),
                    policy: Some(wanted.policy.clone()),
                    completes: false,
                };
                client.update_sandbox_policy(update).await?;
            }
            let served = GetSandboxPolicyRequest {
                sandbox_id: record.id.clone(),
            };
            let served = client.get_sandbox_policy(served).await?.into_inner();
            Ok(Claimed {
                id: record.id,
                policy: served.policy.filter(|_| served.version > 0),
            })
        })
    }

    /// What the attached providers supply, in the gateway's order of keys (PRV-10). Asked as a host.
    pub(super) fn environment(
        &self,
        sandbox_id: &str,
    ) -> Result<Vec<(OsString, OsString)>, CallError> {
        let request = GetSandboxProviderEnvironmentRequest {
            sandbox_id: sandbox_id.to_owned(),
        };
        let answer = self.finish(async {
            let mut client = client(&self.host).await?;
            let answer = client.get_sandbox_provider_environment(request).await?;
            Ok(answer.into_inner())
        })?;
        let variables = answer.environment.into_iter();
        // A value with a NUL cannot be a variable (PRV-4 is checked where it is used).
        let variables = variables.filter(|(_, value)| !value.contains(['\0', '\r', '\n']));
        Ok(variables
            .map(|(name, value)| (name.into(), value.into()))
            .collect())
    }

    /// Stores a completed policy as a new version (BAS-3). Asked as a host: it only adds.
    pub(super) fn write_back(&self, name: &str, policy: SandboxPolicy) -> Result<(), CallError> {
        let request = UpdateSandboxPolicyRequest {
            name: name.to_owned(),
            policy: Some(policy),
            completes: true,
        };
        self.finish(async {
            let mut client = client(&self.host).await?;
            client.update_sandbox_policy(request).await?;
            Ok(())
        })
    }

    /// Deletes the record.
    pub(super) fn delete(&self, name: &str) -> Result<(), CallError> {
        let request = DeleteSandboxRequest {
            name: name.to_owned(),
        };
        self.finish(async {
            let mut client = client(&self.operator).await?;
            client.delete_sandbox(request).await?;
            Ok(())
        })
    }

    fn finish<T>(
        &self,
        asking: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| CallError::Refused(error.to_string()))?;
        let within = async { tokio::time::timeout(CALL_TIME, asking).await };
        runtime
            .block_on(within)
            .unwrap_or_else(|_| Err(CallError::Away("it did not answer in time".to_owned())))
    }
}

async fn client(peer: &Peer) -> Result<RingfenceClient<Channel>, CallError> {
    let client = RingfenceClient::new(channel::open(peer).await?);
    Ok(client.max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// The record of that name. Two runs of one name at once make one record.
async fn record(
    client: &mut RingfenceClient<Channel>,
    wanted: &Wanted,
) -> Result<Sandbox, CallError> {
    let found = |client: &mut RingfenceClient<Channel>| {
        let mut client = client.clone();
        let name = wanted.name.clone();
        async move { client.get_sandbox(GetSandboxRequest { name }).await }
    };
    let incomplete = || CallError::Refused("the answer has no sandbox".to_owned());
    if wanted.stays {
        match found(client).await {
            Ok(answer) => {
                return with_providers(answer.into_inner().sandbox.ok_or_else(incomplete)?, wanted);
            }
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(status.into()),
        }
    }
    let create = CreateSandboxRequest {
        name: wanted.name.clone(),
        spec: Some(SandboxSpec {
            policy: Some(wanted.policy.clone()),
            providers: wanted.providers.clone(),
            ..SandboxSpec::default()
        }),
    };
    let answer = match client.create_sandbox(create).await {
        // Somebody was faster; or, where the name was made up, it was this run, and the answer was lost.
        Err(status) if status.code() == Code::AlreadyExists => found(client).await?,
        other => other?,
    };
    with_providers(answer.into_inner().sandbox.ok_or_else(incomplete)?, wanted)
}

/// A record is used as it is: providers that it lacks are not what was asked for.
fn with_providers(record: Sandbox, wanted: &Wanted) -> Result<Sandbox, CallError> {
    let attached = record.spec.as_ref().map(|spec| &*spec.providers);
    let attached = attached.unwrap_or_default();
    let missing = wanted
        .providers
        .iter()
        .find(|name| !attached.contains(name));
    match missing {
        None => Ok(record),
        Some(missing) => Err(CallError::Refused(format!(
            "the sandbox {name} exists without the provider {missing}; delete it with `ringfence sandbox delete {name}`, or leave --provider out",
            name = wanted.name
        ))),
    }
}

/// To the end of one call, its connection included.
const CALL_TIME: Duration = Duration::from_secs(10);
