//! Whether a server is new enough.

use base::{Error, Result};

/// Lets a server in whose version, e.g. `7.2.4`, is `needed` or newer.
///
/// # Errors
/// `Unsupported` of an older one, with both versions.
pub fn admit(server: &str, version: &str, needed: (u32, u32)) -> Result<()> {
    match is_older(version, needed) {
        true => Err(too_old(&format!("{server} is version {version}"), needed)),
        false => Ok(()),
    }
}

/// The refusal of a server that is too old: `is` says which it is, and of which version.
pub fn too_old(is: &str, (major, minor): (u32, u32)) -> Error {
    Error::unsupported(format!("{is}, and {major}.{minor} is needed"))
        .with_hint(format!("update the server to {major}.{minor} or newer"))
}

/// Whether a version is older than `needed`, its first two numbers. One that is no number is; one
/// from before a release, e.g. `2.10-rc1`, counts as that release.
pub fn is_older(version: &str, needed: (u32, u32)) -> bool {
    let mut numbers = version.split('.').map(|number| {
        let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
        number.split_at(end).0.parse::<u32>().unwrap_or(0)
    });
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
            assert_eq!(refused.hint(), Some("update the server to 6.2 or newer"));
        }
        for new in ["6.2", "6.2.0", "6.10.1", "7.0.15", "255.255.255", "7.2.0-rc1", "6.2-rc1"] {
            admit("redis h:1", new, (6, 2)).unwrap();
        }
    }
}
