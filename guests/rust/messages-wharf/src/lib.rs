//! Messages by `wharf:messaging@0.1.0`: asked over HTTP to publish and to take messages, and handed
//! what was published.
//!
//! - `/publish?t=` publishes the body to a topic, with the headers `h=NAME:VALUE`, `type=`, `key=`,
//!   `id=` and `delay=`, and says where it is and whether it was there; `/publish-many?t=&t=`
//!   publishes it to each topic and has a line for each.
//! - `/request?t=&ms=&n=` waits for replies and shows them.
//! - `/take?t=&g=` opens a consumer, with `start=`, `deadline=`, `prefetch=` and `ordered=true`,
//!   takes `most=` messages within `wait=`, and has a line for each: text, topic, attempt, key,
//!   position and what came of what it does `then=`: `ack`, `nack` with `delay=`, `keep` and say
//!   nothing, `twice` for two acknowledgements, `late` for one after `pause=`, `extend` for one
//!   after that which the deadline was put off for, `other` for one through another consumer.
//! - `/consumers?n=` opens so many and says how many there were; `/forget?g=` forgets a group.
//! - `/seen?k=` shows what was noted under a name.
//!
//! Of each message it counts under `seen/TEXT` how often it was handed out, and notes under
//! `what/TEXT` what came with it. What it does then is what the first word says, which ends with a
//! colon: `fail:` gives it back, `fail2:` twice, `later:` once for a second, `dead:` gives it up,
//! `trap:` traps, `loop:` never ends, `slow:` takes 300 ms, `ask:` is replied to with the text and
//! `!`, `pass:TOPIC:` is published there, `less:` gives no verdict.
use kit_p3::{Target, kebab};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::exports::http::handler::Guest as Http;
use wasip3::http::types::{ErrorCode, Request, Response};

mod bindings {
    wit_bindgen::generate!({
        inline: r#"
            package guest:messages;
            world messages {
                include wharf:messaging/service@0.1.0;
                include wasmcloud:keyvalue/imports@0.2.0;
            }
        "#,
        path: ["../../wit/messaging-wharf", "../../wit/keyvalue-wasmcloud"],
        world: "guest:messages/messages",
        generate_all,
    });
}
use bindings::exports::wharf::messaging::handler::{Guest as Handler, Verdict};
use bindings::wasmcloud::keyvalue::{atomics, store};
use bindings::wharf::messaging::consumer::{self, Consumer};
use bindings::wharf::messaging::producer;
use bindings::wharf::messaging::types::{
    Delivery, Error, Message, Options, Published, Received, Start,
};

type Outcome = Result<Option<Vec<u8>>, String>;

struct Messages;

impl Http for Messages {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = kit_p3::target(&request);
        Ok(kit_p3::answer_outcome(command(&target, kit_p3::whole(request).await).await))
    }
}

fn said(error: Error) -> String {
    format!("{}: {}", kebab(&error.code), error.message)
}

fn one(outcome: Vec<Result<(), Error>>) -> String {
    let [outcome] = <[_; 1]>::try_from(outcome).unwrap();
    outcome.map_or_else(|error| kebab(&error.code), |()| "ok".to_owned())
}

fn message(data: Vec<u8>) -> Message {
    let (content_type, key, id, reply_to) = Default::default();
    Message { data, content_type, headers: Vec::new(), key, id, reply_to }
}

fn published(Published { position, duplicate }: Published) -> String {
    format!("{} {duplicate}", position.unwrap_or_default())
}

fn number(target: &Target, name: &str) -> Option<u32> {
    target.value(name).map(|value| value.parse().unwrap())
}

async fn command(target: &Target, body: Vec<u8>) -> Outcome {
    let (topic, binding) = (target.text("t"), target.text("binding"));
    let done = |()| Some(Vec::new());
    match target.path() {
        "/publish" => {
            let header = |text: String| {
                let (name, value) = text.split_once(':').unwrap();
                (name.to_owned(), value.to_owned())
            };
            let message = Message {
                content_type: target.value("type"),
                headers: target.all("h").into_iter().map(header).collect(),
                key: target.value("key"),
                id: target.value("id"),
                ..message(body)
            };
            let delay = number(target, "delay").map(u64::from);
            let outcome = producer::publish(binding, topic, message, delay).await;
            Ok(Some(published(outcome.map_err(said)?).into()))
        }
        "/publish-many" => {
            let messages = target.all("t").into_iter().map(|topic| (topic, message(body.clone())));
            let outcomes = producer::publish_many(binding, messages.collect(), None).await;
            let line = |outcome: Result<_, _>| outcome.map_or_else(said, |_| "ok".to_owned());
            let lines: Vec<_> = outcomes.map_err(said)?.into_iter().map(line).collect();
            Ok(Some(lines.join("\n").into()))
        }
        "/request" => {
            let (timeout, replies) = (target.number("ms", 10_000), target.number("n", 1));
            let request = producer::request(binding, topic, message(body), timeout, replies);
            let replies = request.await.map_err(said)?;
            let replies: Vec<_> = replies.into_iter().map(|reply| reply.data).collect();
            Ok(Some(replies.join(&b',')))
        }
        "/take" => take(target).await,
        "/consumers" => {
            let mut consumers = Vec::new();
            for _ in 0..target.number("n", 1) {
                match open(target).await {
                    Ok(consumer) => consumers.push(consumer),
                    Err(error) => return Err(format!("{} {}", consumers.len(), said(error))),
                }
            }
            Ok(Some(consumers.len().to_string().into()))
        }
        "/forget" => consumer::forget(binding, target.text("g")).await.map(done).map_err(said),
        "/seen" => {
            let bucket = store::open(String::new()).await.unwrap();
            bucket.get(target.text("k")).await.map_err(|error| kebab(&error))
        }
        _ => Ok(None),
    }
}

