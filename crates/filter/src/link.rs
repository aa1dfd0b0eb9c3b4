//! The table of host calls, and how a module's imports are joined to them: by the exact types that
//! it imports.

use crate::abi::{Abi, Status, errno};
use crate::hostcall::{
    Call, Fail, Outcome, buffers, calls, configuration, contexts, fields, foreign, grpc, logging,
    metrics, properties, shared, streams, time, wasi,
};
use crate::state::{Phase, State};
use wasmtime::{
    Caller, ExternType, FuncType, ImportType, InstancePre, Linker, Module, Val, ValType,
};

/// The modules that WASI's functions are imported from.
const WASI: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// When a host call may be made at all.
#[derive(Clone, Copy)]
enum When {
    /// Always, from inside the allocator too.
    Always,
    /// From start functions on.
    Start,
    /// In callbacks.
    Running,
}

impl When {
    fn allows(self, phase: Phase) -> bool {
        match self {
            Self::Always => true,
            Self::Start => phase >= Phase::Starting,
            Self::Running => phase == Phase::Running,
        }
    }
}

/// What joining one import came to.
enum Joined {
    Yes,
    /// There is such a function, but not for this.
    No(String),
    Unknown,
}

/// The type of an argument.
trait Argument {
    const TYPE: ValType;
}

impl Argument for u32 {
    const TYPE: ValType = ValType::I32;
}

impl Argument for u64 {
    const TYPE: ValType = ValType::I64;
}

impl Argument for i64 {
    const TYPE: ValType = ValType::I64;
}

/// One import of a module, being joined.
struct Import<'a> {
    module: &'a str,
    name: &'a str,
    ty: &'a FuncType,
    abi: Abi,
}

/// Runs one host call and says its answer as a number.
fn run(
    caller: Caller<'_, State>,
    name: &'static str,
    when: When,
    call: impl FnOnce(&mut Call<'_>) -> Outcome,
) -> wasmtime::Result<u32> {
    number(caller, name, when, |it| call(it).map(|()| Status::Ok as u32))
}

fn number(
    caller: Caller<'_, State>,
    name: &'static str,
    when: When,
    call: impl FnOnce(&mut Call<'_>) -> Outcome<u32>,
) -> wasmtime::Result<u32> {
    let mut it = Call::new(caller);
    let phase = it.state().phase;
    if !when.allows(phase) {
        let during = if phase == Phase::Allocating { "its allocator runs" } else { "it starts" };
        return Err(wasmtime::Error::msg(format!("a filter may not call `{name}` while {during}")));
    }
    match call(&mut it) {
        Ok(number) => Ok(number),
        Err(Fail::Status(status)) => Ok(status as u32),
        Err(Fail::Trap(trap)) => Err(trap),
    }
}

/// What the host calls of the ABI are: the name, since and until which version, when they may be
/// called, their arguments and the function.
macro_rules! table {
    ($(
        $name:literal $since:ident $until:ident $when:ident
        ($($argument:ident: $ty:ty),* $(,)?) = $function:path;
    )*) => {
        /// Joins an import of `env`.
        fn join_env(linker: &mut Linker<State>, import: &Import<'_>) -> wasmtime::Result<Joined> {
            match import.name {
                $($name => {
                    if !(Abi::$since..=Abi::$until).contains(&import.abi) {
                        let versions = match Abi::$since == Abi::$until {
                            true => Abi::$since.word().to_owned(),
                            false => format!("{} to {}", Abi::$since.word(), Abi::$until.word()),
                        };
                        return Ok(Joined::No(format!("is of version {versions}")));
                    }
                    let expected = [$(<$ty as Argument>::TYPE),*];
                    match shape(import.ty, &expected) {
                        Shape::Number => linker.func_wrap(
                            import.module,
                            import.name,
                            |caller: Caller<'_, State>, $($argument: $ty),*| {
                                run(caller, $name, When::$when, |it| $function(it, $($argument),*))
                            },
                        )?,
                        // Some toolchains take a function without a result for one with none.
                        Shape::Nothing => linker.func_wrap(
                            import.module,
                            import.name,
                            |caller: Caller<'_, State>, $($argument: $ty),*| {
                                run(caller, $name, When::$when, |it| $function(it, $($argument),*))
                                    .map(drop)
                            },
                        )?,
                        Shape::Other => {
                            return Ok(Joined::No(wrong(import.ty, &expected)));
                        }
                    };
                    Ok(Joined::Yes)
                })*
                _ => Ok(Joined::Unknown),
            }
        }

        /// Every host call of the ABI.
        pub(crate) const NAMES: &[&str] = &[$($name),*];
    };
}

