//! WASI as filters have it.

use crate::support::{Guest, Host, OUT, Shown, status, text};

/// Functions of WASI, what they take, and what they answer to pointers that are fine.
pub(crate) const FUNCTIONS: [(&str, &str, u32); 45] = [
    ("args_get", "ii", 0),
    ("args_sizes_get", "ii", 0),
    ("clock_res_get", "ii", 0),
    ("clock_time_get", "iIi", 0),
    ("environ_get", "ii", 0),
    ("environ_sizes_get", "ii", 0),
    ("fd_advise", "iIIi", 52),
    ("fd_allocate", "iII", 52),
    ("fd_close", "i", 0),
    ("fd_datasync", "i", 52),
    ("fd_fdstat_get", "ii", 8),
    ("fd_fdstat_set_flags", "ii", 52),
    ("fd_fdstat_set_rights", "iII", 52),
    ("fd_filestat_get", "ii", 52),
    ("fd_filestat_set_size", "iI", 52),
    ("fd_filestat_set_times", "iIIi", 52),
    ("fd_pread", "iiiIi", 52),
    ("fd_prestat_dir_name", "iii", 52),
    ("fd_prestat_get", "ii", 8),
    ("fd_pwrite", "iiiIi", 52),
    ("fd_read", "iiii", 52),
    ("fd_readdir", "iiiIi", 52),
    ("fd_renumber", "ii", 52),
    ("fd_seek", "iIii", 0),
    ("fd_sync", "i", 52),
    ("fd_tell", "ii", 52),
    ("fd_write", "iiii", 8),
    ("path_create_directory", "iii", 58),
    ("path_filestat_get", "iiiii", 58),
    ("path_filestat_set_times", "iiiiIIi", 58),
    ("path_link", "iiiiiii", 58),
    ("path_open", "iiiiiIIii", 44),
    ("path_readlink", "iiiiii", 58),
    ("path_remove_directory", "iii", 58),
    ("path_rename", "iiiiii", 58),
    ("path_symlink", "iiiii", 58),
    ("path_unlink_file", "iii", 58),
    ("poll_oneoff", "iiii", 0),
    ("random_get", "ii", 0),
    ("sched_yield", "", 0),
    ("sock_accept", "iii", 58),
    ("sock_recv", "iiiiii", 58),
    ("sock_send", "iiiii", 58),
    ("sock_shutdown", "ii", 58),
    ("proc_exit", "i", 0),
];

const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

fn imported(guest: &mut Guest, module: &str, name: &str) {
    let (_, types, _) = FUNCTIONS.iter().find(|(known, ..)| *known == name).unwrap();
    let types: String =
        types.chars().map(|letter| if letter == 'I' { " i64" } else { " i32" }).collect();
    let result = if name == "proc_exit" { "" } else { "(result i32)" };
    guest.raw_import(&format!(
        "(import \"{module}\" \"{name}\" (func ${name} (param{types}) {result}))"
    ));
}

/// Makes one call and shows what it answers, and then the word at [`OUT`].
fn call(name: &str, arguments: &[u32]) -> Vec<Shown> {
    let mut shown = MODULES.map(|module| {
        let mut guest = Guest::new();
        imported(&mut guest, module, name);
        let (_, types, _) = FUNCTIONS.iter().find(|(known, ..)| *known == name).unwrap();
        let arguments: String = types
            .chars()
            .zip(arguments)
            .map(|(letter, value)| match letter {
                'I' => format!(" (i64.const {value})"),
                _ => format!(" (i32.const {})", value.cast_signed()),
            })
            .collect();
        guest.on_request(|call| {
            call.show_number(&format!("(call ${name}{arguments})")).show_word(OUT);
        });
        Host::with(&guest, |plugin| {
            plugin.environment =
                vec![("A".to_owned(), "1".to_owned()), ("BC".to_owned(), String::new())];
        })
        .request()
    });
    if name != "random_get" {
        assert_eq!(shown[0], shown[1]);
    }
    std::mem::take(&mut shown[0])
}

/// "Various unimplemented WASI functions that are expected to be present", under both names.
#[test]
fn every_function_is_there_under_both_names() {
    for module in MODULES {
        let mut guest = Guest::new();
        for (name, ..) in FUNCTIONS {
            imported(&mut guest, module, name);
        }
        guest.on_request(|call| {
            for (name, types, _) in FUNCTIONS {
                let arguments: String = types
                    .chars()
                    .map(|letter| match letter {
                        'I' => " (i64.const 0)".to_owned(),
                        _ => " (i32.const 0)".to_owned(),
                    })
                    .collect();
                match name {
                    "proc_exit" => call.wat(&format!("(call $proc_exit{arguments})")),
                    _ => call.show_number(&format!("(call ${name}{arguments})")),
                };
            }
        });
        let shown = Host::new(&guest).request();
        let mut expected: Vec<_> = FUNCTIONS[..44].iter().map(|it| status(it.2)).collect();
        expected.push(text("the filter ends itself with 0"));
        assert_eq!(shown, expected, "{module}");
    }
}

