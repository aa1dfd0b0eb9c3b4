//! Words that stand for the names that others choose, in what a broker calls its things.

/// Longer names end with a number instead.
const LONGEST: usize = 100;
/// The bytes of that number, with the `--` before it.
const NUMBER: usize = 34;

/// A word for a name, which no other name has: itself if it has letters, digits and single `-`
/// alone. Of any other as much as fits, and `--` with a number that is the name's.
pub(super) fn word(name: &str) -> String {
    short_word(name, LONGEST)
}

/// The same with `longest` bytes at most, where that is no less than the number has.
pub(super) fn short_word(name: &str, longest: usize) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let is_short = (1..=longest).contains(&name.len());
    if is_short && name.chars().all(is_plain) && !name.contains("--") {
        return name.to_owned();
    }
    let plain = name.chars().map(|letter| if is_plain(letter) { letter } else { '-' });
    let plain: String = plain.take((longest / 2).min(longest.saturating_sub(NUMBER))).collect();
    format!("{plain}--{:032x}", digest(name.as_bytes()))
}

/// A hash that is the same for ever, for names stay: FNV-1a.
pub(super) fn digest(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_names_have_one_word() {
        assert_eq!(word("mailers-2"), "mailers-2");
        let long = "x".repeat(255);
        let names = ["a.b", "a b", "a_b", "a*", "ä", "ö", ">", "A", "a--1", "", &long, &long[1..]];
        for longest in [34, 38, LONGEST] {
            let words: HashSet<String> =
                names.iter().map(|name| short_word(name, longest)).collect();
            assert_eq!(words.len(), names.len());
            assert!(words.iter().all(|word| word.len() <= longest), "{words:?}");
        }
    }
}
