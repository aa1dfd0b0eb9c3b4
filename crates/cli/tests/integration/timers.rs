//! Components that are called by the clock.

use crate::support::{Folder, Served, deploy, eventually, pause, promises};
use std::time::Duration;
use testkit::program::Signal;

promises!([
    a_timer_runs_again_and_again,
    a_cron_pattern_says_when,
    sigterm_lets_a_run_finish,
    a_run_that_goes_wrong_is_reported_and_does_not_stop_the_next,
] of timer_p2, timer_p3);

fn ticking(guest: &str, when: &str) -> Served {
    deploy(&file(guest, "", when))
}

/// A timer beside a component that shows what it counted; `more` is of the timer's component.
fn file(guest: &str, more: &str, when: &str) -> String {
    format!(
        r#"
            name = "ticking"
            [component.web]
            source = "kv-draft2.wasm"
            [component.tick]
            source = "{guest}.wasm"
            {more}
            [[http.route]]
            component = "web"
            [[timer]]
            component = "tick"
            {when}
        "#
    )
}

const NEVER: &str = "every = \"1h\"";

fn ticks(wharf: &Served, key: &str) -> u64 {
    wharf.get(&format!("/get?k={key}")).text().parse().unwrap_or(0)
}

fn a_timer_runs_again_and_again(guest: &str) {
    let mut wharf = ticking(guest, "every = \"50ms\"");
    eventually("five ticks", || (ticks(&wharf, "ticks") >= 5).then_some(()));
    wharf.program.signal(Signal::SIGTERM);
    assert_eq!(wharf.program.end().code(), Some(0));
}

fn a_cron_pattern_says_when(guest: &str) {
    let wharf = ticking(guest, "cron = \"* * * * * *\"");
    eventually("two ticks", || (ticks(&wharf, "ticks") >= 2).then_some(()));
}

fn sigterm_lets_a_run_finish(guest: &str) {
    let slow = "environment = { TIMER_MS = \"1500\" }";
    let mut wharf = deploy(&file(guest, slow, "every = \"10ms\""));
    eventually("a run is in the middle", || {
        (ticks(&wharf, "begun") > ticks(&wharf, "ticks")).then_some(())
    });
    wharf.program.signal(Signal::SIGTERM);
    assert_eq!(wharf.program.end().code(), Some(0));
    let lines = wharf.program.errors();
    assert!(!lines.iter().any(|line| line.contains("not finished")), "{lines:?}");
    // What it wrote last is there, and no run began after it.
    wharf.folder.deploy(&file(guest, slow, NEVER));
    let after = wharf.folder.serve(&[]);
    let begun = ticks(&after, "begun");
    assert!(begun > 0 && begun == ticks(&after, "ticks"), "{begun}");
}

fn a_run_that_goes_wrong_is_reported_and_does_not_stop_the_next(guest: &str) {
    for (first, words) in [
        ("trap", "a timer's run trapped"),
        ("loop", "a timer's run was not over in time"),
        ("sleep", "a timer's run was not over in time"),
    ] {
        let more = format!(
            "environment = {{ TIMER_FIRST = \"{first}\" }}\nlimits = {{ request-timeout = \"1s\" }}"
        );
        let wharf = deploy(&file(guest, &more, "every = \"10ms\""));
        let line = wharf.program.wait_for(words);
        assert!(line.contains("component=tick"), "{line}");
        eventually("two ticks after it", || (ticks(&wharf, "ticks") >= 2).then_some(()));
        assert!(ticks(&wharf, "begun") > 2, "the first run began and did not count");
    }
}

#[test]
fn a_timer_that_is_not_due_does_not_run() {
    let wharf = ticking("timer-p2", NEVER);
    pause(Duration::from_millis(500));
    assert_eq!(ticks(&wharf, "ticks"), 0);
}

#[test]
fn the_environment_reaches_a_timer_and_its_output_the_log() {
    let environment = "environment = { TIMER_KEY = \"tocks\" }";
    let wharf = deploy(&file("timer-p2", environment, "every = \"100ms\""));
    eventually("a tock", || (ticks(&wharf, "tocks") >= 1).then_some(()));
    assert_eq!(ticks(&wharf, "ticks"), 0);
    let line = wharf.program.wait_for("tick 1");
    assert!(line.contains("component=tick") && line.contains("context=stdout"), "{line}");
}

#[test]
fn a_component_that_cannot_be_run_is_a_mistake() {
    let folder = Folder::with(
        r#"
            name = "stopped"
            [component.web]
            source = "hello-p2.wasm"
            [[timer]]
            component = "web"
            every = "1s"
        "#,
    );
    let ended = folder.run(&["serve"]);
    assert_eq!(ended.code, Some(64), "{}", ended.errors);
    assert!(ended.errors.contains("exports no `wasi:cli/run`"), "{}", ended.errors);
}

#[test]
fn a_deployment_of_timers_alone_listens_nowhere() {
    let folder = Folder::with(
        r#"
            name = "clockwork"
            [component.tick]
            source = "timer-p2.wasm"
            [[timer]]
            component = "tick"
            every = "50ms"
        "#,
    );
    let mut program = testkit::program::Program::start(&mut folder.wharf(&["serve"]));
    program.wait_for("tick 2");
    assert!(!program.errors().iter().any(|line| line.starts_with("Serving HTTP")));
    program.signal(Signal::SIGTERM);
    assert_eq!(program.end().code(), Some(0));
}