/// "Logs message. When `fd_id` is `STDOUT`, then it's logged at the `INFO` level. When `fd_id` is
/// `STDERR`, then at the `ERROR` level. `BADF` for unknown or unsupported `fd_id`."
#[test]
fn what_is_written_is_logged() {
    let mut guest = Guest::new();
    imported(&mut guest, MODULES[0], "fd_write");
    let (one, two) = (guest.text("hello "), guest.text("world\n"));
    let pieces = [one.0, one.1, two.0, two.1].map(u32::to_le_bytes).concat();
    let pieces = guest.text(pieces);
    guest.on_request(|call| {
        for (fd, at, count, to) in [
            (1, pieces.0, 2, OUT),
            (2, pieces.0, 1, OUT),
            (3, pieces.0, 2, OUT),
            (1, u32::MAX, 2, OUT),
            (1, pieces.0, u32::MAX, OUT),
            (1, 131_068, 1, OUT),
            (1, pieces.0, 1, u32::MAX),
        ] {
            call.show_number(&format!(
                "(call $fd_write (i32.const {fd}) (i32.const {}) (i32.const {}) (i32.const {}))",
                at.cast_signed(),
                count.cast_signed(),
                to.cast_signed(),
            ));
        }
        call.show_word(OUT);
    });
    let mut expected = vec![text("hello world"), status(0), text("hello "), status(0)];
    expected.extend([8, 21, 28, 21].map(status));
    expected.extend([text("hello "), status(21), status(6)]);
    assert_eq!(Host::new(&guest).request(), expected);
}

/// "`NOTSUP` for unknown or unsupported `clock_id`. `FAULT` when `return_time` points to invalid
/// memory address."
#[test]
fn clocks_tell_the_time() {
    assert_eq!(call("clock_time_get", &[1, 0, OUT]), [0, 42].map(status));
    assert_eq!(call("clock_time_get", &[2, 0, OUT]), [58, 0].map(status));
    assert_eq!(call("clock_time_get", &[0, 0, u32::MAX]), [21, 0].map(status));
    assert_eq!(call("clock_res_get", &[0, OUT]), [0, 1].map(status));
    assert_eq!(call("clock_res_get", &[9, OUT]), [58, 0].map(status));
}

/// "`INVAL` when requested `buffer_size` is too large. `FAULT` when they point to invalid memory."
#[test]
fn chance_is_given() {
    let shown = call("random_get", &[OUT, 4]);
    assert_eq!(shown[0], status(0));
    assert_ne!(shown, call("random_get", &[OUT, 4]));
    assert_eq!(call("random_get", &[OUT, 0]), [0, 0].map(status));
    assert_eq!(call("random_get", &[OUT, 65_537]), [28, 0].map(status));
    assert_eq!(call("random_get", &[131_070, 4]), [21, 0].map(status));
}

/// "Environment variables should be configured for each plugin."
#[test]
fn the_environment_is_the_configured_one() {
    // `A=1` and `BC=`, each with a NUL behind it.
    assert_eq!(call("environ_sizes_get", &[OUT, OUT + 4]), [0, 2].map(status));
    assert_eq!(call("environ_sizes_get", &[OUT + 4, OUT]), [0, 8].map(status));
    let word = |text: &[u8; 4]| u32::from_le_bytes(*text);
    assert_eq!(call("environ_get", &[OUT + 16, OUT]), [0, word(b"A=1\0")].map(status));
    assert_eq!(call("environ_get", &[OUT, OUT + 16]), [0, OUT + 16].map(status));
    assert_eq!(call("environ_get", &[131_072, OUT]), [21, 0].map(status));
    assert_eq!(call("environ_get", &[OUT, 131_070])[0], status(21));
}

/// "Hosts must write `0` to both output arguments."
#[test]
fn there_are_no_arguments() {
    assert_eq!(call("args_sizes_get", &[OUT, OUT + 4]), [0, 0].map(status));
    assert_eq!(call("args_sizes_get", &[OUT, u32::MAX])[0], status(21));
}

/// The two streams that are written to are character devices.
#[test]
fn the_streams_are_described() {
    assert_eq!(call("fd_fdstat_get", &[1, OUT]), [0, 2].map(status));
    assert_eq!(call("fd_fdstat_get", &[0, OUT])[0], status(8));
    assert_eq!(call("fd_fdstat_get", &[1, 131_060])[0], status(21));
}

/// Runtimes ask for time to pass; none does, and that is no error.
#[test]
fn nothing_is_waited_for() {
    assert_eq!(call("poll_oneoff", &[0, 0, 1, OUT]), [0, 0].map(status));
}
