//! Messages by `wasmcloud:messaging@0.2.0`: asked over HTTP to publish, and handed what was
//! published.
//!
//! `/publish?t=` publishes the body to a topic, with the headers `h=NAME:VALUE` and the type
//! `type=` where the interface has such. `/request?t=&ms=&n=` waits for replies and shows them.
//! `/seen?k=` shows what was noted under a name.
//!
//! Of each message it counts under `seen/TEXT` how often it was handed out, and notes under
//! `what/TEXT` what came with it. What it does then is what the first word says, which ends with a
//! colon: `fail:` fails, `fail2:` fails twice, `trap:` traps, `loop:` never ends, `slow:` takes 300
//! ms, `ask:` is replied to with the text and `!`, `pass:TOPIC:` is published there.
use kit_p2::{Outcome, Target, keyvalue};
use wasip2::exports::http::incoming_handler::Guest as Http;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        inline: r#"
            package guest:messages;
            world messages {
                include wasmcloud:messaging/messaging@0.2.0;
                include wasi:keyvalue/imports@0.2.0-draft2;
            }
        "#,
        path: ["../../wit/messaging-wasmcloud", "../../wit/keyvalue-draft2"],
        world: "guest:messages/messages",
        generate_all,
    });
}
use bindings::exports::wasmcloud::messaging::handler::Guest as Handler;
use bindings::wasi::keyvalue::{atomics, store};
use bindings::wasmcloud::messaging::consumer;
use bindings::wasmcloud::messaging::types::BrokerMessage;

struct Messages;

impl Http for Messages {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let body = || keyvalue::whole(request.consume().unwrap());
        kit_p2::answer_outcome(out, command(&target, body));
    }
}

fn command(target: &Target, body: impl FnOnce() -> Vec<u8>) -> Outcome {
    let subject = target.text("t");
    match target.path() {
        "/publish" => {
            consumer::publish(&BrokerMessage { subject, body: body(), reply_to: None })?;
            Ok(Some(Vec::new()))
        }
        "/request" => {
            let ms = target.value("ms").and_then(|value| value.parse().ok()).unwrap_or(10_000);
            Ok(Some(consumer::request(&subject, &body(), ms)?.body))
        }
        "/seen" => store::open("").unwrap().get(&target.text("k")).map_err(|e| format!("{e:?}")),
        _ => Ok(None),
    }
}

impl Handler for Messages {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let BrokerMessage { subject, body, reply_to } = message;
        let text = String::from_utf8_lossy(&body).into_owned();
        let bucket = store::open("").unwrap();
        let times = atomics::increment(&bucket, &format!("seen/{text}"), 1).unwrap();
        bucket.set(&format!("what/{text}"), subject.as_bytes()).unwrap();
        let failed = || Err("as it was asked to".to_owned());
        let publish = |subject: &str, body: &str| {
            let (subject, body) = (subject.to_owned(), body.as_bytes().to_vec());
            consumer::publish(&BrokerMessage { subject, body, reply_to: None })
        };
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
            Some(("ask", _)) => publish(&reply_to.unwrap(), &format!("{text}!")),
            Some(("pass", rest)) => {
                let (topic, rest) = rest.split_once(':').unwrap();
                publish(topic, rest)
            }
            _ => Ok(()),
        }
    }
}

wasip2::http::proxy::export!(Messages);
bindings::export!(Messages with_types_in bindings);
