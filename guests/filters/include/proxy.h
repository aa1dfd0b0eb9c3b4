// The binary interface of Proxy-Wasm as C sees it: numbers, host functions, names of callbacks.
//
// Every pointer is of the 32 bits that it has in the memory of a module. Only those functions that
// are called are imported.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define IMPORT_FROM(module, name) __attribute__((import_module(module), import_name(#name)))
#define HOST(name) IMPORT_FROM("env", name) int32_t name
#define CALLBACK(name) __attribute__((export_name(#name))) name

enum status {
  OK, NOT_FOUND, BAD_ARGUMENT, SERIALIZATION_FAILURE, PARSE_FAILURE, BAD_EXPRESSION,
  INVALID_MEMORY_ACCESS, EMPTY, CAS_MISMATCH, RESULT_MISMATCH, INTERNAL_FAILURE,
  BROKEN_CONNECTION, UNIMPLEMENTED
};
enum log_level { TRACE, DEBUG, INFO, WARN, ERROR, CRITICAL };
enum action { CONTINUE, PAUSE };
enum buffer_type {
  REQUEST_BODY, RESPONSE_BODY, DOWNSTREAM_DATA, UPSTREAM_DATA, CALL_RESPONSE_BODY, GRPC_MESSAGE,
  VM_CONFIGURATION, PLUGIN_CONFIGURATION, CALL_DATA
};
enum map_type {
  REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS, GRPC_INITIAL_METADATA,
  GRPC_TRAILING_METADATA, CALL_RESPONSE_HEADERS, CALL_RESPONSE_TRAILERS
};
enum stream_type { REQUEST, RESPONSE, DOWNSTREAM, UPSTREAM };

HOST(proxy_done)(void);
HOST(proxy_set_effective_context)(uint32_t context);
HOST(proxy_log)(int32_t level, const char *text, size_t length);
HOST(proxy_get_log_level)(int32_t *level);
HOST(proxy_get_current_time_nanoseconds)(uint64_t *time);
HOST(proxy_set_tick_period_milliseconds)(uint32_t period);
HOST(proxy_set_buffer_bytes)(int32_t buffer, size_t start, size_t size, const char *bytes,
                             size_t length);
HOST(proxy_get_buffer_bytes)(int32_t buffer, size_t start, size_t most, char **bytes,
                             size_t *length);
HOST(proxy_get_buffer_status)(int32_t buffer, size_t *length, uint32_t *unused);
HOST(proxy_get_header_map_size)(int32_t map, size_t *length);
HOST(proxy_get_header_map_pairs)(int32_t map, char **pairs, size_t *length);
HOST(proxy_set_header_map_pairs)(int32_t map, const char *pairs, size_t length);
HOST(proxy_get_header_map_value)(int32_t map, const char *key, size_t key_length, char **value,
                                 size_t *length);
HOST(proxy_add_header_map_value)(int32_t map, const char *key, size_t key_length,
                                 const char *value, size_t length);
HOST(proxy_replace_header_map_value)(int32_t map, const char *key, size_t key_length,
                                     const char *value, size_t length);
HOST(proxy_remove_header_map_value)(int32_t map, const char *key, size_t key_length);
HOST(proxy_continue_stream)(int32_t stream);
HOST(proxy_close_stream)(int32_t stream);
HOST(proxy_get_status)(uint32_t *code, char **message, size_t *length);
HOST(proxy_send_local_response)(uint32_t status, const char *details, size_t details_length,
                                const char *body, size_t body_length, const char *headers,
                                size_t headers_length, int32_t grpc_status);
HOST(proxy_http_call)(const char *upstream, size_t upstream_length, const char *headers,
                      size_t headers_length, const char *body, size_t body_length,
                      const char *trailers, size_t trailers_length, uint32_t timeout,
                      uint32_t *call);
HOST(proxy_grpc_call)(const char *upstream, size_t upstream_length, const char *service,
                      size_t service_length, const char *method, size_t method_length,
                      const char *metadata, size_t metadata_length, const char *message,
                      size_t message_length, uint32_t timeout, uint32_t *call);
HOST(proxy_grpc_stream)(const char *upstream, size_t upstream_length, const char *service,
                        size_t service_length, const char *method, size_t method_length,
                        const char *metadata, size_t metadata_length, uint32_t *stream);
HOST(proxy_grpc_send)(uint32_t stream, const char *message, size_t length, int32_t end);
HOST(proxy_grpc_cancel)(uint32_t call);
HOST(proxy_grpc_close)(uint32_t call);
HOST(proxy_set_shared_data)(const char *key, size_t key_length, const char *value, size_t length,
                            uint32_t cas);
HOST(proxy_get_shared_data)(const char *key, size_t key_length, char **value, size_t *length,
                            uint32_t *cas);
HOST(proxy_register_shared_queue)(const char *name, size_t length, uint32_t *queue);
HOST(proxy_resolve_shared_queue)(const char *vm, size_t vm_length, const char *name,
                                 size_t length, uint32_t *queue);
HOST(proxy_enqueue_shared_queue)(uint32_t queue, const char *value, size_t length);
HOST(proxy_dequeue_shared_queue)(uint32_t queue, char **value, size_t *length);
HOST(proxy_define_metric)(int32_t kind, const char *name, size_t length, uint32_t *metric);
HOST(proxy_record_metric)(uint32_t metric, uint64_t value);
HOST(proxy_increment_metric)(uint32_t metric, int64_t by);
HOST(proxy_get_metric)(uint32_t metric, uint64_t *value);
HOST(proxy_get_property)(const char *path, size_t path_length, char **value, size_t *length);
HOST(proxy_set_property)(const char *path, size_t path_length, const char *value, size_t length);
HOST(proxy_call_foreign_function)(const char *name, size_t name_length, const char *arguments,
                                  size_t arguments_length, char **results, size_t *length);

// Those of 0.1.0 alone.
HOST(proxy_get_configuration)(char **value, size_t *length);
HOST(proxy_continue_request)(void);
HOST(proxy_clear_route_cache)(void);
// Some modules want an answer of these functions and some do not: this one does not.
IMPORT_FROM("env", proxy_continue_response) void proxy_continue_response(void);
