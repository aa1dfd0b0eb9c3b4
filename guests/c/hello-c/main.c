// A web program in C: says hello and what was asked for.
//
// gen/ was written by `wit-bindgen c hello.wit --world hello --out-dir gen` (0.63.0).
#include <stdio.h>

#include "gen/hello.h"

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t out) {
  hello_string_t path = {0};
  wasi_http_types_method_incoming_request_path_with_query(
      wasi_http_types_borrow_incoming_request(request), &path);
  char text[512];
  int length = snprintf(text, sizeof text, "Hello from C, you asked for %.*s",
                        (int)(path.len < 400 ? path.len : 400), (const char *)path.ptr);
  hello_string_free(&path);
  wasi_http_types_incoming_request_drop_own(request);

  wasi_http_types_own_outgoing_response_t response =
      wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
  wasi_http_types_own_outgoing_body_t body;
  wasi_http_types_method_outgoing_response_body(
      wasi_http_types_borrow_outgoing_response(response), &body);
  wasi_http_types_result_own_outgoing_response_error_code_t answer = {.val.ok = response};
  wasi_http_types_static_response_outparam_set(out, &answer);

  wasi_http_types_own_output_stream_t stream;
  wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
  hello_list_u8_t bytes = {.ptr = (uint8_t *)text, .len = (size_t)length};
  wasi_io_streams_stream_error_t broken;
  bool written = wasi_io_streams_method_output_stream_blocking_write_and_flush(
      wasi_io_streams_borrow_output_stream(stream), &bytes, &broken);
  if (!written) wasi_io_streams_stream_error_free(&broken);
  wasi_io_streams_output_stream_drop_own(stream);

  wasi_http_types_error_code_t error;
  if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &error))
    wasi_http_types_error_code_free(&error);
}
