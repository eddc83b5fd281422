//! Flags of `gateway`. Each has a variable `RINGFENCE_<FLAG>`; the flag wins (CLI-5).
//!
//! No help text shows a variable's value: `RINGFENCE_DB` may hold a password.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct GatewayArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<GatewayVerb>,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Also listen here, with mutual TLS; the Unix socket in the state directory is always there
    #[arg(
        long,
        value_name = "ADDR",
        env = "RINGFENCE_LISTEN",
        hide_env_values = true
    )]
    pub(crate) listen: Option<SocketAddr>,
    /// The server's certificate in place of the one made at the first start (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "RINGFENCE_TLS_CERT",
        hide_env_values = true,
        requires = "tls_key"
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "RINGFENCE_TLS_KEY",
        hide_env_values = true,
        requires = "tls_cert"
    )]
    pub(crate) tls_key: Option<PathBuf>,
    /// Who signs client certificates, in place of the authority made at the first start (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = "RINGFENCE_CLIENT_CA",
        hide_env_values = true
    )]
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether a provider of type nvidia serves inference while no route is set
    #[arg(
        long,
        value_enum,
        env = "RINGFENCE_NVIDIA_DEFAULT",
        hide_env_values = true,
        default_value_t = NvidiaDefault::On
    )]
    pub(crate) nvidia_default: NvidiaDefault,
    /// The model it serves then
    #[arg(
        long,
        value_name = "ID",
        env = "RINGFENCE_NVIDIA_DEFAULT_MODEL",
        hide_env_values = true
    )]
    pub(crate) nvidia_default_model: Option<String>,
}

/// Where a gateway keeps what it knows.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// Directory of the socket, the keys and the database [default: /var/lib/ringfence for root, else
    /// $XDG_STATE_HOME/ringfence]
    #[arg(
        long,
        value_name = "DIR",
        env = "RINGFENCE_STATE_DIR",
        hide_env_values = true
    )]
    pub(crate) state_dir: Option<PathBuf>,
    /// sqlite:PATH or postgres://… [default: sqlite: in the state directory]
    #[arg(long, value_name = "URL", env = "RINGFENCE_DB", hide_env_values = true)]
    pub(crate) db: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum GatewayVerb {
    /// Issue a certificate and key for a host's data plane
    Enroll(Enroll),
    /// Seal the stored credentials with a new key
    RotateKey(RotateKey),
}

#[derive(Args)]
pub(crate) struct Enroll {
    /// The host's id
    #[arg(value_name = "HOST_ID")]
    pub(crate) host_id: String,
    /// Directory for ca.crt, tls.crt and tls.key, made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The gateway's state directory, whose authority signs
    #[arg(
        long,
        value_name = "DIR",
        env = "RINGFENCE_STATE_DIR",
        hide_env_values = true
    )]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct RotateKey {
    #[command(flatten)]
    pub(crate) place: Place,
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NvidiaDefault {
    /// It does.
    On,
    /// Without a route there is no inference.
    Off,
}
