//! Maps as they lie in a guest's memory: a number of pairs, the lengths of each, the bytes of each.

use bytes::Bytes;

/// A map holds so many pairs at most.
pub const MOST_PAIRS: usize = 1024;
/// And so many bytes in this form.
pub const MOST_BYTES: usize = 1 << 20;

/// The number of bytes that [`write`] makes of `pairs`.
pub(crate) fn size<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> usize {
    let sum = |sum, (key, value): (&[u8], &[u8])| sum + key.len() + value.len() + 10;
    match pairs.fold(0, sum) {
        0 => 0,
        bytes => 4 + bytes,
    }
}

/// Writes the pairs, which are gone through several times, into `to`, which is as long as [`size`]
/// says.
///
/// Returns `None`, and leaves anything in `to`, if it is not.
pub(crate) fn write<'a, I>(pairs: impl Fn() -> I, to: &mut [u8]) -> Option<()>
where
    I: Iterator<Item = (&'a [u8], &'a [u8])>,
{
    if to.is_empty() {
        return Some(());
    }
    let mut rest = to;
    let mut put = |bytes: &[u8]| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len())?;
        part.copy_from_slice(bytes);
        rest = after;
        Some(())
    };
    put(&u32::try_from(pairs().count()).ok()?.to_le_bytes())?;
    for (key, value) in pairs() {
        put(&u32::try_from(key.len()).ok()?.to_le_bytes())?;
        put(&u32::try_from(value.len()).ok()?.to_le_bytes())?;
    }
    for (key, value) in pairs() {
        put(key)?;
        put(&[0])?;
        put(value)?;
        put(&[0])?;
    }
    rest.is_empty().then_some(())
}

/// The pairs, which are gone through several times, in a buffer of their own.
pub fn to_bytes<'a, I>(pairs: impl Fn() -> I) -> Bytes
where
    I: Iterator<Item = (&'a [u8], &'a [u8])>,
{
    let mut bytes = vec![0; size(pairs())];
    // As long as they are; lengths above four bytes do not fit into a guest either.
    if write(pairs, &mut bytes).is_none() {
        bytes.clear();
    }
    bytes.into()
}

/// Reads a map. Every byte has to be accounted for.
///
/// Returns `None` for what is no map, or one above the limits.
pub fn read(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    if bytes.is_empty() || bytes == [0] {
        return Some(Vec::new());
    }
    if bytes.len() > MOST_BYTES {
        return None;
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let count = number(0)?;
    if count > MOST_PAIRS {
        return None;
    }
    let mut at = 4 + 8 * count;
    let mut part = |length: usize| {
        let end = at.checked_add(length)?;
        let part = bytes.get(at..end)?;
        if bytes.get(end) != Some(&0) {
            return None;
        }
        at = end + 1;
        Some(part)
    };
    let mut pairs = Vec::with_capacity(count);
    for index in 0..count {
        let (key, value) = (number(4 + 8 * index)?, number(8 + 8 * index)?);
        pairs.push((part(key)?, part(value)?));
    }
    (at == bytes.len()).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(pairs: &[(&[u8], &[u8])]) -> Bytes {
        to_bytes(|| pairs.iter().copied())
    }

    #[test]
    fn the_form_is_that_of_the_specification() {
        let written = bytes(&[(b"a", b"1"), (b"b", b"22")]);
        let lengths = [2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(written, [&lengths[..], b"a\x001\x00b\x0022\x00"].concat());
        assert_eq!(bytes(&[]), Bytes::new());
        assert_eq!(read(&[0]), Some(vec![]));
    }

    #[test]
    fn what_does_not_add_up_is_no_map() {
        let good = bytes(&[(b"key", b"value")]);
        for end in 1..good.len() {
            assert_eq!(read(&good[..end]), None, "cut at {end}");
        }
        let more = [&good[..], b"\0"].concat();
        assert_eq!(read(&more), None);
        let mut bad = good.to_vec();
        bad[15] = b'x';
        assert_eq!(read(&bad), None, "no NUL behind the key");
        for at in [0, 4, 8] {
            let mut huge = good.to_vec();
            huge[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(read(&huge), None, "a huge number at {at}");
        }
        assert_eq!(read(&vec![0; MOST_BYTES + 1]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..20)),
            0..20,
        )) {
            let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(k, v)| (&k[..], &v[..])).collect();
            let written = bytes(&pairs);
            prop_assert_eq!(written.len(), size(pairs.iter().copied()));
            prop_assert_eq!(read(&written), Some(pairs));
        }

        #[test]
        fn nothing_that_is_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(pairs) = read(&bytes) && !pairs.is_empty() {
                prop_assert_eq!(to_bytes(|| pairs.iter().copied()), bytes);
            }
        }
    }
}
