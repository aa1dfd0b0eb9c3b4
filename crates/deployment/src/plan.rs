//! What is to run, as plain data.

use crate::binding::Binding;
use crate::filter::{Filter, FilterUse};
use crate::report::{Finding, Report, Severity};
use crate::source::{At, Source};
use crate::tcp::Tcp;
use crate::text::Text;
use crate::upstream::Upstream;
use base::Mistake;
use base::egress::Rule;
use base::topic;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What a deployment file says, found right and not yet acted on.
///
/// `O` is what the program makes of a binding's settings; see [`Capability`](crate::Capability).
pub struct Plan<O> {
    /// Everything but the bindings.
    pub app: App,
    /// Every bound name of every capability.
    pub bindings: Vec<Binding<O>>,
    /// What works, but probably not as meant.
    pub warnings: Report,
    pub(crate) sources: Arc<[Source]>,
}

impl<O> Plan<O> {
    /// A report of what only showed when the plan was acted on, each under its line: a component
    /// whose imports nobody serves, a backend that is away.
    pub fn report(
        &self,
        found: impl IntoIterator<Item = (Severity, Option<At>, Mistake)>,
    ) -> Report {
        let finding = |(severity, at, mistake)| Finding::new(severity, at, mistake);
        Report::new(Arc::clone(&self.sources), found.into_iter().map(finding).collect())
    }

    /// The binding of that name.
    pub fn binding(&self, capability: &str, name: &str) -> Option<&Binding<O>> {
        self.bindings.iter().find(|bound| bound.capability == capability && bound.name == name)
    }
}

/// An app: components, what calls them, and how its host behaves.
///
/// Two that are equal do the same; where things stand in the file does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// The app's name, under which shared backends keep its data.
    pub name: String,
    /// The directory of embedded data. May not exist yet.
    pub data: PathBuf,
    /// The components in the order of their names.
    pub components: Vec<Component>,
    /// The servers that routes may lead to, in the order of their names.
    pub upstreams: Vec<Upstream>,
    /// What may stand before components and upstreams, in the order of their names.
    pub filters: Vec<Filter>,
    /// The HTTP server, if there is one.
    pub http: Option<Http>,
    /// Listeners for bare TCP, in the order of their names.
    pub tcp: Vec<Tcp>,
    /// Calls by the clock.
    pub timers: Vec<Timer>,
    /// Calls when keys change.
    pub watches: Vec<Watch>,
    /// Calls when messages come.
    pub subscriptions: Vec<Subscribe>,
    /// How the host logs.
    pub log: Log,
}

impl App {
    /// The component of that name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }
}

/// One component and what it may touch.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Where it stands in the file.
    pub at: Option<At>,
    /// Its code: a file that was there when the plan was read.
    pub source: PathBuf,
    /// Where `source` stands in the file.
    pub source_at: Option<At>,
    /// The names that it may open, by capability, in the order written.
    pub grants: BTreeMap<&'static str, Vec<String>>,
    /// Its inline settings.
    pub config: BTreeMap<String, Text>,
    /// Its environment variables.
    pub environment: BTreeMap<String, Text>,
    /// Its arguments, without the program's name.
    pub args: Vec<Text>,
    /// The directories that it may open.
    pub files: Vec<Files>,
    /// The hosts that it may reach.
    pub egress: Vec<Rule>,
    /// Its limits, where they were set.
    pub limits: Limits,
    /// How often an instance is used, where that was set.
    pub reuse: Reuse,
    /// Which compiler it gets.
    pub engine: Engine,
}

impl Component {
    /// The names of that capability that it may open.
    pub fn granted(&self, capability: &str) -> &[String] {
        self.grants.get(capability).map_or(&[], Vec::as_slice)
    }
}

/// A directory of the host that a component sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The directory on the host.
    pub host: PathBuf,
    /// The path at which the component sees it.
    pub guest: String,
    /// Whether it may write.
    pub write: bool,
}

/// The limits of one component that the file sets. The engine has a default for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a key of the file, and the table of keys says what it is")]
pub struct Limits {
    pub memory: Option<u64>,
    pub tables: Option<usize>,
    pub table_elements: Option<usize>,
    pub instances: Option<usize>,
    pub stack: Option<usize>,
    pub handles: Option<usize>,
    pub hostcall_buffer: Option<usize>,
    pub hostcalls: Option<usize>,
    pub hostcall_timeout: Option<Duration>,
    pub request_timeout: Option<Duration>,
    pub concurrency: Option<usize>,
    pub queue: Option<usize>,
    pub queue_timeout: Option<Duration>,
    pub request_body: Option<u64>,
    pub response_body: Option<u64>,
    pub header_size: Option<usize>,
    pub log_rate: Option<u32>,
    pub outbound: Option<usize>,
}

/// How often one instance is used. What is `None` depends on the component's WASI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reuse {
    /// Requests that one instance answers, at least one.
    pub requests: Option<u32>,
    /// Requests that it answers at once, at least one.
    pub concurrent: Option<u32>,
}

/// Which compiler a component gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The one that the host thinks best.
    #[default]
    Auto,
    /// Fast code.
    Cranelift,
    /// Fast starts.
    Winch,
}

