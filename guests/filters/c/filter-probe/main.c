// Calls any host function of Proxy-Wasm 0.2.1 with any arguments, as a script says.
//
// `../../include/script.h` has the language. It imports every function of the specification, and
// those eight of WASI that the specification names: `wasi.NAME` in a script.
#define WASI(X, name, ...) X(wasi, "wasi_snapshot_preview1", I, name, __VA_ARGS__)
#define HOSTS(X, name, ...) X(env, "env", I, name, __VA_ARGS__)
#define FUNCTIONS(X)                                                                 \
  HOSTS(X, proxy_done, 0, void)                                                      \
  HOSTS(X, proxy_set_effective_context, 1, I)                                        \
  HOSTS(X, proxy_get_log_level, 1, I)                                                \
  HOSTS(X, proxy_get_current_time_nanoseconds, 1, I)                                 \
  HOSTS(X, proxy_set_tick_period_milliseconds, 1, I)                                 \
  HOSTS(X, proxy_set_buffer_bytes, 5, I, I, I, I, I)                                 \
  HOSTS(X, proxy_get_buffer_status, 3, I, I, I)                                      \
  HOSTS(X, proxy_get_header_map_pairs, 3, I, I, I)                                   \
  HOSTS(X, proxy_set_header_map_pairs, 3, I, I, I)                                   \
  HOSTS(X, proxy_add_header_map_value, 5, I, I, I, I, I)                             \
  HOSTS(X, proxy_replace_header_map_value, 5, I, I, I, I, I)                         \
  HOSTS(X, proxy_remove_header_map_value, 3, I, I, I)                                \
  HOSTS(X, proxy_continue_stream, 1, I)                                              \
  HOSTS(X, proxy_close_stream, 1, I)                                                 \
  HOSTS(X, proxy_get_status, 3, I, I, I)                                             \
  HOSTS(X, proxy_http_call, 10, I, I, I, I, I, I, I, I, I, I)                        \
  HOSTS(X, proxy_grpc_call, 12, I, I, I, I, I, I, I, I, I, I, I, I)                  \
  HOSTS(X, proxy_grpc_stream, 9, I, I, I, I, I, I, I, I, I)                          \
  HOSTS(X, proxy_grpc_send, 4, I, I, I, I)                                           \
  HOSTS(X, proxy_grpc_cancel, 1, I)                                                  \
  HOSTS(X, proxy_grpc_close, 1, I)                                                   \
  HOSTS(X, proxy_set_shared_data, 5, I, I, I, I, I)                                  \
  HOSTS(X, proxy_get_shared_data, 5, I, I, I, I, I)                                  \
  HOSTS(X, proxy_register_shared_queue, 3, I, I, I)                                  \
  HOSTS(X, proxy_resolve_shared_queue, 5, I, I, I, I, I)                             \
  HOSTS(X, proxy_enqueue_shared_queue, 3, I, I, I)                                   \
  HOSTS(X, proxy_dequeue_shared_queue, 3, I, I, I)                                   \
  HOSTS(X, proxy_define_metric, 4, I, I, I, I)                                       \
  HOSTS(X, proxy_record_metric, 2, I, L)                                             \
  HOSTS(X, proxy_increment_metric, 2, I, L)                                          \
  HOSTS(X, proxy_get_metric, 2, I, I)                                                \
  HOSTS(X, proxy_get_property, 4, I, I, I, I)                                        \
  HOSTS(X, proxy_set_property, 4, I, I, I, I)                                        \
  HOSTS(X, proxy_call_foreign_function, 6, I, I, I, I, I, I)                         \
  WASI(X, fd_write, 4, I, I, I, I)                                                   \
  WASI(X, clock_time_get, 3, I, L, I)                                                \
  WASI(X, random_get, 2, I, I)                                                       \
  WASI(X, environ_sizes_get, 2, I, I)                                                \
  WASI(X, environ_get, 2, I, I)                                                      \
  WASI(X, args_sizes_get, 2, I, I)                                                   \
  WASI(X, args_get, 2, I, I)                                                         \
  X(wasi, "wasi_snapshot_preview1", void, proc_exit, 1, I)

#include "callbacks.h"
