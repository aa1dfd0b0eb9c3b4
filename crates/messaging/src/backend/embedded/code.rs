//! How messages and groups are written as bytes.

use crate::local::{Entry, GroupRow};
use crate::{Filter, Message};
use base::{Error, Result};
use bytes::Bytes;

/// A message's row.
pub(super) fn encode(entry: &Entry, row: &mut Vec<u8>) {
    let Message { data, content_type, headers, key, id, reply_to } = &entry.message;
    row.clear();
    row.extend(entry.time.to_be_bytes());
    row.extend(entry.not_before.to_be_bytes());
    text(row, &entry.topic);
    for said in [content_type, key, id, reply_to] {
        row.push(u8::from(said.is_some()));
        if let Some(said) = said {
            text(row, said);
        }
    }
    count(row, headers.len());
    for (name, value) in headers {
        text(row, name);
        text(row, value);
    }
    row.extend_from_slice(data);
}

/// A group's row.
pub(super) fn encode_group(group: &GroupRow) -> Vec<u8> {
    let mut row = Vec::new();
    row.extend(group.cursor.to_be_bytes());
    row.extend(group.left.to_be_bytes());
    row.push(u8::from(group.ordered));
    text(&mut row, &group.name);
    count(&mut row, group.filters.len());
    group.filters.iter().for_each(|filter| text(&mut row, filter.text()));
    row
}

fn count(row: &mut Vec<u8>, count: usize) {
    // A message has fewer bytes than this can count.
    row.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn text(row: &mut Vec<u8>, text: &str) {
    count(row, text.len());
    row.extend_from_slice(text.as_bytes());
}

/// What is left of a row.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64> {
        let bytes: [u8; 8] = self.take(8)?.try_into().ok().ok_or_else(damaged)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn count(&mut self) -> Result<usize> {
        let bytes: [u8; 4] = self.take(4)?.try_into().ok().ok_or_else(damaged)?;
        usize::try_from(u32::from_be_bytes(bytes)).ok().ok_or_else(damaged)
    }

    fn is(&mut self) -> Result<bool> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(damaged()),
        }
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).map_err(|error| damaged().with_source(error))
    }

    fn said(&mut self) -> Result<Option<String>> {
        Ok(if self.is()? { Some(self.text()?.to_owned()) } else { None })
    }
}

/// A message from its row.
pub(super) fn decode(row: &[u8]) -> Result<Entry> {
    let mut rest = Rest(row);
    let (time, not_before) = (rest.number()?, rest.number()?);
    let topic = rest.text()?.into();
    let (content_type, key) = (rest.said()?, rest.said()?);
    let (id, reply_to) = (rest.said()?, rest.said()?);
    let mut headers = Vec::new();
    for _ in 0..rest.count()? {
        headers.push((rest.text()?.to_owned(), rest.text()?.to_owned()));
    }
    let data = Bytes::copy_from_slice(rest.0);
    let message = Message { data, content_type, headers, key, id, reply_to };
    Ok(Entry { topic, message, time, not_before })
}

/// A group from its row.
pub(super) fn decode_group(row: &[u8]) -> Result<GroupRow> {
    let mut rest = Rest(row);
    let (cursor, left, ordered) = (rest.number()?, rest.number()?, rest.is()?);
    let name = rest.text()?.into();
    let mut filters = Vec::new();
    for _ in 0..rest.count()? {
        filters.push(Filter::parse(rest.text()?).map_err(|error| damaged().with_source(error))?);
    }
    Ok(GroupRow { name, filters, ordered, cursor, left })
}

fn damaged() -> Error {
    Error::corrupt("a message of the broker is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said() -> impl Strategy<Value = Option<String>> {
        prop::option::of(".{0,20}")
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let headers = prop::collection::vec((".{0,9}", ".{0,9}"), 0..4);
        let data = prop::collection::vec(any::<u8>(), 0..50).prop_map(Bytes::from);
        let message = (data, said(), headers, said(), said(), said());
        let message = message.prop_map(|(data, content_type, headers, key, id, reply_to)| {
            Message { data, content_type, headers, key, id, reply_to }
        });
        (".{1,20}", message, any::<u64>(), any::<u64>()).prop_map(
            |(topic, message, time, not_before)| Entry {
                topic: topic.into(),
                message,
                time,
                not_before,
            },
        )
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(entry in entry()) {
            let mut row = Vec::new();
            encode(&entry, &mut row);
            prop_assert_eq!(decode(&row).unwrap(), entry);
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(row in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(&row));
            drop(decode_group(&row));
        }
    }

    #[test]
    fn a_group_is_read_as_it_was_written() {
        let group = GroupRow {
            name: "g ü".into(),
            filters: ["a.*", "b.>"].map(|text| Filter::parse(text).unwrap()).to_vec(),
            ordered: true,
            cursor: 7,
            left: u64::MAX,
        };
        assert_eq!(decode_group(&encode_group(&group)).unwrap(), group);
    }
}