table! {
    "proxy_done" V0_1_0 V0_2_1 Running () = contexts::done;
    "proxy_set_effective_context" V0_1_0 V0_2_1 Running (context: u32) = contexts::set_effective;
    "proxy_log" V0_1_0 V0_2_1 Always (level: u32, data: u32, size: u32) = logging::log;
    "proxy_get_log_level" V0_2_1 V0_2_1 Start (to: u32) = logging::get_level;
    "proxy_get_current_time_nanoseconds" V0_1_0 V0_2_1 Start (to: u32) = time::now;
    "proxy_set_tick_period_milliseconds" V0_1_0 V0_2_1 Running
        (period: u32) = time::set_tick_period;
    "proxy_set_buffer_bytes" V0_1_0 V0_2_1 Running
        (buffer: u32, start: u32, size: u32, data: u32, data_size: u32) = buffers::set;
    "proxy_get_buffer_bytes" V0_1_0 V0_2_1 Running
        (buffer: u32, start: u32, most: u32, data: u32, size: u32) = buffers::get;
    "proxy_get_buffer_status" V0_1_0 V0_2_1 Running
        (buffer: u32, size: u32, unused: u32) = buffers::status;
    "proxy_get_header_map_size" V0_1_0 V0_2_1 Running (map: u32, to: u32) = fields::size;
    "proxy_get_header_map_pairs" V0_1_0 V0_2_1 Running
        (map: u32, data: u32, size: u32) = fields::pairs;
    "proxy_set_header_map_pairs" V0_1_0 V0_2_1 Running
        (map: u32, data: u32, size: u32) = fields::set_pairs;
    "proxy_get_header_map_value" V0_1_0 V0_2_1 Running
        (map: u32, key: u32, key_size: u32, data: u32, size: u32) = fields::get;
    "proxy_add_header_map_value" V0_1_0 V0_2_1 Running
        (map: u32, key: u32, key_size: u32, data: u32, size: u32) = fields::add;
    "proxy_replace_header_map_value" V0_1_0 V0_2_1 Running
        (map: u32, key: u32, key_size: u32, data: u32, size: u32) = fields::replace;
    "proxy_remove_header_map_value" V0_1_0 V0_2_1 Running
        (map: u32, key: u32, key_size: u32) = fields::remove;
    "proxy_continue_stream" V0_2_0 V0_2_1 Running (stream: u32) = streams::resume;
    "proxy_close_stream" V0_2_0 V0_2_1 Running (stream: u32) = streams::close;
    "proxy_continue_request" V0_1_0 V0_1_0 Running () = streams::resume_request;
    "proxy_continue_response" V0_1_0 V0_1_0 Running () = streams::resume_response;
    "proxy_clear_route_cache" V0_1_0 V0_1_0 Running () = streams::clear_route_cache;
    "proxy_get_configuration" V0_1_0 V0_1_0 Running (data: u32, size: u32) = configuration::get;
    "proxy_get_status" V0_1_0 V0_2_1 Running
        (code: u32, data: u32, size: u32) = streams::get_status;
    "proxy_send_local_response" V0_1_0 V0_2_1 Running (
        status: u32, details: u32, details_size: u32, body: u32, body_size: u32, headers: u32,
        headers_size: u32, grpc: u32,
    ) = streams::reply;
    "proxy_http_call" V0_1_0 V0_2_1 Running (
        upstream: u32, upstream_size: u32, headers: u32, headers_size: u32, body: u32,
        body_size: u32, trailers: u32, trailers_size: u32, timeout: u32, to: u32,
    ) = calls::http;
    "proxy_grpc_call" V0_1_0 V0_2_1 Running (
        upstream: u32, upstream_size: u32, service: u32, service_size: u32, method: u32,
        method_size: u32, initial: u32, initial_size: u32, message: u32, message_size: u32,
        timeout: u32, to: u32,
    ) = grpc::unary;
    "proxy_grpc_stream" V0_1_0 V0_2_1 Running (
        upstream: u32, upstream_size: u32, service: u32, service_size: u32, method: u32,
        method_size: u32, initial: u32, initial_size: u32, to: u32,
    ) = grpc::stream;
    "proxy_grpc_send" V0_1_0 V0_2_1 Running
        (id: u32, message: u32, size: u32, end: u32) = grpc::send;
    "proxy_grpc_cancel" V0_1_0 V0_2_1 Running (id: u32) = grpc::cancel;
    "proxy_grpc_close" V0_1_0 V0_2_1 Running (id: u32) = grpc::close;
    "proxy_set_shared_data" V0_1_0 V0_2_1 Running
        (key: u32, key_size: u32, data: u32, size: u32, cas: u32) = shared::set;
    "proxy_get_shared_data" V0_1_0 V0_2_1 Running
        (key: u32, key_size: u32, data: u32, size: u32, cas: u32) = shared::get;
    "proxy_register_shared_queue" V0_1_0 V0_2_1 Running
        (name: u32, name_size: u32, to: u32) = shared::register;
    "proxy_resolve_shared_queue" V0_1_0 V0_2_1 Running
        (vm_id: u32, vm_id_size: u32, name: u32, name_size: u32, to: u32) = shared::resolve;
    "proxy_enqueue_shared_queue" V0_1_0 V0_2_1 Running
        (queue: u32, data: u32, size: u32) = shared::enqueue;
    "proxy_dequeue_shared_queue" V0_1_0 V0_2_1 Running
        (queue: u32, data: u32, size: u32) = shared::dequeue;
    "proxy_define_metric" V0_1_0 V0_2_1 Running
        (kind: u32, name: u32, name_size: u32, to: u32) = metrics::define;
    "proxy_record_metric" V0_1_0 V0_2_1 Running (metric: u32, value: u64) = metrics::record;
    "proxy_increment_metric" V0_1_0 V0_2_1 Running (metric: u32, delta: i64) = metrics::increment;
    "proxy_get_metric" V0_1_0 V0_2_1 Running (metric: u32, to: u32) = metrics::get;
    "proxy_get_property" V0_1_0 V0_2_1 Running
        (path: u32, path_size: u32, data: u32, size: u32) = properties::get;
    "proxy_set_property" V0_1_0 V0_2_1 Running
        (path: u32, path_size: u32, data: u32, size: u32) = properties::set;
    "proxy_call_foreign_function" V0_1_0 V0_2_1 Running (
        name: u32, name_size: u32, arguments: u32, arguments_size: u32, data: u32, size: u32,
    ) = foreign::call;
}

