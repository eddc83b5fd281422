//! What is said of a message: the key's path and a sentence, and never a line, since there is no text to look at.
//!
//! Apart from `policy::Problem`, which has a file. Invariant: a list of faults is short enough for the status of an RPC,
//! whatever the message was.

use std::fmt;

use policy::Problem;

/// One finding about a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The key's path, such as `network_policies.git.endpoints[0].port`; empty for the whole.
    pub path: String,
    /// One sentence.
    pub message: String,
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Finding {
        Finding {
            path: problem.path,
            message: problem.message,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "the policy {}", self.message);
        }
        match self.path.char_indices().nth(PATH_CHARS_MAX) {
            Some((end, _)) => write!(f, "{}…: ", self.path.get(..end).unwrap_or_default())?,
            None => write!(f, "{}: ", self.path)?,
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a message; at least one finding. Its text holds the first ones, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Finding>);

impl Faults {
    /// Takes findings; without any there is no fault to speak of.
    pub fn new(findings: Vec<Finding>) -> Faults {
        Faults(findings)
    }

    /// The findings.
    pub fn as_slice(&self) -> &[Finding] {
        &self.0
    }

    /// The findings.
    pub fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = 0;
        for (at, finding) in self.0.iter().enumerate() {
            let text = finding.to_string();
            written += text.len();
            if at > 0 && written > TEXT_BYTES_MAX {
                return write!(f, "\nand {} more", self.0.len() - at);
            }
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// How much of a path is repeated: keys may be as long as a message.
const PATH_CHARS_MAX: usize = 300;

/// A status travels in a header field of 16 KiB, in which a byte may take three.
const TEXT_BYTES_MAX: usize = 3 * 1024;
