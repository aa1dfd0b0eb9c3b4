//! Publishing and taking through the contract, on a server and in a file.

use crate::measure::{Worker, measure};
use crate::peers::{Bare, Peer};
use crate::table::{Goal, Table};
use crate::{CONTENT, Options};
use anyhow::{Context as _, Result};
use base::Place;
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use messaging::{BACKENDS, Broker, Delivery, Filter, Message, PublishOptions, Start, Subscription};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// To where messages are published that somebody takes.
const TAKEN: &str = "taken";
/// So many waits for the disk say how long one is.
const SYNCS: u32 = 100;

fn place(folder: &Path) -> Place {
    Place {
        base: folder.to_owned(),
        data: folder.to_owned(),
        app: format!("bench-{}", std::process::id()),
        capability: "messaging",
        binding: "default".to_owned(),
    }
}

/// Measures a broker beside its own client, in turn: a machine whose speed changes is the same for
/// both.
pub(crate) async fn beside(peer: &Peer, options: &Options, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = testkit::servers::url(peer.name).context("a server of its own")?;
    let settings = (peer.settings)(&url);
    let broker = base::backend::open_line(BACKENDS, &settings, place(folder.path())).await?;
    let bare = (peer.open)(url).await?;
    fill(&broker, options.messages).await?;
    for round in 0..options.rounds {
        let ours = measure(publishers(&broker, options), 1, options.window()?).await?;
        let work = (0..options.concurrent).map(|_| bare_publisher(&bare)).collect();
        let theirs = measure(work, 1, options.window()?).await?;
        let goal = Some(Goal::Times(0.9));
        let name = format!("{}: published", peer.name);
        table.add(&name, "/s", ours.rate, Some(("its own client", theirs.rate)), goal);
        for (part, ours, theirs) in [("p50", ours.p50, theirs.p50), ("p99", ours.p99, theirs.p99)] {
            let name = format!("{}: published, {part}", peer.name);
            table.add(&name, "µs", ours, Some(("its own client", theirs)), None);
        }
        let ours = take(&broker, &format!("group-{round}"), options).await?;
        let begun = Instant::now();
        bare.consume(TAKEN, options.messages, options.concurrent).await?;
        let theirs = f64::from(options.messages) / begun.elapsed().as_secs_f64();
        let name = format!("{}: taken and acknowledged", peer.name);
        table.add(&name, "/s", ours, Some(("its own client", theirs)), goal);
    }
    // What is left behind would be measured by the next one on the same server.
    drop(broker.destroy().await);
    Ok(())
}

/// Measures the file, beside the disk that it is on.
pub(crate) async fn embedded(options: &Options, table: &mut Table) -> Result<()> {
    let concurrent = f64::from(u32::try_from(options.concurrent)?);
    for round in 0..options.rounds {
        for durability in ["strict", "relaxed"] {
            let folder = tempfile::tempdir_in(".")?;
            let settings = format!("{{ url = \"embedded:\", durability = \"{durability}\" }}");
            let broker = base::backend::open_line(BACKENDS, &settings, place(folder.path()));
            let broker = broker.await?;
            let before = sync_seconds(folder.path())?;
            let work = publishers(&broker, options);
            let rate = measure(work, 1, options.window()?).await?.rate;
            let name = format!("embedded, {durability}: published");
            if durability == "relaxed" {
                table.add(&name, "/s", rate, None, Some(Goal::AtLeast(100_000.0)));
            } else {
                let sync = f64::midpoint(before, sync_seconds(folder.path())?);
                let against = Some(("64 ÷ a wait for the disk", concurrent / sync));
                table.add(&name, "/s", rate, against, Some(Goal::Times(0.6)));
            }
            fill(&broker, options.messages).await?;
            let rate = take(&broker, &format!("group-{round}"), options).await?;
            table.add(&format!("embedded, {durability}: taken"), "/s", rate, None, None);
        }
    }
    Ok(())
}

/// How long one `fdatasync` of a little more takes there.
fn sync_seconds(folder: &Path) -> Result<f64> {
    let mut file = File::create(folder.join("sync"))?;
    let begun = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[b'x'; 4096])?;
        file.sync_data()?;
    }
    Ok(begun.elapsed().as_secs_f64() / f64::from(SYNCS))
}

/// Publishes what is taken later.
async fn fill(broker: &Arc<dyn Broker>, messages: u32) -> Result<()> {
    let options = PublishOptions::default();
    for _ in 0..messages.div_ceil(1000) {
        let message = || (TAKEN.to_owned(), Message::new(Bytes::from_static(CONTENT)));
        let many = std::iter::repeat_with(message).take(1000).collect();
        for outcome in broker.publish_many(many, &options).await {
            outcome?;
        }
    }
    Ok(())
}

fn publishers(broker: &Arc<dyn Broker>, options: &Options) -> Vec<Worker> {
    let publisher = |_| -> Worker {
        let broker = Arc::clone(broker);
        Box::new(move || {
            let broker = Arc::clone(&broker);
            async move {
                let message = Message::new(Bytes::from_static(CONTENT));
                broker.publish("published", message, &PublishOptions::default()).await?;
                Ok(())
            }
            .boxed()
        })
    };
    (0..options.concurrent).map(publisher).collect()
}

fn bare_publisher(bare: &Arc<dyn Bare>) -> Worker {
    let bare = Arc::clone(bare);
    Box::new(move || {
        let bare = Arc::clone(&bare);
        async move { bare.publish().await }.boxed()
    })
}

/// Takes messages as a new group, and acknowledges each. Returns how many in a second.
async fn take(broker: &Arc<dyn Broker>, group: &str, options: &Options) -> Result<f64> {
    let subscription = Subscription {
        start: Start::Beginning,
        prefetch: options.concurrent,
        ..Subscription::new(vec![Filter::parse(TAKEN)?]).of_group(group)
    };
    let begun = Instant::now();
    let subscriber = broker.subscribe(&subscription).await?;
    let mut settling = FuturesUnordered::new();
    for _ in 0..options.messages {
        let delivery = subscriber.next().await?.context("there are more")?;
        settling.push(Delivery::ack(delivery));
        if settling.len() >= options.concurrent
            && let Some(settled) = settling.next().await
        {
            settled?;
        }
    }
    while let Some(settled) = settling.next().await {
        settled?;
    }
    let rate = f64::from(options.messages) / begun.elapsed().as_secs_f64();
    subscriber.close().await;
    broker.forget(group).await?;
    Ok(rate)
}
