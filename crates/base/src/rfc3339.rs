//! Moments as RFC 3339 writes them: `2026-01-31T12:00:00.5Z`, `2026-01-31T13:00:00+01:00`.

use std::time::{Duration, SystemTime};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Reads a moment: a date, a time and how far it is from UTC. `None`: it is none.
pub fn parse(text: &str) -> Option<SystemTime> {
    let mut rest = Rest(text);
    let (year, month, day) = (rest.digits(4)?, rest.after('-')?, rest.after('-')?);
    rest.one_of(&['T', 't'])?;
    let (hour, minute, second) = (rest.digits(2)?, rest.after(':')?, rest.after(':')?);
    let nanos = rest.fraction()?;
    let offset = rest.offset()?;
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute);
    if !rest.0.is_empty() || !is_time || !(1..=days_in(year, month)?).contains(&day) {
        return None;
    }
    let time = hour * HOUR + minute * MINUTE + second - offset;
    let seconds = days_before(year, month, day) * DAY + time;
    match second {
        0..60 => {}
        // A leap second is the last of a day in UTC.
        60 if seconds.rem_euclid(DAY) == 0 => {}
        _ => return None,
    }
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(whole)?,
        false => SystemTime::UNIX_EPOCH.checked_add(whole)?,
    };
    whole.checked_add(Duration::from_nanos(nanos))
}

/// What was not read yet.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// A number of just so many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    }

    /// The character, which is one of these.
    fn one_of(&mut self, known: &[char]) -> Option<char> {
        let found = self.0.chars().next().filter(|found| known.contains(found))?;
        self.0 = self.0.get(found.len_utf8()..)?;
        Some(found)
    }

    /// Two digits behind this character.
    fn after(&mut self, before: char) -> Option<i64> {
        self.one_of(&[before])?;
        self.digits(2)
    }

    /// Parts of a second, in nanoseconds; what is finer is left out.
    fn fraction(&mut self) -> Option<u64> {
        if self.one_of(&['.']).is_none() {
            return Some(0);
        }
        let count = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        let nanos: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
        if digits.is_empty() { None } else { nanos.parse().ok() }
    }

    /// How far before UTC it is there, in seconds.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(&['Z', 'z', '+', '-'])? {
            '+' => 1,
            '-' => -1,
            _ => return Some(0),
        };
        let (hours, minutes) = (self.digits(2)?, self.after(':')?);
        (hours < 24 && minutes < 60).then_some(sign * (hours * HOUR + minutes * MINUTE))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    Some(match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    })
}

/// How many days there are between 1970-01-01 and this one.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_month = (153 * month + 2) / 5;
    let of_years = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    of_years + of_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<i128> {
        let time = parse(text)?;
        let millis = |since: Duration| i128::try_from(since.as_millis()).unwrap();
        Some(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }

    #[test]
    fn moments_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00z", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T23:59:59.5Z", -500),
            ("2026-01-31T12:00:00Z", 1_769_860_800_000),
            ("2026-01-31T12:00:00.123456789012Z", 1_769_860_800_123),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("2000-02-29T00:00:00-00:30", 951_784_200_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("2017-01-01T00:59:60+01:00", 1_483_228_800_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        assert!(parse("0000-01-01T00:00:00Z").is_some() && parse("9999-12-31T23:59:59Z").is_some());
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-1-31T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "1900-02-29T12:00:00Z",
            "2026-01-00T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:60Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00+1:00",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00Z ",
            "+026-01-31T12:00:00Z",
            "2026-01-31T12:00:00\u{e9}",
            "\u{e9}026-01-31T12:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
