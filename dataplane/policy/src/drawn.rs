//! Policies drawn at random for tests: texts put together from written pieces.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

/// The text of a document of as many policies as `policies` says, each with one to three of `endpoint` and as many of
/// `binary` as `binaries` says.
pub(crate) fn document(
    endpoint: impl Strategy<Value = String>,
    binary: &'static [&'static str],
    binaries: Range<usize>,
    policies: Range<usize>,
) -> impl Strategy<Value = String> {
    let binary = prop::sample::select(binary).prop_map(|path| format!("{{path: '{path}'}}"));
    let policy = (vec(endpoint, 1..4), vec(binary, binaries)).prop_map(|(endpoints, binaries)| {
        let (endpoints, binaries) = (endpoints.join(", "), binaries.join(", "));
        format!("{{endpoints: [{endpoints}], binaries: [{binaries}]}}")
    });
    vec(policy, policies).prop_map(|policies| {
        let mut text = "version: 1\nnetwork_policies: {".to_owned();
        for (at, policy) in policies.iter().enumerate() {
            text += &format!("\n  p{at}: {policy},");
        }
        text + "}\n"
    })
}
