//! Integration: markers, start functions, imports.

use crate::support::{Guest, Host, Shown, engine, status, text};
use filter::{Abi, Module, Plugin, Seat};
use std::sync::Arc;

fn refused(guest: &Guest) -> String {
    Module::compile(engine(), &guest.code(), false).unwrap_err().to_string()
}

/// "Function marker used during linking to advertise Wasm module's support."
#[test]
fn every_version_has_its_marker() {
    for abi in Abi::ALL {
        let module = Module::compile(engine(), &Guest::of(abi.marker()).code(), false).unwrap();
        assert_eq!(module.abi(), abi);
    }
    let unknown = refused(&Guest::of("proxy_abi_version_0_3_0"));
    assert!(unknown.contains("`proxy_abi_version_0_3_0`, which is not known"), "{unknown}");
    let none = refused(&Guest::of("something"));
    assert!(none.contains("exports no `proxy_abi_version_…`"), "{none}");
}

/// A module that is none of ours is told all that is wrong with it.
#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut guest = Guest::of("proxy_abi_version_0_2_0");
    guest
        .raw_import("(import \"env\" \"proxy_get_secret\" (func (param i32 i32) (result i32)))")
        .raw_import("(import \"env\" \"proxy_get_log_level\" (func (param i32) (result i32)))")
        .raw_import("(import \"env\" \"proxy_done\" (func (param i64) (result i32)))")
        .raw_import("(import \"other\" \"thing\" (func))")
        .raw_import("(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32)))")
        .raw("(func (export \"proxy_on_tick\"))");
    let error = refused(&guest);
    for part in [
        "`env.proxy_get_secret` is not known",
        "`env.proxy_get_log_level` is of version 0.2.1",
        "`env.proxy_done` has the type (i64) -> (i32) and should have () -> (i32)",
        "`other.thing` is not known",
        "`wasi_snapshot_preview1.fd_write` has the type (i32) -> ()",
        "its export `proxy_on_tick` has another type",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

/// No memory, no allocator, no module.
#[test]
fn what_cannot_be_called_is_refused() {
    let compile = |code: &[u8]| Module::compile(engine(), code, false).unwrap_err().to_string();
    let module = wat::parse_str("(module (func (export \"proxy_abi_version_0_2_1\")))").unwrap();
    let error = compile(&module);
    assert!(error.contains("exports no `memory`"), "{error}");
    assert!(error.contains("neither `proxy_on_memory_allocate` nor `malloc`"), "{error}");
    assert!(compile(b"no module").contains("this is no module"));
    assert!(compile(b"").contains("this is no module"));
}

/// With `lenient`, what is not known says that it is not there.
#[test]
fn unknown_imports_may_be_let_through() {
    let mut guest = Guest::new();
    guest.raw_import(
        "(import \"env\" \"proxy_get_secret\" (func $secret (param i32) (result i32)))",
    );
    guest.raw_import("(import \"env\" \"other\" (func $other (param f32) (result i64)))");
    guest.raw_import("(import \"wasi_snapshot_preview1\" \"new\" (func $new (result i32)))");
    guest.on_request(|call| {
        call.show_number("(call $secret (i32.const 1))");
        call.show_number("(call $new)");
        call.show_number("(i32.wrap_i64 (call $other (f32.const 1)))");
    });
    let module = Module::compile(engine(), &guest.code(), true).unwrap();
    let world = crate::support::World::default();
    let plugin = Arc::new(Plugin::new("lenient", module));
    let seat = Seat::start(&world.worker(), plugin).unwrap();
    let host = Host { worker: world.worker(), world, seat };
    assert_eq!(host.request(), [12, 52, 0].map(status));
}

/// Old toolchains import functions without their result, others with it.
#[test]
fn a_function_may_be_imported_without_its_result() {
    for name in ["proxy_continue_request", "proxy_continue_response", "proxy_clear_route_cache"] {
        for (result, code) in [("", "(call $it)"), ("(result i32)", "(drop (call $it))")] {
            let mut guest = Guest::of("proxy_abi_version_0_1_0");
            guest.raw_import(&format!("(import \"env\" \"{name}\" (func $it {result}))"));
            guest.on("proxy_on_request_headers", 2, Some(0), |call| {
                call.wat(code).say("went on");
            });
            assert_eq!(Host::new(&guest).request(), [text("went on")], "{name} {result}");
        }
    }
}

/// In ABI 0.1.0 a configuration is asked for by a call of its own.
#[test]
fn before_0_2_0_configurations_are_asked_for() {
    let mut guest = Guest::of("proxy_abi_version_0_1_0");
    let out = crate::support::OUT;
    for name in ["proxy_on_vm_start", "proxy_on_configure"] {
        guest.on(name, 2, Some(1), |call| {
            call.call("proxy_get_configuration", &[out, out + 4]).show();
        });
    }
    guest.on("proxy_on_request_headers", 2, Some(0), |call| {
        call.call("proxy_get_configuration", &[out, out + 4]).show();
        call.call("proxy_get_configuration", &[u32::MAX, out]);
        call.call("proxy_get_configuration", &[out, u32::MAX]);
    });
    let host = Host::with(&guest, |plugin| {
        plugin.vm_configuration = "vm".into();
        plugin.configuration = "plugin".into();
    });
    let told = |name: &str| [status(0), text(name)];
    assert_eq!(host.shown(), [told("vm"), told("plugin")].concat());
    assert_eq!(host.request(), [status(0), text("plugin"), status(6), status(6)]);
}

/// What toolchains import beside the ABI: Emscripten, its old threads, AssemblyScript.
#[test]
fn what_toolchains_import_is_there() {
    let mut guest = Guest::new();
    guest
        .raw_import(
            "(import \"env\" \"emscripten_notify_memory_growth\" (func $grown (param i32)))",
        )
        .raw_import("(import \"env\" \"pthread_equal\" (func $same (param i32 i32) (result i32)))")
        .raw_import("(import \"env\" \"abort\" (func $abort (param i32 i32 i32 i32)))");
    guest.on_request(|call| {
        call.wat("(drop (memory.grow (i32.const 1))) (call $grown (i32.const 0))");
        call.show_number("(call $same (i32.const 7) (i32.const 7))");
        call.show_number("(call $same (i32.const 7) (i32.const 8))");
    });
    guest.on("proxy_on_response_headers", 3, Some(0), |call| {
        call.wat("(call $abort (i32.const 0) (i32.const 0) (i32.const 12) (i32.const 3))");
    });
    let host = Host::new(&guest);
    assert_eq!(host.request(), [1, 0].map(status));
    let mut chain = host.http();
    chain.put_head(filter::Way::Request, crate::support::head(), true);
    chain.put_head(filter::Way::Response, crate::support::response(&[]), true);
    assert!(host.failure().unwrap().contains("the filter aborted at 12:3"));
}

/// What a guest says when it starts, by the functions that it has.
fn started(functions: &[(&str, usize, Option<u32>)], more: &str) -> Vec<Shown> {
    let mut guest = Guest::new();
    for (name, arguments, answer) in functions {
        guest.on(name, *arguments, *answer, |call| {
            call.say(name);
        });
    }
    guest.raw(more);
    Host::new(&guest).shown()
}

/// "`_initialize`: called when the Wasm module is first loaded." "`main` is called only if
/// `_initialize` is also exported." "`_start` is called only if `_initialize` is not exported."
#[test]
fn a_module_starts_in_its_own_way() {
    let initialize = ("_initialize", 0, None);
    let main = ("main", 2, Some(0));
    let void = ("__main_void", 0, Some(0));
    let start = ("_start", 0, None);
    assert_eq!(started(&[initialize], ""), [text("_initialize")]);
    assert_eq!(started(&[initialize, main], ""), [text("_initialize"), text("main")]);
    assert_eq!(started(&[initialize, void], ""), [text("_initialize"), text("__main_void")]);
    assert_eq!(started(&[initialize, main, start], "").len(), 2);
    assert_eq!(started(&[start], ""), [text("_start")]);
    assert_eq!(started(&[start, main], ""), [text("_start")]);
    assert_eq!(started(&[], ""), []);
}

/// AssemblyScript has a start function of the module itself, which may log.
#[test]
fn a_module_may_start_by_itself() {
    let mut guest = Guest::new();
    let hello = guest.text("hello");
    guest.raw(&format!(
        "(func $begin (drop (call $proxy_log (i32.const 2) (i32.const {}) (i32.const {}))))
         (start $begin)",
        hello.0, hello.1
    ));
    assert_eq!(Host::new(&guest).shown(), [text("hello")]);
}

/// The functions that a module starts with, each alone or behind the one that comes first.
const STARTS: [(&str, usize, Option<u32>); 4] = [
    ("_initialize", 0, None),
    ("_start", 0, None),
    ("main", 2, Some(0)),
    ("__main_void", 0, Some(0)),
];

/// A guest whose start function of this name does `body`.
fn starting(
    (name, arguments, answer): (&str, usize, Option<u32>),
    body: impl FnOnce(&mut crate::support::Body<'_>),
) -> Guest {
    let mut guest = Guest::new();
    if name.contains("main") {
        guest.on("_initialize", 0, None, |_| {});
    }
    guest.on(name, arguments, answer, body);
    guest
}

/// While it starts a module may not ask for what belongs to streams.
#[test]
fn starting_is_not_the_time_for_everything() {
    let out = crate::support::OUT;
    let calls: [(&str, &[u32]); 7] = [
        ("proxy_set_tick_period_milliseconds", &[10]),
        ("proxy_set_effective_context", &[1]),
        ("proxy_get_header_map_size", &[0, out]),
        ("proxy_get_buffer_bytes", &[6, 0, 1, out, out]),
        ("proxy_get_property", &[out, 1, out, out]),
        ("proxy_register_shared_queue", &[out, 1, out]),
        ("proxy_done", &[]),
    ];
    for start in STARTS {
        for (name, with) in calls {
            let guest = starting(start, |call| {
                call.quietly(name, with);
            });
            let error = Host::try_with(&guest, |_| {}).err().unwrap().to_string();
            let expected = format!("may not call `{name}` while it starts");
            assert!(error.contains("filter `tested` does not start"), "{error}");
            assert!(error.contains(&expected), "{}: {error}", start.0);
        }
    }
}

/// It may log, and ask for the time, for chance and for its environment.
#[test]
fn starting_is_the_time_for_some_things() {
    let out = crate::support::OUT;
    for start in STARTS {
        let mut guest = starting(start, |call| {
            call.say("hello");
            call.call("proxy_get_log_level", &[out]);
            call.call("proxy_get_current_time_nanoseconds", &[out]);
            call.show_number("(call $clock (i32.const 0) (i64.const 0) (i32.const 64))");
            call.show_number("(call $random (i32.const 64) (i32.const 8))");
            call.show_number("(call $environ (i32.const 64) (i32.const 68))");
            call.show_number("(call $arguments (i32.const 64) (i32.const 68))");
        });
        for (name, as_, types) in [
            ("clock_time_get", "clock", "i32 i64 i32"),
            ("random_get", "random", "i32 i32"),
            ("environ_sizes_get", "environ", "i32 i32"),
            ("args_sizes_get", "arguments", "i32 i32"),
        ] {
            guest.raw_import(&format!(
                "(import \"wasi_snapshot_preview1\" \"{name}\"
                    (func ${as_} (param {types}) (result i32)))"
            ));
        }
        let mut expected = vec![text("hello")];
        expected.extend([0; 6].map(status));
        assert_eq!(Host::new(&guest).shown(), expected, "{}", start.0);
    }
}

/// A start that traps, or never ends, is an error with the reason.
#[test]
fn a_start_that_fails_is_an_error() {
    let start = |code: &str| {
        let mut guest = Guest::new();
        guest.raw(&format!("(func $begin (export \"_initialize\") {code})"));
        let short = |plugin: &mut Plugin| {
            plugin.limits.callback = std::time::Duration::from_millis(20);
        };
        Host::try_with(&guest, short).err().unwrap().to_string()
    };
    assert!(start("unreachable").contains("unreachable"));
    assert!(start("(loop $l (br $l))").contains("computed for longer than `callback` = 20ms"));
    assert!(start("(call $begin)").contains("call stack exhausted"));
}

/// "`false` to indicate that the configuration processing failed."
#[test]
fn a_refused_configuration_is_an_error() {
    for (name, what) in [
        ("proxy_on_vm_start", "refuses its virtual machine's configuration"),
        ("proxy_on_configure", "refuses its configuration"),
    ] {
        let mut guest = Guest::new();
        guest.on(name, 2, Some(0), |_| {});
        let error = Host::try_with(&guest, |_| {}).err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
    }
}

/// "Its configuration can be retrieved using `proxy_get_buffer_bytes`."
#[test]
fn configurations_are_given() {
    let mut guest = Guest::new();
    for (name, buffer) in [("proxy_on_vm_start", 6), ("proxy_on_configure", 7)] {
        guest.on(name, 2, Some(1), |call| {
            call.show_argument(1);
            let out = crate::support::OUT;
            call.call("proxy_get_buffer_bytes", &[buffer, 0, 100, out, out + 4]).show();
            call.call("proxy_get_buffer_bytes", &[13 - buffer, 0, 100, out, out + 4]);
        });
    }
    let host = Host::with(&guest, |plugin| {
        plugin.vm_configuration = "vm".into();
        plugin.configuration = "plugin".into();
    });
    let expected = [
        status(2),
        status(0),
        text("vm"),
        status(1),
        status(6),
        status(0),
        text("plugin"),
        status(1),
    ];
    assert_eq!(host.shown(), expected);
}

/// Everything that a filter could be refused has a name, once; what is called in any case has none.
#[test]
fn what_may_be_named_is_known() {
    let names = filter::callable();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    for name in ["proxy_log", "proxy_continue_request", "proxy_on_tick", "fd_write", "proc_exit"] {
        assert!(names.contains(&name), "{name}");
    }
    for name in ["malloc", "proxy_on_memory_allocate", "_initialize", "main", "memory", ""] {
        assert!(!names.contains(&name), "{name}");
    }
    assert!(crate::wasi::FUNCTIONS.iter().all(|(name, ..)| names.contains(name)));
    // A filter that may use everything by its name may use everything.
    let mut guest = Guest::new();
    guest.on_request(|call| {
        call.call("proxy_get_current_time_nanoseconds", &[crate::support::OUT]);
    });
    let host = Host::with(&guest, |plugin| {
        plugin.capabilities = Some(names.iter().map(|name| (*name).to_owned()).collect());
    });
    assert_eq!(host.request(), [status(0)]);
}

/// What a filter may not use is there and says so; what it may not be called with is not called.
#[test]
fn a_filter_uses_what_it_may() {
    let mut guest = Guest::new();
    let key = guest.text("x-a");
    guest.raw_import(
        "(import \"wasi_snapshot_preview1\" \"random_get\"
            (func $random (param i32 i32) (result i32)))",
    );
    guest.on_request(|call| {
        let out = crate::support::OUT;
        call.call("proxy_get_header_map_value", &[0, key.0, key.1, out, out + 4]);
        call.call("proxy_get_header_map_size", &[0, out]);
        call.show_number("(call $random (i32.const 64) (i32.const 8))");
    });
    guest.on("proxy_on_log", 1, None, |call| {
        call.say("logged");
    });
    let names = ["proxy_log", "proxy_get_header_map_size", "proxy_on_request_headers"];
    let host = Host::with(&guest, |plugin| {
        plugin.capabilities = Some(names.map(str::to_owned).into());
    });
    assert_eq!(host.request(), [10, 0, 76].map(status));
}
