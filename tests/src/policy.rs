//! Policy texts for scenes.
//!
//! Written as an operator writes them: the harness has no type for a policy, so a test shows the YAML.

use crate::scene::AGENT;

/// The part every scene's policy needs: the programs of the machine, the scene's own directories, the user.
/// `network` is the YAML below `network_policies:`, empty for none; `more` is further top-level YAML.
pub fn text(network: &str, more: &str) -> String {
    let network = if network.is_empty() {
        " {}".to_owned()
    } else {
        format!("\n{}", indent(network))
    };
    format!(
        "version: 1
filesystem_policy:
  read_only: [/usr, /lib, /lib64, /bin, /etc, /proc, /dev/urandom, /mnt/bin, /mnt/scripts, /mnt/clients]
  read_write: [/tmp, /dev/null, /mnt/work]
process: {{run_as_user: {AGENT}, run_as_group: {AGENT}}}
network_policies:{network}
{more}"
    )
}

/// A policy entry: `key` allows `host:port` on the scene's private block for these binaries.
pub fn private(key: &str, host: &str, port: u16, binaries: &[&str]) -> String {
    entry(
        key,
        &format!("{{host: {host}, port: {port}, allowed_ips: [10.99.0.0/24]}}"),
        binaries,
    )
}

/// A policy entry: `key` allows `host:port` on public addresses for these binaries.
pub fn public(key: &str, host: &str, port: u16, binaries: &[&str]) -> String {
    entry(key, &format!("{{host: {host}, port: {port}}}"), binaries)
}

/// A policy entry with one endpoint, written as flow YAML.
pub fn entry(key: &str, endpoint: &str, binaries: &[&str]) -> String {
    let binaries: Vec<_> = binaries
        .iter()
        .map(|path| format!("{{path: \"{path}\"}}"))
        .collect();
    format!(
        "{key}:\n  endpoints: [{endpoint}]\n  binaries: [{}]\n",
        binaries.join(", ")
    )
}

/// Every program.
pub const ANY: &[&str] = &["/**"];

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
