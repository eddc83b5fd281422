//! What is asked of the rules, as bytes (RGO-1).
//!
//! Apart from the evaluator because a worker writes these bytes for every question and looks its cache up by
//! them; only an evaluator reads them. Invariant: the input document is made from these bytes and nothing else.
//! Executables of ancestors are in it by their paths alone, as in the input of the built-in rules.

use serde_json::{Value, json};
use wire::Authority;

use crate::caller::Caller;
use crate::rego::query_values;

/// Writes the question whether `caller` may connect to `target` in place of what `into` holds.
pub fn connect(into: &mut Vec<u8>, caller: &Caller, target: &Authority) {
    into.clear();
    into.push(CONNECT);
    connection(into, caller, target);
}

/// Writes the question whether a request on that connection may pass, in place of what `into` holds. `path` is the
/// canonical one.
pub fn request(
    into: &mut Vec<u8>,
    caller: &Caller,
    target: &Authority,
    method: &[u8],
    path: &[u8],
    query: Option<&[u8]>,
) {
    into.clear();
    into.push(REQUEST);
    connection(into, caller, target);
    field(into, method);
    field(into, path);
    field(into, query.unwrap_or_default());
}

fn connection(into: &mut Vec<u8>, caller: &Caller, target: &Authority) {
    field(into, &caller.exe.path);
    into.extend_from_slice(&caller.exe.sha256);
    field(into, target.host.as_str().as_bytes());
    into.extend_from_slice(&target.port.number().to_le_bytes());
    let count = u32::try_from(caller.ancestors.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&count.to_le_bytes());
    for ancestor in &caller.ancestors {
        field(into, &ancestor.path);
    }
}

fn field(into: &mut Vec<u8>, bytes: &[u8]) {
    // A path or a target is never that long; if one were, the rest would not be readable, which denies.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&len.to_le_bytes());
    into.extend_from_slice(bytes);
}

/// The input document; `None` when the bytes are not a question.
pub(super) fn input(question: &[u8]) -> Option<Value> {
    let mut rest = Rest(question);
    let kind = *rest.take(1)?.first()?;
    let path = rest.text()?;
    let sha256: String = rest
        .take(32)?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let host = rest.text()?;
    let port = u16::from_le_bytes(rest.take(2)?.try_into().ok()?);
    let mut ancestors = Vec::new();
    for _ in 0..rest.number()? {
        ancestors.push(rest.text()?);
    }
    let mut input = json!({
        "exec": {"path": path, "sha256": sha256, "ancestors": ancestors},
        "network": {"host": host, "port": port},
    });
    if kind == REQUEST {
        let (method, path) = (rest.text()?, rest.text()?);
        // Servers that read a query in different ways would be asked by one and obeyed by another: such a request is
        // not asked about at all, which denies it (decision 0010).
        let query = query_values(rest.text()?.as_bytes());
        if query.contains_key("") {
            return None;
        }
        input["request"] = json!({"method": method, "path": path, "query": query});
    }
    rest.0.is_empty().then_some(input)
}

/// Bytes that are still to be read.
struct Rest<'q>(&'q [u8]);

impl<'q> Rest<'q> {
    fn take(&mut self, len: usize) -> Option<&'q [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Text; what is no UTF-8 is shown with replacement characters, as in the built-in rules.
    fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.number()?).ok()?;
        Some(String::from_utf8_lossy(self.take(len)?).into_owned())
    }
}

const CONNECT: u8 = 0;
const REQUEST: u8 = 1;
