//! Interfaces of other hosts: of wasmCloud for WASI 0.3, and Spin's trigger of Redis.

use super::{ask, brokers, file, handed, on, publish, ready, seen};
use crate::support::{Served, deploy, eventually};

crate::support::promises!([
    messages_are_handed_over_and_come_again,
] of messages_spin2, messages_spin3);

/// A component that publishes by the draft, beside one that takes messages as Spin has them.
fn messages_are_handed_over_and_come_again(guest: &str) {
    for broker in brokers() {
        let file = file("messages-draft", "");
        let (before, after) = file.split_once("[component.worker]").unwrap();
        let after = after.replacen("messages-draft", guest, 1);
        let wharf = ready(&on(&broker, &format!("{before}[component.worker]{after}")));
        publish(&wharf, "t.a", "one");
        publish(&wharf, "t.a", "fail2:x");
        publish(&wharf, "other", "fail:y");
        handed(&wharf, "one", 1);
        handed(&wharf, "fail2:x", 3);
        // Three times to the worker, and once as a dead letter.
        handed(&wharf, "fail:y", 4);
    }
}

pub(crate) mod messages_wasmcloud3 {
    use super::*;
    use crate::messaging as of_all;

    /// What holds for every interface, on each broker.
    #[test]
    fn it_hands_messages_over_as_every_interface_does() {
        let guest = "messages-wasmcloud3";
        of_all::a_message_is_handed_over_once(guest);
        of_all::a_message_that_fails_comes_again(guest);
        of_all::a_trap_and_a_loop_are_failures(guest);
        of_all::a_poison_message_holds_up_no_other(guest);
        of_all::a_request_is_replied_to(guest);
        of_all::a_handler_publishes(guest);
        of_all::sigterm_lets_a_handler_finish(guest);
    }

    fn dead(wharf: &Served, text: &str, why: &str) {
        handed(wharf, text, 2);
        let line = || wharf.program.errors().into_iter().find(|line| line.contains(why));
        eventually(why, || line().filter(|line| line.contains("a message went to `dead`")));
    }

    #[test]
    fn a_handler_says_whether_a_message_comes_again() {
        for broker in brokers() {
            let wharf = ready(&on(&broker, &file("messages-wasmcloud3", "")));
            publish(&wharf, "t.a", "fail2:x");
            publish(&wharf, "t.a", "reject:x");
            publish(&wharf, "t.a", "other:x");
            handed(&wharf, "fail2:x", 3);
            // Once to the worker, and once as a dead letter.
            dead(&wharf, "reject:x", "the handler rejected it");
            dead(&wharf, "other:x", "as it was asked to");
            assert_eq!(ask(&wharf, "/request?t=t.a", "ask:me"), (200, "ask:me!".to_owned()));
        }
    }

    #[test]
    fn each_error_has_its_case() {
        for broker in brokers() {
            let wharf = ready(&on(&broker, &file("messages-wasmcloud3", "")));
            publish(&wharf, "nobody", &"x".repeat(100_000));
            for (path, text, said) in [
                ("/publish?t=", "x".to_owned(), "subject-invalid"),
                ("/publish?t=a.*", "x".to_owned(), "subject-invalid"),
                ("/publish?t=a", "x".repeat((8 << 20) + 1), "message-too-large"),
                ("/request?t=nobody&ms=300", "x".to_owned(), "timeout"),
            ] {
                assert_eq!(ask(&wharf, path, &text), (500, said.to_owned()), "{path}");
            }
            publish(&wharf, "t.a", "after");
            eventually("it was handed over", || (seen(&wharf, "after") == 1).then_some(()));
        }
    }

    #[test]
    fn a_component_without_a_broker_is_denied() {
        let file = file("messages-wasmcloud3", "");
        let file = file.replacen("[component.web]", "[component.web]\nmessaging = []", 1);
        let wharf = deploy(&file);
        assert_eq!(ask(&wharf, "/publish?t=a", "x"), (500, "access-denied".to_owned()));
    }
}