/// The HTTP server. The gateway has a default for what is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Http {
    /// Where it listens: at least one address.
    pub listen: Vec<Listen>,
    /// Its certificate; plain HTTP without.
    pub tls: Option<Tls>,
    /// Where it answers `/.well-known/wharf/health`.
    pub admin: Option<Listen>,
    /// What it serves. No two have the same host and path.
    pub routes: Vec<Route>,
    /// The filters before all of them.
    pub filters: Vec<FilterUse>,
    /// How long running requests may go on after SIGTERM.
    pub shutdown_grace: Option<Duration>,
    /// How long the head of a request may take to arrive.
    pub header_timeout: Option<Duration>,
    /// How long a client may take none of an answer's bytes.
    pub write_timeout: Option<Duration>,
    /// Bytes of the head of a request.
    pub max_header_size: Option<usize>,
    /// Header fields of a request.
    pub max_headers: Option<usize>,
    /// Connections at once.
    pub max_connections: Option<usize>,
    /// HTTP/2.
    pub http2: Http2,
    /// Threads that serve connections.
    pub threads: Option<usize>,
    /// Whether there is a line in the log for each request.
    pub access_log: Option<bool>,
    /// The proxies whose `x-forwarded-*` are believed: rules of networks alone.
    pub forwarded: Vec<Rule>,
}

/// An address, and where it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// `None` where it came from the command line or is the default.
    pub at: Option<At>,
}

/// A certificate: files that were there when the plan was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and its chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Where it stands in the file.
    pub at: At,
}

/// What one HTTP/2 connection may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2 {
    /// Requests at once on one connection.
    pub max_streams: Option<u32>,
}

/// Who answers which requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The host in lower case, `*.` before it for all below it; `None` for every host.
    pub host: Option<String>,
    /// The beginning of the path; begins with `/`.
    pub path: String,
    /// Who answers.
    pub target: Target,
    /// The filters before it, behind those of the server.
    pub filters: Vec<FilterUse>,
    /// Where it stands in the file.
    pub at: Option<At>,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The component of this name, which exists.
    Component(String),
    /// The upstream of this name, which exists.
    Upstream {
        /// Its name.
        name: String,
        /// The upstream that gets copies, which exists.
        mirror: Option<String>,
        /// How many of a hundred requests are copied.
        percent: u8,
    },
    /// An answer that stands in the file.
    Respond(Respond),
}

/// An answer that stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// Its status, 200 to 599.
    pub status: u16,
    /// Its headers, none of which are about framing.
    pub headers: BTreeMap<String, Text>,
    /// Its body.
    pub body: String,
}

impl Target {
    /// Whether the component of this name answers.
    pub fn is_component(&self, name: &str) -> bool {
        matches!(self, Self::Component(component) if component == name)
    }
}

/// A component that is called by the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The name of the component, which exists.
    pub component: String,
    /// When.
    pub schedule: Schedule,
    /// On one host or on each; `None` for the best that the bindings can do.
    pub scope: Option<Scope>,
    /// Where it stands in the file.
    pub at: At,
}

/// When a timer calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At the times of this pattern, in UTC. The pattern parses.
    Cron(String),
    /// Again and again after this time.
    Every(Duration),
}

/// Where a timer or a watch calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Once among all hosts of the deployment.
    Deployment,
    /// On each host.
    Host,
}

/// A component that is called when keys change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The name of the component, which exists and may open the binding.
    pub component: String,
    /// The key-value binding, which is bound.
    pub binding: String,
    /// Which keys.
    pub keys: Keys,
    /// On one host or on each; `None` for the best that the binding can do.
    pub scope: Option<Scope>,
    /// Where it stands in the file.
    pub at: At,
}

/// Which keys are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All of them.
    All,
    /// These.
    Only(Vec<String>),
    /// Those that begin with this.
    Prefix(String),
}

/// A component that messages are handed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The name of the component, which exists and may use the binding.
    pub component: String,
    /// The binding, which is bound.
    pub binding: String,
    /// The topics: one at least.
    pub topics: Vec<topic::Filter>,
    /// The group.
    pub group: String,
    /// Where a new group begins.
    pub start: Start,
    /// Whether messages with the same key are handed out one after the other.
    pub ordered: bool,
    /// So many messages are handed out at once.
    pub concurrency: Option<usize>,
    /// So many are fetched ahead.
    pub prefetch: Option<usize>,
    /// When a message is handed to another.
    pub deadline: Option<Duration>,
    /// The pauses before a message that failed comes again.
    pub retry: Option<Vec<Duration>>,
    /// A message is handed out so often before it is given up.
    pub attempts: Option<u32>,
    /// Where it goes then.
    pub dead_letters: Option<String>,
    /// So many messages are handed over in one call, at the most.
    pub batch: Option<usize>,
    /// How long the first of them waits for the others.
    pub batch_wait: Option<Duration>,
    /// They are CloudEvents, and handed over so.
    pub cloudevents: Option<CloudEvents>,
    /// Where it stands in the file.
    pub at: At,
}

/// Where a group of subscribers begins that is not there yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what is published from then on.
    #[default]
    New,
    /// With what the broker still has.
    Beginning,
    /// Behind this position, of which the broker knows what it is.
    After(String),
    /// With what was published at this time or later.
    Since(SystemTime),
}

/// The form of CloudEvents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudEvents {
    /// Attributes in headers, and data as it is.
    Binary,
    /// All of it in one document.
    Structured,
}

/// How the host logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The form of the lines.
    pub format: Option<LogFormat>,
    /// What is logged, as in `RUST_LOG`, and where that stands in the file. Not checked here.
    pub filter: Option<(String, At)>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object on a line.
    Json,
}
