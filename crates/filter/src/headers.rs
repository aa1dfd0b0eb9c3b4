//! The fields of a message as filters see them: pseudo headers are entries like all others.

use crate::abi::Status;
use crate::pairs::{MOST_BYTES, MOST_PAIRS};
use crate::words::{self, Words};
use http_types::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use http_types::uri::{Authority, PathAndQuery, Scheme};
use http_types::{Method, StatusCode};

/// Of which message the fields are: it says which pseudo headers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The head of a request.
    Request,
    /// The head of a response.
    Response,
    /// Trailers or metadata, which have none.
    #[default]
    Trailers,
}

/// Pseudo headers, in the order in which filters are given them.
const REQUEST: [&str; 4] = [":authority", ":path", ":method", ":scheme"];
const RESPONSE: [&str; 1] = [":status"];

/// What concerns one connection alone; the proxy writes it.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// The fields of one message.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    part: Part,
    pseudo: [Option<HeaderValue>; 4],
    fields: HeaderMap,
    /// Bytes that filters have written, at least since these were counted last.
    written: usize,
}

impl Headers {
    /// The head of a request.
    pub fn request(
        method: &Method,
        scheme: HeaderValue,
        authority: HeaderValue,
        path: HeaderValue,
        fields: HeaderMap,
    ) -> Self {
        // A method is a token, which every value may be.
        let method = HeaderValue::from_str(method.as_str()).ok();
        let pseudo = [Some(authority), Some(path), method, Some(scheme)];
        Self { part: Part::Request, pseudo, fields, written: 0 }
    }

    /// The head of a response.
    pub fn response(status: StatusCode, fields: HeaderMap) -> Self {
        // A status is three digits.
        let status = HeaderValue::from_str(status.as_str()).ok();
        let pseudo = [status, None, None, None];
        Self { part: Part::Response, pseudo, fields, written: 0 }
    }

    /// Trailers or metadata.
    pub fn trailers(fields: HeaderMap) -> Self {
        Self { part: Part::Trailers, fields, ..Self::default() }
    }

    /// The fields without the pseudo headers.
    pub fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    /// The fields without the pseudo headers.
    pub fn fields_mut(&mut self) -> &mut HeaderMap {
        &mut self.fields
    }

    /// Gives up the fields without the pseudo headers.
    pub fn into_fields(self) -> HeaderMap {
        self.fields
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.fields.len() + self.pseudo.iter().flatten().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A pseudo header, e.g. `:path`.
    pub fn pseudo(&self, name: &str) -> Option<&HeaderValue> {
        let index = self.names().iter().position(|known| *known == name)?;
        self.pseudo.get(index)?.as_ref()
    }

    /// The status of a response.
    pub fn status(&self) -> Option<StatusCode> {
        StatusCode::from_bytes(self.pseudo(":status")?.as_bytes()).ok()
    }

    /// Every entry, pseudo headers first.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let pseudo = self.names().iter().zip(&self.pseudo);
        let pseudo = pseudo.filter_map(|(name, value)| {
            value.as_ref().map(|value| (name.as_bytes(), value.as_bytes()))
        });
        let fields =
            self.fields.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        pseudo.chain(fields)
    }

    /// The first value of `name`, in any case.
    pub fn get(&self, name: &[u8]) -> Option<&HeaderValue> {
        match name.first() {
            Some(b':') => self.pseudo(std::str::from_utf8(name).ok()?),
            // The map looks names up in any case.
            _ => self.fields.get(std::str::from_utf8(name).ok()?),
        }
    }

    /// Every value of `name`.
    pub fn get_all<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a HeaderValue> {
        let pseudo = name.starts_with(b":").then(|| self.get(name)).flatten();
        // The map looks names up in any case, and what is no name is not there.
        let fields = std::str::from_utf8(name).ok();
        let fields = fields.map(|name| self.fields.get_all(name).into_iter());
        pseudo.into_iter().chain(fields.into_iter().flatten())
    }

