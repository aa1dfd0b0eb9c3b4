//! What the HTTP guests of WASI 0.2 share: reading a query, giving an answer.
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// The path of a request and what stands behind its question mark.
pub struct Target {
    path: String,
    query: String,
}

impl Target {
    /// Of this request.
    pub fn of(request: &IncomingRequest) -> Self {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        Self { path: path.to_owned(), query: query.to_owned() }
    }

    /// The path alone, with its first slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Every value of a name, in order, decoded.
    pub fn all(&self, name: &str) -> Vec<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).collect()
    }

    /// The first value of a name.
    pub fn value(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// The first value of a name, or the empty text.
    pub fn text(&self, name: &str) -> String {
        self.value(name).unwrap_or_default()
    }

    /// The first value of a name as a number, or `default`.
    pub fn number<N: std::str::FromStr>(&self, name: &str, default: N) -> N {
        self.value(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}

/// Undoes percent encoding and `+`; what is badly encoded stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        let (byte, after) = match (first, code) {
            (b'%', Some(byte)) => (byte, &tail[2..]),
            (b'+', _) => (b' ', tail),
            (byte, _) => (byte, tail),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers with a status and a whole body.
pub fn answer(out: ResponseOutparam, status: u16, body: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).unwrap();
    let outgoing = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = outgoing.write().unwrap();
    // The client may have gone: nobody is left to hear of it.
    let written = write_all(&stream, body);
    drop(stream);
    if written.is_ok() {
        OutgoingBody::finish(outgoing, None).unwrap();
    }
}

/// Answers 200 with what went well, 500 with what did not.
pub fn answer_result(out: ResponseOutparam, result: Result<Vec<u8>, String>) {
    match result {
        Ok(body) => answer(out, 200, &body),
        Err(message) => answer(out, 500, message.as_bytes()),
    }
}

/// Writes everything, waiting for room as often as it takes.
pub fn write_all(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    // One blocking write takes no more than 4096 bytes.
    bytes.chunks(4096).try_for_each(|chunk| stream.blocking_write_and_flush(chunk))
}
