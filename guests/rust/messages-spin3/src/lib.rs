//! Handed messages by Spin 4's trigger of Redis: counts each under `seen/TEXT`, and fails at those
//! that begin with `fail:`, or twice at those with `fail2:`.
wit_bindgen::generate!({
    inline: r#"
        package guest:messages;
        world messages {
            include spin:redis/inbound@3.0.0;
            include wasmcloud:keyvalue/imports@0.2.0;
        }
    "#,
    path: ["../../wit/messaging-spin3", "../../wit/keyvalue-wasmcloud"],
    world: "guest:messages/messages",
    generate_all,
});

use exports::spin::redis::inbound_redis::{Error, Guest, Payload};
use wasmcloud::keyvalue::{atomics, store};

struct Messages;

impl Guest for Messages {
    async fn handle_message(message: Payload) -> Result<(), Error> {
        let text = String::from_utf8(message).unwrap();
        let bucket = store::open(String::new()).await.unwrap();
        let times = atomics::increment(&bucket, format!("seen/{text}"), 1).await.unwrap();
        let failed = || Err(Error::Other("as it was asked to".to_owned()));
        match text.split_once(':') {
            Some(("fail", _)) => failed(),
            Some(("fail2", _)) if times <= 2 => failed(),
            _ => Ok(()),
        }
    }
}

export!(Messages);
