//! What was typed, lifted once into what is meant: flags over `RINGFENCE_` variables over the file (H4).
//!
//! Apart from `args`, which holds flags and variables, and from `client`, which uses the address. Pure but for
//! [`Settings::lift`], which reads the surroundings and the file.

mod file;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use controlplane::config::socket_in;

use crate::args::{Global, Output, Printed};
use crate::print::{Encoding, Form, Stop};
use file::FileSettings;

/// What holds for every verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the gateway is; absent without a home to look in.
    gateway: Option<Gateway>,
    output: Output,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// Of a gateway on this machine (CLI-1a).
    pub(crate) state_dir: Option<PathBuf>,
    /// Where this user's last sandbox is remembered.
    pub(crate) own_state_dir: Option<PathBuf>,
    /// Where this user's file and certificates are.
    pub(crate) config_dir: Option<PathBuf>,
}

/// Where a gateway is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) address: Address,
    pub(crate) chosen: Chosen,
}

/// The two ways to a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// On this machine.
    Unix(PathBuf),
    /// Over TCP with mutual TLS.
    Https {
        /// `https://HOST:PORT`.
        url: String,
        /// Directory of ca.crt, tls.crt and tls.key.
        certificates: PathBuf,
    },
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Https { url, .. } => f.write_str(url),
        }
    }
}

/// Who chose the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// A flag, a variable or the file.
    ByName,
    /// It is the usual one.
    ByDefault,
}

/// What is known of the user before anything is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) user: User,
    /// `XDG_CONFIG_HOME`, else `.config` in the home directory, with `ringfence` behind it.
    pub(crate) config: Option<PathBuf>,
    /// The same of `XDG_STATE_HOME` and `.local/state`.
    pub(crate) state: Option<PathBuf>,
}

/// Whose command line this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    #[default]
    Other,
}

impl Surroundings {
    /// Those of this process.
    fn here() -> Surroundings {
        let root = rustix::process::geteuid().is_root();
        Surroundings {
            user: if root { User::Root } else { User::Other },
            config: below_home("XDG_CONFIG_HOME", ".config", std::env::var_os),
            state: below_home("XDG_STATE_HOME", ".local/state", std::env::var_os),
        }
    }

    /// CLI-1a
    fn state_dir(&self) -> Option<PathBuf> {
        match self.user {
            User::Root => Some(PathBuf::from(ROOT_STATE_DIR)),
            User::Other => self.state.clone(),
        }
    }
}

impl Settings {
    /// Reads variables and the file.
    pub(crate) fn lift(typed: &Global) -> Result<Settings, Stop> {
        let around = Surroundings::here();
        let file = match &around.config {
            Some(config) => file::read(&config.join(FILE)).map_err(Stop::usage)?,
            None => FileSettings::default(),
        };
        Settings::of(typed, file, &around)
    }

    /// The same from values.
    fn of(typed: &Global, file: FileSettings, around: &Surroundings) -> Result<Settings, Stop> {
        // An empty variable is how a shell spells one that is not set.
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let cluster = filled(&typed.cluster).or(file.cluster);
        let cluster = cluster.as_deref().unwrap_or(DEFAULT_CLUSTER);
        let state_dir = around.state_dir();
        let named = filled(&typed.gateway).or(file.gateway);
        let gateway = match named {
            Some(named) => Some(Gateway {
                address: address(&named, cluster, around)?,
                chosen: Chosen::ByName,
            }),
            None => state_dir.as_deref().map(|dir| Gateway {
                address: Address::Unix(socket_in(dir)),
                chosen: Chosen::ByDefault,
            }),
        };
        Ok(Settings {
            gateway,
            output: file.output.unwrap_or(Output::Table),
            verbose: typed.verbose,
            state_dir,
            own_state_dir: around.state.clone(),
            config_dir: around.config.clone(),
        })
    }

    /// Where the gateway is.
    pub(crate) fn gateway(&self) -> Result<&Gateway, Stop> {
        self.gateway.as_ref().ok_or_else(|| {
            Stop::usage(
                "neither XDG_STATE_HOME nor HOME says where the gateway's socket is; name it with --gateway unix:PATH",
            )
        })
    }

    /// In which form a verb prints.
    pub(crate) fn form(&self, printed: Printed) -> Form {
        match printed.output.unwrap_or(self.output) {
            Output::Table => Form::Table,
            Output::Json => Form::Data(Encoding::Json),
            Output::Yaml => Form::Data(Encoding::Yaml),
        }
    }
}

fn address(named: &str, cluster: &str, around: &Surroundings) -> Result<Address, Stop> {
    let wrong = || {
        Stop::usage(format_args!(
            "--gateway {named}: expected unix:PATH or https://HOST:PORT"
        ))
    };
    if let Some(path) = named.strip_prefix("unix:") {
        // `unix:///run/x` is how others write it.
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path.is_empty() {
            true => Err(wrong()),
            false => std::path::absolute(path)
                .map(Address::Unix)
                .map_err(|_| wrong()),
        };
    }
    let authority = named
        .strip_prefix("https://")
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
        .and_then(|rest| wire::HostField::parse(rest.as_bytes()).ok())
        .and_then(|wire::HostField { host, port }| Some(wire::Authority { host, port: port? }))
        .ok_or_else(wrong)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if cluster.starts_with('.') || !cluster.chars().all(plain) {
        let why =
            "--cluster takes letters, digits, `-`, `_` and `.`: it is the name of a directory";
        return Err(Stop::usage(why));
    }
    let config = around.config.as_ref().ok_or_else(|| {
        Stop::usage("neither XDG_CONFIG_HOME nor HOME says where the client certificate is")
    })?;
    Ok(Address::Https {
        url: format!("https://{authority}"),
        certificates: config.join("clusters").join(cluster).join("mtls"),
    })
}

/// A directory of the user's; a relative one is none (XDG Base Directory Specification).
fn below_home(
    name: &'static str,
    usual: &str,
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Option<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(variable(name)?);
        path.is_absolute().then_some(path)
    };
    let base = absolute(name).or_else(|| Some(absolute("HOME")?.join(usual)))?;
    Some(base.join("ringfence"))
}

const ROOT_STATE_DIR: &str = "/var/lib/ringfence";
const DEFAULT_CLUSTER: &str = "default";
const FILE: &str = "config.yaml";
