//! `wharf:messaging@0.1.0`: consumers that components open, and verdicts for each message.

use super::{ask, brokers, file, handed, on, publish as put, ready};
use crate::support::{Served, deploy, eventually, pause};
use std::time::{Duration, Instant, SystemTime};

/// A line of what was taken.
#[derive(Debug, PartialEq)]
struct Taken {
    text: String,
    topic: String,
    attempt: u32,
    key: String,
    position: String,
    time: u64,
    outcome: String,
}

fn taken(wharf: &Served, query: &str) -> Vec<Taken> {
    let answer = wharf.text(&format!("/take?{query}"));
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let [text, topic, attempt, key, position, time, outcome] =
            <[String; 7]>::try_from(words).unwrap();
        let (attempt, time) = (attempt.parse().unwrap(), time.parse().unwrap());
        Taken { text, topic, attempt, key, position, time, outcome }
    };
    answer.lines().map(line).collect()
}

fn one(wharf: &Served, query: &str) -> Taken {
    let [one] = <[Taken; 1]>::try_from(taken(wharf, &format!("{query}&wait=5000"))).unwrap();
    one
}

fn texts(taken: &[Taken]) -> Vec<&str> {
    taken.iter().map(|taken| taken.text.as_str()).collect()
}

/// Publishes, and gives the position.
fn publish(wharf: &Served, query: &str, text: &str) -> String {
    let (status, answer) = ask(wharf, &format!("/publish?{query}"), text);
    assert_eq!(status, 200, "{query}: {answer}");
    let (position, duplicate) = answer.rsplit_once(' ').unwrap();
    assert_eq!(duplicate, "false", "{query}");
    position.to_owned()
}

fn refused(wharf: &Served, path: &str, said: &str) {
    let (status, answer) = ask(wharf, path, "x");
    assert!(status == 500 && answer.contains(said), "{path}: {status} {answer}");
}

pub(crate) mod messages_wharf {
    use super::*;
    use crate::messaging as of_all;

    fn on_each(test: impl Fn(&Served)) {
        for broker in brokers() {
            // Some of what is asked for waits for deadlines.
            let file = file("messages-wharf", "").replace("\"5s\"", "\"20s\"");
            test(&ready(&on(&broker, &file)));
        }
    }

    #[test]
    fn it_hands_messages_over_as_every_interface_does() {
        let guest = "messages-wharf";
        of_all::a_message_is_handed_over_once(guest);
        of_all::a_message_that_fails_comes_again(guest);
        of_all::a_trap_and_a_loop_are_failures(guest);
        of_all::a_poison_message_holds_up_no_other(guest);
        of_all::a_request_is_replied_to(guest);
        of_all::a_handler_publishes(guest);
        of_all::sigterm_lets_a_handler_finish(guest);
    }

    #[test]
    fn a_handler_gives_verdicts() {
        on_each(|wharf| {
            for text in ["fail2:x", "later:x", "dead:x", "less:x"] {
                put(wharf, "t.a", text);
            }
            let begun = Instant::now();
            handed(wharf, "later:x", 2);
            assert!(begun.elapsed() >= Duration::from_millis(900), "it asked for a second");
            handed(wharf, "fail2:x", 3);
            // Once to the worker, and once as a dead letter, which is given up again.
            handed(wharf, "dead:x", 2);
            wharf.program.wait_for("a message went to `dead`: as it was asked to");
            // No verdict is a failure: three times, and once as a dead letter.
            handed(wharf, "less:x", 4);
            wharf.program.wait_for("said what became of 0 of 1 messages");
        });
    }

    #[test]
    fn all_that_is_said_of_a_message_comes_with_it() {
        on_each(|wharf| {
            publish(wharf, "t=t.a&type=text/plain&h=b:1&h=a:2&h=b:3&key=k&id=i", "x");
            handed(wharf, "x", 1);
            let what = wharf.text("/seen?k=what/x");
            assert_eq!(what, "t.a text/plain b=1 a=2 b=3 default 1 k");
            let (_, again) = ask(wharf, "/publish?t=t.a&id=i", "y");
            assert!(again.ends_with(" true"), "one with this id was there: {again}");
        });
    }

