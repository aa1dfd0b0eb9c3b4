//! One error, four spellings: ours, the one of `wasmtime-wasi-http`, and the two of the standard.

use crate::client::{self, Error, Phase};
use wasmtime_wasi_http::Error as Wasi;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::types as p3;

/// Matches on an error: cases that are spelled alike go over, the others stand in `extra`.
macro_rules! convert {
    ($error:expr, $From:ident => $Into:path, $extra:tt) => {
        convert!(@ $error, $From => $Into, $extra,
            [DnsTimeout DestinationNotFound DestinationUnavailable DestinationIpProhibited
            DestinationIpUnroutable ConnectionRefused ConnectionTerminated ConnectionTimeout
            ConnectionReadTimeout ConnectionWriteTimeout ConnectionLimitReached TlsProtocolError
            TlsCertificateError HttpRequestDenied HttpRequestLengthRequired
            HttpRequestMethodInvalid HttpRequestUriInvalid HttpRequestUriTooLong
            HttpResponseIncomplete HttpResponseTimeout HttpUpgradeFailed HttpProtocolError
            LoopDetected ConfigurationError]
            [HttpRequestBodySize HttpRequestHeaderSectionSize HttpRequestTrailerSectionSize
            HttpResponseHeaderSectionSize HttpResponseBodySize HttpResponseTrailerSectionSize
            HttpResponseTransferCoding HttpResponseContentCoding InternalError])
    };
    (@ $error:expr, $From:ident => $Into:path, { $($extra:tt)* },
        [$($unit:ident)*] [$($payload:ident)*]) => {{
        use $Into as Into;
        match $error {
            $($From::$unit => Into::$unit,)*
            $($From::$payload(payload) => Into::$payload(payload),)*
            $($extra)*
        }
    }};
}

/// The same for cases with named fields, which the standard keeps in records.
macro_rules! record {
    ($module:ident) => {
        impl From<Error> for $module::ErrorCode {
            fn from(error: Error) -> Self {
                use $module::{DnsErrorPayload, FieldSizePayload, TlsAlertReceivedPayload};
                convert!(error, Error => $module::ErrorCode, {
                    Error::DnsError { rcode, info_code } => {
                        Into::DnsError(DnsErrorPayload { rcode, info_code })
                    }
                    Error::TlsAlertReceived { alert_id, alert_message } => {
                        Into::TlsAlertReceived(TlsAlertReceivedPayload { alert_id, alert_message })
                    }
                    Error::HttpRequestHeaderSize { field_name, field_size } => {
                        Into::HttpRequestHeaderSize(Some(FieldSizePayload {
                            field_name,
                            field_size,
                        }))
                    }
                    Error::HttpRequestTrailerSize { field_name, field_size } => {
                        Into::HttpRequestTrailerSize(FieldSizePayload { field_name, field_size })
                    }
                    Error::HttpResponseHeaderSize { field_name, field_size } => {
                        Into::HttpResponseHeaderSize(FieldSizePayload { field_name, field_size })
                    }
                    Error::HttpResponseTrailerSize { field_name, field_size } => {
                        Into::HttpResponseTrailerSize(FieldSizePayload { field_name, field_size })
                    }
                })
            }
        }
    };
}

record!(p2);
record!(p3);

impl From<Error> for Wasi {
    fn from(error: Error) -> Self {
        convert!(error, Error => Wasi, {
            Error::DnsError { rcode, info_code } => Into::DnsError { rcode, info_code },
            Error::TlsAlertReceived { alert_id, alert_message } => {
                Into::TlsAlertReceived { alert_id, alert_message }
            }
            Error::HttpRequestHeaderSize { field_name, field_size } => {
                Into::HttpRequestHeaderSize { field_name, field_size }
            }
            Error::HttpRequestTrailerSize { field_name, field_size } => {
                Into::HttpRequestTrailerSize { field_name, field_size }
            }
            Error::HttpResponseHeaderSize { field_name, field_size } => {
                Into::HttpResponseHeaderSize { field_name, field_size }
            }
            Error::HttpResponseTrailerSize { field_name, field_size } => {
                Into::HttpResponseTrailerSize { field_name, field_size }
            }
        })
    }
}

impl From<Wasi> for Error {
    fn from(error: Wasi) -> Self {
        convert!(error, Wasi => Error, {
            Wasi::Hyper(error) => client::classify(&error, Phase::Body),
            Wasi::Connect(error) => client::classify_connect(&error),
            Wasi::Tls(error) => client::classify_tls(&error),
            Wasi::DnsError { rcode, info_code } => Into::DnsError { rcode, info_code },
            Wasi::TlsAlertReceived { alert_id, alert_message } => {
                Into::TlsAlertReceived { alert_id, alert_message }
            }
            Wasi::HttpRequestHeaderSize { field_name, field_size } => {
                Into::HttpRequestHeaderSize { field_name, field_size }
            }
            Wasi::HttpRequestTrailerSize { field_name, field_size } => {
                Into::HttpRequestTrailerSize { field_name, field_size }
            }
            Wasi::HttpResponseHeaderSize { field_name, field_size } => {
                Into::HttpResponseHeaderSize { field_name, field_size }
            }
            Wasi::HttpResponseTrailerSize { field_name, field_size } => {
                Into::HttpResponseTrailerSize { field_name, field_size }
            }
            // The crate may grow cases; none stands here today.
            other => Into::InternalError(Some(other.to_string())),
        })
    }
}
