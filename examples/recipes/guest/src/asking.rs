//! Request-reply: who asks waits, whoever gets the question replies.
use crate::bindings::wasi::messaging::request_reply::{self, RequestOptions};
use crate::bindings::wasi::messaging::types::{Client, Error, Message};
use crate::text;

/// Asks, and waits two seconds for the first reply.
pub fn ask(topic: &str, question: &[u8]) -> Result<Vec<u8>, Error> {
    let options = RequestOptions::new();
    options.set_timeout_ms(2000);
    options.set_expected_replies(1);
    let client = Client::connect("default")?;
    let replies = request_reply::request(&client, topic, &Message::new(question), Some(options))?;
    Ok(replies.first().map(Message::data).unwrap_or_default())
}

/// Replies to a question.
pub fn answer(question: &Message) -> Result<(), Error> {
    let price = 10 * text(question).len();
    request_reply::reply(question, Message::new(price.to_string().as_bytes()))
}