    #[test]
    fn each_message_of_several_has_its_outcome() {
        on_each(|wharf| {
            let (_, answer) = ask(wharf, "/publish-many?t=t.a&t=a.*&t=t.b", "x");
            let lines: Vec<_> = answer.lines().collect();
            assert_eq!((lines.len(), lines[0], lines[2]), (3, "ok", "ok"), "{answer}");
            assert!(lines[1].starts_with("invalid: `a.*` is no topic"), "{answer}");
            handed(wharf, "x", 2);
        });
    }

    #[test]
    fn a_group_is_taken_from_by_one_instance_after_the_other() {
        on_each(|wharf| {
            assert_eq!(taken(wharf, "t=queue&g=g"), [], "it is there from now on");
            let before = SystemTime::now() - Duration::from_secs(60);
            for number in 0..5 {
                publish(wharf, "t=queue&key=k", &format!("n{number}"));
            }
            let first = one(wharf, "t=queue&g=g");
            assert_eq!((first.text.as_str(), first.topic.as_str()), ("n0", "queue"));
            assert_eq!((first.key.as_str(), first.outcome.as_str()), ("k", "ok"));
            let before = before.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
            assert!(u128::from(first.time) > before, "{first:?}");
            let mut rest = Vec::new();
            while rest.len() < 4 {
                rest.extend(taken(wharf, "t=queue&g=g&most=10&wait=5000"));
            }
            assert_eq!(texts(&rest), ["n1", "n2", "n3", "n4"]);
            assert_eq!(taken(wharf, "t=queue&g=g&wait=300"), []);
            // Another group begins where it is told.
            let all = |start: &str, count: usize| {
                let mut all = Vec::new();
                while all.len() < count {
                    let query = format!("t=queue&g=g{start}&start={start}&most=10&wait=5000");
                    all.extend(taken(wharf, &query));
                }
                texts(&all).join(" ")
            };
            assert_eq!(all("beginning", 5), "n0 n1 n2 n3 n4");
            assert_eq!(all(&format!("after:{}", rest[0].position), 3), "n2 n3 n4");
            assert_eq!(all(&format!("since:{before}"), 5), "n0 n1 n2 n3 n4");
        });
    }

    #[test]
    fn what_was_not_settled_comes_again() {
        on_each(|wharf| {
            assert_eq!(taken(wharf, "t=queue&g=g"), []);
            publish(wharf, "t=queue", "x");
            // The instance goes away with it.
            let first = one(wharf, "t=queue&g=g&then=keep").attempt;
            let begun = Instant::now();
            let again = one(wharf, "t=queue&g=g&then=nack&delay=1500");
            assert_eq!((again.attempt, again.outcome.as_str()), (first + 1, "ok"));
            assert_eq!(taken(wharf, "t=queue&g=g&wait=200"), []);
            assert!(one(wharf, "t=queue&g=g").attempt > again.attempt);
            assert!(begun.elapsed() >= Duration::from_millis(1400));
            assert_eq!(taken(wharf, "t=queue&g=g&wait=200"), []);
        });
    }

    #[test]
    fn a_token_expires() {
        on_each(|wharf| {
            assert_eq!(taken(wharf, "t=queue&g=g"), []);
            let next = |text: &str, query: &str| {
                publish(wharf, "t=queue", text);
                let taken = one(wharf, &format!("t=queue&g=g&deadline=1000&{query}"));
                assert_eq!(taken.text, text);
                taken.outcome
            };
            assert_eq!(next("a", "then=twice"), "ok,expired");
            assert_eq!(next("b", "then=extend&pause=2500"), "ok");
            // A token of another consumer is none.
            assert_eq!(next("c", "then=other"), "expired");
            assert_eq!(one(wharf, "t=queue&g=g").text, "c");
        });
    }

    #[test]
    fn a_token_expires_when_its_message_was_handed_to_another() {
        on_each(|wharf| {
            assert_eq!(taken(wharf, "t=queue&g=g"), []);
            publish(wharf, "t=queue", "x");
            std::thread::scope(|scope| {
                let late = scope
                    .spawn(|| one(wharf, "t=queue&g=g&deadline=1000&then=late&pause=3500").outcome);
                pause(Duration::from_millis(500));
                let other = one(wharf, "t=queue&g=g&deadline=1000");
                assert!(other.attempt > 1 && other.outcome == "ok", "{other:?}");
                assert_eq!(late.join().unwrap(), "expired");
            });
        });
    }

