//! Flags of the verbs for shells and manuals.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Shells that can be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// source <(ringfence completions bash)
    Bash,
    /// source <(ringfence completions zsh)
    Zsh,
    /// ringfence completions fish | source
    Fish,
}

#[derive(Args)]
pub(crate) struct ManArgs {
    /// The directory, made when it is not there
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