    /// Adds a value beside those that are there.
    ///
    /// # Errors
    /// `BadArgument` for what is no field, or not the filter's to say; `InternalFailure` if there
    /// is no room.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.add_with(None, name, value)
    }

    /// [`add`](Self::add), for whom these words are known.
    pub(crate) fn add_with(
        &mut self,
        words: Option<&mut Words>,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), Status> {
        if name.first() == Some(&b':') {
            return self.set_pseudo(name, value);
        }
        let (name, value) = self.field(words, name, value)?;
        // Two lengths, or two hosts, are two messages to two readers.
        if name == header::CONTENT_LENGTH || name == header::HOST {
            return self.insert(name, value);
        }
        if self.fields.len() >= MOST_PAIRS {
            return Err(Status::InternalFailure);
        }
        self.fields.try_append(name, value).map_err(|_full| Status::InternalFailure)?;
        Ok(())
    }

    /// Puts one value in place of all that are there.
    ///
    /// # Errors
    /// `BadArgument` for what is no field, or not the filter's to say; `InternalFailure` if there
    /// is no room.
    pub fn replace(&mut self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        self.replace_with(None, name, value)
    }

    /// [`replace`](Self::replace), for whom these words are known.
    pub(crate) fn replace_with(
        &mut self,
        words: Option<&mut Words>,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), Status> {
        if name.first() == Some(&b':') {
            return self.set_pseudo(name, value);
        }
        let (name, value) = self.field(words, name, value)?;
        self.insert(name, value)
    }

    fn insert(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Status> {
        if self.fields.len() >= MOST_PAIRS && !self.fields.contains_key(&name) {
            return Err(Status::InternalFailure);
        }
        self.fields.try_insert(name, value).map_err(|_full| Status::InternalFailure)?;
        Ok(())
    }

    /// A field that a filter may write, if there is room for it.
    fn field(
        &mut self,
        words: Option<&mut Words>,
        name: &[u8],
        value: &[u8],
    ) -> Result<(HeaderName, HeaderValue), Status> {
        let field = match words {
            Some(words) => words.field(name, value)?,
            None => words::field(name, value)?,
        };
        if is_the_proxys(&field.0, &field.1) {
            return Err(Status::BadArgument);
        }
        let size = name.len() + value.len();
        self.written = self.written.saturating_add(size);
        if self.written > MOST_BYTES {
            // Much of it may have been replaced.
            let sizes = self.iter().map(|(name, value)| name.len() + value.len());
            self.written = sizes.sum::<usize>().saturating_add(size);
            if self.written > MOST_BYTES {
                return Err(Status::InternalFailure);
            }
        }
        Ok(field)
    }

    /// Removes every value of `name`.
    ///
    /// # Errors
    /// `BadArgument` for a pseudo header: without one the message is none.
    pub fn remove(&mut self, name: &[u8]) -> Result<(), Status> {
        if name.first() == Some(&b':') {
            return match self.get(name) {
                Some(_) => Err(Status::BadArgument),
                None => Ok(()),
            };
        }
        // What is no name is not there.
        let Ok(name) = HeaderName::from_bytes(name) else { return Ok(()) };
        if let Ok(Entry::Occupied(entry)) = self.fields.try_entry(name) {
            entry.remove_entry_mult();
        }
        Ok(())
    }

    /// Puts `pairs` in place of everything; pseudo headers that are left out stay.
    ///
    /// # Errors
    /// `BadArgument` if one of them is no field; nothing is changed then.
    pub fn replace_all(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), Status> {
        let (part, pseudo) = (self.part, self.pseudo.clone());
        let mut new = Self { part, pseudo, ..Self::default() };
        for (name, value) in pairs {
            // What was there may stay, whatever it is: filters give back what they were given.
            let was_there = HeaderName::from_bytes(name).ok().is_some_and(|name| {
                HOP_BY_HOP.contains(&name)
                    && self.fields.get_all(name).iter().any(|known| known.as_bytes() == *value)
            });
            match was_there {
                true => {
                    let name = HeaderName::from_bytes(name).map_err(|_none| Status::BadArgument)?;
                    let value =
                        HeaderValue::from_bytes(value).map_err(|_none| Status::BadArgument)?;
                    new.fields.try_append(name, value).map_err(|_full| Status::BadArgument)?;
                }
                false => new.add(name, value)?,
            }
        }
        *self = new;
        Ok(())
    }

    fn names(&self) -> &'static [&'static str] {
        match self.part {
            Part::Request => &REQUEST,
            Part::Response => &RESPONSE,
            Part::Trailers => &[],
        }
    }

    fn set_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Status> {
        let known = self.names().iter().position(|known| known.as_bytes() == name);
        let is_valid = match name {
            b":authority" => Authority::try_from(value).is_ok(),
            b":path" => is_path(value),
            b":method" => Method::from_bytes(value).is_ok(),
            b":scheme" => Scheme::try_from(value).is_ok(),
            b":status" => {
                StatusCode::from_bytes(value).is_ok_and(|status| is_final(status.as_u16()))
            }
            _ => false,
        };
        let value = HeaderValue::from_bytes(value).ok().filter(|_| is_valid);
        let place = known.and_then(|index| self.pseudo.get_mut(index));
        match (place, value) {
            (Some(place), Some(value)) => {
                *place = Some(value);
                Ok(())
            }
            _ => Err(Status::BadArgument),
        }
    }
}

