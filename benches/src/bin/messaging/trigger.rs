//! What it takes to hand a message to a component that does nothing with it.

use crate::counting::{Counting, Left};
use crate::table::{Goal, Table};
use crate::{CONTENT, Options};
use anyhow::{Context as _, Result, anyhow};
use base::{Bound, Place};
use bytes::Bytes;
use engine::{
    Engines, Grants, Guest, Limits, Loading, Settings, Setup, Source, Stop, WasiSetup, plugin,
};
use messaging::host::{Granted, Messaging};
use messaging::trigger::{Receiver, Rules, run};
use messaging::{BACKENDS, Broker, Filter, Message, PublishOptions, Subscription};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A component that takes messages and does nothing with them.
const HANDLER: &str = include_str!("../../../guests/message.wat");
/// What the file of the deployment calls the binding.
const BINDING: &str = "default";

/// Measures handing over, per message: from the broker's memory to its acknowledgement there.
pub(crate) async fn measure(options: &Options, table: &mut Table) -> Result<()> {
    for round in 0..options.rounds {
        let alone = handled_micros(options, round, false).await?;
        let fresh = handled_micros(options, round, true).await?;
        table.add("trigger: taking and acknowledging alone", "µs", alone, None, None);
        let goal = Some(Goal::AtMost(25.0));
        table.add("trigger: what a fresh instance adds", "µs", fresh - alone, None, goal);
    }
    Ok(())
}

/// Microseconds that a message takes, with a guest or without.
async fn handled_micros(options: &Options, round: u32, has_guest: bool) -> Result<f64> {
    let place = Place {
        base: std::env::temp_dir(),
        data: std::env::temp_dir(),
        app: format!("bench-{round}-{has_guest}"),
        capability: "messaging",
        binding: BINDING.to_owned(),
    };
    let memory = base::backend::open(BACKENDS, "memory:", place).await?;
    let left = Arc::new(Left::default());
    let broker = Counting { broker: memory, left: Arc::clone(&left) };
    let broker: Arc<dyn Broker> = Arc::new(broker);
    let rules = rules()?;
    // The group is there before its messages.
    drop(broker.subscribe(&rules.subscription).await?);
    let plain = PublishOptions::default();
    for _ in 0..options.messages {
        let message = Message::new(Bytes::from_static(CONTENT));
        broker.publish("a", message, &plain).await?;
    }
    left.set(options.messages);
    let begun = Instant::now();
    if has_guest {
        let receiver = Receiver::new(guest(&broker)?).map_err(|error| anyhow!("{error:#}"))?;
        let receiver = receiver.context("it takes messages")?;
        let (_keep, receiver) = watch::channel(receiver);
        let stop = Stop::new();
        let begun = Stop::new();
        let handing = run(receiver, Arc::clone(&broker), BINDING, rules, &begun, stop.clone());
        let begun = Instant::now();
        let stopped = async {
            left.wait().await;
            let elapsed = begun.elapsed();
            stop.now();
            elapsed
        };
        let (handed, elapsed) = futures::join!(handing, stopped);
        handed?;
        return Ok(micros(elapsed, options.messages));
    }
    let subscriber = broker.subscribe(&rules.subscription).await?;
    for _ in 0..options.messages {
        subscriber.next().await?.context("there are more")?.ack().await?;
    }
    Ok(micros(begun.elapsed(), options.messages))
}

fn micros(elapsed: Duration, messages: u32) -> f64 {
    elapsed.as_secs_f64() * 1e6 / f64::from(messages)
}

/// One message at a time, so that their times add up.
fn rules() -> Result<Rules> {
    Ok(Rules {
        subscription: Subscription {
            prefetch: 1,
            ..Subscription::new(vec![Filter::parse("a")?]).of_group("g")
        },
        concurrency: 1,
        batch: 1,
        batch_wait: Duration::ZERO,
        retry: Vec::new(),
        attempts: 1,
        dead_letters: None,
        cloudevents: None,
    })
}

fn guest(broker: &Arc<dyn Broker>) -> Result<Arc<Guest>> {
    let engines = Engines::new(Settings::default());
    let bound = Bound::new([(BINDING.to_owned(), Arc::clone(broker))], []);
    let mut grants = Grants::default();
    grants.grant::<Messaging>(Arc::new(Granted::new(bound, Some(BINDING.to_owned()))));
    let source = wat::parse_str(HANDLER)?;
    let setup = Setup {
        name: "bench".into(),
        source: Source::new(Path::new("message.wat"), source)?,
        limits: Limits::default(),
        grants,
        wasi: WasiSetup::default(),
        winch: false,
    };
    let plugins = &[plugin::<Messaging>()];
    Ok(Guest::load(setup, Loading { engines: &engines, cache: None, plugins })?)
}
