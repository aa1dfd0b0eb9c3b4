//! Components that are called by the clock.

use crate::support::{Folder, Served, deploy, eventually, pause, promises};
use std::time::Duration;
use testkit::program::Signal;

promises!([a_timer_runs_again_and_again, a_cron_pattern_says_when] of timer_p2, timer_p3);

fn ticking(guest: &str, when: &str) -> Served {
    deploy(&format!(
        r#"
            name = "ticking"
            [component.web]
            source = "kv-draft2.wasm"
            [component.tick]
            source = "{guest}.wasm"
            [[http.route]]
            component = "web"
            [[timer]]
            component = "tick"
            {when}
        "#
    ))
}

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

#[test]
fn a_timer_that_is_not_due_does_not_run() {
    let wharf = ticking("timer-p2", "every = \"1h\"");
    pause(Duration::from_millis(500));
    assert_eq!(ticks(&wharf, "ticks"), 0);
}

#[test]
fn the_environment_reaches_a_timer_and_its_output_the_log() {
    let wharf = deploy(
        r#"
            name = "ticking"
            [component.web]
            source = "kv-draft2.wasm"
            [component.tick]
            source = "timer-p2.wasm"
            environment = { TIMER_KEY = "tocks" }
            [[http.route]]
            component = "web"
            [[timer]]
            component = "tick"
            every = "100ms"
        "#,
    );
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
