//! Messages by `wasmcloud:messaging@0.3.0`: asked over HTTP to publish, and handed what was
//! published.
//!
//! `/publish?t=` publishes the body to a topic. `/request?t=&ms=` waits for a reply and shows it.
//! `/seen?k=` shows what was noted under a name.
//!
//! Of each message it counts under `seen/TEXT` how often it was handed out, and notes under
//! `what/TEXT` what came with it. What it does then is what the first word says, which ends with a
//! colon: `fail:` asks for it once more, `fail2:` twice, `reject:` rejects it, `other:` has another
//! reason, `trap:` traps, `loop:` never ends, `slow:` takes 300 ms, `ask:` is replied to with the
//! text and `!`, `pass:TOPIC:` is published there.
use kit_p3::{Target, kebab};
use wasip3::exports::http::handler::Guest as Http;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::spawn_local;

mod bindings {
    wit_bindgen::generate!({
        inline: r#"
            package guest:messages;
            world messages {
                include wasmcloud:messaging/handler-service@0.3.0;
                include wasmcloud:keyvalue/imports@0.2.0;
            }
        "#,
        path: ["../../wit/messaging-wasmcloud3", "../../wit/keyvalue-wasmcloud"],
        world: "guest:messages/messages",
        generate_all,
    });
}
use bindings::exports::wasmcloud::messaging::handler::Guest as Handler;
use bindings::wasmcloud::keyvalue::{atomics, store};
use bindings::wasmcloud::messaging::consumer;
use bindings::wasmcloud::messaging::types::{BrokerMessage, Error, HandleMessageError};
use bindings::wit_stream;
use wit_bindgen::StreamReader;

type Outcome = Result<Option<Vec<u8>>, String>;

struct Messages;

impl Http for Messages {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = kit_p3::target(&request);
        Ok(kit_p3::answer_outcome(command(&target, kit_p3::whole(request).await).await))
    }
}

fn said(error: Error) -> String {
    match error {
        Error::Other(words) => format!("other: {words}"),
        case => kebab(&case),
    }
}

/// A stream of these bytes, in parts of a few KiB.
fn stream(bytes: Vec<u8>) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        for part in bytes.chunks(5000) {
            if !writer.write_all(part.to_vec()).await.is_empty() {
                return;
            }
        }
    });
    reader
}

async fn publish(subject: String, body: Vec<u8>) -> Result<(), Error> {
    consumer::publish(BrokerMessage { subject, body: stream(body), reply_to: None }).await
}

async fn command(target: &Target, body: Vec<u8>) -> Outcome {
    let subject = target.text("t");
    match target.path() {
        "/publish" => publish(subject, body).await.map(|()| Some(Vec::new())).map_err(said),
        "/request" => {
            let ms = target.value("ms").and_then(|value| value.parse().ok());
            let reply = consumer::request(subject, stream(body), ms).await.map_err(said)?;
            Ok(Some(reply.body.collect().await))
        }
        "/seen" => {
            let bucket = store::open(String::new()).await.unwrap();
            bucket.get(target.text("k")).await.map_err(|error| kebab(&error))
        }
        _ => Ok(None),
    }
}

impl Handler for Messages {
    async fn handle_message(message: BrokerMessage) -> Result<(), HandleMessageError> {
        let BrokerMessage { subject, body, reply_to } = message;
        let text = String::from_utf8(body.collect().await).unwrap();
        let bucket = store::open(String::new()).await.unwrap();
        let times = atomics::increment(&bucket, format!("seen/{text}"), 1).await.unwrap();
        bucket.set(format!("what/{text}"), subject.into_bytes(), None).await.unwrap();
        let failed = |error: Error| HandleMessageError::Other(said(error));
        match text.split_once(':') {
            Some(("fail", _)) => Err(HandleMessageError::Retry),
            Some(("fail2", _)) if times <= 2 => Err(HandleMessageError::Retry),
            Some(("reject", _)) => Err(HandleMessageError::Reject),
            Some(("other", _)) => Err(HandleMessageError::Other("as it was asked to".to_owned())),
            Some(("trap", _)) => panic!("as it was asked to"),
            Some(("loop", _)) => loop {
                std::hint::spin_loop();
            },
            Some(("slow", _)) => {
                wasip3::clocks::monotonic_clock::wait_for(300_000_000).await;
                Ok(())
            }
            Some(("ask", _)) => {
                let reply = format!("{text}!").into_bytes();
                publish(reply_to.unwrap(), reply).await.map_err(failed)
            }
            Some(("pass", rest)) => {
                let (topic, rest) = rest.split_once(':').unwrap();
                publish(topic.to_owned(), rest.as_bytes().to_vec()).await.map_err(failed)
            }
            _ => Ok(()),
        }
    }
}

wasip3::http::service::export!(Messages);
bindings::export!(Messages with_types_in bindings);
