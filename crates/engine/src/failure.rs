//! How a host function fails.

use std::fmt;

/// Either an answer that the guest can read, or the end of the instance.
pub enum Failure {
    /// Becomes the `err` case of the WIT result.
    Error(base::Error),
    /// Ends the instance: a forged handle, a limit, a bug in the host.
    Trap(wasmtime::Error),
}

impl From<base::Error> for Failure {
    fn from(error: base::Error) -> Self {
        Self::Error(error)
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(trap: wasmtime::Error) -> Self {
        Self::Trap(trap)
    }
}

impl From<wasmtime::component::ResourceTableError> for Failure {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "error: {error}"),
            Self::Trap(trap) => write!(f, "trap: {trap:#}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// Why the host ended a call. Found by downcasting the trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The call did not answer before its deadline.
    Deadline,
    /// The guest asked for more handles, host memory or such than its limits give.
    Limit(&'static str),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("the deadline of the call passed"),
            Self::Limit(what) => write!(f, "the limit on {what} was reached"),
        }
    }
}

impl std::error::Error for Ended {}

/// What a trap was, in words: its chain with the guest's own named backtrace, and nothing of the
/// host's frames. A limit that Wasmtime counts is named as the deployment file names it.
pub fn describe(trap: &wasmtime::Error) -> String {
    let chain: Vec<String> = trap.chain().map(ToString::to_string).collect();
    let chain = chain.join(": ");
    match COUNTED.iter().find(|(words, _)| chain.contains(words)) {
        Some((_, limit)) => format!("the limit `{limit}` was reached: {chain}"),
        None => chain,
    }
}

/// What Wasmtime says where a limit is reached that it counts itself, and the limit's name. Its
/// errors have no types to tell them by.
const COUNTED: [(&str, &str); 4] = [
    ("fuel allocated for hostcalls has been exhausted", "hostcall-buffer"),
    ("resource limit exceeded: instance count", "instances"),
    ("resource limit exceeded: memory count", "instances"),
    ("resource limit exceeded: table count", "tables"),
];
