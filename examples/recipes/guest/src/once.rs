//! Effects that take place once, though a message may come twice.
use crate::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use crate::bindings::wasi::messaging::types::{Error, Message};
use crate::{kept, lost, text};

/// So many payments are remembered by an account: more than can be on their way twice.
const REMEMBERED: usize = 1000;

/// A payment, `ID ACCOUNT AMOUNT`, changes the balance of its account once. The balance and the
/// payments that made it are one value, written if nobody wrote it meanwhile: so they are true
/// together, and whoever comes late, with a message that another host handled, changes nothing.
pub fn pay(message: &Message) -> Result<(), Error> {
    let text = text(message);
    let mut words = text.split(' ');
    let (Some(id), Some(name), Some(amount)) = (words.next(), words.next(), words.next()) else {
        return Err(Error::Other(format!("`{text}` is no payment")));
    };
    let amount: i64 = amount.parse().map_err(|_| Error::Other(format!("`{amount}`?")))?;
    let bucket = kept()?;
    let mut account = Cas::new(&bucket, &format!("account/{name}")).map_err(lost)?;
    loop {
        let found = account.current().map_err(lost)?.unwrap_or_default();
        let found = String::from_utf8_lossy(&found).into_owned();
        let mut lines = found.lines();
        let balance: i64 = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
        let mut paid: Vec<&str> = lines.collect();
        if paid.contains(&id) {
            return Ok(());
        }
        paid.push(id);
        let old = paid.len().saturating_sub(REMEMBERED);
        let value = format!("{}\n{}", balance + amount, paid[old..].join("\n"));
        match atomics::swap(account, value.as_bytes()) {
            Ok(()) => return Ok(()),
            // Somebody else wrote first: again, from what there is now.
            Err(CasError::CasFailed(now)) => account = now,
            Err(CasError::StoreError(error)) => return Err(lost(error)),
        }
    }
}
