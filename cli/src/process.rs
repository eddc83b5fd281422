//! What this process asks of the kernel for itself.
//!
//! Apart from the verbs because several hold keys, and several have many connections.

use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// No core of this process, which holds keys, and nobody who traces it but root (SECURITY 38). What it executes begins
/// anew.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn hide() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// As many descriptors as are allowed: the usual soft limit is 1,024, and every connection takes one or more.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Why ignored: what is left is what there was, and running out of it is an answer (LIM-1).
    _ = setrlimit(Resource::Nofile, raised);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SECURITY 38
    #[test]
    fn a_process_that_holds_keys_cannot_be_dumped() {
        assert!(hide().is_ok());
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            DumpableBehavior::NotDumpable
        );
    }
}