    #[test]
    fn a_delayed_message_comes_later_or_is_refused() {
        let wharf = ready(&on("memory:", &file("messages-wharf", "")));
        let begun = Instant::now();
        publish(&wharf, "t=t.a&delay=1500", "x");
        eventually("it came", || (crate::messaging::seen(&wharf, "x") == 1).then_some(()));
        assert!(begun.elapsed() >= Duration::from_millis(1400));
        let nats = deploy(&on(&brokers()[1], &file("messages-wharf", "")));
        refused(&nats, "/publish?t=t.a&delay=1500", "unsupported: this broker publishes at once");
    }

    #[test]
    fn a_request_has_as_many_replies_as_it_asked_for() {
        on_each(|wharf| {
            assert_eq!(ask(wharf, "/request?t=t.a", "ask:me"), (200, "ask:me!".to_owned()));
            let both = "ask:me!".to_owned();
            assert_eq!(ask(wharf, "/request?t=t.a&n=2&ms=700", "ask:me"), (200, both));
            refused(wharf, "/request?t=nobody&ms=300", "timeout: ");
        });
    }

    #[test]
    fn mistakes_are_told_by_their_code() {
        on_each(|wharf| {
            for (path, said) in [
                ("/publish?t=a&binding=nowhere", "not-found: no binding is named `nowhere`"),
                ("/publish?t=a.*", "invalid: `a.*` is no topic"),
                ("/take?g=g", "invalid: a subscription has one topic at least"),
                ("/take?t=a..b", "invalid: `a..b` is no topic"),
                ("/take?t=a&most=0", "invalid: a consumer takes one message at least"),
                ("/take?t=a&prefetch=0", "invalid: a subscriber takes one message at least"),
                ("/take?t=a&start=after:here", "invalid: "),
                ("/take?t=a&prefetch=1000000", "exhausted: "),
            ] {
                refused(wharf, path, said);
            }
            let (status, answer) = ask(wharf, "/publish?t=a", &"x".repeat((8 << 20) + 1));
            assert!(status == 500 && answer.starts_with("too-large: "), "{status} {answer}");
        });
    }

    #[test]
    fn consumers_are_counted_and_groups_forgotten() {
        on_each(|wharf| {
            assert_eq!(wharf.text("/consumers?t=a&n=20"), "20");
            let (status, answer) = ask(wharf, "/consumers?t=a&n=1000", "");
            let (open, error) = answer.split_once(' ').unwrap();
            let open: u32 = open.parse().unwrap();
            assert!(status == 500 && open < 200 && error.starts_with("exhausted: "), "{answer}");
            assert_eq!(taken(wharf, "t=queue&g=g"), []);
            publish(wharf, "t=queue", "x");
            assert_eq!(ask(wharf, "/forget?g=g", ""), (200, String::new()));
            assert_eq!(taken(wharf, "t=queue&g=g&wait=300"), [], "it begins anew");
        });
    }
}

pub(crate) mod messages_wharf_p2 {
    use super::*;

    #[test]
    fn the_same_is_served_to_components_of_the_older_wasi() {
        for broker in brokers() {
            let wharf = ready(&on(&broker, &file("messages-wharf-p2", "")));
            for text in ["one", "fail2:x", "dead:x"] {
                ask(&wharf, "/publish?t=t.a", text);
            }
            handed(&wharf, "one", 1);
            handed(&wharf, "fail2:x", 3);
            // Once to the worker, and once as a dead letter.
            handed(&wharf, "dead:x", 2);
            assert_eq!(ask(&wharf, "/request?t=t.a", "ask:me"), (200, "ask:me!".to_owned()));
            assert_eq!(wharf.text("/take?t=queue&g=g"), "");
            ask(&wharf, "/publish?t=queue", "x");
            let words = wharf.text("/take?t=queue&g=g&wait=5000");
            let words: Vec<_> = words.split(' ').collect();
            let [text, back, attempt, rest @ ..] = words.as_slice() else { panic!("{words:?}") };
            assert_eq!((*text, *back, rest), ("x", "ok", ["ok", "ok", "expired"].as_slice()));
            // A server may have handed it to the subscriber that had just gone.
            assert!(attempt.parse::<u32>().unwrap() >= 2, "{words:?}");
            refused(&wharf, "/publish?t=a.*", "invalid: `a.*` is no topic");
        }
    }
}
