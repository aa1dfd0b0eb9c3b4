//! Reads an answer: its status, its length, its body.

use anyhow::{Context as _, Result, bail};
use httparse::{EMPTY_HEADER, Header, Response, Status, parse_chunk_size};

/// Whether `bytes` are a whole answer. It must be 200 with the body `expect`, and nothing after it.
pub(super) fn is_complete(bytes: &[u8], expect: &[u8]) -> Result<bool> {
    let mut fields = [EMPTY_HEADER; 32];
    let mut response = Response::new(&mut fields);
    let Status::Complete(head) = response.parse(bytes)? else { return Ok(false) };
    if response.code != Some(200) {
        bail!("the status is {}", response.code.unwrap_or_default());
    }
    let body = bytes.get(head..).unwrap_or_default();
    if let Some(length) = field(response.headers, "content-length") {
        let length: usize = std::str::from_utf8(length)?.parse()?;
        return whole(body.get(..length), body.get(length..), expect);
    }
    if field(response.headers, "transfer-encoding").is_some_and(|coding| coding == b"chunked") {
        return chunked(body, expect);
    }
    bail!("the answer does not say how long it is");
}

fn field<'a>(fields: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

fn whole(body: Option<&[u8]>, rest: Option<&[u8]>, expect: &[u8]) -> Result<bool> {
    let Some(body) = body else { return Ok(false) };
    if body != expect {
        bail!("the body is {:?}", String::from_utf8_lossy(body));
    }
    match rest {
        None | Some([]) => Ok(true),
        Some(_) => bail!("something follows the answer"),
    }
}

/// A body in chunks, without trailers.
fn chunked(mut rest: &[u8], expect: &[u8]) -> Result<bool> {
    let mut body = Vec::new();
    loop {
        let size = parse_chunk_size(rest).ok().context("a chunk has no size")?;
        let Status::Complete((start, length)) = size else { return Ok(false) };
        let length = usize::try_from(length)?;
        let end = start.checked_add(length).context("a chunk is endless")?;
        let Some(chunk) = rest.get(start..end) else { return Ok(false) };
        body.extend_from_slice(chunk);
        let Some(after) = rest.get(end..).filter(|after| after.len() >= 2) else {
            return Ok(false);
        };
        rest = after.strip_prefix(b"\r\n").context("a chunk is longer than it says")?;
        if length == 0 {
            return whole(Some(&body), Some(rest), expect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n";

    #[test]
    fn every_beginning_of_an_answer_is_incomplete() {
        for answer in [PLAIN, CHUNKED] {
            for end in 0..answer.len() {
                assert!(!is_complete(&answer[..end], b"hi").unwrap(), "{end}");
            }
            assert!(is_complete(answer, b"hi").unwrap());
        }
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        assert!(is_complete(PLAIN, b"ho").is_err());
        assert!(is_complete(CHUNKED, b"ho").is_err());
        assert!(is_complete(&[PLAIN, b"x"].concat(), b"hi").is_err());
        assert!(is_complete(b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nhi", b"hi").is_err());
        assert!(is_complete(b"HTTP/1.1 200 OK\r\n\r\nhi", b"hi").is_err());
        assert!(is_complete(b"SSH-2.0\r\n", b"hi").is_err());
    }
}
