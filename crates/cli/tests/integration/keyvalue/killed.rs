//! A host that writes is killed with no time to say good-bye, again and again.

use crate::support::client::{Connection, beside, get, wait};
use crate::support::{deploy, eventually, pause};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use testkit::program::Signal;

const STRICT: &str = r#"
    name = "strict"
    [component.web]
    source = "kv-draft2.wasm"
    [[http.route]]
    component = "web"
    [keyvalue]
    default = { url = "embedded:", durability = "strict" }
"#;

const WRITERS: usize = 8;

/// What each writer was told last.
type Acknowledged = Arc<[AtomicU64; WRITERS]>;

#[test]
fn acknowledged_strict_writes_survive_kill_9_of_a_host_that_writes() {
    let told = Acknowledged::default();
    let mut wharf = deploy(STRICT);
    for round in 0..testkit::program::crashes(3) {
        let before = sums(&told);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| beside(write(wharf.address, writer, Arc::clone(&told))))
            .collect();
        // Every one of them wrote all that it writes; the end comes at another moment each time.
        eventually("acknowledged writes", || {
            sums(&told).iter().zip(&before).all(|(now, before)| *now > before + 1).then_some(())
        });
        pause(Duration::from_millis(40 + round * 67 % 250));
        wharf.program.signal(Signal::SIGKILL);
        assert_eq!(wharf.program.end().code(), None);
        for writer in writers {
            wait(writer).unwrap();
        }
        wharf = wharf.folder.serve(&[]);
        for (writer, told) in sums(&told).into_iter().enumerate() {
            let found: u64 = wharf.text(&format!("/get?k=sum-{writer}")).parse().unwrap();
            assert!(found >= told, "{writer} was told {told} and finds {found} in round {round}");
            let copies = wharf.text(&format!("/get-many?k=one-{writer}&k=two-{writer}"));
            let mut copies = copies.lines().map(|line| line.split_once('=').unwrap().1);
            let (one, two) = (copies.next().unwrap(), copies.next().unwrap());
            assert_eq!(one, two, "what one call wrote is there as a whole, in round {round}");
            assert!(one.parse::<u64>().unwrap() + 1 >= told, "{writer}: {one} after {told}");
        }
    }
}

/// Counts up, and writes what it counted to two keys at once, until nobody answers.
async fn write(address: SocketAddr, writer: usize, told: Acknowledged) {
    let Ok(mut connection) = Connection::connect(address, false).await else { return };
    loop {
        let path = format!("/incr?k=sum-{writer}&d=1");
        let Ok(answer) = connection.ask(get(&path)).await else { return };
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sum: u64 = answer.text().parse().unwrap();
        told[writer].store(sum, Relaxed);
        let path = format!("/set-many?k=one-{writer}&v={sum}&k=two-{writer}&v={sum}");
        let Ok(answer) = connection.ask(get(&path)).await else { return };
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn sums(told: &Acknowledged) -> Vec<u64> {
    told.iter().map(|sum| sum.load(Relaxed)).collect()
}
