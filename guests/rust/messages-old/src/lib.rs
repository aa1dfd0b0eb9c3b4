//! Messages by `wasi:messaging@0.2.0-draft` as it was before its interfaces were renamed: asked
//! over HTTP to publish and to take messages, and handed what was published.
//!
//! - `/publish?t=` publishes the body to a channel, with the metadata `h=NAME:VALUE` and the format
//!   `format=`; `/publish-many?t=` each line of it.
//! - `/take?t=&ms=&then=` takes messages of a channel and shows each with its metadata; without
//!   `ms=` it waits for one. Then it does `complete`, `abandon`, `twice` (completes it twice) or
//!   `forged` (completes a message that it made up) with each, and shows what came of it.
//! - `/listen?t=&x=NAME:VALUE` listens to these channels from now on.
//! - `/seen?k=` shows what was noted under a name.
//!
//! It listens to the channels `t.>` and `other`. Of each message it counts under `seen/TEXT` how
//! often it was handed out, and notes under `what/TEXT` what came with it. What it does then is
//! what the first word says, which ends with a colon: `fail:` fails, `fail2:` fails twice, `trap:`
//! traps, `loop:` never ends, `slow:` takes 300 ms, `pass:CHANNEL:` is published there.
use kit_p2::{Outcome, Target, kebab, keyvalue};
use wasip2::exports::http::incoming_handler::Guest as Http;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        inline: r#"
            package guest:messages;
            world messages {
                include wasi:messaging/messaging@0.2.0-draft;
                include wasi:keyvalue/imports@0.2.0-draft2;
            }
        "#,
        path: ["../../wit/messaging-draft-old", "../../wit/keyvalue-draft2"],
        world: "guest:messages/messages",
        generate_all,
    });
}
use bindings::exports::wasi::messaging::messaging_guest::Guest as Handler;
use bindings::wasi::keyvalue::{atomics, store};
use bindings::wasi::messaging::messaging_types::{
    Client, Error, FormatSpec, GuestConfiguration, Message,
};
use bindings::wasi::messaging::{consumer, producer};

struct Messages;

impl Http for Messages {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let body = || keyvalue::whole(request.consume().unwrap());
        kit_p2::answer_outcome(out, command(&target, body));
    }
}

/// What an error says, of which there is always the last one.
fn said(_error: Error) -> String {
    Error::trace()
}

fn message(data: &[u8]) -> Message {
    Message { data: data.to_vec(), format: FormatSpec::Raw, metadata: None }
}

fn pairs(target: &Target, name: &str) -> Vec<(String, String)> {
    let all = target.all(name);
    let pairs = all.iter().map(|pair| pair.split_once(':').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn client(target: &Target) -> Result<Client, String> {
    Client::connect(&target.text("binding")).map_err(said)
}

fn command(target: &Target, body: impl FnOnce() -> Vec<u8>) -> Outcome {
    let channel = target.text("t");
    match target.path() {
        "/publish" => {
            let mut message = message(&body());
            message.metadata = Some(pairs(target, "h"));
            if target.text("format") == "cloudevents" {
                message.format = FormatSpec::Cloudevents;
            }
            producer::send(client(target)?, &channel, &[message]).map_err(said)?;
            Ok(Some(Vec::new()))
        }
        "/publish-many" => {
            let body = body();
            let lines: Vec<_> = body.split(|byte| *byte == b'\n').map(message).collect();
            producer::send(client(target)?, &channel, &lines).map_err(said)?;
            Ok(Some(Vec::new()))
        }
        "/take" => take(target, &channel),
        "/listen" => {
            let extensions = Some(pairs(target, "x"));
            let configuration = GuestConfiguration { channels: target.all("t"), extensions };
            consumer::update_guest_configuration(&configuration).map_err(said)?;
            Ok(Some(Vec::new()))
        }
        "/seen" => store::open("").unwrap().get(&target.text("k")).map_err(|e| format!("{e:?}")),
        _ => Ok(None),
    }
}

fn take(target: &Target, channel: &str) -> Outcome {
    let client = client(target)?;
    let messages = match target.value("ms").map(|ms| ms.parse().unwrap()) {
        Some(ms) => consumer::subscribe_try_receive(client, channel, ms).map_err(said)?,
        None => Some(consumer::subscribe_receive(client, channel).map_err(said)?),
    };
    let mut lines = Vec::new();
    for message in messages.into_iter().flatten() {
        let outcome = |outcome: Result<(), Error>| outcome.map_or_else(said, |()| "ok".to_owned());
        let then = match target.text("then").as_str() {
            "complete" => outcome(consumer::complete_message(&message)),
            "abandon" => outcome(consumer::abandon_message(&message)),
            "twice" => {
                let first = outcome(consumer::complete_message(&message));
                format!("{first}, {}", outcome(consumer::complete_message(&message)))
            }
            "forged" => {
                let metadata = Some(pairs(target, "h"));
                outcome(consumer::complete_message(&Message { metadata, ..message.clone() }))
            }
            _ => "-".to_owned(),
        };
        lines.push(format!("{} {then}", shown(&message)));
    }
    Ok(Some(lines.join("\n").into()))
}

/// A message with what is said of it, but for what it is settled by, which is another each time.
fn shown(message: &Message) -> String {
    let mut text = String::from_utf8_lossy(&message.data).into_owned();
    text += &format!(" {}", kebab(&message.format));
    for (name, value) in message.metadata.iter().flatten() {
        let value = if name == "wharf-delivery" { "…" } else { value };
        text += &format!(" {name}={value}");
    }
    text
}

impl Handler for Messages {
    fn configure() -> Result<GuestConfiguration, Error> {
        let channels = vec!["t.>".to_owned(), "other".to_owned()];
        let extensions = Some(vec![("color".to_owned(), "blue".to_owned())]);
        Ok(GuestConfiguration { channels, extensions })
    }

    fn handler(messages: Vec<Message>) -> Result<(), Error> {
        messages.iter().try_for_each(handle)
    }
}

fn handle(message: &Message) -> Result<(), Error> {
    let text = String::from_utf8_lossy(&message.data).into_owned();
    let bucket = store::open("").unwrap();
    let times = atomics::increment(&bucket, &format!("seen/{text}"), 1).unwrap();
    bucket.set(&format!("what/{text}"), shown(message).as_bytes()).unwrap();
    // The only errors that there are come from calls.
    let failed = || Client::connect("as it was asked to").map(drop);
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
        Some(("pass", rest)) => {
            let (channel, rest) = rest.split_once(':').unwrap();
            let message = Message { data: rest.as_bytes().to_vec(), ..message.clone() };
            producer::send(Client::connect("")?, channel, &[message])
        }
        _ => Ok(()),
    }
}

wasip2::http::proxy::export!(Messages);
bindings::export!(Messages with_types_in bindings);
