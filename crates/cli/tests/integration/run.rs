//! Commands and exported functions, run to their end.

use crate::support::{Folder, promises, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};
use testkit::program::Ended;

promises!([
    arguments_arrive_as_they_are,
    the_environment_is_what_was_granted,
    standard_input_becomes_standard_output,
    standard_error_is_passed_on,
    exit_codes_are_the_guests,
    a_trap_ends_with_1_and_names,
    a_guest_that_takes_too_long_is_ended,
    no_store_is_made_for_who_asks_for_none,
    folders_are_seen_where_granted,
    what_was_granted_for_reading_is_not_written,
] of command_p1, command_p2, command_p3);

/// Preview 1 as another language has it.
pub(crate) mod c {
    use super::{
        arguments_arrive_as_they_are, exit_codes_are_the_guests, standard_error_is_passed_on,
        standard_input_becomes_standard_output, the_environment_is_what_was_granted,
    };
    super::promises!([
        arguments_arrive_as_they_are,
        the_environment_is_what_was_granted,
        standard_input_becomes_standard_output,
        standard_error_is_passed_on,
        exit_codes_are_the_guests,
    ] of command_c);
}

/// Runs a guest with flags and arguments.
fn command(guest: &str, flags: &[&str], args: &[&str], input: &str) -> Ended {
    let folder = Folder::new();
    folder.guest(guest);
    let file = format!("{guest}.wasm");
    let all = [&["run"], flags, &[file.as_str()], args].concat();
    run(&mut folder.wharf(&all), input)
}

fn ok(ended: &Ended) -> &str {
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    &ended.output
}

fn arguments_arrive_as_they_are(guest: &str) {
    assert_eq!(ok(&command(guest, &[], &[], "")), "Hello from a command\n");
    let args = ["args", "a b", "--env", "-x", "--", "", "ü"];
    assert_eq!(ok(&command(guest, &[], &args, "")), "a b\n--env\n-x\n--\n\nü\n");
    let split = ["--", "args", "--invoke"];
    assert_eq!(ok(&command(guest, &[], &split, "")), "--invoke\n");
}

fn the_environment_is_what_was_granted(guest: &str) {
    assert_eq!(ok(&command(guest, &[], &["env"], "")), "");
    let folder = Folder::new();
    folder.guest(guest);
    let file = format!("{guest}.wasm");
    let flags = ["run", "--env", "A=b=c", "--env", "HERE", "--env", "NOT_HERE", &file, "env"];
    let mut command = folder.wharf(&flags);
    command.env("HERE", "yes").env("NOT_GRANTED", "x");
    let ended = run(&mut command, "");
    let mut lines: Vec<_> = ok(&ended).lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=b=c", "HERE=yes"]);
}

fn standard_input_becomes_standard_output(guest: &str) {
    let text = "ahoy\n".repeat(50_000);
    assert!(ok(&command(guest, &[], &["cat"], &text)) == text);
    assert_eq!(ok(&command(guest, &[], &["cat"], "")), "");
}

fn standard_error_is_passed_on(guest: &str) {
    let ended = command(guest, &[], &["stderr", "ahoy"], "");
    assert_eq!((ok(&ended), ended.errors.as_str()), ("", "ahoy\n"));
}

fn exit_codes_are_the_guests(guest: &str) {
    assert_eq!(command(guest, &[], &["exit", "0"], "").code, Some(0));
    // WASI 0.2 knows success and failure, and nothing else.
    let seven = if guest == "command-p2" { 1 } else { 7 };
    assert_eq!(command(guest, &[], &["exit", "7"], "").code, Some(seven));
    assert_eq!(command(guest, &[], &["no-such-thing"], "").code, Some(1));
}

fn a_trap_ends_with_1_and_names(guest: &str) {
    let ended = command(guest, &[], &["panic"], "");
    assert_eq!(ended.code, Some(1));
    assert!(ended.errors.contains("as asked"), "{}", ended.errors);
    assert!(ended.errors.contains("error: the guest trapped\n"), "{}", ended.errors);
    assert!(ended.errors.contains("rust_panic"), "{}", ended.errors);
    assert!(!ended.errors.contains("Stack backtrace"), "{}", ended.errors);
}

fn a_guest_that_takes_too_long_is_ended(guest: &str) {
    let begun = Instant::now();
    let ended = command(guest, &["--timeout", "1s"], &["sleep", "80000"], "");
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.errors, "error: the guest was not over in time\n");
    if guest != "command-p3" {
        let ended = command(guest, &["--timeout", "500ms"], &["loop"], "");
        assert_eq!((ended.code, ended.errors.lines().count() > 0), (Some(1), true));
    }
    assert!(begun.elapsed() < Duration::from_secs(60));
}

fn no_store_is_made_for_who_asks_for_none(guest: &str) {
    let folder = Folder::new();
    folder.guest(guest);
    ok(&folder.run(&["run", &format!("{guest}.wasm")]));
    assert!(!folder.path().join(".wharf").exists());
}

