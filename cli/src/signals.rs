//! Signals to the launcher: passed on to the command, but for the SIGHUP that asks for a reload.
//!
//! A SIGHUP has two meanings, and both are old: "your terminal is gone" and "read your files again". A sandbox with files
//! to read again takes it as the second one unless it is the first: the kernel sent it, or there was a controlling
//! terminal and it is gone (a shell passes the news on to its jobs). A terminal is gone once; see decision 0014.

use rustix::fs::{Mode, OFlags};
use sandbox::Remote;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::backend::Handle;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

/// The signals of one launcher. Made before the first thread, so that none is lost.
pub(crate) struct Signals {
    inbox: SignalsInfo<WithOrigin>,
    terminal: Terminal,
    at_start: AtStart,
}

/// Whether a terminal can still go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminal {
    /// There is one, as far as was seen.
    Present,
    /// There was none, or it went.
    None,
}

/// What SIGHUP would have done to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtStart {
    /// It was ignored: nohup(1).
    Ignored,
    Heeded,
}

/// What a SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hup {
    /// The terminal is gone.
    HangUp,
    /// The files shall be read again.
    Reload,
}

impl Signals {
    /// Takes the signals that are passed on.
    pub(crate) fn take() -> std::io::Result<Signals> {
        let at_start = match ignores_hang_up() {
            true => AtStart::Ignored,
            false => AtStart::Heeded,
        };
        Ok(Signals {
            inbox: SignalsInfo::new([
                SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH,
            ])?,
            terminal: terminal(),
            at_start,
        })
    }

    /// Ends [`Signals::pass_on`].
    pub(crate) fn handle(&self) -> Handle {
        self.inbox.handle()
    }

    /// Passes signals on until the handle is closed. `reload` is there when the sandbox has files to read again.
    pub(crate) fn pass_on(mut self, remote: &Remote, reload: Option<&dyn Fn()>) {
        for origin in self.inbox.forever() {
            match (origin.signal, reload) {
                (SIGHUP, Some(reload)) => {
                    match meaning(origin.cause, &mut self.terminal, terminal()) {
                        Hup::Reload => reload(),
                        // Whoever started it with nohup(1) meant exactly this one.
                        Hup::HangUp if self.at_start == AtStart::Ignored => {}
                        Hup::HangUp => remote.signal(SIGHUP),
                    }
                }
                (signal, _) => remote.signal(signal),
            }
        }
    }
}

/// What this SIGHUP means, with `now` what is seen of the terminal at the moment.
fn meaning(cause: Cause, before: &mut Terminal, now: Terminal) -> Hup {
    let went = *before == Terminal::Present && now == Terminal::None;
    if went || cause == Cause::Kernel {
        *before = Terminal::None;
        return Hup::HangUp;
    }
    Hup::Reload
}

/// Whether this process has a controlling terminal.
fn terminal() -> Terminal {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open("/dev/tty", flags, Mode::empty()) {
        Ok(_) => Terminal::Present,
        Err(_) => Terminal::None,
    }
}

/// Whether SIGHUP is ignored, as the kernel tells: a mask, bit N−1 for signal N.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (SIGHUP - 1) != 0)
}

#[cfg(test)]
mod tests;
