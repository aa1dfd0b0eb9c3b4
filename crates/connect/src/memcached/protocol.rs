//! The text protocol of memcached: what is asked, and what a line of an answer says. Does no IO.

/// The longest line that is taken, with its end. The longest that memcached has is one of a dump:
/// a name of 250 bytes, each written as three, and some numbers.
pub(super) const LONGEST_LINE: u64 = 2048;
/// The largest item that is taken.
pub(super) const LARGEST: u64 = 16 << 20;
/// The longest name of an item.
const LONGEST_NAME: usize = 250;
/// How much is shown of what a server says.
const SHOWN: usize = 200;

/// What one line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `VERSION 1.6.18`
    Version(&'a str),
    /// `STORED`
    Stored,
    /// `DELETED`
    Deleted,
    /// `NOT_FOUND`
    NotFound,
    /// `END`
    End,
    /// `VALUE name flags length`: so many bytes follow, and the end of a line.
    Value { name: &'a str, length: u64 },
    /// `key=name exp=…`, a line of a dump.
    Key(&'a str),
    /// `CLIENT_ERROR …`: what was asked is wrong.
    ClientError(&'a str),
    /// `SERVER_ERROR …`: the server cannot do it.
    ServerError(&'a str),
    /// `BUSY …`: the server makes a dump for another.
    Busy,
    /// `BADCLASS …`: the server cannot go through its items like this.
    BadClass,
    /// `ERROR`: the server does not know the command.
    Error,
}

impl<'a> Line<'a> {
    /// Reads a line without its end. `None` where it is none of memcached's.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        // Nothing else is in such a line, and what is shown of it harms no terminal.
        if !line.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        let line = str::from_utf8(line).ok()?;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let said = rest.get(..SHOWN).unwrap_or(rest);
        Some(match word {
            "VERSION" if !rest.is_empty() => Self::Version(said.trim()),
            "STORED" if rest.is_empty() => Self::Stored,
            "DELETED" if rest.is_empty() => Self::Deleted,
            "NOT_FOUND" if rest.is_empty() => Self::NotFound,
            "END" if rest.is_empty() => Self::End,
            "ERROR" if rest.is_empty() => Self::Error,
            "VALUE" => {
                let mut words = rest.split(' ');
                let (name, flags, length) = (words.next()?, words.next()?, words.next()?);
                let _flags: u32 = flags.parse().ok()?;
                // Nobody asked for a fourth word.
                let length = words.next().is_none().then(|| length.parse().ok())??;
                Self::Value { name, length }
            }
            "CLIENT_ERROR" => Self::ClientError(said),
            "SERVER_ERROR" => Self::ServerError(said),
            "BUSY" => Self::Busy,
            "BADCLASS" => Self::BadClass,
            _ => Self::Key(word.strip_prefix("key=")?),
        })
    }
}

/// Whether these bytes, without an end, may be the first of a line.
pub(super) fn is_part_of_a_line(bytes: &[u8]) -> bool {
    let is_short = u64::try_from(bytes.len()).is_ok_and(|length| length < LONGEST_LINE);
    is_short && bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r'))
}

/// Whether an item may have this name: anything else could be read as another command.
pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What stores an item for so many seconds.
pub(super) fn set(name: &str, item: &[u8], seconds: i64) -> Vec<u8> {
    let mut command = format!("set {name} 0 {seconds} {}\r\n", item.len()).into_bytes();
    command.reserve_exact(item.len() + 2);
    command.extend_from_slice(item);
    command.extend_from_slice(b"\r\n");
    command
}

/// What says who the client is, which looks as if it stored something.
pub(super) fn authenticate(user: &str, password: &str) -> Vec<u8> {
    set("auth", format!("{user} {password}").as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read() {
        for (line, said) in [
            ("VERSION 1.6.18", Line::Version("1.6.18")),
            ("STORED", Line::Stored),
            ("DELETED", Line::Deleted),
            ("NOT_FOUND", Line::NotFound),
            ("END", Line::End),
            ("VALUE a.b 0 7", Line::Value { name: "a.b", length: 7 }),
            ("key=a%20b exp=-1 la=1 cas=2 fetch=no cls=1 size=61 ", Line::Key("a%20b")),
            ("CLIENT_ERROR unauthenticated", Line::ClientError("unauthenticated")),
            ("SERVER_ERROR out of memory", Line::ServerError("out of memory")),
            ("BUSY currently processing crawler request", Line::Busy),
            ("BADCLASS invalid class id", Line::BadClass),
            ("ERROR", Line::Error),
        ] {
            assert_eq!(Line::read(line.as_bytes()), Some(said));
        }
    }

    #[test]
    fn what_memcached_does_not_say_is_nothing() {
        for line in [
            "",
            " ",
            "VERSION",
            "STORED well",
            "stored",
            "VALUE",
            "VALUE a 0",
            "VALUE a 0 -1",
            "VALUE a 0 99999999999999999999",
            "VALUE a 4294967296 1",
            "VALUE a 0 1 1",
            "VALUE a  1",
            "HTTP/1.1 400 Bad Request",
            "-ERR unknown command `version`",
            "VERSION 1\u{1b}[31m",
            "END\r",
            "SERVER_ERROR \u{e4}",
        ] {
            assert_eq!(Line::read(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_server_that_talks_much_is_shown_in_part() {
        let line = format!("CLIENT_ERROR {}", "x".repeat(1000));
        assert_eq!(Line::read(line.as_bytes()), Some(Line::ClientError(&"x".repeat(SHOWN))));
    }

    #[test]
    fn a_name_is_one_word() {
        assert!(is_name("a") && is_name(&"~".repeat(250)));
        for wrong in ["", "a b", "a\r\nflush_all", "\u{e4}", &"a".repeat(251)] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(line: Vec<u8>) {
            Line::read(&line);
        }

        #[test]
        fn any_words_are_read(
            word in "VALUE|VERSION|key=|CLIENT_ERROR|SERVER_ERROR|END|[A-Z_=]{0,9}",
            rest in "[ -~]{0,40}",
            numbers: (u64, i64),
        ) {
            Line::read(format!("{word}{rest}").as_bytes());
            let line = format!("{word} {rest} {} {}", numbers.0, numbers.1);
            if let Some(Line::Value { name, length }) = Line::read(line.as_bytes()) {
                prop_assert!(!name.contains(' '));
                prop_assert_eq!(length.to_string(), numbers.1.to_string());
            }
        }
    }
}
