//! A cache by `wasi:keyvalue/cache@0.2.0-draft`, asked over HTTP.
//!
//! `/get?k=`, `/exists?k=`, `/set?k=&v=&ttl=`, `/delete?k=` and `/put?k=` with a body do what they
//! say. `/both?k=&k=` gets several keys at once. `/make?k=&ms=&ttl=` gets the value or makes it,
//! which takes so long, and says which; `&how=stream` writes it to a stream. `/give-up?k=&ms=` gets
//! the vacancy and drops it, `&how=` says how: `vacancy`, `value` or `trap`, which ends with half a
//! value in the stream. `/twice?k=` takes a result twice, `/refill?k=` fills a vacancy twice,
//! `/forget?k=&v=` begins to store a value and does not wait.
use kit_p2::{Outcome, Target, keyvalue};
use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({
        inline: "package guest:cache; world caching { import wasi:keyvalue/cache@0.2.0-draft; }",
        path: "../../wit/keyvalue-old",
        world: "guest:cache/caching",
        generate_all,
    });
}
use bindings::wasi::io::poll::{Pollable, poll};
use bindings::wasi::keyvalue::cache::{self, GetOrSetEntry, Vacancy};
use bindings::wasi::keyvalue::types::{IncomingValue, OutgoingValue};
use bindings::wasi::keyvalue::wasi_keyvalue_error::Error;

struct Caching;

impl Guest for Caching {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = kit_p2::target(&request);
        let body = || keyvalue::whole(request.consume().unwrap());
        kit_p2::answer_outcome(out, command(&target, body));
    }
}

fn command(target: &Target, body: impl FnOnce() -> Vec<u8>) -> Outcome {
    let key = target.text("k");
    let ttl = target.value("ttl").and_then(|ttl| ttl.parse().ok());
    let done = |()| Some(Vec::new());
    match target.path() {
        "/get" => get(&key),
        "/both" => both(&target.all("k")),
        "/exists" => exists(&key).map(|there| Some(there.to_string().into())),
        "/set" => set(&key, target.text("v").as_bytes(), ttl).map(done),
        "/put" => set(&key, &body(), ttl).map(done),
        "/delete" => delete(&key).map(done),
        "/make" => make(&key, target, ttl).map(Some),
        "/give-up" => give_up(&key, target).map(Some),
        "/twice" => twice(&key).map(Some),
        "/refill" => refill(&key).map(done),
        "/forget" => {
            let value = outgoing(target.text("v").as_bytes())?;
            drop(cache::set(&key, &value, None));
            Ok(Some(Vec::new()))
        }
        _ => Ok(None),
    }
}

fn said(error: Error) -> String {
    error.trace()
}

fn outgoing(value: &[u8]) -> Result<OutgoingValue, String> {
    let outgoing = OutgoingValue::new_outgoing_value();
    outgoing.outgoing_value_write_body_sync(value).map_err(said)?;
    Ok(outgoing)
}

fn whole(value: IncomingValue) -> Result<Vec<u8>, String> {
    IncomingValue::incoming_value_consume_sync(value).map_err(said)
}

fn get(key: &str) -> Outcome {
    let future = cache::get(key);
    future.listen_to_future_get_result().block();
    let found = future.future_get_result_get().expect("it was ready").map_err(said)?;
    found.map(whole).transpose()
}

/// Several at once: all are begun before the first is waited for.
fn both(keys: &[String]) -> Outcome {
    let futures: Vec<_> = keys.iter().map(|key| cache::get(key)).collect();
    let mut values = vec![None; futures.len()];
    while values.contains(&None) {
        let open: Vec<usize> = (0..values.len()).filter(|at| values[*at].is_none()).collect();
        let pollables: Vec<Pollable> =
            open.iter().map(|at| futures[*at].listen_to_future_get_result()).collect();
        for ready in poll(&pollables.iter().collect::<Vec<_>>()) {
            let at = open[ready as usize];
            let found = futures[at].future_get_result_get().expect("it was ready");
            let found = found.map_err(said)?.map(whole).transpose()?;
            values[at] = Some(found.unwrap_or_else(|| b"-".to_vec()));
        }
    }
    Ok(Some(values.into_iter().flatten().collect::<Vec<_>>().join(&b'\n')))
}

