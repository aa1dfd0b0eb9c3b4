//! The answers of Azure: lists of elements, each of which has texts under names.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use std::collections::HashMap;

/// One element: the texts of all elements in it, by their names.
pub(super) type Row = HashMap<String, String>;

/// Every `row` element in a document. `None`: it is no XML.
pub(super) fn rows(document: &str, row: &str) -> Option<Vec<Row>> {
    let mut reader = Reader::from_str(document);
    let mut rows = Vec::new();
    let mut current: Option<Row> = None;
    let mut names: Vec<String> = Vec::new();
    loop {
        let text = match reader.read_event().ok()? {
            Event::Eof => return names.is_empty().then_some(rows),
            Event::Start(start) => {
                let name = String::from_utf8(start.name().as_ref().to_vec()).ok()?;
                if name == row {
                    current = Some(Row::new());
                }
                names.push(name);
                continue;
            }
            Event::End(_) => {
                if names.pop()? == row {
                    rows.extend(current.take());
                }
                continue;
            }
            Event::Text(text) => text.decode().ok()?.into_owned(),
            Event::CData(text) => text.decode().ok()?.into_owned(),
            Event::GeneralRef(entity) => match entity.resolve_char_ref().ok()? {
                Some(letter) => letter.to_string(),
                None => resolve_xml_entity(&entity.decode().ok()?)?.to_owned(),
            },
            _ => continue,
        };
        if let (Some(row), Some(name)) = (&mut current, names.last()) {
            row.entry(name.clone()).or_default().push_str(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_with_all_that_is_in_them() {
        let document = "<?xml version=\"1.0\"?><A><Q><Name>a</Name><M><w>x &lt;&#65;&amp; y</w></M>\
                        </Q><Q><Name>b</Name><M/></Q><NextMarker/></A>";
        let rows = rows(document, "Q").unwrap();
        let texts = |name: &str| rows.iter().map(|row| row.get(name).cloned()).collect::<Vec<_>>();
        assert_eq!(texts("Name"), [Some("a".to_owned()), Some("b".to_owned())]);
        assert_eq!(texts("w"), [Some("x <A& y".to_owned()), None]);
    }

    #[test]
    fn what_is_no_xml_is_told() {
        for wrong in ["<a><b></a>", "<a>", "<a>&nothing;</a>", "<a"] {
            assert_eq!(rows(wrong, "a"), None, "{wrong}");
        }
    }
}
