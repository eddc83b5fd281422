//! What was denied, for people: grouped, with the policy lines that would allow it (LOG-1).

use std::fmt::Write;

use link::record::Text;
use link::{Group, Summary};

/// The text to print when a command has ended; empty when nothing was denied.
pub(crate) fn text(summary: &Summary) -> String {
    let mut out = String::new();
    let total: u64 = summary
        .denials
        .iter()
        .map(|denials| denials.count)
        .sum::<u64>()
        + summary.denials_ungrouped;
    if total > 0 {
        line(&mut out, format_args!("ringfence: {total} refused:"));
    }
    for denials in &summary.denials {
        line(
            &mut out,
            format_args!("  {} × {}", denials.count, describe(&denials.group)),
        );
        if let Some(lines) = remedy(&denials.group) {
            out.push_str(&lines);
        }
    }
    if summary.denials_ungrouped > 0 {
        line(
            &mut out,
            format_args!("  {} × others", summary.denials_ungrouped),
        );
    }
    if summary.lost > 0 {
        line(
            &mut out,
            format_args!(
                "ringfence: {} records were lost because they came too fast",
                summary.lost
            ),
        );
    }
    out
}

fn describe(group: &Group) -> String {
    let mut out = match (&group.host, group.port) {
        (Some(host), Some(port)) => format!("{}:{port}", host.as_str()),
        (Some(host), None) => host.as_str().to_owned(),
        (None, _) => "a request".to_owned(),
    };
    if let Some(binary) = &group.binary {
        out += &format!(" by {}", binary.as_str());
    }
    if let Some((method, path)) = &group.rule {
        out += &format!(" {method} {path}");
    }
    out += &format!(": {}", group.code.unwrap_or("refused"));
    if let Some(reason) = &group.reason {
        out += &format!(" ({reason})");
    }
    out
}

/// The lines that would allow it, where a line of policy can.
fn remedy(group: &Group) -> Option<String> {
    let (host, port) = (group.host.as_ref().map(Text::as_str)?, group.port?);
    let binary = group
        .binary
        .as_ref()
        .map_or("/path/to/binary", Text::as_str);
    let mut out = String::new();
    match (
        group.reason.as_deref()?,
        group.policy.as_ref().map(Text::as_str),
    ) {
        ("no_network_policies" | "endpoint_not_allowed", _) if host != "inference.local" => {
            let key: String = host
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect();
            line(
                &mut out,
                "      network_policies:                # would allow it",
            );
            line(&mut out, format_args!("        {key}:"));
            line(&mut out, "          endpoints:");
            line(
                &mut out,
                format_args!("            - {{ host: {}, port: {port} }}", quoted(host)),
            );
            line(&mut out, "          binaries:");
            line(
                &mut out,
                format_args!("            - {{ path: {} }}", quoted(binary)),
            );
        }
        ("binary_not_allowed", Some(policy)) => {
            line(
                &mut out,
                "      network_policies:                # would allow it",
            );
            line(&mut out, format_args!("        {}:", quoted(policy)));
            line(
                &mut out,
                "          binaries:                    # add to the list",
            );
            line(
                &mut out,
                format_args!("            - {{ path: {} }}", quoted(binary)),
            );
        }
        ("request_not_allowed", Some(policy)) => {
            let (method, path) = group.rule.as_ref()?;
            // As a rule the path would be read as a glob, and letters of a method in lower case as upper ones.
            if path.as_str().contains('*') || method.as_str() != method.as_str().to_uppercase() {
                return None;
            }
            line(
                &mut out,
                "      network_policies:                # would allow it",
            );
            line(&mut out, format_args!("        {}:", quoted(policy)));
            line(&mut out, "          endpoints:");
            line(
                &mut out,
                format_args!(
                    "            - rules:             # add to those of {}:{port}",
                    quoted(host)
                ),
            );
            line(
                &mut out,
                format_args!(
                    "                - {{ allow: {{ method: {}, path: {} }} }}",
                    quoted(method.as_str()),
                    quoted(path.as_str())
                ),
            );
        }
        ("internal_address" | "not_in_allowed_ips", Some(policy)) => {
            line(
                &mut out,
                format_args!(
                    "      # add the address of {host} to allowed_ips of this endpoint, if you mean it:"
                ),
            );
            line(&mut out, "      network_policies:");
            line(&mut out, format_args!("        {}:", quoted(policy)));
            line(&mut out, "          endpoints:");
            line(
                &mut out,
                format_args!(
                    "            - {{ host: {}, port: {port}, allowed_ips: [ADDRESS] }}",
                    quoted(host)
                ),
            );
        }
        _ => return None,
    }
    Some(out)
}

/// A YAML scalar: plain where that is safe, else double-quoted (a JSON string is one).
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    if begins && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = Vec::new();
    wire::json_string(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn line(out: &mut String, text: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    _ = writeln!(out, "{text}");
}
