//! Why a request failed: the cases of `error-code` in `wasi:http`, 0.2 and 0.3 alike.

use std::fmt;

/// One `error-code` of `wasi:http/types`, case by case.
///
/// The cases are those of RFC 9209, section 2.3, on which the standard draws. What caused one is
/// logged at debug level and not kept: a guest learns no more than the case says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the cases and their payloads are the standard's")]
pub enum Error {
    DnsTimeout,
    DnsError { rcode: Option<String>, info_code: Option<u16> },
    DestinationNotFound,
    DestinationUnavailable,
    DestinationIpProhibited,
    DestinationIpUnroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionWriteTimeout,
    ConnectionLimitReached,
    TlsProtocolError,
    TlsCertificateError,
    TlsAlertReceived { alert_id: Option<u8>, alert_message: Option<String> },
    HttpRequestDenied,
    HttpRequestLengthRequired,
    HttpRequestBodySize(Option<u64>),
    HttpRequestMethodInvalid,
    HttpRequestUriInvalid,
    HttpRequestUriTooLong,
    HttpRequestHeaderSectionSize(Option<u32>),
    HttpRequestHeaderSize { field_name: Option<String>, field_size: Option<u32> },
    HttpRequestTrailerSectionSize(Option<u32>),
    HttpRequestTrailerSize { field_name: Option<String>, field_size: Option<u32> },
    HttpResponseIncomplete,
    HttpResponseHeaderSectionSize(Option<u32>),
    HttpResponseHeaderSize { field_name: Option<String>, field_size: Option<u32> },
    HttpResponseBodySize(Option<u64>),
    HttpResponseTrailerSectionSize(Option<u32>),
    HttpResponseTrailerSize { field_name: Option<String>, field_size: Option<u32> },
    HttpResponseTransferCoding(Option<String>),
    HttpResponseContentCoding(Option<String>),
    HttpResponseTimeout,
    HttpUpgradeFailed,
    HttpProtocolError,
    LoopDetected,
    ConfigurationError,
    InternalError(Option<String>),
}

impl Error {
    /// The case as the standard spells it, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DnsTimeout => "DNS-timeout",
            Self::DnsError { .. } => "DNS-error",
            Self::DestinationNotFound => "destination-not-found",
            Self::DestinationUnavailable => "destination-unavailable",
            Self::DestinationIpProhibited => "destination-IP-prohibited",
            Self::DestinationIpUnroutable => "destination-IP-unroutable",
            Self::ConnectionRefused => "connection-refused",
            Self::ConnectionTerminated => "connection-terminated",
            Self::ConnectionTimeout => "connection-timeout",
            Self::ConnectionReadTimeout => "connection-read-timeout",
            Self::ConnectionWriteTimeout => "connection-write-timeout",
            Self::ConnectionLimitReached => "connection-limit-reached",
            Self::TlsProtocolError => "TLS-protocol-error",
            Self::TlsCertificateError => "TLS-certificate-error",
            Self::TlsAlertReceived { .. } => "TLS-alert-received",
            Self::HttpRequestDenied => "HTTP-request-denied",
            Self::HttpRequestLengthRequired => "HTTP-request-length-required",
            Self::HttpRequestBodySize(_) => "HTTP-request-body-size",
            Self::HttpRequestMethodInvalid => "HTTP-request-method-invalid",
            Self::HttpRequestUriInvalid => "HTTP-request-URI-invalid",
            Self::HttpRequestUriTooLong => "HTTP-request-URI-too-long",
            Self::HttpRequestHeaderSectionSize(_) => "HTTP-request-header-section-size",
            Self::HttpRequestHeaderSize { .. } => "HTTP-request-header-size",
            Self::HttpRequestTrailerSectionSize(_) => "HTTP-request-trailer-section-size",
            Self::HttpRequestTrailerSize { .. } => "HTTP-request-trailer-size",
            Self::HttpResponseIncomplete => "HTTP-response-incomplete",
            Self::HttpResponseHeaderSectionSize(_) => "HTTP-response-header-section-size",
            Self::HttpResponseHeaderSize { .. } => "HTTP-response-header-size",
            Self::HttpResponseBodySize(_) => "HTTP-response-body-size",
            Self::HttpResponseTrailerSectionSize(_) => "HTTP-response-trailer-section-size",
            Self::HttpResponseTrailerSize { .. } => "HTTP-response-trailer-size",
            Self::HttpResponseTransferCoding(_) => "HTTP-response-transfer-coding",
            Self::HttpResponseContentCoding(_) => "HTTP-response-content-coding",
            Self::HttpResponseTimeout => "HTTP-response-timeout",
            Self::HttpUpgradeFailed => "HTTP-upgrade-failed",
            Self::HttpProtocolError => "HTTP-protocol-error",
            Self::LoopDetected => "loop-detected",
            Self::ConfigurationError => "configuration-error",
            Self::InternalError(_) => "internal-error",
        }
    }
}

impl fmt::Display for Error {
    /// The case's name and what its payload says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::DnsError { rcode: Some(text), .. }
            | Self::TlsAlertReceived { alert_message: Some(text), .. }
            | Self::HttpResponseTransferCoding(Some(text))
            | Self::HttpResponseContentCoding(Some(text))
            | Self::InternalError(Some(text)) => write!(f, ": {text}"),
            Self::HttpRequestBodySize(Some(size)) | Self::HttpResponseBodySize(Some(size)) => {
                write!(f, ": {size} bytes")
            }
            Self::HttpRequestHeaderSectionSize(Some(size))
            | Self::HttpRequestTrailerSectionSize(Some(size))
            | Self::HttpResponseHeaderSectionSize(Some(size))
            | Self::HttpResponseTrailerSectionSize(Some(size)) => write!(f, ": {size} bytes"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
