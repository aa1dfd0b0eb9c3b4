//! What the system says of a process.

use anyhow::{Context as _, Result};
use std::fs;
use std::time::Duration;

/// The time that all threads of a process spent on a processor, in it and in the system for it.
///
/// From `/proc/PID/stat`, whose clock ticks a hundred times a second on every Linux.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    ticks(&stat).map(|ticks| Duration::from_millis(ticks * 10)).context("stat has no CPU times")
}

/// `utime` and `stime`: the 14th and 15th field, where the second may hold spaces.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_is_skipped() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 1 0 0 0 12 30 0 0 20 0 1 0 5 1 1";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn this_process_has_used_some_time_or_none() {
        assert!(cpu_time(std::process::id()).is_ok());
        assert!(cpu_time(u32::MAX).is_err());
    }
}
