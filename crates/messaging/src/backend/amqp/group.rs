//! Groups and their queues: how one comes about, gets other topics, and is forgotten.

use super::Binding;
use super::names;
use super::registry::{DURABLE, Entry, Registry, arguments};
use super::wait::STEPS;
use crate::Subscription;
use base::{Error, Kind, Result, lock};
use connect::amqp::Connection;
use lapin::Channel;
use lapin::options::{ExchangeDeleteOptions, QueueBindOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use std::collections::BTreeSet;
use std::time::Duration;

/// After so long without a consumer the queue of a subscription without a group is gone: of a host
/// that is.
pub(super) const LEFT: Duration = Duration::from_secs(600);

/// From which queue a subscriber takes messages.
#[derive(Clone)]
pub(super) struct Queue {
    pub(super) name: String,
    /// Nobody else has a part in it, and it ends with its subscriber.
    pub(super) is_alone: bool,
}

/// Finds the queue for a subscription or makes it, and has it cover what is asked for.
pub(super) async fn join(binding: &Binding, subscription: &Subscription) -> Result<Queue> {
    let keys: BTreeSet<String> = subscription.topics.iter().map(names::binding).collect();
    // Before anything is made.
    keys.iter().try_for_each(|key| binding.short(key).map(drop))?;
    let Some(group) = &subscription.group else { return alone(binding, &keys).await };
    let entry = Entry { queue: binding.names.group(group), keys };
    let registry = Registry::lock(binding).await?;
    let before: Vec<(u64, Entry)> = registry.of(&entry.queue).cloned().collect();
    let is_known = before.first().is_some_and(|(_, before)| *before == entry);
    if !is_known {
        registry.add(binding, &entry).await?;
    }
    let channel = &registry.channel;
    let declared = declare(binding, channel, &entry.queue, binding.group_arguments()).await;
    declared.map_err(|error| otherwise(error, &entry.queue))?;
    // All of them, as who made it may have ended in the middle.
    bind(binding, channel, &entry.queue, &entry.keys, true).await?;
    let former: BTreeSet<String> = before
        .iter()
        .flat_map(|(_, before)| before.keys.difference(&entry.keys))
        .cloned()
        .collect();
    bind(binding, channel, &entry.queue, &former, false).await?;
    let done: Vec<u64> = before.iter().skip(usize::from(is_known)).map(|(it, _)| *it).collect();
    registry.leave(binding, done).await?;
    Ok(Queue { name: entry.queue, is_alone: false })
}

/// A queue that is there and has other arguments.
fn otherwise(error: Error, queue: &str) -> Error {
    match error.kind() {
        Kind::Invalid => error.with_hint(format!(
            "the group was made with other settings: write those, or delete the queue `{queue}`"
        )),
        _ => error,
    }
}

async fn alone(binding: &Binding, keys: &BTreeSet<String>) -> Result<Queue> {
    let name = binding.names.alone(fastrand::u64(..));
    lock(&binding.alone).insert(name.clone());
    let queue = Queue { name, is_alone: true };
    let mut arguments = arguments();
    arguments.insert("x-expires".into(), milliseconds(LEFT));
    let open = async |connection: Connection| connection.channel().await;
    let made = async {
        let channel = binding.server.call(open).await?;
        declare(binding, &channel, &queue.name, arguments).await?;
        bind(binding, &channel, &queue.name, keys, true).await
    };
    if let Err(error) = made.await {
        lock(&binding.alone).remove(&queue.name);
        return Err(error);
    }
    Ok(queue)
}

/// A time in an argument of a queue.
pub(super) fn milliseconds(time: Duration) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

async fn declare(
    binding: &Binding,
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
) -> Result<()> {
    let declaring = async |connection: Connection| {
        let declared = channel.queue_declare(binding.short(name)?, DURABLE, arguments).await;
        declared.map(drop).map_err(|error| connection.refused(error))
    };
    binding.server.call(declaring).await
}

/// Binds a queue by these keys, or unbinds it.
async fn bind(
    binding: &Binding,
    channel: &Channel,
    queue: &str,
    keys: &BTreeSet<String>,
    is_bound: bool,
) -> Result<()> {
    let binding_all = async |connection: Connection| {
        let (queue, exchange) = (binding.short(queue)?, binding.exchange()?);
        for key in keys {
            let (queue, exchange, key) = (queue.clone(), exchange.clone(), binding.short(key)?);
            let (options, none) = (QueueBindOptions::default(), FieldTable::default());
            let done = match is_bound {
                true => channel.queue_bind(queue, exchange, key, options, none).await,
                false => channel.queue_unbind(queue, exchange, key, none).await,
            };
            done.map_err(|error| binding.gone(connection.refused(error)))?;
        }
        Ok(())
    };
    binding.server.call(binding_all).await
}

/// Removes a queue, unless there is none.
async fn remove(binding: &Binding, channel: &Channel, name: &str) -> Result<()> {
    let removing = async |connection: Connection| {
        let removed = channel.queue_delete(binding.short(name)?, QueueDeleteOptions::default());
        removed.await.map(drop).map_err(|error| connection.refused(error))
    };
    binding.server.call(removing).await
}

/// Removes the queue of a subscription, and those in which its messages wait.
async fn remove_group(binding: &Binding, channel: &Channel, queue: &str) -> Result<()> {
    // First what would fill the others.
    remove(binding, channel, queue).await?;
    let waits = (0..STEPS).map(|step| names::wait(queue, step));
    let removing = async |connection: Connection| {
        let removed = waits.map(async |name| {
            let removed =
                channel.queue_delete(binding.short(&name)?, QueueDeleteOptions::default());
            removed.await.map(drop).map_err(|error| connection.refused(error))
        });
        futures::future::try_join_all(removed).await.map(drop)
    };
    binding.server.call(removing).await
}

/// Forgets a group.
pub(super) async fn forget(binding: &Binding, group: &str) -> Result<()> {
    let queue = binding.names.group(group);
    let registry = Registry::lock(binding).await?;
    remove_group(binding, &registry.channel, &queue).await?;
    let done: Vec<u64> = registry.of(&queue).map(|(number, _)| *number).collect();
    registry.leave(binding, done).await
}

/// Removes the queue of a subscription without a group.
pub(super) async fn forget_alone(binding: &Binding, queue: &Queue) -> Result<()> {
    let open = async |connection: Connection| connection.channel().await;
    let channel = binding.server.call(open).await?;
    remove_group(binding, &channel, &queue.name).await?;
    lock(&binding.alone).remove(&queue.name);
    Ok(())
}

/// Removes everything that the binding has on the server.
pub(super) async fn destroy(binding: &Binding) -> Result<()> {
    let registry = Registry::lock(binding).await?;
    let channel = &registry.channel;
    for queue in registry.queues() {
        remove_group(binding, channel, &queue).await?;
    }
    let alone: Vec<String> = lock(&binding.alone).iter().cloned().collect();
    for queue in alone {
        remove_group(binding, channel, &queue).await?;
    }
    let exchange = async |connection: Connection| {
        let options = ExchangeDeleteOptions::default();
        let removed = channel.exchange_delete(binding.exchange()?, options).await;
        removed.map_err(|error| connection.refused(error))
    };
    binding.server.call(exchange).await?;
    remove(binding, channel, &binding.names.groups()).await
}
