//! Events in every form, of the specification's examples and of chance.

use super::*;
use crate::backend::memory::Memory;
use crate::{Broker, Delivery, Filter, PublishOptions, Subscription};
use base::{Backend as _, Kind, Place};
use proptest::prelude::*;
use std::sync::Arc;

const STYLES: [Style; 4] = Style::ALL;

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn binary(pairs: &[(&str, &str)], kind: Option<&str>, data: &str) -> Message {
    Message {
        headers: headers(pairs),
        content_type: kind.map(str::to_owned),
        ..Message::new(data.to_owned())
    }
}

fn document(text: &str) -> Message {
    binary(&[], Some("application/cloudevents+json; charset=utf-8"), text)
}

const NEEDED: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "/s"), ("ce-id", "1")];

fn found(message: &Message) -> Event {
    Event::find(message).unwrap().unwrap().0
}

fn why(message: &Message) -> String {
    let error = Event::find(message).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    error.message().to_owned()
}

#[test]
fn an_event_is_found_in_every_form() {
    let pairs = |prefix: &str| {
        let of =
            |(name, value): (&str, &str)| (format!("{prefix}{}", &name[3..]), value.to_owned());
        let headers = NEEDED.into_iter().map(of).collect();
        let kind = Some("text/plain".to_owned());
        Message { headers, content_type: kind, ..Message::new("x") }
    };
    let expected = found(&pairs("ce-"));
    for prefix in ["CE-", "ce_", "cloudEvents:", "cloudEvents_", ""] {
        assert_eq!(found(&pairs(prefix)), expected, "{prefix}");
    }
    let text = r#"{ "specversion" : "1.0", "type": "t", "source": "/s", "id": "1", "gone": null,
                    "datacontenttype": "text/plain", "data": "x" }"#;
    let (event, mode) = Event::find(&document(text)).unwrap().unwrap();
    assert_eq!((event, mode), (expected.clone(), Mode::Structured));
    let text = text.replace("\"data\": \"x\"", "\"data_base64\": \"eA==\"");
    assert_eq!(found(&document(&text)), expected);
}

#[test]
fn other_messages_are_no_events() {
    for message in [
        Message::new("x"),
        binary(&[("cex-id", "1"), ("id", "1"), ("source", "/")], Some("application/json"), "{}"),
        binary(&[("specversion", "1.0"), ("id", "1"), ("type", "t")], None, ""),
    ] {
        assert_eq!(Event::find(&message).unwrap(), None, "{message:?}");
        let error = convert(message, Mode::Binary, Style::Dash).unwrap_err();
        assert!(error.message().starts_with("no CloudEvent: "), "{error}");
    }
}

#[test]
fn what_is_meant_to_be_an_event_and_is_none_says_why() {
    let without = |name: &str| {
        let pairs: Vec<_> = NEEDED.into_iter().filter(|(found, _)| found[3..] != *name).collect();
        binary(&pairs, None, "")
    };
    for name in ["specversion", "type", "source", "id"] {
        assert_eq!(why(&without(name)), format!("malformed CloudEvent: `{name}` is missing"));
    }
    for (name, value, said) in [
        ("ce-time", "yesterday", "`time` is a moment of RFC 3339"),
        ("ce-my-ext", "x", "`my-ext` is no name of an attribute"),
        ("ce-id", "2", "`id` comes twice"),
        ("CE-ID", "2", "`id` comes twice"),
        ("ce-x", "%ff", "what is escaped in `x` is no text of UTF-8"),
        ("ce-x", "%0A", "`x` has a character that no attribute may have"),
    ] {
        let pairs: Vec<_> = NEEDED.into_iter().chain([(name, value)]).collect();
        assert!(why(&binary(&pairs, None, "")).contains(said), "{name}: {value}");
    }
    let old = NEEDED.map(|(name, value)| (name, value.replace("1.0", "0.3")));
    let old: Vec<_> = old.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert!(why(&binary(&old, None, "")).contains("`specversion` is `1.0`, not `0.3`"));
    let open = r#"{"specversion":"1.0","type":"t","source":"/s","id":"1""#;
    for (more, said) in [
        ("", "no `}`"),
        (",\"data\":1,\"data_base64\":\"\"}", "both `data` and `data_base64`"),
        (",\"data_base64\":\"?\"}", "no Base64"),
        (",\"data_base64\":1}", "no Base64"),
        (",\"ext\":1.5}", "`ext` is neither a text, a whole number"),
        (",\"ext\":2147483648}", "`ext` is neither a text, a whole number"),
        (",\"ext\":{}}", "`ext` is neither a text, a whole number"),
        (",\"Ext\":\"\"}", "`Ext` is no name"),
        (",\"id\":\"2\"}", "`id` comes twice"),
        (",\"datacontenttype\":\"text/plain\",\"data\":{}}", "stands there as no text"),
        ("}x", "something behind"),
    ] {
        let text = why(&document(&format!("{open}{more}")));
        assert!(text.contains(said), "{more}: {text}");
    }
    for kind in ["application/cloudevents-batch+json", "application/cloudevents+avro"] {
        assert!(why(&binary(&[], Some(kind), "[]")).contains("is understood, not"), "{kind}");
    }
    assert!(why(&Message { data: Bytes::from_static(b"\xff"), ..document("") }).contains("UTF-8"));
}

