//! File rules: the listed paths become Landlock rules, and what has no rule is returned.
//!
//! Paths are opened before the identity is dropped and inside the sandbox's own mounts; the rules then follow the
//! descriptors, so nothing can be exchanged in between. Invariants: one bad path never drops the ruleset (TR-113);
//! `hard_requirement` never starts with less than every rule (LLK-3); ringfence's own grants are those of BAS-5 and
//! the terminal the command was given anyway (docs/decisions/0020).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreatedAttr, Scope,
};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use crate::report::{Failure, LandlockState, Skipped, Step};
use crate::spec::{Compatibility, Listed, Origin, Spec, Terminal};

/// Opened paths and what is allowed beneath them.
pub(crate) struct Rules {
    rules: Vec<(OwnedFd, Right)>,
    skipped: Vec<Skipped>,
    compatibility: Compatibility,
}

/// The two rights a policy can give.
#[derive(Clone, Copy)]
enum Right {
    Read,
    Write,
}

const ROOT_WORKDIR: &str = "the root is not made writable as a working directory; start elsewhere, pass `--workdir`, or \
                            list what is needed";

/// The newest rights this crate knows. The kernel is asked which of them it knows.
const NEWEST: ABI = ABI::V10;

impl Rules {
    /// Opens every path a rule is for. Under `hard_requirement` the first author's path that cannot be opened fails.
    pub(crate) fn open(spec: &Spec, workdir: &OwnedFd) -> Result<Self, Failure> {
        let mut rules = Self {
            rules: Vec::new(),
            skipped: Vec::new(),
            compatibility: spec.compatibility,
        };
        for listed in &spec.filesystem.read_only {
            rules.list(listed, Right::Read)?;
        }
        for listed in &spec.filesystem.read_write {
            rules.list(listed, Right::Write)?;
        }
        if spec.filesystem.include_workdir && spec.workdir_is_root() {
            rules.skip(Path::new("/"), ROOT_WORKDIR, Origin::Author)?;
        }
        if spec.grants_workdir() {
            let copy = workdir
                .try_clone()
                .map_err(Step::Workdir.because("descriptor"))?;
            rules.rules.push((copy, Right::Write));
        }
        for path in ["/dev/zero", "/dev/random", "/dev/urandom"]
            .map(Path::new)
            .into_iter()
            .chain([&*spec.runtime_dir])
        {
            rules.grant(path, Right::Read);
        }
        rules.grant(Path::new("/dev/null"), Right::Write);
        rules.terminal(spec.terminal);
        Ok(rules)
    }

    /// Restricts this process for good, and says how far that went.
    pub(crate) fn enforce(self) -> Result<(LandlockState, Vec<Skipped>), Failure> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))
            .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
            .and_then(Ruleset::create)
            .map_err(Step::Landlock.because("ruleset"))?;
        for (path, right) in &self.rules {
            let rule = PathBeneath::new(path.as_fd(), right.access(path.as_fd())?);
            ruleset = ruleset
                .add_rule(rule)
                .map_err(Step::Landlock.because("rule"))?;
        }
        let status = ruleset
            .restrict_self()
            .map_err(Step::Landlock.because("restrict"))?;
        let state = self.state(&status.landlock);
        if self.compatibility == Compatibility::HardRequirement && state != LandlockState::Full {
            return Err(Step::Landlock.failed(
                "the policy says `landlock.compatibility: hard_requirement` and this kernel does not support all of it: \
                 Landlock ABI 3 (Linux 6.2, in the list of `lsm=`) is needed",
            ));
        }
        Ok((state, self.skipped))
    }

    fn state(&self, kernel: &LandlockStatus) -> LandlockState {
        match kernel {
            LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => LandlockState::None,
            LandlockStatus::Available { effective_abi, .. } => {
                let degraded = self.skipped.iter().any(|skipped| skipped.degrades);
                // Why 3: the first that controls truncation, without which a write outside the lists is possible.
                if degraded || *effective_abi < ABI::V3 {
                    LandlockState::Partial
                } else {
                    LandlockState::Full
                }
            }
        }
    }

    fn list(&mut self, listed: &Listed, right: Right) -> Result<(), Failure> {
        match open_path(&listed.path) {
            Ok(path) => self.rules.push((path, right)),
            Err(error) => self.skip(&listed.path, &error.to_string(), listed.origin)?,
        }
        Ok(())
    }

    /// Notes a path without a rule, which an author under `hard_requirement` does not accept.
    fn skip(&mut self, path: &Path, reason: &str, origin: Origin) -> Result<(), Failure> {
        let degrades = origin == Origin::Author;
        if degrades && self.compatibility == Compatibility::HardRequirement {
            let path = path.display();
            return Err(Step::Path.failed(format!(
                "{path}: {reason}, and `landlock.compatibility` is `hard_requirement`"
            )));
        }
        self.skipped.push(Skipped {
            path: path.to_owned(),
            reason: reason.to_owned(),
            degrades,
        });
        Ok(())
    }

    /// A path outside the policy. What does not exist needs no rule.
    fn grant(&mut self, path: &Path, right: Right) {
        if let Ok(path) = open_path(path) {
            self.rules.push((path, right));
        }
    }

    /// The terminals the command holds as standard streams, so that `/dev/stdout` and `/dev/tty` work as the
    /// descriptors do.
    fn terminal(&mut self, terminal: Terminal) {
        let streams: [BorrowedFd<'_>; 3] = [
            rustix::stdio::stdin(),
            rustix::stdio::stdout(),
            rustix::stdio::stderr(),
        ];
        for stream in streams
            .into_iter()
            .filter(|stream| rustix::termios::isatty(stream))
        {
            if let Ok(copy) = stream.try_clone_to_owned() {
                self.rules.push((copy, Right::Write));
            }
        }
        if terminal == Terminal::Foreground {
            self.grant(Path::new("/dev/tty"), Right::Write);
        }
    }
}

impl Right {
    /// The rights this stands for, cut to what the inode's type allows (LLK-1).
    fn access(self, path: BorrowedFd<'_>) -> Result<BitFlags<AccessFs>, Failure> {
        let wanted = match self {
            Self::Read => AccessFs::from_read(NEWEST),
            Self::Write => AccessFs::from_all(NEWEST),
        };
        let kind = FileType::from_raw_mode(
            fstat(path)
                .map_err(Step::Landlock.because("fstat"))?
                .st_mode,
        );
        Ok(if kind == FileType::Directory {
            wanted
        } else {
            wanted & AccessFs::from_file(NEWEST)
        })
    }
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}
