//! Shared data and queues.

use crate::support::{Guest, Host, OUT, plugin, status, text};
use filter::{LocalData, Seat, SharedData as _, Status, lock};
use std::sync::Arc;

/// "If the compare-and-swap value (`cas`) is set to a non-zero value, then it must match the
/// host's."
#[test]
fn a_value_is_swapped_by_its_number() {
    let mut guest = Guest::new();
    let [key, one, two] = ["k", "one", "two"].map(|it| guest.text(it));
    guest.on_request(|call| {
        call.call("proxy_get_shared_data", &[key.0, key.1, OUT, OUT + 4, OUT + 8]);
        // A new key takes any number.
        call.call("proxy_set_shared_data", &[key.0, key.1, one.0, one.1, 77]);
        call.call("proxy_get_shared_data", &[key.0, key.1, OUT, OUT + 4, OUT + 8]).show();
        call.show_word(OUT + 8);
        call.call("proxy_set_shared_data", &[key.0, key.1, two.0, two.1, 77]);
        call.call("proxy_set_shared_data", &[key.0, key.1, two.0, two.1, 1]);
        call.call("proxy_set_shared_data", &[key.0, key.1, two.0, two.1, 1]);
        call.call("proxy_set_shared_data", &[key.0, key.1, one.0, one.1, 0]);
        call.call("proxy_get_shared_data", &[key.0, key.1, OUT, OUT + 4, OUT + 8]);
        call.show_word(OUT + 8);
    });
    let mut expected = vec![status(1), status(0), status(0), text("one"), status(1)];
    expected.extend([8, 0, 8, 0, 0, 3].map(status));
    assert_eq!(Host::new(&guest).request(), expected);
}

/// Data is that of a `vm_id`.
#[test]
fn data_is_shared_under_a_name() {
    let mut guest = Guest::new();
    let key = guest.text("k");
    guest.on_request(|call| {
        call.call("proxy_get_shared_data", &[key.0, key.1, OUT, OUT + 4, OUT + 8]);
        call.call("proxy_set_shared_data", &[key.0, key.1, key.0, key.1, 0]);
    });
    let host = Host::new(&guest);
    assert_eq!(host.request(), [1, 0].map(status));
    for (vm_id, found) in [("", 0), ("other", 1), ("other", 0)] {
        let seat = plugin(&guest, |plugin| plugin.vm_id = vm_id.into());
        let seat = Seat::start(&host.world.worker(), seat).unwrap();
        let other = Host { seat, world: host.world.clone(), worker: Arc::clone(&host.worker) };
        assert_eq!(other.request(), [found, 0].map(status), "{vm_id}");
    }
}

/// Of many that swap at once each wins once: no write is lost.
#[test]
fn swaps_from_many_threads_add_up() {
    let data = LocalData::default();
    let add = || {
        for _ in 0..1000 {
            loop {
                let (value, number) = data.get("a", b"k").unwrap().unwrap_or(("0".into(), 0));
                let sum = std::str::from_utf8(&value).unwrap().parse::<u32>().unwrap() + 1;
                match data.set("a", b"k", sum.to_string().into(), number) {
                    // Who comes first makes the key without a number.
                    Ok(()) if number > 0 => break,
                    Ok(()) => {
                        data.set("a", b"k", "1".into(), 1).ok();
                        break;
                    }
                    Err(status) => assert_eq!(status, Status::CasMismatch),
                }
            }
        }
    };
    data.set("a", b"k", "0".into(), 0).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(add);
        }
    });
    assert_eq!(data.get("a", b"k").unwrap().unwrap().0, "4000");
}

/// What is shared is bounded.
#[test]
fn data_takes_so_much_and_no_more() {
    let data = LocalData::default();
    let big = bytes::Bytes::from(vec![0; 3 << 20]);
    data.set("a", b"k", big.clone(), 0).unwrap();
    data.set("a", b"k", big.clone(), 0).unwrap();
    let full = (0..100_u32).map(|key| data.set("a", &key.to_le_bytes(), big.clone(), 0));
    assert!(full.into_iter().any(|outcome| outcome == Err(Status::InternalFailure)));
}

