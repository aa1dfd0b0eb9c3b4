//! Messages by `wharf:messaging@0.1.0` on WASI 0.2, whose text has no `async`; `messages-wharf`
//! asks for more of it.
//!
//! `/publish?t=` publishes the body to a topic. `/request?t=&ms=` waits for a reply and shows it.
//! `/take?t=&g=&wait=` takes one message of a group, gives it back, takes it again, acknowledges it
//! twice, and shows what came of all that. `/seen?k=` shows what was noted under a name.
//!
//! Of each message it counts under `seen/TEXT` how often it was handed out. What it does then is
//! what the first word says, which ends with a colon: `fail:` gives it back, `fail2:` twice,
//! `dead:` gives it up, `ask:` is replied to with the text and `!`.
use kit_p2::{Outcome, Target, kebab, keyvalue};
use wasip2::exports::http::incoming_handler::Guest as Http;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        inline: r#"
            package guest:messages;
            world messages {
                include wharf:messaging/service@0.1.0;
                include wasi:keyvalue/imports@0.2.0-draft2;
            }
        "#,
        path: ["../../wit/messaging-wharf-sync", "../../wit/keyvalue-draft2"],
        world: "guest:messages/messages",
        generate_all,
    });
}
use bindings::exports::wharf::messaging::handler::{Guest as Handler, Verdict};
use bindings::wasi::keyvalue::{atomics, store};
use bindings::wharf::messaging::consumer::Consumer;
use bindings::wharf::messaging::producer;
use bindings::wharf::messaging::types::{Delivery, Error, Message, Options, Start};

struct Messages;

impl Http for Messages {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let body = || keyvalue::whole(request.consume().unwrap());
        kit_p2::answer_outcome(out, command(&target, body));
    }
}

fn said(error: Error) -> String {
    format!("{}: {}", kebab(&error.code), error.message)
}

fn one(outcomes: Vec<Result<(), Error>>) -> String {
    let [outcome] = <[_; 1]>::try_from(outcomes).unwrap();
    outcome.map_or_else(|error| kebab(&error.code), |()| "ok".to_owned())
}

fn message(data: Vec<u8>) -> Message {
    let (content_type, key, id, reply_to) = Default::default();
    Message { data, content_type, headers: Vec::new(), key, id, reply_to }
}

fn command(target: &Target, body: impl FnOnce() -> Vec<u8>) -> Outcome {
    let topic = target.text("t");
    match target.path() {
        "/publish" => {
            producer::publish("", &topic, &message(body()), None).map_err(said)?;
            Ok(Some(Vec::new()))
        }
        "/request" => {
            let timeout = target.number("ms", 10_000);
            let replies = producer::request("", &topic, &message(body()), timeout, 1);
            Ok(replies.map_err(said)?.into_iter().next().map(|reply| reply.data))
        }
        "/take" => take(target, topic),
        "/seen" => store::open("").unwrap().get(&target.text("k")).map_err(|e| format!("{e:?}")),
        _ => Ok(None),
    }
}

fn take(target: &Target, topic: String) -> Outcome {
    let options = Options {
        topics: vec![topic],
        group: target.value("g"),
        start: Start::New,
        prefetch: None,
        deadline: None,
        ordered: false,
    };
    let consumer = Consumer::open("", &options).map_err(said)?;
    let next = || {
        let received = consumer.receive(1, target.number("wait", 0)).map_err(said)?;
        Ok::<_, String>(received.into_iter().next())
    };
    let Some(first) = next()? else { return Ok(Some(Vec::new())) };
    let back = one(consumer.nack(&[first.token], 0));
    let Some(again) = next()? else { return Err("it did not come again".to_owned()) };
    let extended = one(consumer.extend(&[again.token]));
    let acks = [again.token; 2].map(|token| one(consumer.ack(&[token])));
    let text = String::from_utf8(again.delivery.message.data).unwrap();
    let attempt = again.delivery.attempt;
    Ok(Some(format!("{text} {back} {attempt} {extended} {}", acks.join(" ")).into()))
}

impl Handler for Messages {
    fn handle(_binding: String, deliveries: Vec<Delivery>) -> Vec<Verdict> {
        deliveries.into_iter().map(handle).collect()
    }
}

fn handle(delivery: Delivery) -> Verdict {
    let text = String::from_utf8(delivery.message.data).unwrap();
    let bucket = store::open("").unwrap();
    let times = atomics::increment(&bucket, &format!("seen/{text}"), 1).unwrap();
    match text.split_once(':') {
        Some(("fail", _)) => Verdict::Nack(None),
        Some(("fail2", _)) if times <= 2 => Verdict::Nack(None),
        Some(("dead", _)) => Verdict::DeadLetter("as it was asked to".to_owned()),
        Some(("ask", _)) => {
            let reply = message(format!("{text}!").into_bytes());
            producer::publish("", &delivery.message.reply_to.unwrap(), &reply, None).unwrap();
            Verdict::Ack
        }
        _ => Verdict::Ack,
    }
}

wasip2::http::proxy::export!(Messages);
bindings::export!(Messages with_types_in bindings);
