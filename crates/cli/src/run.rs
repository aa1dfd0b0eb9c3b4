//! `wharf run`: one command, or one exported function, to its end.

use crate::app::{App, Host, Purpose};
use crate::args::{Deployment, RunArgs};
use crate::console;
use crate::exit::{Exit, Failure};
use crate::program::{self, Program};
use crate::serve::plan;
use crate::triggers::{Command, Outcome, ended};
use base::Error;
use engine::{Deadline, Guest};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::{Func, Instance, Val, types::ComponentItem};

/// Memory of a program that a person runs by hand: as much as 32 bits can name.
const MEMORY: u64 = 4 << 30;

/// How long what the guest began, and did not wait for, may go on after it.
const LEFT: Duration = Duration::from_secs(5);

/// Runs the guest and ends with its code.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let deployment = Deployment { path: args.file.clone(), bindings: None };
    let mut plan = plan(&deployment, &[], &args.granted)?;
    // Nobody is served, and nothing but this calls it.
    plan.app.http = None;
    plan.app.timers.clear();
    plan.app.watches.clear();
    plan.app.subscriptions.clear();
    for component in &mut plan.app.components {
        component.args = args.args.iter().map(deployment::Text::plain).collect();
        component.limits.memory.get_or_insert(MEMORY);
    }
    let (filter, _telemetry) = program::start_log(&args.common, &plan.app.log)?;
    let program = Program::new(&args.common)?;
    program::runtime()?.block_on(async {
        let host =
            Host { program: &program, filter: &filter, purpose: Purpose::Run, earlier: None };
        let (app, _) = App::open(plan, host).await?;
        let Some(loaded) = app.guests.values().next() else {
            return Err(Failure::new(Exit::Bug, "error: nothing was loaded"));
        };
        let guest = Arc::clone(&loaded.guest);
        let ended = match &args.invoke {
            Some(call) => invoke(&guest, call, args.timeout).await,
            None => command(guest, args.timeout).await,
        };
        // What it began without waiting for it.
        program.tasks().drain(LEFT).await;
        ended
    })
}

async fn command(guest: Arc<Guest>, timeout: Option<Duration>) -> Result<ExitCode, Failure> {
    let command = Command::new(Arc::clone(&guest))?.ok_or_else(|| {
        let exports: Vec<String> = guest.exports().into_iter().map(|export| export.name).collect();
        let error = Error::invalid(format!(
            "`{}` is no command: it exports no `wasi:cli/run`",
            guest.name()
        ));
        Failure::from(match exports.iter().any(|name| name.starts_with("wasi:http/")) {
            true => error.with_hint("it answers HTTP: `wharf serve` serves it"),
            false if exports.is_empty() => error.with_hint("it exports nothing"),
            false => error.with_hint(format!(
                "it exports {}; `--invoke 'name(arguments)'` calls a function",
                exports.join(", ")
            )),
        })
    })?;
    finish(command.run_alone(timeout).await)
}

fn finish(outcome: Outcome) -> Result<ExitCode, Failure> {
    match outcome {
        // A code that does not fit is a failure all the same.
        Outcome::Exit(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        Outcome::Deadline => {
            Err(Failure::new(Exit::Guest, "error: the guest was not over in time"))
        }
        Outcome::Trap(trap) => {
            Err(Failure::new(Exit::Guest, format!("error: the guest trapped\n{trap}")))
        }
    }
}

async fn invoke(
    guest: &Arc<Guest>,
    call: &str,
    timeout: Option<Duration>,
) -> Result<ExitCode, Failure> {
    let wrong = |text: String| Failure::from(Error::invalid(text));
    let call = UntypedFuncCall::parse(call)
        .map_err(|error| wrong(format!("`{call}` is no call: {error}")))?;
    let timeout = timeout.unwrap_or(Duration::MAX);
    let mut store = guest.store(Deadline::after(timeout));
    let trapped = |error: wasmtime::Error| finish(ended(&error)).err();
    let instance = match guest.pre().instantiate_async(&mut store).await {
        Ok(instance) => instance,
        Err(error) => return finish(ended(&error)),
    };
    let func = find(guest, &instance, &mut store, call.name())?;
    let types: Vec<_> = func.ty(&store).params().map(|(_, ty)| ty).collect();
    let params: Vec<Val> = call
        .to_wasm_params(&types)
        .map_err(|error| wrong(format!("the arguments of `{}`: {error}", call.name())))?;
    let mut results = vec![Val::Bool(false); func.ty(&store).results().len()];
    let called = func.call_async(&mut store, &params, &mut results);
    match tokio::time::timeout(timeout, called).await {
        Err(_elapsed) => return finish(Outcome::Deadline),
        Ok(Err(error)) => return trapped(error).map_or(Ok(ExitCode::SUCCESS), Err),
        Ok(Ok(())) => {}
    }
    for result in &results {
        let text = wasm_wave::to_string(result)
            .map_err(|error| wrong(format!("the result cannot be shown: {error}")))?;
        console::give(&text);
    }
    Ok(ExitCode::SUCCESS)
}

/// The exported function of that name, at the top or in an exported interface.
fn find(
    guest: &Guest,
    instance: &Instance,
    store: &mut wasmtime::Store<engine::Ctx>,
    name: &str,
) -> Result<Func, Failure> {
    if let Some(func) = instance.get_func(&mut *store, name) {
        return Ok(func);
    }
    let ty = guest.component().component_type();
    let engine = guest.engine().wasmtime();
    let mut known = Vec::new();
    for (export, item) in ty.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => known.push(export.to_owned()),
            ComponentItem::ComponentInstance(interface) => {
                for (function, item) in interface.exports(engine) {
                    if !matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                        continue;
                    }
                    known.push(function.to_owned());
                    if function == name
                        && let Some(outer) = instance.get_export_index(&mut *store, None, export)
                        && let Some(inner) =
                            instance.get_export_index(&mut *store, Some(&outer), function)
                        && let Some(func) = instance.get_func(&mut *store, inner)
                    {
                        return Ok(func);
                    }
                }
            }
            _ => {}
        }
    }
    let error = Error::invalid(format!("`{}` exports no function `{name}`", guest.name()));
    Err(match base::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")).into(),
        None => error.with_hint(format!("it exports {}", known.join(", "))).into(),
    })
}