fn folders_are_seen_where_granted(guest: &str) {
    let folder = Folder::new();
    folder.guest(guest);
    folder.write("data/one", "first");
    folder.write("secret", "hidden");
    let file = format!("{guest}.wasm");
    let on = |dir: &str, args: &[&str]| folder.run(&[&["run", "--dir", dir, &file], args].concat());
    assert_eq!(ok(&on("data", &["list", "data"])), "one\n");
    assert_eq!(ok(&on("data::/in", &["read", "/in/one"])), "first");
    ok(&on("data::/in", &["write", "/in/two", "second"]));
    assert_eq!(fs::read_to_string(folder.path().join("data/two")).unwrap(), "second");
    symlink("../secret", folder.path().join("data/link")).unwrap();
    symlink("/etc/passwd", folder.path().join("data/far")).unwrap();
    for path in ["/in/../secret", "secret", "/etc/passwd", "/in/link", "/in/far", "/in//etc/passwd"]
    {
        let ended = on("data::/in", &["read", path]);
        assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{path}");
    }
    assert_eq!(on("data::/in", &["write", "/in/../new", "x"]).code, Some(1));
    assert!(!folder.path().join("new").exists());
    let ended = folder.run(&["run", &file, "read", "data/one"]);
    assert_eq!(ended.code, Some(1), "without a grant there are no files");
    let ended = on("nowhere", &["list", "."]);
    assert_eq!(ended.code, Some(64));
    assert!(ended.errors.contains("there is no directory `nowhere`"), "{}", ended.errors);
}

fn what_was_granted_for_reading_is_not_written(guest: &str) {
    let folder = Folder::with(&format!(
        r#"
            name = "reader"
            [component.command]
            source = "{guest}.wasm"
            files = [{{ host = "data", guest = "/in" }}]
        "#
    ));
    folder.write("data/one", "first");
    let on = |args: &[&str]| folder.run(&[&["run", "wharf.toml"], args].concat());
    assert_eq!(ok(&on(&["list", "/in"])), "one\n");
    assert_eq!(ok(&on(&["read", "/in/one"])), "first");
    for path in ["/in/one", "/in/two"] {
        assert_eq!(on(&["write", path, "second"]).code, Some(1), "{path}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("data/one")).unwrap(), "first");
    assert!(!folder.path().join("data/two").exists());
}

#[test]
fn what_is_no_command_is_named() {
    let folder = Folder::new();
    for (guest, hint) in [
        ("hello-p2", "it answers HTTP: `wharf serve` serves it"),
        ("exports", "`--invoke 'name(arguments)'` calls a function"),
    ] {
        folder.guest(guest);
        let ended = folder.run(&["run", &format!("{guest}.wasm")]);
        assert_eq!(ended.code, Some(64));
        let sentence = format!("`{guest}` is no command: it exports no `wasi:cli/run`");
        assert!(ended.errors.contains(&sentence), "{}", ended.errors);
        assert!(ended.errors.contains(hint), "{}", ended.errors);
    }
}

pub(crate) mod exports {
    use super::{Ended, Folder, ok};

    fn invoke(call: &str) -> Ended {
        let folder = Folder::new();
        folder.guest("exports");
        folder.run(&["run", "--invoke", call, "exports.wasm"])
    }

    #[test]
    fn a_function_is_called_with_values_of_every_shape() {
        for (call, result) in [
            ("add(1, 2)", "3"),
            ("add(4294967295, 1)", "0"),
            ("greet(\"Ada \\u{1f600}\")", "\"Hello, Ada 😀\""),
            ("divide(-7, 2)", "ok(-3)"),
            ("divide(7, 0)", "err(\"7 cannot be divided by 0\")"),
            ("describe(circle(3))", "\"a circle of radius 3\""),
            ("describe(nothing)", "\"nothing\""),
            ("describe(segment(({x: 1, y: 2}, {x: 3, y: -4})))", "\"a line from 1,2 to 3,-4\""),
            ("pick([{x: 5, y: 5}, {x: 1, y: 0}], nearest)", "some({x: 1, y: 0})"),
            ("pick([], farthest)", "none"),
        ] {
            assert_eq!(ok(&invoke(call)), format!("{result}\n"), "{call}");
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        for (call, hint) in [
            ("ad(1, 2)", "did you mean `add`?"),
            ("descrbe(nothing)", "did you mean `describe`?"),
            ("zzzzzzzz()", "it exports add, greet, divide, trap, describe, pick"),
        ] {
            let ended = invoke(call);
            assert_eq!(ended.code, Some(64), "{call}");
            assert!(ended.errors.contains("`exports` exports no function"), "{}", ended.errors);
            assert!(ended.errors.contains(hint), "{}", ended.errors);
        }
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (call, words) in [
            ("add(1)", "the arguments of `add`"),
            ("add(\"x\", 2)", "the arguments of `add`"),
            ("add(-1, 2)", "the arguments of `add`"),
            ("pick([], middle)", "enum { nearest, farthest }"),
            ("add(1", "`add(1` is no call"),
            ("add", "`add` is no call"),
        ] {
            let ended = invoke(call);
            assert_eq!(ended.code, Some(64), "{call}: {}", ended.errors);
            assert!(ended.errors.contains(words), "{call}: {}", ended.errors);
            assert_eq!(ended.output, "");
        }
    }

    #[test]
    fn a_function_that_traps_ends_with_1() {
        let ended = invoke("trap()");
        assert_eq!(ended.code, Some(1));
        assert!(ended.errors.contains("the guest trapped"), "{}", ended.errors);
        assert!(ended.errors.contains("exports.wasm!trap"), "{}", ended.errors);
    }
}
