//! Queues of Azure Storage: signed calls, whose answers are XML.

mod endpoint;
mod refusal;
mod sign;

use crate::gate::Gate;
use crate::http::{Answer, Service};
use crate::look::{self, GET, Meant};
use crate::tls::Trust;
use base::{Error, Result, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use endpoint::Endpoint;
use http_body_util::Full;
use http_types::{HeaderMap, HeaderValue, Method, Request};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// The most bytes of an answer: 32 messages of the largest size, or the metadata of 5000 queues.
const MOST: usize = 64 << 20;
/// The oldest version of the protocol that has all that is needed here.
const VERSION: &str = "2020-10-02";
/// What another try of a call waits for that can be made twice, the first and the second time.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

/// The account that emulators have, and its key, which Microsoft tells everybody.
const EMULATOR: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

const MEANT: Meant = Meant {
    vendor: "azure-queue",
    name: NAME,
    line: GET,
    is_own: |said| said.starts_with(b"HTTP/"),
};
const NAME: &str = "Azure Queue Storage";

/// Where the queues are, who calls, and how calls are bounded.
#[derive(Clone)]
pub struct Settings {
    /// `azure-queue://ACCOUNT[/PREFIX]`, or `azure-queue://HOST:PORT/ACCOUNT[/PREFIX]` for
    /// something else; `azure-queues://…` for such a host with TLS.
    pub url: String,
    /// The account's key, in Base64. The account of emulators needs none.
    pub key: Option<Secret>,
    /// Whom to trust with TLS.
    pub trust: Trust,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// A call.
#[derive(Clone, Default)]
pub struct Call<'a> {
    /// Of which queue, and of what in it: what stands between the `/` of a path.
    pub path: &'a [&'a str],
    /// The names and values behind the path.
    pub query: &'a [(&'a str, &'a str)],
    /// Metadata to write down: names and values.
    pub metadata: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub body: String,
}

/// What was answered.
pub struct Told {
    /// The headers.
    pub headers: HeaderMap,
    /// What came with them, which is XML where it is something.
    pub body: String,
}

/// A way to the queues. Connects when it is first needed.
pub struct AzureQueue {
    gate: Gate,
    service: Service,
    endpoint: Endpoint,
    key: ring::hmac::Key,
}

impl AzureQueue {
    /// A way to the queues that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL or the key cannot be read. The message does not hold the key.
    pub fn new(settings: &Settings) -> Result<Self> {
        let endpoint = Endpoint::read(&settings.url)?;
        let known = || (endpoint.account == EMULATOR.0).then(|| Secret::new(EMULATOR.1));
        let Some(key) = settings.key.clone().or_else(known) else {
            return Err(Error::invalid(format!("azure-queue {}: it has no key", endpoint.name))
                .with_hint("write `account-key`, or set AZURE_STORAGE_KEY"));
        };
        let key = BASE64.decode(key.reveal()).map_err(|_no_word_of_it| {
            Error::invalid(format!("azure-queue {}: the account's key is no Base64", endpoint.name))
                .with_hint("it is `Key`, not `Connection string`, in the portal")
        })?;
        let server = format!("azure-queue {}", endpoint.name);
        Ok(Self {
            gate: Gate::new(server, settings.timeout, settings.in_flight),
            service: Service::new(&endpoint.host, endpoint.tls, settings.trust.clone(), MOST)?,
            endpoint,
            key: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key),
        })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// Whether it is an account of Azure's, and not an address of something else.
    pub fn is_azure(&self) -> bool {
        self.endpoint.is_azure
    }

    /// What the names of queues begin with, as the URL says.
    pub fn prefix(&self) -> Option<&str> {
        self.endpoint.prefix.as_deref()
    }

    /// What came of the first call. Where it found nobody, that another kind of server is there,
    /// if one shows itself.
    ///
    /// # Errors
    /// Those of the call, or `Invalid`.
    pub async fn recognised<T>(&self, first: Result<T>) -> Result<T> {
        MEANT.recognised(first, &[self.service.host().to_owned()]).await
    }

    /// Makes a call.
    ///
    /// # Errors
    /// `NotFound` where a queue or a message is not there, `Conflict` where a receipt does not
    /// hold any more or a queue is there otherwise, `Exhausted` where too much is asked or a queue
    /// is still on its way out, `Denied`, `Invalid`; `Unavailable` and `Timeout`, when nobody knows
    /// whether it took effect.
    pub async fn call(&self, method: Method, call: &Call<'_>) -> Result<Told> {
        self.gate.call(self.exchange(method, call)).await
    }

    /// Makes a call that can be made twice, and makes it again where nobody answers.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn insist(&self, method: Method, call: &Call<'_>) -> Result<Told> {
        for pause in PAUSES {
            match self.call(method.clone(), call).await {
                Err(error) if error.kind().is_temporary() => tokio::time::sleep(pause).await,
                outcome => return outcome,
            }
        }
        self.call(method, call).await
    }

    async fn exchange(&self, method: Method, call: &Call<'_>) -> Result<Told> {
        let request = self.request(method, call)?;
        let server = self.server();
        let scheme = "azure-queue";
        let answered = self.service.call(request).await;
        let Answer { status, headers, body } =
            answered.map_err(|fault| fault.into_error(server, NAME, scheme))?;
        let strange = || look::stranger(server, NAME);
        // Whoever speaks this protocol says so.
        if !headers.contains_key("x-ms-request-id") && !status.is_server_error() {
            return Err(strange());
        }
        if !status.is_success() {
            return Err(refusal::error(server, status, &headers, &body));
        }
        let body =
            String::from_utf8(body.to_vec()).map_err(|error| strange().with_source(error))?;
        let body = body.trim_start_matches('\u{feff}').to_owned();
        Ok(Told { headers, body })
    }

    /// A call as it is sent, signed for this moment.
    fn request(&self, method: Method, call: &Call<'_>) -> Result<Request<Full<Bytes>>> {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut headers: Vec<(String, String)> =
            vec![("x-ms-date".to_owned(), date), ("x-ms-version".to_owned(), VERSION.to_owned())];
        let named =
            |(name, value): &(&str, &str)| (format!("x-ms-meta-{name}"), (*value).to_owned());
        headers.extend(call.metadata.iter().map(named));
        headers.sort();
        let path = self.endpoint.path(call.path);
        let mut target = path.clone();
        for (at, (name, value)) in call.query.iter().enumerate() {
            // Writing to a string does not fail.
            _ = write!(target, "{}{name}={}", if at == 0 { '?' } else { '&' }, coded(value));
        }
        let length = call.body.len();
        let account = &self.endpoint.account;
        let words = sign::Words {
            method: &method,
            length,
            headers: &headers,
            account,
            path: &path,
            query: call.query,
        };
        let signature = BASE64.encode(ring::hmac::sign(&self.key, words.text().as_bytes()));
        let authorization = format!("SharedKey {account}:{signature}");
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", &self.endpoint.authority)
            .header("content-length", length)
            .header("authorization", authorization);
        let wrong = |error: http_types::Error| Error::internal("a call").with_source(error);
        for (name, value) in &headers {
            let value = HeaderValue::from_str(value).map_err(|error| wrong(error.into()))?;
            request = request.header(name, value);
        }
        request.body(Full::new(call.body.clone().into())).map_err(wrong)
    }
}

/// A value as it stands behind a path.
fn coded(value: &str) -> String {
    let mut coded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => coded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => coded.push(char::from(byte)),
            // Writing to a string does not fail.
            byte => _ = write!(coded, "%{byte:02X}"),
        }
    }
    coded
}