/// Whether a filter may answer with this status.
pub(crate) fn is_final(status: u16) -> bool {
    (200..=599).contains(&status)
}

fn is_path(value: &[u8]) -> bool {
    value == b"*" || value.starts_with(b"/") && PathAndQuery::try_from(value).is_ok()
}

/// Whether a field is not the filter's to say.
fn is_the_proxys(name: &HeaderName, value: &HeaderValue) -> bool {
    let is_length =
        |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    HOP_BY_HOP.contains(name) || name == header::CONTENT_LENGTH && !is_length(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Headers {
        let value = HeaderValue::from_static;
        let mut fields = HeaderMap::new();
        fields.append("accept", value("a"));
        fields.append("accept", value("b"));
        fields.insert("connection", value("te"));
        Headers::request(&Method::GET, value("https"), value("a.example"), value("/x?y"), fields)
    }

    fn text(headers: &Headers) -> Vec<String> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        headers.iter().map(|(name, value)| text(name) + "=" + &text(value)).collect()
    }

    #[test]
    fn pseudo_headers_come_first_and_every_value_is_an_entry() {
        let shown = [
            ":authority=a.example",
            ":path=/x?y",
            ":method=GET",
            ":scheme=https",
            "accept=a",
            "accept=b",
            "connection=te",
        ];
        assert_eq!(text(&request()), shown);
        assert_eq!(request().len(), shown.len());
        assert_eq!(request().get(b"ACCEPT").unwrap(), "a");
        assert_eq!(request().get_all(b"accept").count(), 2);
    }

    #[test]
    fn what_would_be_another_message_is_refused() {
        let mut headers = request();
        for (name, value) in [
            ("x", "a\r\nb: c"),
            ("x\r\n", "a"),
            ("", "a"),
            ("a b", "c"),
            (":path", "no slash"),
            (":path", "/a b"),
            (":method", "G T"),
            (":authority", "a b"),
            (":status", "200"),
            (":other", "x"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("content-length", "-1"),
            ("content-length", "1, 2"),
        ] {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            assert_eq!(headers.add(name, value), Err(Status::BadArgument), "{name:?}");
            assert_eq!(headers.replace(name, value), Err(Status::BadArgument), "{name:?}");
        }
        assert_eq!(headers.remove(b":path"), Err(Status::BadArgument));
        assert_eq!(text(&headers), text(&request()));
    }

    #[test]
    fn a_filter_may_give_back_what_it_was_given() {
        let mut headers = request();
        let given = request();
        let pairs: Vec<_> = given.iter().collect();
        headers.replace_all(&pairs).unwrap();
        assert_eq!(text(&headers), text(&given));
        assert_eq!(headers.replace_all(&[(b"x", b"\n")]), Err(Status::BadArgument));
        assert_eq!(text(&headers), text(&given));
        headers.replace_all(&[]).unwrap();
        assert_eq!(headers.len(), 4, "the pseudo headers stay");
    }

    #[test]
    fn there_is_room_for_so_much_and_no_more() {
        let mut headers = request();
        let mut added = 0;
        while headers.add(format!("x-{added}").as_bytes(), b"v").is_ok() {
            added += 1;
        }
        assert_eq!(headers.fields().len(), MOST_PAIRS);
        assert_eq!(headers.add(b"content-length", b"1"), Err(Status::InternalFailure));
        assert_eq!(headers.replace(b"x-new", b"v"), Err(Status::InternalFailure));
        assert_eq!(headers.replace(b"x-0", b"w"), Ok(()));

        let mut headers = request();
        let long = vec![b'v'; 100 << 10];
        // One that takes the place of another takes none of the room.
        (0..100).for_each(|_| headers.replace(b"x", &long).unwrap());
        let added = (0..100).take_while(|_| headers.add(b"y", &long).is_ok()).count();
        assert_eq!(added, 9);
    }

    #[test]
    fn a_length_is_there_once() {
        let mut headers = request();
        headers.add(b"content-length", b"1").unwrap();
        headers.add(b"Content-Length", b"2").unwrap();
        assert_eq!(headers.get_all(b"content-length").count(), 1);
    }
}