async fn open(target: &Target) -> Result<Consumer, Error> {
    let start = target.text("start");
    let start = match start.split_once(':').unwrap_or((&start, "")) {
        ("beginning", _) => Start::Beginning,
        ("after", position) => Start::After(position.to_owned()),
        ("since", time) => Start::Since(time.parse().unwrap()),
        _ => Start::New,
    };
    let options = Options {
        topics: target.all("t"),
        group: target.value("g"),
        start,
        prefetch: number(target, "prefetch"),
        deadline: number(target, "deadline"),
        ordered: target.text("ordered") == "true",
    };
    Consumer::open(target.text("binding"), options).await
}

async fn take(target: &Target) -> Outcome {
    let consumer = open(target).await.map_err(said)?;
    let (most, wait) = (target.number("most", 1), target.number("wait", 0));
    let received = consumer.receive(most, wait).await.map_err(said)?;
    let mut lines = Vec::new();
    for Received { token, delivery } in received {
        let outcome = settle(target, &consumer, token).await;
        let Delivery { topic, message, attempt, position, time } = delivery;
        let text = String::from_utf8(message.data).unwrap();
        let (key, position) = (message.key.as_deref().unwrap_or("-"), position.unwrap_or_default());
        let time = time.unwrap_or_default();
        lines.push(format!("{text} {topic} {attempt} {key} {position} {time} {outcome}"));
    }
    Ok(Some(lines.join("\n").into()))
}

async fn settle(target: &Target, consumer: &Consumer, token: u64) -> String {
    let ms = |name| target.number::<u64>(name, 0);
    match target.text("then").as_str() {
        "nack" => one(consumer.nack(vec![token], ms("delay")).await),
        "keep" => "-".to_owned(),
        "twice" => {
            let first = one(consumer.ack(vec![token]).await);
            format!("{first},{}", one(consumer.ack(vec![token]).await))
        }
        "late" => {
            wait_for(ms("pause") * 1_000_000).await;
            one(consumer.ack(vec![token]).await)
        }
        "extend" => {
            for _ in 0..ms("pause") / 250 {
                wait_for(250_000_000).await;
                let extended = one(consumer.extend(vec![token]).await);
                if extended != "ok" {
                    return extended;
                }
            }
            one(consumer.ack(vec![token]).await)
        }
        "other" => {
            let other = open(target).await.unwrap();
            one(other.ack(vec![token]).await)
        }
        _ => one(consumer.ack(vec![token]).await),
    }
}

impl Handler for Messages {
    async fn handle(binding: String, deliveries: Vec<Delivery>) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for delivery in deliveries {
            verdicts.extend(handle(&binding, delivery).await);
        }
        verdicts
    }
}

async fn handle(binding: &str, delivery: Delivery) -> Option<Verdict> {
    let Delivery { topic, message: of, attempt, .. } = delivery;
    let text = String::from_utf8(of.data).unwrap();
    let bucket = store::open(String::new()).await.unwrap();
    let times = atomics::increment(&bucket, format!("seen/{text}"), 1).await.unwrap();
    let (kind, key) = (of.content_type.as_deref(), of.key.as_deref());
    let mut what = format!("{topic} {}", kind.unwrap_or("-"));
    for (name, value) in &of.headers {
        what += &format!(" {name}={value}");
    }
    what += &format!(" {binding} {attempt} {}", key.unwrap_or("-"));
    bucket.set(format!("what/{text}"), what.into_bytes(), None).await.unwrap();
    let publish = async |topic: &str, text: String| {
        let message = message(text.into_bytes());
        match producer::publish(binding.to_owned(), topic.to_owned(), message, None).await {
            Ok(_) => Verdict::Ack,
            Err(error) => Verdict::DeadLetter(said(error)),
        }
    };
    Some(match text.split_once(':') {
        Some(("fail", _)) => Verdict::Nack(None),
        Some(("fail2", _)) if times <= 2 => Verdict::Nack(None),
        Some(("later", _)) if times == 1 => Verdict::Nack(Some(1000)),
        Some(("dead", _)) => Verdict::DeadLetter("as it was asked to".to_owned()),
        Some(("less", _)) => return None,
        Some(("trap", _)) => panic!("as it was asked to"),
        Some(("loop", _)) => loop {
            std::hint::spin_loop();
        },
        Some(("slow", _)) => {
            wait_for(300_000_000).await;
            Verdict::Ack
        }
        Some(("ask", _)) => publish(&of.reply_to.unwrap(), format!("{text}!")).await,
        Some(("pass", rest)) => {
            let (topic, rest) = rest.split_once(':').unwrap();
            publish(topic, rest.to_owned()).await
        }
        _ => Verdict::Ack,
    })
}

wasip3::http::service::export!(Messages);
bindings::export!(Messages with_types_in bindings);