#[test]
fn data_stays_as_it_was_written() {
    for (kind, data, member) in [
        (Some("application/json"), "{ \"a\" : 1.50,\n\"b\":1e400 }", "\"data\":{ \"a\" : 1.50"),
        (Some("application/vnd.x+json"), "\"text\"", "\"data\":\"text\""),
        (Some("text/plain"), "a \"b\" €", "\"data\":\"a \\\"b\\\" €\""),
        (Some("application/xml"), "<a/>", "\"data_base64\":\"PGEvPg==\""),
        (None, "x", "\"data_base64\":\"eA==\""),
    ] {
        let message = binary(&NEEDED, kind, data);
        let document = convert(message.clone(), Mode::Structured, Style::Dash).unwrap();
        assert_eq!(document.content_type.as_deref(), Some(JSON));
        assert!(document.headers.is_empty());
        let text = std::str::from_utf8(&document.data).unwrap();
        assert!(text.contains(member), "{text}");
        let mut again = convert(document, Mode::Binary, Style::Dash).unwrap();
        again.headers.sort();
        let mut expected = message;
        expected.headers.sort();
        assert_eq!(again, expected);
    }
    let message = binary(&NEEDED, Some("application/json"), "{");
    let error = convert(message, Mode::Structured, Style::Dash).unwrap_err();
    assert!(error.to_string().contains("data of type `application/json`"), "{error}");
}

#[test]
fn what_has_the_wanted_form_is_not_touched() {
    let text = r#"{"id":"1" , "specversion":"1.0","type":"t","source":"/s","ext":42}"#;
    assert_eq!(convert(document(text), Mode::Structured, Style::Dash).unwrap(), document(text));
    let binary = binary(&NEEDED, None, "x");
    assert_eq!(convert(binary.clone(), Mode::Binary, Style::Dash).unwrap(), binary);
}

#[test]
fn what_is_no_attribute_stays_beside_the_event() {
    let mut message = binary(&NEEDED, Some("text/plain"), "x");
    message.headers.extend(headers(&[("b", "1"), ("traceparent", "x"), ("b", "2")]));
    message.headers.extend(headers(&[("ce-partitionkey", "p")]));
    message.id = Some("i".to_owned());
    message.reply_to = Some("r".to_owned());
    for mode in [Mode::Binary, Mode::Structured] {
        let event = convert(message.clone(), mode, Style::Underscore).unwrap();
        let others = event.headers.iter().filter(|(name, _)| !name.starts_with("ce_"));
        let others: Vec<_> = others.cloned().collect();
        assert_eq!(others, headers(&[("b", "1"), ("traceparent", "x"), ("b", "2")]));
        let said = (event.id.as_deref(), event.reply_to.as_deref(), event.key.as_deref());
        assert_eq!(said, (Some("i"), Some("r"), Some("p")));
    }
}

/// A binding in memory that publishes events, and all of it.
async fn publishing(mode: Mode) -> (Events, Arc<dyn Broker>) {
    let place = Place {
        base: std::env::temp_dir(),
        data: std::env::temp_dir(),
        app: "shop".to_owned(),
        capability: "messaging",
        // Memory is shared by those of one name.
        binding: format!("{:x}", fastrand::u64(..)),
    };
    let memory: Memory = toml::from_str("url = 'memory:'").unwrap();
    let broker = memory.open(place).await.unwrap();
    (Events::new(Arc::clone(&broker), mode, Style::Dash, "/shop/queue".to_owned()), broker)
}

