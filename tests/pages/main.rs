//! What the pages say is what the program does: the policy reference, the cookbook, and the verbs of
//! `ringfence policy` with their exit codes, and those of the control plane where there is none. No network, no namespaces.

#[cfg(test)]
mod docs;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod verbs;