/// "Registers shared queue under a name. If the named queue already exists, then it's going to be
/// opened." "`NOT_FOUND` when the requested queue was not found. `EMPTY` when there is nothing."
#[test]
fn items_go_through_a_queue_in_their_order() {
    let mut guest = Guest::new();
    let [name, other, one, two] = ["q", "none", "one", "two"].map(|it| guest.text(it));
    guest.on_request(|call| {
        call.call("proxy_resolve_shared_queue", &[0, 0, name.0, name.1, OUT]);
        call.call("proxy_register_shared_queue", &[name.0, name.1, OUT]).show_word(OUT);
        call.call("proxy_register_shared_queue", &[name.0, name.1, OUT]).show_word(OUT);
        call.call("proxy_resolve_shared_queue", &[0, 0, name.0, name.1, OUT]).show_word(OUT);
        call.call("proxy_resolve_shared_queue", &[0, 0, other.0, other.1, OUT]);
        call.call("proxy_dequeue_shared_queue", &[1, OUT, OUT + 4]);
        call.call("proxy_enqueue_shared_queue", &[1, one.0, one.1]);
        call.call("proxy_enqueue_shared_queue", &[1, two.0, two.1]);
        call.call("proxy_dequeue_shared_queue", &[1, OUT, OUT + 4]).show();
        call.call("proxy_dequeue_shared_queue", &[1, OUT, OUT + 4]).show();
        // A number that was guessed is none.
        call.call("proxy_enqueue_shared_queue", &[2, one.0, one.1]);
        call.call("proxy_dequeue_shared_queue", &[2, OUT, OUT + 4]);
    });
    let mut expected = [1, 0, 1, 0, 1, 0, 1, 1, 7, 0, 0, 0].map(status).to_vec();
    expected.extend([text("one"), status(0), text("two"), status(1), status(1)]);
    assert_eq!(Host::new(&guest).request(), expected);
}

/// "Called when a new item is enqueued": in the virtual machine that has registered the queue, by
/// whoever enqueued it.
#[test]
fn another_virtual_machine_hears_of_an_item() {
    let mut consumer = Guest::new();
    let name = consumer.text("q");
    consumer.on("proxy_on_configure", 2, Some(1), |call| {
        call.call("proxy_register_shared_queue", &[name.0, name.1, OUT]);
    });
    consumer.on("proxy_on_queue_ready", 2, None, |call| {
        call.show_argument(0).show_argument(1);
        call.call("proxy_dequeue_shared_queue", &[1, OUT, OUT + 4]).show();
    });
    let host = Host::with(&consumer, |plugin| plugin.vm_id = "consumer".into());
    let mut producer = Guest::new();
    let [vm, name, item] = ["consumer", "q", "item"].map(|it| producer.text(it));
    producer.on_request(|call| {
        call.call("proxy_resolve_shared_queue", &[vm.0, vm.1, name.0, name.1, OUT]);
        call.call("proxy_enqueue_shared_queue", &[1, item.0, item.1]);
    });
    let seat = Seat::start(&host.worker, plugin(&producer, |_| {})).unwrap();
    let producer = Host { seat, world: host.world.clone(), worker: Arc::clone(&host.worker) };
    host.shown();
    assert_eq!(producer.request(), [0, 0].map(status));
    let ready = std::mem::take(&mut host.world.table().ready);
    assert_eq!(ready, [(1, 1)]);
    let running = host.running();
    lock(&running.vm).queue_ready(1, 1).unwrap();
    assert_eq!(host.shown(), [status(1), status(1), status(0), text("item")]);
    // It is told for each item, even if somebody else has taken it.
    lock(&running.vm).queue_ready(1, 1).unwrap();
    assert_eq!(host.shown()[2], status(7));
}
