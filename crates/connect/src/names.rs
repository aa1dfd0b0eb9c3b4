//! What a binding's things are called on servers that others use too.

use base::{Error, Place, Result};

/// A hash that is the same for ever, for what is kept: FNV-1a.
pub fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The name of a binding's table, of at most `most` bytes: the one that the deployment file chose,
/// or `<prefix>_<app>_<binding>`.
///
/// # Errors
/// As [`check_table`].
pub fn table(chosen: Option<&str>, prefix: &str, place: &Place, most: usize) -> Result<String> {
    check_table(chosen, most)?;
    Ok(chosen.map_or_else(|| usual(prefix, place, most), str::to_owned))
}

/// Checks the name of a table that the deployment file chose.
///
/// # Errors
/// `Invalid` where it cannot be.
pub fn check_table(chosen: Option<&str>, most: usize) -> Result<()> {
    match chosen {
        Some(name) if name.is_empty() || name.contains('\0') => {
            Err(Error::invalid("a table has a name"))
        }
        Some(name) if name.len() > most => {
            Err(Error::invalid(format!("the table's name is longer than {most} bytes")))
        }
        _ => Ok(()),
    }
}

/// `<prefix>_<app>_<binding>`; with a hash behind it where that would be ambiguous or too long.
fn usual(prefix: &str, place: &Place, most: usize) -> String {
    let is_plain = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !name.is_empty() && name.bytes().all(plain)
    };
    let Place { app, binding, .. } = place;
    let name = format!("{prefix}_{app}_{binding}");
    if is_plain(app) && is_plain(binding) && name.len() <= most {
        return name;
    }
    let hash = digest(app.bytes().chain([0]).chain(binding.bytes()));
    let word = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let room = most.saturating_sub(17);
    let name: String = name.to_lowercase().chars().map(word).take(room).collect();
    format!("{name}_{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(app: &str, binding: &str) -> String {
        let place = Place {
            base: "/".into(),
            data: "/".into(),
            app: app.to_owned(),
            capability: "keyvalue",
            binding: binding.to_owned(),
        };
        table(None, "wharf", &place, 54).unwrap()
    }

    #[test]
    fn every_binding_has_a_table_of_its_own() {
        assert_eq!(name("guestbook", "default"), "wharf_guestbook_default");
        let names = [
            name("a_b", "c"),
            name("a", "b_c"),
            name("a-b", "c"),
            name("A", "b_c"),
            name("a", ""),
            name(&"a".repeat(60), "b"),
            name(&"a".repeat(60), "c"),
            name("ä", "b"),
            name("ö", "b"),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(name.len() <= 54, "{name}");
            assert!(!names.iter().skip(index + 1).any(|other| other == name), "{name}");
        }
    }
}
