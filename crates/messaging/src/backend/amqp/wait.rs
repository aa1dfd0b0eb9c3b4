//! Messages that come again later.
//!
//! The server puts nothing off, but hands on what has been in a queue for as long as that queue
//! lets it be. So each group has queues for steps of time, each twice as long as the one before,
//! and a copy of a message goes through those whose steps add up to the time: from each of them
//! back to the group's queue, where a host finds in it how much is left and sends it on.

use super::Binding;
use super::group::{LEFT, Queue, milliseconds};
use super::letter::{self, Letter};
use super::names;
use super::registry::{DURABLE, arguments};
use base::{Kind, Result};
use connect::amqp::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::time::Duration;

/// What times are counted in: parts of it count whole.
const UNIT: Duration = Duration::from_millis(100);
/// So long a queue for waiting is kept that was not used: for what waits in it, and by then is
/// nobody's any more.
const LONG: Duration = Duration::from_secs(40 * 24 * 3600);
/// The server counts that in 32 bits.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

/// So many steps there are. The longest takes nearly ten days; longer times take it several times.
pub(super) const STEPS: u32 = 24;

/// How many units a time has.
pub(super) fn units(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(UNIT.as_millis())).unwrap_or(u64::MAX)
}

/// The step that is taken first, and how many units are left behind it.
fn first(units: u64) -> (u32, u64) {
    let step = units.checked_ilog2().unwrap_or(0).min(STEPS - 1);
    (step, units.saturating_sub(1 << step))
}

/// Leaves a copy of a message that comes again after so many units, as one that was handed out so
/// often.
pub(super) async fn put_off(
    binding: &Binding,
    queue: &Queue,
    letter: &Letter,
    attempts: u32,
    units: u64,
) -> Result<()> {
    let (step, rest) = first(units);
    let wait = names::wait(&queue.name, step);
    let declaring = async |connection: Connection| {
        let channel = connection.channel().await?;
        let refused = |error| connection.refused(error);
        // What is left of a group that was forgotten nobody would find.
        let (name, passive) =
            (binding.short(&queue.name)?, QueueDeclareOptions { passive: true, ..DURABLE });
        channel.queue_declare(name, passive, FieldTable::default()).await.map_err(refused)?;
        let declared =
            channel.queue_declare(binding.short(&wait)?, DURABLE, binding.waiting(queue, step));
        declared.await.map_err(refused)
    };
    match binding.server.call(declaring).await {
        Ok(_) => {}
        // Its messages are nobody's any more.
        Err(gone) if gone.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    send(binding, &wait, letter, attempts, rest).await
}

/// Leaves a copy of a message that comes again at once, as one that was handed out so often: the
/// server counts as handed out what it gave away and gets back, also where nobody had taken it.
pub(super) async fn put_back(
    binding: &Binding,
    queue: &Queue,
    letter: &Letter,
    attempts: u32,
) -> Result<()> {
    send(binding, &queue.name, letter, attempts, 0).await
}

async fn send(
    binding: &Binding,
    queue: &str,
    letter: &Letter,
    attempts: u32,
    rest: u64,
) -> Result<()> {
    let (properties, payload) = letter::pack_again(&binding.names, letter, attempts, rest);
    binding.send(ShortString::default(), binding.short(queue)?, properties, &payload).await
}

impl Binding {
    /// The arguments of a queue in which messages of another one wait.
    fn waiting(&self, queue: &Queue, step: u32) -> FieldTable {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut arguments = arguments();
        let time = UNIT.saturating_mul(1 << step.min(STEPS - 1));
        arguments.insert("x-message-ttl".into(), milliseconds(time));
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(&queue.name));
        // Where nobody forgets the group it is gone some time after what it is for.
        let left = if queue.is_alone { LEFT } else { LONG };
        arguments.insert("x-expires".into(), milliseconds((time + left).min(LONGEST)));
        // It leaves only when it has arrived, which the server does for those that refuse what is
        // too much, of which there is none here.
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_add_up() {
        assert_eq!(units(Duration::from_millis(1)), 1);
        assert_eq!(units(Duration::from_millis(1500)), 15);
        assert_eq!(units(Duration::from_millis(1501)), 16);
        for all in [1, 2, 15, 16, 300, 36_000, 1 << 23, (1 << 24) + 5, 1 << 30] {
            let (mut left, mut sum) = (all, 0);
            while left > 0 {
                let (step, rest) = first(left);
                assert!(step < STEPS && rest < left);
                sum += 1_u64 << step;
                left = rest;
            }
            assert_eq!(sum, all);
        }
        assert_eq!(first(u64::MAX).0, STEPS - 1);
    }
}
