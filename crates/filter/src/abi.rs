//! The words of the ABI: versions, statuses, actions, and the numbers of maps and buffers.

use http_types::StatusCode;

/// A version of the ABI, by the marker that a module exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abi {
    /// `proxy_abi_version_0_1_0`.
    V0_1_0,
    /// `proxy_abi_version_0_2_0`.
    V0_2_0,
    /// `proxy_abi_version_0_2_1`.
    V0_2_1,
}

impl Abi {
    /// Every version, the oldest first.
    pub const ALL: [Self; 3] = [Self::V0_1_0, Self::V0_2_0, Self::V0_2_1];

    /// The export that marks a module of this version.
    pub fn marker(self) -> &'static str {
        match self {
            Self::V0_1_0 => "proxy_abi_version_0_1_0",
            Self::V0_2_0 => "proxy_abi_version_0_2_0",
            Self::V0_2_1 => "proxy_abi_version_0_2_1",
        }
    }

    /// The version as people write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        }
    }
}

/// What a host call answers (`proxy_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// It was done.
    Ok = 0,
    /// There is no such key, queue, property or function.
    NotFound = 1,
    /// An argument is unknown, or not allowed here.
    BadArgument = 2,
    /// The value cannot be given in the ABI's form.
    SerializationFailure = 3,
    /// The text means nothing: an unknown upstream of gRPC, a path without a name.
    ParseFailure = 4,
    /// A pointer or a length reaches beyond the guest's memory, or its allocator failed.
    InvalidMemoryAccess = 6,
    /// The queue has nothing.
    Empty = 7,
    /// Somebody else wrote first.
    CasMismatch = 8,
    /// The host failed, or the filter may not do this.
    InternalFailure = 10,
    /// The host does not have this.
    Unimplemented = 12,
}

/// How loud a line of the log is (`proxy_log_level_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// 0.
    Trace = 0,
    /// 1.
    Debug = 1,
    /// 2, and what is written to the standard output.
    Info = 2,
    /// 3.
    Warn = 3,
    /// 4, and what is written to the standard error.
    Error = 4,
    /// 5.
    Critical = 5,
}

/// Which bytes a host call is about (`proxy_buffer_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BufferType {
    RequestBody,
    ResponseBody,
    Downstream,
    Upstream,
    CallBody,
    GrpcMessage,
    VmConfiguration,
    PluginConfiguration,
    ForeignArguments,
}

/// Which fields a host call is about (`proxy_map_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapType {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitial,
    GrpcTrailing,
    CallHeaders,
    CallTrailers,
}

/// A half of a stream (`proxy_stream_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamType {
    /// What comes from the client.
    Request,
    /// What goes to the client.
    Response,
    /// The connection with the client.
    Downstream,
    /// The connection with the server.
    Upstream,
}

/// Who closed a connection (`proxy_peer_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Peer {
    /// Nobody knows.
    Unknown = 0,
    /// The host did.
    Local = 1,
    /// The other side did.
    Remote = 2,
}

/// What a metric counts (`proxy_metric_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Values and how often they were seen.
    Histogram,
}

macro_rules! numbered {
    ($name:ident: $($variant:ident = $number:literal),+ $(,)?) => {
        impl $name {
            /// The one with this number in the ABI.
            pub(crate) fn of(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

numbered!(LogLevel: Trace = 0, Debug = 1, Info = 2, Warn = 3, Error = 4, Critical = 5);
numbered!(MetricType: Counter = 0, Gauge = 1, Histogram = 2);
numbered!(StreamType: Request = 0, Response = 1, Downstream = 2, Upstream = 3);
numbered!(
    BufferType: RequestBody = 0, ResponseBody = 1, Downstream = 2, Upstream = 3, CallBody = 4,
    GrpcMessage = 5, VmConfiguration = 6, PluginConfiguration = 7, ForeignArguments = 8,
);
numbered!(
    MapType: RequestHeaders = 0, RequestTrailers = 1, ResponseHeaders = 2, ResponseTrailers = 3,
    GrpcInitial = 4, GrpcTrailing = 5, CallHeaders = 6, CallTrailers = 7,
);

/// The status of gRPC for one of HTTP, as the project of gRPC maps them.
pub fn grpc_status(status: StatusCode) -> u32 {
    match status.as_u16() {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// What a filter wants done with headers, as C++ and AssemblyScript say it; the specification has
/// only the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnHeaders {
    Continue,
    /// The head waits. Whether the body does too is a setting: [`HeadersStop`](crate::HeadersStop).
    Stop,
    /// Everything waits.
    StopAll,
}

impl OnHeaders {
    pub(crate) fn of(action: u32) -> Self {
        match action {
            // 2 is "continue and end the stream", which Envoy takes for plain continuing.
            0 | 2 => Self::Continue,
            1 => Self::Stop,
            _ => Self::StopAll,
        }
    }
}

/// What a filter wants done with a body, or with data of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnData {
    Continue,
    /// It waits in a buffer; one that grows too long is an error.
    Buffer,
    /// It waits in a buffer; when that is full nothing more is read.
    Watermark,
    /// The filter has kept what it wants of it.
    Drop,
}

impl OnData {
    pub(crate) fn of(action: u32) -> Self {
        match action {
            0 => Self::Continue,
            1 => Self::Buffer,
            2 => Self::Watermark,
            _ => Self::Drop,
        }
    }
}

/// Errors of WASI preview 1 (`wasi_errno_t`).
pub(crate) mod errno {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const BADF: u32 = 8;
    pub(crate) const FAULT: u32 = 21;
    pub(crate) const INVAL: u32 = 28;
    pub(crate) const NOENT: u32 = 44;
    pub(crate) const NOSYS: u32 = 52;
    pub(crate) const NOTSUP: u32 = 58;
    pub(crate) const NOTCAPABLE: u32 = 76;
}