async fn delivered(events: &Events, message: Message, options: &PublishOptions) -> Delivery {
    let subscription = Subscription::new(vec![Filter::parse("orders.new").unwrap()]);
    let subscriber = events.subscribe(&subscription).await.unwrap();
    events.publish("orders.new", message, options).await.unwrap();
    subscriber.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_published_becomes_an_event() {
    for mode in [Mode::Binary, Mode::Structured] {
        let (events, _) = publishing(mode).await;
        let plain = binary(&[("own", "1")], Some("application/json"), "[1]");
        let delivery = delivered(&events, plain.clone(), &PublishOptions::default()).await;
        let (event, found) = Event::find(&delivery.message).unwrap().unwrap();
        assert_eq!(found, mode);
        assert_eq!(event.attribute("source"), Some("/shop/queue"));
        assert_eq!(event.attribute("type"), Some("orders.new"));
        assert_eq!(event.attribute("id").map(str::len), Some(32));
        assert!(event.attribute("time").is_some());
        assert_eq!(event.attribute("datacontenttype"), Some("application/json"));
        assert_eq!(event.data().unwrap(), "[1]");
        assert_eq!(delivery.message.header("own"), Some("1"));
        // An event is passed on as one, in the other form.
        let event = convert(binary(&NEEDED, None, "x"), mode, Style::Dash).unwrap();
        let given = binary(&NEEDED, None, "x");
        let delivery = delivered(&events, given, &PublishOptions::default()).await;
        assert_eq!(self::found(&delivery.message), self::found(&event));
        // A dead letter is none.
        let options = PublishOptions { beyond: true, ..PublishOptions::default() };
        assert_eq!(delivered(&events, plain.clone(), &options).await.message, plain);
    }
}

#[tokio::test]
async fn a_malformed_event_is_not_published() {
    let (events, _) = publishing(Mode::Binary).await;
    let wrong = binary(&NEEDED[..3], None, "x");
    let options = PublishOptions::default();
    let error = events.publish("orders.new", wrong.clone(), &options).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(error.message(), "malformed CloudEvent: `id` is missing");
    let many = [wrong, binary(&NEEDED, None, "x"), Message::new("y")];
    let many = many.map(|message| ("orders.new".to_owned(), message)).to_vec();
    let outcomes = events.publish_many(many, &options).await;
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
}

fn text() -> impl Strategy<Value = String> {
    // Anything but controls and what is no character.
    proptest::string::string_regex("[ -~\u{a0}-\u{fdcf}\u{10000}-\u{1fff0}]{0,20}").unwrap()
}

fn event() -> impl Strategy<Value = Event> {
    let kinds = ["application/json", "text/plain; charset=utf-8", "application/octet-stream"];
    let json = proptest::sample::select(vec!["{ \"a\": [1.0] }", "\"x\"", "1e3", "null", " [ ] "]);
    let data = prop_oneof![
        json.prop_map(move |text| (Some(kinds[0]), Bytes::from_static(text.as_bytes()))),
        text().prop_map(move |text| (Some(kinds[1]), Bytes::from(text))),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(move |bytes| (Some(kinds[2]), Bytes::from(bytes))),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| (None, Bytes::from(bytes))),
    ];
    let extensions = proptest::collection::btree_map("[a-z0-9]{5,12}x", text(), 0..5);
    (text(), text(), data, extensions).prop_map(|(id, kind, (content, data), extensions)| {
        let mut attributes = extensions;
        let said = [
            ("specversion", "1.0".to_owned()),
            ("id", format!("{id}i")),
            ("source", "/s?a=%20#b".to_owned()),
            ("type", format!("t{kind}")),
        ];
        attributes.extend(said.map(|(name, value)| (name.to_owned(), value)));
        attributes.extend(content.map(|it| ("datacontenttype".to_owned(), it.to_owned())));
        // Nothing and no data are the same in headers. Space around JSON is none of it.
        let data = match content {
            Some("application/json") => data.trim_ascii().to_vec().into(),
            _ => data,
        };
        Event::new(attributes, (!data.is_empty()).then_some(data)).unwrap()
    })
}

proptest! {
    #[test]
    fn every_event_goes_through_every_form(event in event(), style in 0..STYLES.len()) {
        let style = STYLES[style];
        let around = Message { key: Some("k".to_owned()), ..Message::default() };
        let binary = event.clone().into_message(around, Mode::Binary, style).unwrap();
        prop_assert_eq!(Event::find(&binary).unwrap(), Some((event.clone(), Mode::Binary)));
        let document = convert(binary.clone(), Mode::Structured, style).unwrap();
        prop_assert_eq!(Event::find(&document).unwrap(), Some((event, Mode::Structured)));
        prop_assert_eq!(convert(document, Mode::Binary, style).unwrap(), binary);
    }

    #[test]
    fn no_document_panics(text in "[\\{\\}\\[\\]\",:a-z0-9\\\\ ]{0,60}", whole in any::<bool>()) {
        let begin = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/\",\"type\":\"t\"";
        let text = if whole { format!("{begin},{text}") } else { text };
        if let Ok(Some((event, _))) = Event::find(&document(&text)) {
            event.into_message(Message::default(), Mode::Binary, Style::Dash).unwrap();
        }
    }

    #[test]
    fn no_header_panics(name in "(ce[-_])?[a-z%]{0,6}", value in "[%a-f0-9\"\\\\ é]{0,12}") {
        let pairs: Vec<_> = NEEDED.into_iter().chain([(name.as_str(), value.as_str())]).collect();
        drop(Event::find(&binary(&pairs, None, "")));
    }
}
