// The callbacks of a filter that does what a script says: see `script.h`, which this includes.
#pragma once

#include "script.h"

// Runs what a script has for a callback. `id` is whose script; what was given is logged.
static L enter(const char *callback, uint32_t id, int count, const L *given, L result) {
  heap = &__heap_base;
  said_length = line_start = 0;
  const struct script *own = find(id), *script = script_of(id);
  const struct script *root = own && own->root ? find(own->root) : own;
  run.id = id, run.root = root ? root->id : id;
  memcpy(run.given, given, sizeof *given * (size_t)count);
  if ((own && own->trace) || (root && root->trace)) {
    put_text("on ");
    put_text(callback);
    for (int at = 0; at < count; at++) {
      put_text(" ");
      put_signed(given[at]);
    }
    end_line();
  }
  return script ? lines(script->text, script->length, callback, result) : result;
}

#define GIVEN(...) (sizeof((L[]){__VA_ARGS__}) / sizeof(L)), (L[]){__VA_ARGS__}
#define ENTER(name, result, ...) enter(#name, id, GIVEN(id, __VA_ARGS__), result)
#define ENTER_ALONE(name, result) enter(#name, id, GIVEN(id), result)
#define ON(result, name) result CALLBACK(proxy_on_##name)

ON(void, context_create)(uint32_t id, uint32_t root) {
  create(id, root);
  ENTER(context_create, 0, root);
}

// A script of the size that is given, from where the host keeps it.
static const char *fetch(int buffer, size_t size, size_t *length) {
  char *text = NULL;
  heap = &__heap_base;
  *length = 0;
  if (size) env_proxy_get_buffer_bytes(buffer, 0, (I)size, (I)&text, (I)length);
  return text;
}

ON(I, vm_start)(uint32_t id, uint32_t size) {
  size_t length;
  const char *text = fetch(VM_CONFIGURATION, size, &length);
  said_length = line_start = 0;
  char *mark = heap;
  run.id = run.root = id;
  L result = lines(text, length, "vm_start", 1);
  heap = mark;
  return (I)result;
}

ON(I, configure)(uint32_t id, uint32_t size) {
  size_t length;
  const char *text = fetch(PLUGIN_CONFIGURATION, size, &length);
  said_length = line_start = 0;
  keep(find(id), text, length);
  return (I)ENTER(configure, 1, size);
}

ON(I, request_headers)(uint32_t id, uint32_t number, uint32_t end) {
  char *text = NULL;
  size_t length = 0;
  heap = &__heap_base;
  said_length = line_start = 0;
  if (env_proxy_get_header_map_value(REQUEST_HEADERS, (I) "x-script", 8, (I)&text,
                                     (I)&length) == OK)
    keep(find(id), text, length);
  return (I)ENTER(request_headers, 0, number, end);
}

#define ACTION_2(name) \
  ON(I, name)(uint32_t id, uint32_t a, uint32_t b) { return (I)ENTER(name, 0, a, b); }
#define ACTION_1(name) \
  ON(I, name)(uint32_t id, uint32_t a) { return (I)ENTER(name, 0, a); }

ACTION_2(request_body)
ACTION_1(request_trailers)
ACTION_2(response_headers)
ACTION_2(response_body)
ACTION_1(response_trailers)
ACTION_2(downstream_data)
ACTION_2(upstream_data)

ON(I, new_connection)(uint32_t id) { return (I)ENTER_ALONE(new_connection, 0); }

ON(void, downstream_connection_close)(uint32_t id, uint32_t peer) {
  ENTER(downstream_connection_close, 0, peer);
}

ON(void, upstream_connection_close)(uint32_t id, uint32_t peer) {
  ENTER(upstream_connection_close, 0, peer);
}

ON(I, done)(uint32_t id) { return (I)ENTER_ALONE(done, 1); }

ON(void, log)(uint32_t id) { ENTER_ALONE(log, 0); }

ON(void, delete)(uint32_t id) {
  ENTER_ALONE(delete, 0);
  struct script *script = find(id);
  if (script) script->used = 0;
}

ON(void, tick)(uint32_t id) { ENTER_ALONE(tick, 0); }

ON(void, queue_ready)(uint32_t id, uint32_t queue) { ENTER(queue_ready, 0, queue); }

ON(void, foreign_function)(uint32_t id, uint32_t function, uint32_t size) {
  ENTER(foreign_function, 0, function, size);
}

// Answers to calls come to the plugin's context; the script is that of the context that called.
#define ANSWER(name, root, call, ...) \
  enter(#name, caller(call, root), GIVEN(root, call, __VA_ARGS__), 0)

ON(void, http_call_response)
(uint32_t root, uint32_t call, uint32_t headers, uint32_t size, uint32_t trailers) {
  ANSWER(http_call_response, root, call, headers, size, trailers);
}

ON(void, grpc_receive_initial_metadata)(uint32_t root, uint32_t call, uint32_t number) {
  ANSWER(grpc_receive_initial_metadata, root, call, number);
}

ON(void, grpc_receive)(uint32_t root, uint32_t call, uint32_t size) {
  ANSWER(grpc_receive, root, call, size);
}

ON(void, grpc_receive_trailing_metadata)(uint32_t root, uint32_t call, uint32_t number) {
  ANSWER(grpc_receive_trailing_metadata, root, call, number);
}

ON(void, grpc_close)(uint32_t root, uint32_t call, uint32_t status) {
  ANSWER(grpc_close, root, call, status);
}

void CALLBACK(proxy_abi_version_0_2_1)(void) {}

void __wasm_call_ctors(void);

void CALLBACK(_initialize)(void) { __wasm_call_ctors(); }
