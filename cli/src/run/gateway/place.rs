//! Which gateway is meant, and as whom it is asked (CLI-1, CLI-1a).
//!
//! Apart from `calls`, which asks. Nothing is dialled here.

use std::path::Path;
use std::time::Duration;

use controlplane::config::lock_in;
use link::channel::{Address, Certificates, Peer};

use crate::args::RunArgs;
use crate::print::{self, USAGE};
use crate::run::Stop;
use crate::settings::{self, Chosen, Settings};

/// A gateway, and the two roles in which a run comes to it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Makes and deletes records.
    pub(super) operator: Peer,
    /// Serves sandboxes. Over a Unix socket both are the caller's uid.
    pub(super) host: Peer,
    /// The data plane of this run, in the gateway's words.
    pub(super) host_id: String,
    /// How long routes count without a stream.
    pub(super) max_stale: Option<Duration>,
    /// Who chose it.
    pub(super) chosen: Chosen,
}

/// The gateway that is meant; none where nobody named one and none is on this machine.
pub(super) fn of(args: &RunArgs, settings: &Settings, name: &str) -> Result<Option<Place>, Stop> {
    let usage = |why: &str| Stop {
        code: USAGE,
        why: why.to_owned(),
    };
    let max_stale = match &args.max_stale {
        Some(text) => max_stale(text).ok_or_else(|| {
            usage("--max-stale takes a duration such as `90s`, `10m` or `1h`, or 0")
        })?,
        None => Some(link::MAX_STALE),
    };
    let Ok(gateway) = settings.gateway() else {
        return Ok(None);
    };
    let is_absent = match &gateway.address {
        settings::Address::Unix(path) => !path.exists(),
        settings::Address::Https { .. } => false,
    };
    if gateway.chosen == Chosen::ByDefault && is_absent {
        if has_run_here(&gateway.address) {
            print::message(format_args!(
                "warning: no gateway runs at {}; running from files",
                gateway.address
            ));
        }
        return Ok(None);
    }
    if args.policy_data.is_some() {
        // A gateway derives the data from the policy, so other rules would judge than those that were written.
        if gateway.chosen == Chosen::ByName {
            return Err(usage(
                "--policy-data is nothing a gateway stores; leave it out, or run without --gateway",
            ));
        }
        print::message("warning: --policy-data is nothing a gateway stores; running without it");
        return Ok(None);
    }
    let place = match &gateway.address {
        settings::Address::Unix(path) => {
            let address = Address::Unix(path.clone());
            Place {
                operator: peer(&address, None),
                host: peer(&address, None),
                // A colon is in no enrolled host's id, so no certificate speaks for the sandboxes of this socket.
                host_id: format!("unix:{}/{name}", host_name()),
                max_stale,
                chosen: gateway.chosen,
            }
        }
        settings::Address::Https { url, certificates } => {
            let (Some(directory), Some(host)) = (&args.host_certificate, &args.host_id) else {
                return Err(usage(
                    "a gateway at https://… needs --host-certificate DIR and --host-id ID; `ringfence gateway enroll ID --out DIR` makes them",
                ));
            };
            let address = Address::parse(url).map_err(|error| usage(&error.to_string()))?;
            Place {
                operator: peer(&address, Some(certificates)),
                host: peer(&address, Some(directory)),
                host_id: format!("{host}/{name}"),
                max_stale,
                chosen: gateway.chosen,
            }
        }
    };
    Ok(Some(place))
}

/// Whether a gateway keeps its state where this socket would be: it is stopped, or about to start again.
fn has_run_here(address: &settings::Address) -> bool {
    match address {
        settings::Address::Unix(path) => {
            let state_dir = path.parent();
            state_dir.is_some_and(|state_dir| lock_in(state_dir).exists())
        }
        settings::Address::Https { .. } => false,
    }
}

fn peer(address: &Address, directory: Option<&Path>) -> Peer {
    Peer {
        address: address.clone(),
        certificates: directory.map(Certificates::of_directory),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Outer: could it be read; inner: whether there is a limit.
#[expect(
    clippy::option_option,
    reason = "no limit and no duration are two cases"
)]
fn max_stale(text: &str) -> Option<Option<Duration>> {
    if text == "0" {
        return Some(None);
    }
    match policy::route::parse_duration(text)? {
        Duration::ZERO => Some(None),
        // Clocks add it without care, and a year is never meant.
        long if long > MAX_STALE_LONGEST => None,
        limit => Some(Some(limit)),
    }
}

/// A year and a day.
const MAX_STALE_LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    /// DPL-9, CLI-19
    #[test]
    fn a_limit_of_nothing_is_no_limit() {
        for text in ["0", "0s", "0h"] {
            assert_eq!(max_stale(text), Some(None), "{text}");
        }
        assert_eq!(max_stale("90s"), Some(Some(Duration::from_secs(90))));
        assert_eq!(max_stale("250ms"), Some(Some(Duration::from_millis(250))));
        assert_eq!(max_stale("1h"), Some(Some(link::MAX_STALE)));
        for text in ["", "h", "1", "1d", "-1s", "1.5h", "99999999999h"] {
            assert_eq!(max_stale(text), None, "{text}");
        }
    }
}
