// A filter of version 0.2.1 in C, without an SDK.
//
// Each response gets `x-filter: c` and, as `x-bytes`, how many bytes the request's body had. A
// request whose path is the configuration is answered at once. The host allocates with `malloc` of
// the C library, and starts the module with `_initialize`, then `main`.
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

// What is known of one stream.
struct stream {
  uint32_t id;
  size_t bytes;
  struct stream *next;
};

static struct stream *streams;
static char *configuration;
static size_t configuration_length;
static int initialized, started;

static struct stream *find(uint32_t id) {
  struct stream *stream = streams;
  while (stream && stream->id != id) stream = stream->next;
  return stream;
}

static void say(const char *text) { proxy_log(INFO, text, strlen(text)); }

static void set(int32_t map, const char *name, const char *value, size_t length) {
  proxy_replace_header_map_value(map, name, strlen(name), value, length);
}

void CALLBACK(proxy_abi_version_0_2_1)(void) {}

// The library's own cannot be exported from here.
void *allocate(size_t size) __attribute__((export_name("malloc")));
void *allocate(size_t size) { return malloc(size); }

void __wasm_call_ctors(void);

void CALLBACK(_initialize)(void) {
  __wasm_call_ctors();
  initialized = 1;
}

int run(int count, char **words) __attribute__((export_name("main")));
int run(int count, char **words) {
  (void)count, (void)words;
  started = initialized;
  return 0;
}

void CALLBACK(proxy_on_context_create)(uint32_t id, uint32_t root) {
  struct stream *stream = root ? malloc(sizeof *stream) : NULL;
  if (!stream) return;
  *stream = (struct stream){.id = id, .next = streams};
  streams = stream;
}

int CALLBACK(proxy_on_vm_start)(uint32_t root, size_t size) {
  (void)root, (void)size;
  say(started ? "initialized and started" : "not started");
  return 1;
}

int CALLBACK(proxy_on_configure)(uint32_t root, size_t size) {
  (void)root;
  free(configuration);
  configuration = NULL, configuration_length = 0;
  if (!size) return 1;
  return proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, &configuration,
                                &configuration_length) == OK;
}

int CALLBACK(proxy_on_request_headers)(uint32_t id, size_t number, int end) {
  (void)id, (void)number, (void)end;
  char *path = NULL;
  size_t length = 0;
  if (proxy_get_header_map_value(REQUEST_HEADERS, ":path", 5, &path, &length) != OK)
    return CONTINUE;
  int mine = configuration && length == configuration_length &&
             !memcmp(path, configuration, length);
  free(path);
  if (!mine) return CONTINUE;
  static const char body[] = "Hello from C";
  proxy_send_local_response(200, "filter", 6, body, sizeof body - 1, NULL, 0, -1);
  return PAUSE;
}

int CALLBACK(proxy_on_request_body)(uint32_t id, size_t size, int end) {
  (void)end;
  struct stream *stream = find(id);
  if (stream) stream->bytes += size;
  return CONTINUE;
}

int CALLBACK(proxy_on_response_headers)(uint32_t id, size_t number, int end) {
  (void)number, (void)end;
  struct stream *stream = find(id);
  size_t bytes = stream ? stream->bytes : 0;
  char digits[20], *first = digits + sizeof digits;
  do *--first = (char)('0' + bytes % 10);
  while (bytes /= 10);
  set(RESPONSE_HEADERS, "x-bytes", first, (size_t)(digits + sizeof digits - first));
  set(RESPONSE_HEADERS, "x-filter", "c", 1);
  return CONTINUE;
}

int CALLBACK(proxy_on_done)(uint32_t id) {
  (void)id;
  return 1;
}

void CALLBACK(proxy_on_delete)(uint32_t id) {
  struct stream **place = &streams;
  while (*place && (*place)->id != id) place = &(*place)->next;
  struct stream *stream = *place;
  if (!stream) return;
  *place = stream->next;
  free(stream);
}
