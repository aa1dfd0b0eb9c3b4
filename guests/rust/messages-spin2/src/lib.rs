//! Handed messages by Spin 2's trigger of Redis: counts each under `seen/TEXT`, and fails at those
//! that begin with `fail:`, or twice at those with `fail2:`.
wit_bindgen::generate!({
    inline: r#"
        package guest:messages;
        world messages {
            include fermyon:spin/inbound;
            include wasi:keyvalue/imports@0.2.0-draft2;
        }
    "#,
    path: ["../../wit/messaging-spin2", "../../wit/keyvalue-draft2"],
    world: "guest:messages/messages",
    generate_all,
});

use exports::fermyon::spin::inbound_redis::{Error, Guest, Payload};
use wasi::keyvalue::{atomics, store};

struct Messages;

impl Guest for Messages {
    fn handle_message(message: Payload) -> Result<(), Error> {
        let text = String::from_utf8(message).unwrap();
        let bucket = store::open("").unwrap();
        let times = atomics::increment(&bucket, &format!("seen/{text}"), 1).unwrap();
        match text.split_once(':') {
            Some(("fail", _)) => Err(Error::Error),
            Some(("fail2", _)) if times <= 2 => Err(Error::Error),
            _ => Ok(()),
        }
    }
}

export!(Messages);
