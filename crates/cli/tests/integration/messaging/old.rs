//! `wasi:messaging@0.2.0-draft` as it was before its interfaces were renamed.

use super::{ask, brokers, file, handed, on, publish, ready, seen};
use crate::support::{Folder, Served, deploy, eventually};

/// The component names its channels itself, but for one that is in the file.
fn listening(broker: &str, more: &str) -> String {
    let file = file("messages-old", more);
    let file = file.replace(r#"topics = ["t.>", "other"]"#, r#"topics = ["in.file"]"#);
    on(broker, &file)
}

/// Lines of what was taken from a channel, after a while if nothing is there yet.
fn taken(wharf: &Served, channel: &str, then: &str) -> Vec<String> {
    let answer = wharf.text(&format!("/take?t={channel}&ms=5000&then={then}"));
    answer.lines().map(str::to_owned).collect()
}

pub(crate) mod messages_old {
    use super::*;
    use crate::messaging as of_all;

    #[test]
    fn it_fails_and_publishes_as_every_interface_does() {
        let guest = "messages-old";
        of_all::a_message_that_fails_comes_again(guest);
        of_all::a_message_that_fails_too_often_goes_to_the_dead_letters(guest);
        of_all::a_trap_and_a_loop_are_failures(guest);
        of_all::a_handler_publishes(guest);
        of_all::sigterm_lets_a_handler_finish(guest);
    }

    #[test]
    fn a_component_names_its_channels_beside_those_of_the_file() {
        for broker in brokers() {
            let wharf = ready(&listening(&broker, ""));
            for (topic, text) in [("t.a", "one"), ("other", "two"), ("in.file", "three")] {
                publish(&wharf, topic, text);
            }
            publish(&wharf, "elsewhere", "none");
            ["one", "two", "three"].iter().for_each(|text| handed(&wharf, text, 1));
            assert_eq!(seen(&wharf, "none"), 0);
            // What it says that nobody knows is told.
            wharf.program.wait_for("an extension of the guest's configuration is not known");
        }
    }

    #[test]
    fn a_component_listens_to_others_when_it_says_so() {
        for broker in brokers() {
            let wharf = ready(&listening(&broker, ""));
            publish(&wharf, "in.file", "before");
            handed(&wharf, "before", 1);
            // The handler is another component than the one that is asked over HTTP.
            let (status, said) = ask(&wharf, "/listen?t=new.%3E", "");
            assert!(status == 500 && said.contains("nothing hands messages to this"), "{said}");
        }
    }

    #[test]
    fn a_component_that_is_asked_and_handed_messages_says_where_it_listens() {
        for broker in brokers() {
            let file =
                listening(&broker, "").replace("component = \"web\"", "component = \"worker\"");
            let wharf = ready(&file);
            publish(&wharf, "t.a", "before");
            handed(&wharf, "before", 1);
            for (path, said) in [
                ("/listen?t=a..b", "is no topic"),
                ("/listen?t=a&x=start:middle", "the extension `start`"),
            ] {
                let (status, answer) = ask(&wharf, path, "");
                assert!(status == 500 && answer.contains(said), "{answer}");
            }
            let listened = ask(&wharf, "/listen?t=new.%3E&x=prefetch:7&x=color:red", "");
            assert_eq!(listened, (200, String::new()));
            eventually("it listens to the new one", || {
                publish(&wharf, "new.a", "after");
                (seen(&wharf, "after") > 0).then_some(())
            });
            publish(&wharf, "t.a", "gone");
            publish(&wharf, "in.file", "still");
            handed(&wharf, "still", 1);
            assert_eq!(seen(&wharf, "gone"), 0);
        }
    }

    #[test]
    fn messages_are_taken_completed_and_abandoned() {
        for broker in brokers() {
            let wharf = deploy(&on(&broker, &file("messages-old", "")));
            let nothing = wharf.text("/take?t=queue&ms=50");
            assert_eq!(nothing, "", "nothing is there yet, and from now on the group is");
            let sent = ask(&wharf, "/publish?t=queue&h=a:1&h=a:2&format=cloudevents", "one");
            assert_eq!(sent, (200, String::new()));
            let line = |then| format!("one cloudevents a=1 a=2 wharf-delivery=… {then}");
            // What an instance leaves goes back.
            assert_eq!(taken(&wharf, "queue", "nothing"), [line("-")]);
            assert_eq!(taken(&wharf, "queue", "abandon"), [line("ok")]);
            let [twice] = <[String; 1]>::try_from(taken(&wharf, "queue", "twice")).unwrap();
            assert!(twice.starts_with(&line("ok, this message is not out")), "{twice}");
            assert_eq!(wharf.text("/take?t=queue&ms=300"), "");
        }
    }

    #[test]
    fn what_is_taken_is_settled_by_its_own_words_alone() {
        let wharf = deploy(&on("memory:", &file("messages-old", "")));
        assert_eq!(wharf.text("/take?t=queue&ms=10"), "");
        for (metadata, said) in [
            ("", "has no `wharf-delivery`"),
            ("&h=wharf-delivery:1&h=wharf-delivery:1", "has several `wharf-delivery`"),
            ("&h=wharf-delivery:no", "is none that was given"),
            ("&h=wharf-delivery:1", "this message is not out"),
        ] {
            publish(&wharf, "queue", "x");
            let path = format!("/take?t=queue&ms=5000&then=forged{metadata}");
            let answer = wharf.text(&path);
            assert!(answer.contains(said), "{metadata}: {answer}");
            wharf.text("/take?t=queue&ms=5000&then=complete");
        }
    }

    #[test]
    fn several_are_sent_at_once_and_mistakes_are_told() {
        let wharf = deploy(&on("memory:", &file("messages-old", "")));
        let lines = "one\ntwo\nthree";
        assert_eq!(ask(&wharf, "/publish-many?t=t.a", lines), (200, String::new()));
        lines.lines().for_each(|text| handed(&wharf, text, 1));
        for (path, said) in [
            ("/publish?t=a&binding=nowhere", "no binding is named `nowhere`"),
            ("/publish?t=a.*", "is no topic"),
            ("/publish-many?t=a..b", "message 1 of 3: `a..b` is no topic"),
            ("/take?t=a..b&ms=1", "is no topic"),
        ] {
            let (status, answer) = ask(&wharf, path, lines);
            assert!(status == 500 && answer.contains(said), "{path}: {answer}");
        }
    }

    #[test]
    fn a_file_without_topics_is_for_components_that_name_them() {
        let silent = |guest: &str| {
            let file = file(guest, "");
            file.replace(r#"topics = ["t.>", "other"]"#, "topics = []")
        };
        let wharf = ready(&silent("messages-old"));
        publish(&wharf, "t.a", "one");
        handed(&wharf, "one", 1);
        let ended = Folder::with(&silent("messages-draft")).run(&["serve"]);
        assert_eq!(ended.code, Some(64), "{}", ended.errors);
        let said = "component `worker` names no topics, and neither does the file";
        assert!(ended.errors.contains(said), "{}", ended.errors);
    }
}