/// How an import's type compares with the function's.
enum Shape {
    /// The same, with a number as its result.
    Number,
    /// The same, without a result.
    Nothing,
    Other,
}

fn shape(ty: &FuncType, expected: &[ValType]) -> Shape {
    let same = ty.params().len() == expected.len()
        && ty.params().zip(expected).all(|(given, wanted)| ValType::eq(&given, wanted));
    let mut results = ty.results();
    match (same, results.next(), results.next()) {
        (true, Some(ValType::I32), None) => Shape::Number,
        (true, None, _) => Shape::Nothing,
        _ => Shape::Other,
    }
}

fn wrong(ty: &FuncType, expected: &[ValType]) -> String {
    let list = |types: &mut dyn Iterator<Item = ValType>| {
        types.map(|ty| ty.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (given, results) = (list(&mut ty.params()), list(&mut ty.results()));
    let expected = list(&mut expected.iter().cloned());
    format!("has the type ({given}) -> ({results}) and should have ({expected}) -> (i32)")
}

macro_rules! wasi {
    ($($name:literal $when:ident ($($argument:ident: $ty:ty),*) = $function:path;)*) => {
        /// Joins a function of WASI that does something.
        fn join_some_wasi(
            linker: &mut Linker<State>,
            import: &Import<'_>,
        ) -> wasmtime::Result<Joined> {
            match import.name {
                $($name => {
                    let expected = [$(<$ty as Argument>::TYPE),*];
                    let Shape::Number = shape(import.ty, &expected) else {
                        return Ok(Joined::No(wrong(import.ty, &expected)));
                    };
                    linker.func_wrap(
                        import.module,
                        import.name,
                        |caller: Caller<'_, State>, $($argument: $ty),*| {
                            number(caller, $name, When::$when, |it| $function(it, $($argument),*))
                        },
                    )?;
                    Ok(Joined::Yes)
                })*
                _ => Ok(Joined::Unknown),
            }
        }

        /// Their names.
        const SOME_WASI: &[&str] = &[$($name),*];
    };
}

/// Every function of WASI, whether it does something or not.
pub(crate) fn wasi_names() -> impl Iterator<Item = &'static str> {
    let nothing = wasi::NOTHING.iter().map(|(name, ..)| *name);
    SOME_WASI.iter().copied().chain(nothing).chain([PROC_EXIT])
}

