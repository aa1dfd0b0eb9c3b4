//! What a broker can do, asked in its own language before any client is made.
//!
//! librdkafka falls back to less with an old broker, and does not say what is missing.

use crate::look::speaks_tls;
use base::{Error, Result, within};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The number of the question which versions of which questions a broker knows.
const API_VERSIONS: i16 = 18;
/// An answer has so many bytes at most.
const MOST: usize = 1 << 16;
/// How an alert of TLS begins, where an answer has its length.
const ALERT: [u8; 2] = [21, 3];

/// What is needed: a question, the version of it, and the release of Kafka that has both.
const NEEDED: [(i16, i16, &str); 6] = [
    // Produce, with headers.
    (0, 3, "0.11"),
    // ListOffsets, by time.
    (2, 1, "0.10.1"),
    // CreateTopics, with as many replicas as the broker likes.
    (19, 4, "2.4"),
    // DeleteRecords.
    (21, 0, "0.11"),
    // DescribeConfigs.
    (32, 0, "0.11"),
    // DeleteGroups.
    (42, 0, "1.1"),
];

/// Holds the first server that answers to what is needed.
pub(super) async fn admit(hosts: &[String], server: &str, patience: Duration) -> Result<()> {
    let mut last = None;
    let each = patience / u32::try_from(hosts.len().max(1)).unwrap_or(u32::MAX);
    for host in hosts {
        match within(each, ask(host)).await {
            Ok(Ok(Said::Versions(versions))) => return check(server, &versions),
            Ok(Ok(Said::Tls)) => return Err(tls(host)),
            Ok(Err(error))
                if error.kind() != io::ErrorKind::ConnectionRefused && speaks_tls(host).await =>
            {
                return Err(tls(host));
            }
            Ok(Err(error)) => last = Some(format!("{host}: {error}")),
            Err(_elapsed) => last = Some(format!("{host}: no answer")),
        }
    }
    let why = last.unwrap_or_default();
    Err(Error::unavailable(format!("{server} is away")).with_source(why))
}

fn tls(host: &str) -> Error {
    Error::invalid(format!("kafka {host} wants TLS"))
        .with_hint("this program speaks to Kafka without TLS: name another port")
}

fn check(server: &str, known: &BTreeMap<i16, (i16, i16)>) -> Result<()> {
    let lacks = |(question, version, _): &&(i16, i16, &str)| {
        known.get(question).is_none_or(|(_, newest)| newest < version)
    };
    match NEEDED.iter().find(lacks) {
        Some((question, version, release)) => Err(Error::unsupported(format!(
            "{server} is older than {release}: it does not know question {question} in version \
             {version}"
        ))
        .with_hint("update the servers to Kafka 2.4 or newer")),
        None => Ok(()),
    }
}

enum Said {
    Versions(BTreeMap<i16, (i16, i16)>),
    Tls,
}

async fn ask(host: &str) -> io::Result<Said> {
    let mut stream = TcpStream::connect(host).await?;
    let mut question = Vec::new();
    question.extend(API_VERSIONS.to_be_bytes());
    question.extend(0_i16.to_be_bytes());
    question.extend(1_i32.to_be_bytes());
    // Who asks.
    question.extend(5_i16.to_be_bytes());
    question.extend(b"wharf");
    let length = i32::try_from(question.len()).unwrap_or(i32::MAX);
    stream.write_all(&[&length.to_be_bytes()[..], &question].concat()).await?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    if length.starts_with(&ALERT) {
        return Ok(Said::Tls);
    }
    let other = || io::Error::other("its answer is none of Kafka");
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_negative| other())?;
    if !(10..=MOST).contains(&length) {
        return Err(other());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    read(&answer).ok_or_else(other).map(Said::Versions)
}

/// The versions in an answer: its number, an error, and a list of three numbers each.
fn read(answer: &[u8]) -> Option<BTreeMap<i16, (i16, i16)>> {
    let (head, mut rest) = answer.split_at_checked(10)?;
    let (number, head) = head.split_at_checked(4)?;
    let (error, count) = head.split_at_checked(2)?;
    if number != 1_i32.to_be_bytes() || error != [0, 0] {
        return None;
    }
    let count = i32::from_be_bytes(count.try_into().ok()?);
    let mut versions = BTreeMap::new();
    for _ in 0..count {
        let (entry, others) = rest.split_at_checked(6)?;
        let number = |at: usize| Some(i16::from_be_bytes(entry.get(at..at + 2)?.try_into().ok()?));
        versions.insert(number(0)?, (number(2)?, number(4)?));
        rest = others;
    }
    Some(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_told_with_what_it_lacks() {
        let mut known: BTreeMap<i16, (i16, i16)> =
            NEEDED.iter().map(|(question, version, _)| (*question, (0, *version))).collect();
        check("kafka h:1", &known).unwrap();
        known.insert(19, (0, 3));
        let error = check("kafka h:1", &known).unwrap_err();
        assert_eq!(error.kind(), base::Kind::Unsupported);
        assert!(error.to_string().contains("older than 2.4"), "{error}");
        known.remove(&42);
        known.insert(19, (2, 7));
        let error = check("kafka h:1", &known).unwrap_err();
        assert!(error.to_string().contains("older than 1.1"), "{error}");
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let answer = [0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 18, 0, 0, 0, 3];
        assert_eq!(read(&answer), Some(BTreeMap::from([(18, (0, 3))])));
        for length in 0..answer.len() {
            assert_eq!(read(&answer[..length]), None, "{length}");
        }
    }
}
