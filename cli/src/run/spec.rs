//! What is to be launched, worked out from flags, policy and the caller's surroundings.
//!
//! Apart from `run`, which says in which order a start goes. Nothing is started or written here.

use std::ffi::OsString;
use std::path::PathBuf;

use policy::PolicyDocument;
use sandbox::{Environment, Filesystem, Hints, Listed, Observe, RuntimeDir, Spec, Terminal};

use super::{Stop, hidden};
use crate::args::RunArgs;
use crate::print::USAGE;
use crate::settings::Settings;

/// Whose sandbox it is, as the command is told.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    /// Variables of attached providers.
    pub(super) credentials: &'a [(OsString, OsString)],
}

/// The whole of it; whether connects are observed is known later.
pub(super) fn of(
    args: &RunArgs,
    document: &PolicyDocument,
    added: &[String],
    who: Who<'_>,
    runtime_dir: &RuntimeDir,
    settings: &Settings,
) -> Result<Spec, Stop> {
    let usage = |why: String| Stop { code: USAGE, why };
    let user = args
        .variables
        .iter()
        .map(|text| sandbox::user_entry(text, |name| std::env::var_os(name)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| usage(error.to_string()))?;
    let environment = Environment {
        id: who.id,
        name: who.name,
        runtime_dir: runtime_dir.path(),
        user: &user,
        providers: who.credentials,
        hints: if args.no_inference_hints {
            Hints::LeaveOut
        } else {
            Hints::Set
        },
    };
    let workdir = match &args.workdir {
        Some(workdir) => {
            std::path::absolute(workdir).map_err(|error| usage(format!("--workdir: {error}")))?
        }
        None => std::env::current_dir()
            .map_err(|error| usage(format!("the current directory is gone: {error}")))?,
    };
    let (user, group) = identity(args, document);
    Ok(Spec {
        command: command(args),
        env: environment.build(std::env::vars_os()),
        workdir,
        filesystem: filesystem(document, added),
        hidden: hidden::places(args, settings, user.as_deref()),
        compatibility: match document.landlock.compatibility {
            policy::document::Compatibility::BestEffort => sandbox::Compatibility::BestEffort,
            policy::document::Compatibility::HardRequirement => {
                sandbox::Compatibility::HardRequirement
            }
        },
        run_as_user: user,
        run_as_group: group,
        runtime_dir: runtime_dir.path().to_owned(),
        terminal: Terminal::of_stdin(),
        observe: Observe::Nothing("the data plane is not started".to_owned()),
    })
}

/// Where the command may write.
pub(super) fn writable(spec: &Spec) -> Vec<PathBuf> {
    let workdir = spec.grants_workdir().then(|| spec.workdir.clone());
    let listed = spec.filesystem.read_write.iter();
    listed
        .map(|listed| listed.path.clone())
        .chain(workdir)
        .collect()
}

/// CLI-19: the flag wins over the policy.
fn identity(args: &RunArgs, document: &PolicyDocument) -> (Option<String>, Option<String>) {
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match &args.user {
        Some(user) => match user.split_once(':') {
            Some((user, group)) => (named(user), named(group)),
            None => (named(user), None),
        },
        None => (
            named(&document.process.run_as_user),
            named(&document.process.run_as_group),
        ),
    }
}

fn command(args: &RunArgs) -> Vec<OsString> {
    if !args.command.is_empty() {
        return args.command.clone();
    }
    match std::env::var_os("RINGFENCE_SANDBOX_COMMAND").filter(|command| !command.is_empty()) {
        Some(command) => vec!["/bin/sh".into(), "-c".into(), command],
        None => vec!["/bin/bash".into()],
    }
}

fn filesystem(document: &PolicyDocument, added: &[String]) -> Filesystem {
    let Some(filesystem) = &document.filesystem else {
        return Filesystem::default();
    };
    // The restrictive default has no author: nobody who wrote `/tmp` meant the sockets in it.
    let mut restrictive = PolicyDocument::restrictive_default();
    restrictive.complete();
    let ours = restrictive.filesystem.as_ref() == Some(filesystem);
    let listed = |path: &policy::document::PolicyPath| {
        if ours || added.iter().any(|added| added == path.as_str()) {
            Listed::baseline(path.as_str())
        } else {
            Listed::author(path.as_str())
        }
    };
    Filesystem {
        read_only: filesystem.read_only.iter().map(listed).collect(),
        read_write: filesystem.read_write.iter().map(listed).collect(),
        include_workdir: filesystem.include_workdir,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BAS-1, SBX-3
    #[test]
    fn only_what_a_policy_lists_is_its_authors() {
        let mut default = PolicyDocument::restrictive_default();
        let added = default.complete();
        let of_nobody = filesystem(&default, &added);
        let text = "version: 1\nfilesystem_policy: { read_write: [/tmp, /mine] }\n";
        let mut written = policy::parse(text, "policy.yaml").unwrap().document;
        let added = written.complete();
        let of_author = filesystem(&written, &added);
        let authored = |listed: &[Listed]| {
            let authors = listed
                .iter()
                .filter(|listed| listed.origin == sandbox::Origin::Author);
            authors
                .map(|listed| listed.path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert!(!of_nobody.read_write.is_empty());
        assert_eq!(authored(&of_nobody.read_write), [""; 0]);
        assert_eq!(authored(&of_nobody.read_only), [""; 0]);
        assert_eq!(authored(&of_author.read_write), ["/tmp", "/mine"]);
    }
}
