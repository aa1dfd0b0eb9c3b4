//! Amazon SQS, and what speaks its protocol: signed calls in JSON.

mod endpoint;
mod refusal;

use crate::gate::Gate;
use crate::http::{Answer, Service};
use crate::look::{self, GET, Meant};
use crate::tls::Trust;
use aws_credential_types::Credentials as Keys;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base::{Error, Result, Secret};
use bytes::Bytes;
use endpoint::Endpoint;
use http_body_util::Full;
use http_types::{HeaderValue, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// The most bytes of an answer: ten messages of the largest size, as JSON writes them at worst.
const MOST: usize = 64 << 20;
/// The longest that the service waits for messages.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// What another try of a call waits for that can be made twice, the first and the second time.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

const MEANT: Meant =
    Meant { vendor: "sqs", name: NAME, line: GET, is_own: |said| said.starts_with(b"HTTP/") };
const NAME: &str = "Amazon SQS";

/// Where the service is, who calls, and how calls are bounded.
#[derive(Clone)]
pub struct Settings {
    /// `sqs://[KEY:SECRET@]REGION[/PREFIX]`, or `HOST:PORT` instead of the region, with `?region=`;
    /// `sqss://…` for such a host with TLS.
    pub url: String,
    /// Who calls, unless the URL says so.
    pub credentials: Option<Credentials>,
    /// Whom to trust with TLS.
    pub trust: Trust,
    /// How long one call may take.
    pub timeout: Duration,
    /// How many calls are on their way at once.
    pub in_flight: usize,
}

/// What requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The id of the access key.
    pub key: String,
    /// The secret access key.
    pub secret: Secret,
    /// What goes with keys that last for a while only.
    pub token: Option<Secret>,
}

/// A way to the service. Connects when it is first needed.
pub struct Sqs {
    gate: Gate,
    /// For calls that wait for messages, which take as long as they are let.
    waits: Gate,
    service: Service,
    endpoint: Endpoint,
    keys: Keys,
}

impl Sqs {
    /// A way to the service that `settings` name. Connects to nobody yet.
    ///
    /// # Errors
    /// `Invalid` when the URL cannot be read or nobody is named who calls. The message holds no
    /// secret.
    pub fn new(settings: &Settings) -> Result<Self> {
        let endpoint = Endpoint::read(&settings.url)?;
        let named = endpoint.credentials.clone().or_else(|| settings.credentials.clone());
        let Some(Credentials { key, secret, token }) = named else {
            return Err(Error::invalid(format!("sqs {}: no access key is named", endpoint.name))
                .with_hint("write `access-key` and `secret-key`, or set AWS_ACCESS_KEY_ID"));
        };
        let token = token.map(|token| token.reveal().to_owned());
        let keys = Keys::new(key, secret.reveal(), token, None, "wharf");
        let server = format!("sqs {}", endpoint.name);
        let Settings { timeout, in_flight, .. } = *settings;
        let trust = settings.trust.clone();
        Ok(Self {
            gate: Gate::new(server.clone(), timeout, in_flight),
            waits: Gate::new(server, timeout.saturating_add(LONGEST_WAIT), usize::MAX),
            service: Service::new(&endpoint.host, endpoint.tls, trust, MOST)?,
            endpoint,
            keys,
        })
    }

    /// What it leads to, for messages.
    pub fn server(&self) -> &str {
        self.gate.server()
    }

    /// Whether it is a region of Amazon's, and not an address of something else.
    pub fn is_amazon(&self) -> bool {
        self.endpoint.is_amazon
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
    /// `NotFound` where a queue is not there, `Conflict` where a receipt does not hold any more,
    /// `Exhausted` where the service is asked too much, `Denied`, `Invalid`; `Unavailable` and
    /// `Timeout`, when nobody knows whether it took effect.
    pub async fn call<A: DeserializeOwned>(&self, action: &str, question: &Value) -> Result<A> {
        self.gate.call(self.exchange(action, question)).await
    }

    /// Makes a call that can be made twice, and makes it again where nobody answers.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn insist<A: DeserializeOwned>(&self, action: &str, question: &Value) -> Result<A> {
        for pause in PAUSES {
            match self.call(action, question).await {
                Err(error) if error.kind().is_temporary() => tokio::time::sleep(pause).await,
                outcome => return outcome,
            }
        }
        self.call(action, question).await
    }

    /// Makes a call that waits for messages, for as long as [`LONGEST_WAIT`] at most.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn wait<A: DeserializeOwned>(&self, action: &str, question: &Value) -> Result<A> {
        self.waits.call(self.exchange(action, question)).await
    }

    async fn exchange<A: DeserializeOwned>(&self, action: &str, question: &Value) -> Result<A> {
        let request = self.request(action, question)?;
        let Answer { status, headers, body } = self
            .service
            .call(request)
            .await
            .map_err(|fault| fault.into_error(self.server(), NAME, "sqs"))?;
        let strange = || look::stranger(self.server(), NAME);
        if !status.is_success() {
            let code = headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok());
            return Err(refusal::error(self.server(), status, code, &body).unwrap_or_else(strange));
        }
        let body = if body.is_empty() { &b"{}"[..] } else { &body };
        serde_json::from_slice(body).map_err(|error| strange().with_source(error))
    }

    /// A call as it is sent, signed for this moment.
    fn request(&self, action: &str, question: &Value) -> Result<Request<Full<Bytes>>> {
        let body = Bytes::from(question.to_string());
        let target = format!("AmazonSQS.{action}");
        let headers = [
            ("host", self.endpoint.authority.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
        ];
        let signing = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::internal("signing a call").with_source(error)
        };
        let identity = self.keys.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.endpoint.region)
            .name("sqs")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| signing(error.into()))?
            .into();
        let url = &self.endpoint.url;
        let signable =
            SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(&body))
                .map_err(|error| signing(error.into()))?;
        let signed = sign(signable, &parameters).map_err(|error| signing(error.into()))?;
        let (instructions, _signature) = signed.into_parts();
        // On a connection the path is all of the URL.
        let mut request = Request::post("/");
        for (name, value) in headers.into_iter().chain(instructions.headers()) {
            let value = HeaderValue::from_str(value).map_err(|error| signing(error.into()))?;
            request = request.header(name, value);
        }
        request.body(Full::new(body)).map_err(|error| signing(error.into()))
    }
}
