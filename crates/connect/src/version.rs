//! Whether a server is new enough.

use base::{Error, Result};

/// Lets a server in whose version, e.g. `7.2.4`, is `needed` or newer.
///
/// # Errors
/// `Unsupported` of an older one, with both versions.
pub fn admit(server: &str, version: &str, needed: (u32, u32)) -> Result<()> {
    if is_older(version, needed) {
        let (major, minor) = needed;
        return Err(Error::unsupported(format!(
            "{server} is version {version}, and {major}.{minor} is needed"
        )));
    }
    Ok(())
}

/// Whether a version is older than `needed`, its first two numbers. One that is no number is.
pub fn is_older(version: &str, needed: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Kind;

    #[test]
    fn a_server_that_is_too_old_is_refused_with_what_is_needed() {
        for old in ["6.1.9", "6.1", "5.99.0", "6", "", "unknown"] {
            let refused = admit("redis h:1", old, (6, 2)).unwrap_err();
            assert_eq!(refused.kind(), Kind::Unsupported, "{old}");
            let words = format!("redis h:1 is version {old}, and 6.2 is needed");
            assert_eq!(refused.to_string(), words);
        }
        for new in ["6.2", "6.2.0", "6.10.1", "7.0.15", "255.255.255", "7.2.0-rc1"] {
            admit("redis h:1", new, (6, 2)).unwrap();
        }
    }
}
