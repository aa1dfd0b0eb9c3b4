//! Orders in key-value: under keys that sort by age, so that the newest come first.
use crate::Failure;
use crate::bindings::wasi::keyvalue::store::{self, Bucket, Error};
use crate::bindings::wasi::keyvalue::{atomics, batch};

/// How far an order is.
#[derive(Clone, PartialEq, Eq)]
pub enum Standing {
    Waiting,
    Failed,
    Made,
    GivenUp(String),
}

/// What somebody wants.
pub struct Order {
    pub number: u64,
    pub thing: String,
    pub standing: Standing,
}

/// All orders.
pub struct Orders(Bucket);

/// The newest sort first.
fn key(number: u64) -> String {
    format!("order/{:020}", u64::MAX - number)
}

fn said(error: Error) -> Failure {
    match error {
        Error::NoSuchStore => "there is no store `default`".to_owned(),
        Error::AccessDenied => "the store may not be opened".to_owned(),
        Error::Other(why) => why,
    }
}

impl Orders {
    pub fn open() -> Result<Self, Failure> {
        store::open("default").map(Self).map_err(said)
    }

    /// The number of the next order, which nobody else has.
    pub fn next(&self) -> Result<u64, Failure> {
        let number = atomics::increment(&self.0, "orders", 1).map_err(said)?;
        u64::try_from(number).map_err(|_| "the counter is damaged".to_owned())
    }

    pub fn write(&self, order: &Order) -> Result<(), Failure> {
        let (word, why) = match &order.standing {
            Standing::Waiting => ("waiting", ""),
            Standing::Failed => ("failed", ""),
            Standing::Made => ("made", ""),
            Standing::GivenUp(why) => ("given-up", why.as_str()),
        };
        let row = format!("{word}\n{}\n{why}", order.thing.replace('\n', " "));
        self.0.set(&key(order.number), row.as_bytes()).map_err(said)
    }

    pub fn read(&self, number: u64) -> Result<Order, Failure> {
        let row = self.0.get(&key(number)).map_err(said)?;
        row.and_then(|row| parse(number, &row)).ok_or_else(|| format!("there is no order {number}"))
    }

    /// The newest orders, so many at most.
    pub fn newest(&self, most: usize) -> Result<Vec<Order>, Failure> {
        let page = self.0.list_keys(None).map_err(said)?;
        let keys = page.keys.into_iter().filter(|key| key.starts_with("order/"));
        let keys: Vec<String> = keys.take(most).collect();
        let rows = batch::get_many(&self.0, &keys).map_err(said)?;
        let order = |(key, row): (String, Vec<u8>)| {
            let number = key.strip_prefix("order/")?.parse::<u64>().ok()?;
            parse(u64::MAX - number, &row)
        };
        Ok(rows.into_iter().flatten().filter_map(order).collect())
    }
}

fn parse(number: u64, row: &[u8]) -> Option<Order> {
    let mut lines = std::str::from_utf8(row).ok()?.splitn(3, '\n');
    let (word, thing) = (lines.next()?, lines.next()?.to_owned());
    let standing = match word {
        "waiting" => Standing::Waiting,
        "failed" => Standing::Failed,
        "made" => Standing::Made,
        _ => Standing::GivenUp(lines.next().unwrap_or_default().to_owned()),
    };
    Some(Order { number, thing, standing })
}
