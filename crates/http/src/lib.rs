//! HTTP in and out for components.

pub mod client;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "host")]
pub mod incoming;
#[cfg(feature = "host")]
#[allow(missing_docs)]
pub mod outgoing {
    //! placeholder
    #[derive(Clone)]
    pub struct Hooks;
    impl wasmtime_wasi_http::WasiHttpHooks for Hooks {
        fn send_request(
            &mut self,
            _: http_types::Request<wasmtime_wasi_http::WasiBody>,
            _: Option<wasmtime_wasi_http::RequestOptions>,
            _: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
        ) -> Box<
            dyn Future<
                    Output = wasmtime_wasi_http::Result<(
                        http_types::Response<wasmtime_wasi_http::WasiBody>,
                        Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
                    )>,
                > + Send,
        > {
            Box::new(async { Err(wasmtime_wasi_http::Error::HttpRequestDenied) })
        }
    }
}
