//! The door to `controlplane`: settings go in, the server runs, errors come out as words and codes.
//!
//! Apart from `gateway` so that what was typed and what the control plane takes can change apart. It makes the runtime of
//! the server; that of `client` is for one call after another.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use controlplane::api::auth::HostId;
use controlplane::config::{Config, TlsFiles, lock_in};
use controlplane::engine::Engine;
use controlplane::secrets::{Keyring, Rotated};
use controlplane::{inference, pki, server, store};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Plan, Store};
use crate::args::NvidiaDefault;
use crate::print::{self, Stop};

/// Serves until SIGTERM or SIGINT.
pub(super) fn serve(plan: Plan) -> Result<(), Stop> {
    let config = config(plan)?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Stop::failed)?;
    runtime.block_on(async {
        // Before the first answer, so that a signal that comes early is not lost.
        let ends = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        let [terminate, interrupt] = ends;
        let (terminate, interrupt) = (
            terminate.map_err(Stop::failed)?,
            interrupt.map_err(Stop::failed)?,
        );
        let socket = config.socket();
        let server = Box::pin(server::Server::start(config)).await;
        let server = server.map_err(Stop::failed)?;
        print::message(format_args!("the gateway listens at {}", socket.display()));
        if let Some(address) = server.tcp_address() {
            print::message(format_args!("the gateway listens at https://{address}"));
        }
        Box::pin(server.serve(either(terminate, interrupt))).await;
        Ok(())
    })
}

/// Issues the identity of a host.
pub(super) fn enroll(state_dir: &Path, host_id: &str, out: &Path) -> Result<(), Stop> {
    let host_id = HostId::parse(host_id).map_err(Stop::usage)?;
    pki::enroll(state_dir, &host_id, out).map_err(Stop::failed)
}

/// A new key, every credential sealed with it, and the old keys gone. What failed half-way can be done again.
pub(super) fn rotate_key(store: Store) -> Result<(), Stop> {
    let mut config = Config::new(store.state_dir);
    config.db = store.db;
    let _claim = claim(&config.state_dir)?;
    let given = given_keys()?;
    let is_shared = config
        .db
        .as_ref()
        .is_some_and(|db| db.starts_with("postgres"));
    if given.is_none() && is_shared {
        // Why: other gateways of this database cannot open what is sealed with a key that only this machine has.
        return Err(Stop::usage(
            "gateways that share a database need their keys from RINGFENCE_KEY: give all of them a new key in front, restart them, then rotate",
        ));
    }
    let path = config.key_file();
    let keys = match &given {
        Some(keys) => Arc::clone(keys),
        None => Arc::new(Keyring::add_new_key(&path).map_err(Stop::failed)?),
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Stop::failed)?;
    let engine = runtime.block_on(async {
        let store = store::open(&config.db_url()).await.map_err(Stop::failed)?;
        let engine = Engine::start(store).await.map_err(Stop::failed)?;
        let rotated = engine.change(|state, _| keys.rotate(state)).await;
        let (rotated, _) = rotated.map_err(|error| Stop::failed(format_args!("{error}")))?;
        tell(&rotated);
        Ok::<_, Stop>(engine)
    })?;
    match given {
        Some(_) => print::message("take the old keys out of RINGFENCE_KEY"),
        None => {
            Keyring::drop_old_keys(&path, &engine.state()).map_err(Stop::failed)?;
        }
    }
    Ok(())
}

fn tell(rotated: &Rotated) {
    print::message(format_args!(
        "{} credentials sealed with the new key",
        rotated.resealed
    ));
    for unopened in &rotated.unopened {
        print::message(format_args!("warning: {unopened}; set it again"));
    }
}

fn config(plan: Plan) -> Result<Config, Stop> {
    let mut config = Config::new(plan.store.state_dir);
    config.listen = plan.listen;
    config.db = plan.store.db;
    config.keys = given_keys()?;
    config.tls = Some(TlsFiles {
        cert: plan.tls_cert,
        key: plan.tls_key,
        client_ca: plan.client_ca,
    });
    let usual = inference::Settings::default();
    config.inference = inference::Settings {
        nvidia_default: plan.nvidia_default == NvidiaDefault::On,
        nvidia_default_model: plan
            .nvidia_default_model
            .unwrap_or(usual.nvidia_default_model),
    };
    config.notice = |notice| print::message(print::printable(notice));
    Ok(config)
}

/// The keys of the environment: no flag, because others can read what was typed (STO-6).
fn given_keys() -> Result<Option<Arc<Keyring>>, Stop> {
    let Some(text) = std::env::var_os("RINGFENCE_KEY") else {
        return Ok(None);
    };
    let text = text
        .into_string()
        .map_err(|_| Stop::usage("RINGFENCE_KEY is not UTF-8"))?;
    let keys = Keyring::from_env_text(&text);
    let keys = keys.map_err(|error| Stop::usage(format_args!("RINGFENCE_KEY: {error}")))?;
    Ok(Some(Arc::new(keys)))
}

/// The lock of a running gateway, which would go on with the old keys.
fn claim(state_dir: &Path) -> Result<File, Stop> {
    let path = lock_in(state_dir);
    let mut options = OpenOptions::new();
    let lock = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| Stop::failed(format_args!("{}: {error}", path.display())))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            let why = format_args!(
                "a gateway runs on {}; stop it first: it would go on with the old keys",
                state_dir.display()
            );
            Err(Stop::failed(why))
        }
        Err(TryLockError::Error(error)) => Err(Stop::failed(error)),
    }
}

/// The first of two signals.
async fn either(mut one: Signal, mut other: Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