/// The one without a result.
const PROC_EXIT: &str = "proc_exit";

wasi! {
    "fd_write" Always (fd: u32, pieces: u32, count: u32, to: u32) = wasi::fd_write;
    "clock_time_get" Always (clock: u32, precision: u64, to: u32) = wasi::clock_time_get;
    "clock_res_get" Start (clock: u32, to: u32) = wasi::clock_res_get;
    "random_get" Start (to: u32, size: u32) = wasi::random_get;
    "environ_sizes_get" Start (count: u32, size: u32) = wasi::environ_sizes_get;
    "environ_get" Start (list: u32, buffer: u32) = wasi::environ_get;
    "args_sizes_get" Start (count: u32, size: u32) = wasi::args_sizes_get;
    "fd_fdstat_get" Start (fd: u32, to: u32) = wasi::fd_fdstat_get;
    "poll_oneoff" Always (subscriptions: u32, events: u32, count: u32, to: u32) = wasi::poll_oneoff;
}

fn join_wasi(linker: &mut Linker<State>, import: &Import<'_>) -> wasmtime::Result<Joined> {
    if import.name == PROC_EXIT {
        let exit = |caller: Caller<'_, State>, code: u32| {
            run(caller, PROC_EXIT, When::Start, |call| wasi::proc_exit(call, code)).map(drop)
        };
        let Shape::Nothing = shape(import.ty, &[ValType::I32]) else {
            return Ok(Joined::No("has another type than (i32) -> ()".to_owned()));
        };
        linker.func_wrap(import.module, import.name, exit)?;
        return Ok(Joined::Yes);
    }
    let Some((_, types, answer)) = wasi::NOTHING.iter().find(|(name, ..)| *name == import.name)
    else {
        return join_some_wasi(linker, import);
    };
    let expected: Vec<ValType> = types
        .bytes()
        .map(|letter| if letter == b'I' { ValType::I64 } else { ValType::I32 })
        .collect();
    match shape(import.ty, &expected) {
        Shape::Number => {
            stub(linker, import, *answer)?;
            Ok(Joined::Yes)
        }
        _ => Ok(Joined::No(wrong(import.ty, &expected))),
    }
}

/// A function that only answers, whatever its type.
fn stub(linker: &mut Linker<State>, import: &Import<'_>, answer: u32) -> wasmtime::Result<()> {
    let zeros = import.ty.results().map(|ty| Val::default_for_ty(&ty)).collect::<Option<Vec<_>>>();
    let zeros = zeros.unwrap_or_default();
    linker.func_new(import.module, import.name, import.ty.clone(), move |_, _, results| {
        for (result, zero) in results.iter_mut().zip(&zeros) {
            *result = match zero {
                Val::I32(_) => Val::I32(answer.cast_signed()),
                other => *other,
            };
        }
        Ok(())
    })?;
    Ok(())
}

