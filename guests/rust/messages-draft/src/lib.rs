//! Messages by the newest `wasi:messaging@0.2.0-draft`: asked over HTTP to publish, and handed what
//! was published.
//!
//! `/publish?t=` publishes the body to a topic, with the headers `h=NAME:VALUE` and the type
//! `type=` where the interface has such. `/request?t=&ms=&n=` waits for replies and shows them.
//! `/seen?k=` shows what was noted under a name.
//!
//! Of each message it counts under `seen/TEXT` how often it was handed out, and notes under
//! `what/TEXT` what came with it. What it does then is what the first word says, which ends with a
//! colon: `fail:` fails, `fail2:` fails twice, `trap:` traps, `loop:` never ends, `slow:` takes 300
//! ms and `sleep:MS:` as many as it says, `ask:` is replied to with the text and `!`, `pass:TOPIC:`
//! is published there. Where the variable `HOST` is set, it counts its own under `by/HOST`.
use kit_p2::{Outcome, Target, keyvalue};
use wasip2::exports::http::incoming_handler::Guest as Http;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        inline: r#"
            package guest:messages;
            world messages {
                include wasi:messaging/messaging-request-reply@0.2.0-draft;
                include wasi:keyvalue/imports@0.2.0-draft2;
            }
        "#,
        path: ["../../wit/messaging-draft", "../../wit/keyvalue-draft2"],
        world: "guest:messages/messages",
        generate_all,
    });
}
use bindings::exports::wasi::messaging::incoming_handler::Guest as Handler;
use bindings::wasi::keyvalue::{atomics, store};
use bindings::wasi::messaging::producer;
use bindings::wasi::messaging::request_reply::{self, RequestOptions};
use bindings::wasi::messaging::types::{Client, Error, Message};

struct Messages;

impl Http for Messages {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let body = || keyvalue::whole(request.consume().unwrap());
        kit_p2::answer_outcome(out, command(&target, body));
    }
}

fn said(error: Error) -> String {
    match error {
        Error::Timeout => "timeout".to_owned(),
        Error::Connection(why) => format!("connection: {why}"),
        Error::PermissionDenied(why) => format!("permission denied: {why}"),
        Error::Other(why) => format!("other: {why}"),
    }
}

fn command(target: &Target, body: impl FnOnce() -> Vec<u8>) -> Outcome {
    let topic = target.text("t");
    let client = || Client::connect(&target.text("binding")).map_err(said);
    match target.path() {
        "/publish" => {
            let message = Message::new(&body());
            if let Some(kind) = target.value("type") {
                message.set_content_type(&kind);
            }
            for header in target.all("h") {
                let (name, value) = header.split_once(':').unwrap();
                message.add_metadata(name, value);
            }
            producer::send(&client()?, &topic, message).map_err(said)?;
            Ok(Some(Vec::new()))
        }
        "/request" => {
            let options = RequestOptions::new();
            let number = |name| target.value(name).and_then(|value| value.parse().ok());
            if let Some(ms) = number("ms") {
                options.set_timeout_ms(ms);
            }
            if let Some(replies) = number("n") {
                options.set_expected_replies(replies);
            }
            let message = Message::new(&body());
            let replies = request_reply::request(&client()?, &topic, &message, Some(options));
            let replies = replies.map_err(said)?;
            let replies: Vec<_> = replies.iter().map(Message::data).collect();
            Ok(Some(replies.join(&b',')))
        }
        "/seen" => store::open("").unwrap().get(&target.text("k")).map_err(|e| format!("{e:?}")),
        "/resources" => {
            // What was sent is gone, and so is what was disconnected.
            let client = client()?;
            let first = client.disconnect().map_err(said);
            let again = client.disconnect().map_err(said);
            let sent = producer::send(&client, &topic, Message::new(b"x")).map_err(said);
            Ok(Some(format!("{first:?} {again:?} {sent:?}").into_bytes()))
        }
        _ => Ok(None),
    }
}

impl Handler for Messages {
    fn handle(message: Message) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&message.data()).into_owned();
        let bucket = store::open("").unwrap();
        let times = atomics::increment(&bucket, &format!("seen/{text}"), 1).unwrap();
        if let Ok(host) = std::env::var("HOST") {
            atomics::increment(&bucket, &format!("by/{host}"), 1).unwrap();
        }
        let (topic, kind) = (message.topic().unwrap_or_default(), message.content_type());
        let mut what = format!("{topic} {}", kind.as_deref().unwrap_or("-"));
        for (name, value) in message.metadata().into_iter().flatten() {
            what += &format!(" {name}={value}");
        }
        bucket.set(&format!("what/{text}"), what.as_bytes()).unwrap();
        let failed = || Err(Error::Other("as it was asked to".to_owned()));
        match text.split_once(':') {
            Some(("fail", _)) => failed(),
            Some(("fail2", _)) if times <= 2 => failed(),
            Some(("trap", _)) => panic!("as it was asked to"),
            Some(("loop", _)) => loop {
                std::hint::spin_loop();
            },
            Some(("slow", _)) => {
                std::thread::sleep(std::time::Duration::from_millis(300));
                Ok(())
            }
            Some(("sleep", rest)) => {
                let (millis, _) = rest.split_once(':').unwrap();
                std::thread::sleep(std::time::Duration::from_millis(millis.parse().unwrap()));
                Ok(())
            }
            Some(("ask", _)) => {
                request_reply::reply(&message, Message::new(format!("{text}!").as_bytes()))
            }
            Some(("pass", rest)) => {
                let (topic, rest) = rest.split_once(':').unwrap();
                let client = Client::connect("")?;
                producer::send(&client, topic, Message::new(rest.as_bytes()))
            }
            _ => Ok(()),
        }
    }
}

wasip2::http::proxy::export!(Messages);
bindings::export!(Messages with_types_in bindings);
