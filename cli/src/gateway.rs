//! `ringfence gateway`: the control plane, as a process (CLI-21).
//!
//! Apart from `controlplane`, which is it: here flags become its settings, signals its end, and its errors exit codes.

mod plane;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::args::{Enroll, GatewayArgs, GatewayVerb, NvidiaDefault, Place, RotateKey};
use crate::print::{self, Ending, Stop};
use crate::process;
use crate::settings::Settings;

/// Serves, or does one of its verbs.
pub(crate) fn gateway(args: GatewayArgs, settings: &Settings) -> Ending {
    process::hide().map_err(Stop::failed)?;
    process::raise_descriptor_limit();
    match args.verb {
        None => plane::serve(plan(args, settings)?)?,
        Some(GatewayVerb::Enroll(args)) => enroll(args, settings)?,
        Some(GatewayVerb::RotateKey(args)) => rotate_key(args, settings)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a gateway is to be, before it is one.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    store: Store,
    listen: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    nvidia_default: NvidiaDefault,
    nvidia_default_model: Option<String>,
}

/// Where a gateway keeps what it knows.
#[derive(PartialEq, Eq)]
struct Store {
    state_dir: PathBuf,
    /// It may hold a password.
    db: Option<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Store");
        shown
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}

fn plan(args: GatewayArgs, settings: &Settings) -> Result<Plan, Stop> {
    Ok(Plan {
        store: store(args.place, settings)?,
        listen: args.listen,
        tls_cert: args.tls_cert,
        tls_key: args.tls_key,
        client_ca: args.client_ca,
        nvidia_default: args.nvidia_default,
        nvidia_default_model: args.nvidia_default_model,
    })
}

fn store(place: Place, settings: &Settings) -> Result<Store, Stop> {
    Ok(Store {
        state_dir: state_dir(place.state_dir, settings)?,
        db: place.db,
    })
}

fn enroll(args: Enroll, settings: &Settings) -> Result<(), Stop> {
    let state_dir = state_dir(args.state_dir, settings)?;
    plane::enroll(&state_dir, &args.host_id, &args.out)?;
    print::message(format_args!(
        "{}: ca.crt, tls.crt and tls.key of {}; take them to the host",
        args.out.display(),
        args.host_id
    ));
    Ok(())
}

fn rotate_key(args: RotateKey, settings: &Settings) -> Result<(), Stop> {
    plane::rotate_key(store(args.place, settings)?)
}

fn state_dir(typed: Option<PathBuf>, settings: &Settings) -> Result<PathBuf, Stop> {
    typed.or_else(|| settings.state_dir.clone()).ok_or_else(|| {
        Stop::usage("neither XDG_STATE_HOME nor HOME says where to keep the state; name it with --state-dir")
    })
}
