//! Filters that keep something: shared data, queues, metrics, timers.

use super::{before_component, component};
use crate::support::client::{Connection, get, with};
use crate::support::{deploy, eventually};

pub(crate) mod filter_limit {
    use super::*;

    #[test]
    fn so_many_requests_pass_and_no_more() {
        let keys = "configuration = { requests = 5, window_ms = 600000 }";
        let wharf = before_component("filter-limit", keys);
        let ask = |client: &str| {
            let asked = with(get("/"), "x-client", client);
            Connection::http1(wharf.address).unwrap().send(asked).unwrap().status
        };
        for client in ["a", "b"] {
            let statuses: Vec<u16> = (0..8).map(|_| ask(client)).collect();
            assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
        }
    }

    #[test]
    fn threads_count_together() {
        let keys = "configuration = { requests = 20, window_ms = 600000 }";
        let file = super::super::file("filter-limit", keys, &component());
        let wharf = deploy(&file.replace("threads = 1", "threads = 4"));
        let passed: usize = std::thread::scope(|scope| {
            let ask = || {
                let mut passed = 0;
                for _ in 0..10 {
                    let asked = with(get("/"), "x-client", "a");
                    let answer = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
                    assert!(matches!(answer.status, 200 | 429 | 503), "{}", answer.status);
                    passed += usize::from(answer.status == 200);
                }
                passed
            };
            let asking: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|it| it.join().unwrap()).sum()
        });
        // The ABI has no way to write only what is not there yet: of the first requests each
        // thread may have begun to count anew.
        assert!((20..24).contains(&passed), "{passed}");
    }
}

/// A message goes from one virtual machine to another, whichever thread that is on.
pub(crate) mod filter_queue_producer {
    use super::*;

    pub(crate) fn through(threads: usize) {
        let wharf = deploy(&format!(
            "name = \"queue\"\n[http]\nthreads = {threads}\n\
             filters = [\"consumer\", \"producer\"]\n\
             [filter.consumer]\nsource = \"filter-queue-consumer.wasm\"\nvm-id = \"consumer\"\n\
             configuration = {{ queue = \"messages\" }}\n\
             [filter.producer]\nsource = \"filter-queue-producer.wasm\"\nvm-id = \"producer\"\n\
             configuration = {{ vm_id = \"consumer\", queue = \"messages\" }}\n\
             [[http.route]]\n{}",
            component()
        ));
        for message in ["one", "two", "three"] {
            let asked = with(get("/"), "x-message", message);
            let answer = Connection::http1(wharf.address).unwrap().send(asked).unwrap();
            assert_eq!((answer.status, answer.header("x-echo-x-queued")), (200, "yes"));
        }
        eventually("the messages came", || {
            let text = wharf.text("/messages");
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            (lines == ["one", "three", "two"]).then_some(())
        });
    }

    #[test]
    fn another_virtual_machine_has_the_message() {
        through(1);
    }
}

pub(crate) mod filter_queue_consumer {
    #[test]
    fn another_thread_has_the_message() {
        super::filter_queue_producer::through(3);
    }
}

pub(crate) mod filter_metrics {
    use super::*;

    #[test]
    fn metrics_are_kept() {
        let wharf = before_component("filter-metrics", "configuration = { name = \"mine\" }");
        for _ in 0..3 {
            wharf.get("/");
        }
        let text = wharf.text("/metrics-of-filter");
        assert!(text.contains('4') || text.contains('3'), "{text}");
    }
}

pub(crate) mod filter_tick {
    use super::*;

    #[test]
    fn time_passes_for_a_filter_without_requests() {
        let keys = "configuration = { period_ms = 10, stop_after = 5 }";
        let wharf = before_component("filter-tick", keys);
        eventually("five ticks", || (wharf.get("/").header("x-ticks") == "5").then_some(()));
    }
}
