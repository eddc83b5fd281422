//! `ringfence man`: the manual pages, one a verb, made from `args` (CLI-24).

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, ManArgs};
use crate::print::{Ending, Stop};

/// Writes them.
pub(crate) fn man(args: &ManArgs) -> Ending {
    let failed =
        |error: std::io::Error| Stop::failed(format_args!("{}: {error}", args.dir.display()));
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
