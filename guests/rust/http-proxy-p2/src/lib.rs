//! Forwards a request to the URL in its header `x-target`, on WASI 0.2. Both bodies stream at the
//! same time. Where that fails the answer is 502 with the name of the error in `x-error`.
use kit_p2::kebab;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingRequest, IncomingResponse,
    OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

struct Proxy;

impl Guest for Proxy {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let mut out = Some(out);
        if let Err(error) = forward(request, &mut out)
            && let Some(out) = out
        {
            let headers = Fields::new();
            headers.append("x-error", error.as_bytes()).unwrap();
            let response = OutgoingResponse::new(headers);
            response.set_status_code(502).unwrap();
            OutgoingBody::finish(response.body().unwrap(), None).unwrap();
            ResponseOutparam::set(out, Ok(response));
        }
    }
}

/// `out` is taken once the answer has begun: from then on an error can only cut it short.
fn forward(request: IncomingRequest, out: &mut Option<ResponseOutparam>) -> Result<(), String> {
    let outgoing = outgoing(&request)?;
    let body = outgoing.body().unwrap();
    let mut upload = Pump::new(request.consume().unwrap(), body);
    let answer = outgoing_handler::handle(outgoing, None).map_err(|error| kebab(&error))?;

    // The upload goes on until an answer begins; some answers begin before it ends.
    let response = loop {
        if let Some(response) = answer.get() {
            break response.unwrap().map_err(|error: ErrorCode| kebab(&error))?;
        }
        wait(upload.step(), &answer);
    };

    let mut download = begin(&response, out.take().unwrap());
    loop {
        let waits: Vec<Pollable> = [upload.step(), download.step()].into_iter().flatten().collect();
        if download.done {
            return Ok(());
        }
        poll(&waits.iter().collect::<Vec<_>>());
    }
}

fn wait(upload: Option<Pollable>, answer: &FutureIncomingResponse) {
    let answer = answer.subscribe();
    match upload {
        Some(upload) => drop(poll(&[&upload, &answer])),
        None => answer.block(),
    }
}

/// The request to send: the same, but for its target.
fn outgoing(request: &IncomingRequest) -> Result<OutgoingRequest, String> {
    let headers = Fields::new();
    let mut target = String::new();
    for (name, value) in request.headers().entries() {
        match name.to_ascii_lowercase().as_str() {
            "x-target" => target = String::from_utf8(value).map_err(|_| "no-text")?,
            "host" | "connection" | "transfer-encoding" | "keep-alive" => {}
            _ => headers.append(&name, &value).map_err(|error| kebab(&error))?,
        }
    }
    let (scheme, rest) = target.split_once("://").ok_or("no-target")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let outgoing = OutgoingRequest::new(headers);
    let set = outgoing.set_method(&request.method());
    let set = set.and(outgoing.set_scheme(Some(&scheme)));
    let set = set.and(outgoing.set_authority(Some(authority)));
    set.and(outgoing.set_path_with_query(Some(path))).map_err(|()| "bad-target")?;
    Ok(outgoing)
}

/// Begins our own answer with the status and headers of the other one.
fn begin(response: &IncomingResponse, out: ResponseOutparam) -> Pump {
    let headers = Fields::new();
    for (name, value) in response.headers().entries() {
        // What belongs to the other connection alone is refused, and rightly so.
        let _ = headers.append(&name, &value);
    }
    let ours = OutgoingResponse::new(headers);
    ours.set_status_code(response.status()).unwrap();
    let body = ours.body().unwrap();
    ResponseOutparam::set(out, Ok(ours));
    Pump::new(response.consume().unwrap(), body)
}

/// Moves one body, as far as it goes without waiting.
struct Pump {
    // The streams are children of their bodies and go first.
    from: Option<(InputStream, IncomingBody)>,
    to: Option<(OutputStream, OutgoingBody)>,
    done: bool,
}

impl Pump {
    fn new(from: IncomingBody, to: OutgoingBody) -> Self {
        let (input, output) = (from.stream().unwrap(), to.write().unwrap());
        Self { from: Some((input, from)), to: Some((output, to)), done: false }
    }

    /// Moves what is there; answers what to wait for, or none when everything was moved.
    fn step(&mut self) -> Option<Pollable> {
        let ((input, _), (output, _)) = (self.from.as_ref()?, self.to.as_ref()?);
        loop {
            match output.check_write() {
                Ok(0) => return Some(output.subscribe()),
                Ok(room) => match input.read(room.min(64 * 1024)) {
                    Ok(bytes) if bytes.is_empty() => return Some(input.subscribe()),
                    Ok(bytes) if output.write(&bytes).is_ok() => {}
                    Err(StreamError::Closed) => break,
                    _ => return self.cut(),
                },
                Err(_) => return self.cut(),
            }
        }
        let ((input, from), (output, to)) = (self.from.take()?, self.to.take()?);
        drop((input, output));
        OutgoingBody::finish(to, trailers(from)).ok()?;
        self.done = true;
        None
    }

    /// One side broke: dropping both tells the other.
    fn cut(&mut self) -> Option<Pollable> {
        (self.from, self.to, self.done) = (None, None, true);
        None
    }
}

fn trailers(body: IncomingBody) -> Option<Fields> {
    let trailers = IncomingBody::finish(body);
    loop {
        match trailers.get() {
            // What came in is immutable and cannot go out: a copy can.
            Some(answer) => {
                let fields = answer.ok()?.ok()??;
                return Fields::from_list(&fields.entries()).ok();
            }
            None => trailers.subscribe().block(),
        }
    }
}

wasip2::http::proxy::export!(Proxy);