fn exists(key: &str) -> Result<bool, String> {
    let future = cache::exists(key);
    future.listen_to_future_exists_result().block();
    future.future_exists_result_get().expect("it was ready").map_err(said)
}

fn done(future: cache::FutureResult) -> Result<(), String> {
    future.listen_to_future_result().block();
    future.future_result_get().expect("it was ready").map_err(said)
}

fn set(key: &str, value: &[u8], ttl: Option<u32>) -> Result<(), String> {
    done(cache::set(key, &outgoing(value)?, ttl))
}

fn delete(key: &str) -> Result<(), String> {
    done(cache::delete(key))
}

fn entry(key: &str) -> Result<GetOrSetEntry, String> {
    let future = cache::get_or_set(key);
    future.listen_to_future_get_or_set_result().block();
    future.future_get_or_set_result_get().expect("it was ready").map_err(said)
}

fn vacancy(key: &str) -> Result<Vacancy, String> {
    match entry(key)? {
        GetOrSetEntry::Vacant(vacancy) => Ok(vacancy),
        GetOrSetEntry::Occupied(_) => Err("there is a value".to_owned()),
    }
}

fn sleep(target: &Target) {
    monotonic_clock::subscribe_duration(target.number("ms", 0) * 1_000_000).block();
}

fn make(key: &str, target: &Target, ttl: Option<u32>) -> Result<Vec<u8>, String> {
    let vacancy = match entry(key)? {
        GetOrSetEntry::Occupied(value) => return Ok([b"found ".to_vec(), whole(value)?].concat()),
        GetOrSetEntry::Vacant(vacancy) => vacancy,
    };
    sleep(target);
    let made = target.text("v");
    let value = vacancy.vacancy_fill(ttl);
    if target.text("how") == "stream" {
        let stream = value.outgoing_value_write_body_async().map_err(said)?;
        for chunk in made.as_bytes().chunks(4096) {
            stream.blocking_write_and_flush(chunk).map_err(|error| format!("{error:?}"))?;
        }
    } else {
        value.outgoing_value_write_body_sync(made.as_bytes()).map_err(said)?;
    }
    Ok(format!("made {made}").into())
}

fn give_up(key: &str, target: &Target) -> Result<Vec<u8>, String> {
    let vacancy = vacancy(key)?;
    sleep(target);
    match target.text("how").as_str() {
        "value" => drop(vacancy.vacancy_fill(None)),
        "trap" => {
            let value = vacancy.vacancy_fill(None);
            let stream = value.outgoing_value_write_body_async().map_err(said)?;
            stream.blocking_write_and_flush(b"half").map_err(|error| format!("{error:?}"))?;
            panic!("as asked");
        }
        _ => drop(vacancy),
    }
    Ok(b"gave up".to_vec())
}

fn twice(key: &str) -> Result<Vec<u8>, String> {
    let future = cache::get(key);
    future.listen_to_future_get_result().block();
    drop(future.future_get_result_get().expect("it was ready").map_err(said)?);
    match future.future_get_result_get() {
        Some(Err(error)) => Ok(said(error).into()),
        Some(Ok(_)) => Err("it gave the result twice".to_owned()),
        None => Err("it is not ready any more".to_owned()),
    }
}

fn refill(key: &str) -> Result<(), String> {
    let vacancy = vacancy(key)?;
    vacancy.vacancy_fill(None).outgoing_value_write_body_sync(b"first").map_err(said)?;
    vacancy.vacancy_fill(None).outgoing_value_write_body_sync(b"second").map_err(said)
}

wasip2::http::proxy::export!(Caching);