/// What toolchains import beside the ABI, and what needs no host.
fn join_extra(linker: &mut Linker<State>, import: &Import<'_>) -> wasmtime::Result<Joined> {
    match import.name {
        "emscripten_notify_memory_growth" => {
            linker.func_wrap(import.module, import.name, |_index: u32| {})?;
        }
        "pthread_equal" => {
            linker.func_wrap(import.module, import.name, |a: u32, b: u32| u32::from(a == b))?;
        }
        // What AssemblyScript calls before it aborts, with its message in its own strings.
        "abort" => {
            linker.func_wrap(
                import.module,
                import.name,
                |_message: u32, _file: u32, line: u32, column: u32| -> wasmtime::Result<()> {
                    Err(wasmtime::Error::msg(format!("the filter aborted at {line}:{column}")))
                },
            )?;
        }
        _ => return Ok(Joined::Unknown),
    }
    Ok(Joined::Yes)
}

/// What a module may use of the host.
pub(crate) struct Access<'a> {
    pub(crate) abi: Abi,
    /// Unknown imports become functions that say that they are not there.
    pub(crate) is_lenient: bool,
    /// Whether a function of this name may be used.
    pub(crate) may: &'a dyn Fn(&str) -> bool,
}

/// Every import of a module, as `module.name`, and why it cannot be joined where it cannot.
pub(crate) fn imports(module: &Module, abi: Abi) -> Vec<(String, Option<String>)> {
    let mut linker = Linker::new(module.engine());
    linker.allow_shadowing(true);
    let access = Access { abi, is_lenient: false, may: &|_| true };
    let one = |import: ImportType<'_>| {
        let why = join(&mut linker, &import, &access).err();
        (format!("{}.{}", import.module(), import.name()), why)
    };
    module.imports().map(one).collect()
}

/// Joins one import.
///
/// # Errors
/// Why it cannot be, as the rest of a sentence about it.
fn join(
    linker: &mut Linker<State>,
    import: &ImportType<'_>,
    access: &Access<'_>,
) -> Result<(), String> {
    let ExternType::Func(ty) = import.ty() else {
        return Err("is no function, and only functions can be imported".to_owned());
    };
    let it = Import { module: import.module(), name: import.name(), ty: &ty, abi: access.abi };
    let is_wasi = WASI.contains(&it.module);
    let joined = match (is_wasi, (access.may)(it.name)) {
        // What is not allowed is there, and says so.
        (true, false) => stub(linker, &it, errno::NOTCAPABLE).map(|()| Joined::Yes),
        (false, false) if NAMES.contains(&it.name) => {
            stub(linker, &it, Status::InternalFailure as u32).map(|()| Joined::Yes)
        }
        (true, true) => join_wasi(linker, &it),
        (false, _) if it.module == "env" => join_env(linker, &it).and_then(|joined| match joined {
            Joined::Unknown => join_extra(linker, &it),
            joined => Ok(joined),
        }),
        (false, _) => Ok(Joined::Unknown),
    };
    let failed = |error: wasmtime::Error| format!("cannot be joined: {error:#}");
    match joined.map_err(failed)? {
        Joined::Yes => Ok(()),
        Joined::Unknown if access.is_lenient => {
            let answer = if is_wasi { errno::NOSYS } else { Status::Unimplemented as u32 };
            stub(linker, &it, answer).map_err(failed)
        }
        Joined::Unknown => Err("is not known".to_owned()),
        Joined::No(why) => Err(why),
    }
}

/// Joins every import of `module` to the host: what is left to do for an instance is the same for
/// all of them.
///
/// # Errors
/// Every import that cannot be joined, one line each.
pub(crate) fn link(
    module: &Module,
    access: &Access<'_>,
) -> Result<InstancePre<State>, Vec<String>> {
    let mut linker = Linker::new(module.engine());
    linker.allow_shadowing(true);
    let mut problems = Vec::new();
    for import in module.imports() {
        if let Err(why) = join(&mut linker, &import, access) {
            problems.push(format!("`{}.{}` {why}", import.module(), import.name()));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    linker.instantiate_pre(module).map_err(|error| vec![format!("{error:#}")])
}
