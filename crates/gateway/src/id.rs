//! Ids of requests, for logs on both sides.

use http_types::{HeaderMap, HeaderName, HeaderValue};
use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

thread_local! {
    // A random beginning and a count: unique without asking the system for each request.
    static NEXT: Cell<(u64, u64)> = Cell::new((RandomState::new().hash_one(0_u8), 0));
}

/// The id that the client gave, if it is fit for a log, or a new one. The request carries it on.
pub(crate) fn assign(headers: &mut HeaderMap) -> (Arc<str>, HeaderValue) {
    if let Some(given) = headers.get(REQUEST_ID)
        && let Some(text) = given.to_str().ok().filter(|text| is_fit(text))
    {
        return (text.into(), given.clone());
    }
    let (start, count) = NEXT.get();
    NEXT.set((start, count.wrapping_add(1)));
    let text = format!("{start:016x}{count:08x}");
    // Hexadecimal digits are always a valid field value.
    let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("-"));
    headers.insert(REQUEST_ID, value.clone());
    (text.into(), value)
}

fn is_fit(text: &str) -> bool {
    let fit =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/');
    (1..=128).contains(&text.len()) && text.bytes().all(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_when_fit_and_made_when_not() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("abc-1"));
        assert_eq!(&*assign(&mut headers).0, "abc-1");
        headers.insert(REQUEST_ID, HeaderValue::from_static("a b\tc"));
        let (one, _) = assign(&mut headers);
        assert_eq!(one.len(), 24);
        assert_eq!(headers.get(REQUEST_ID).unwrap(), &*one);
        assert_ne!(one, assign(&mut HeaderMap::new()).0);
    }
}
