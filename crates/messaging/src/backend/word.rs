//! Words that stand for the names that others choose, in what a broker calls its things.

/// Longer names end with a number instead.
const LONGEST: usize = 100;

/// A word for a name, which no other name has: itself if it has letters, digits and single `-`
/// alone. Of any other as much as fits, and `--` with a number that is the name's.
pub(super) fn word(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let is_short = (1..=LONGEST).contains(&name.len());
    if is_short && name.chars().all(is_plain) && !name.contains("--") {
        return name.to_owned();
    }
    let plain = name.chars().map(|letter| if is_plain(letter) { letter } else { '-' });
    let plain: String = plain.take(LONGEST / 2).collect();
    format!("{plain}--{:032x}", digest(name.as_bytes()))
}

/// A hash that is the same for ever, for names stay: FNV-1a.
pub(super) fn digest(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}
