// A filter of version 0.1.0 in C, as modules of that time are: callbacks of headers have two
// arguments, the configuration has a function of its own, memory comes from
// `proxy_on_memory_allocate`, and the module starts with `_start`.
//
// A response gets `x-filter: c-old`, `x-configuration` with the plugin's configuration, and
// `x-missing` with the status and the length that asking for a missing header was answered with.
// The request header `x-wait: request` or `x-wait: response` holds that one back until the next
// tick.
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

static char *configuration;
static size_t configuration_length;
// The stream that waits, and for what.
static uint32_t waiting;
static int waits_for;

static void set(const char *name, const char *value, size_t length) {
  proxy_add_header_map_value(RESPONSE_HEADERS, name, strlen(name), value, length);
}

// Whether a header of the request is such a text.
static int is(const char *name, const char *text) {
  char *value = NULL;
  size_t length = 0;
  proxy_get_header_map_value(REQUEST_HEADERS, name, strlen(name), &value, &length);
  int same = length == strlen(text) && !memcmp(value, text, length);
  free(value);
  return same;
}

static int wait_for(uint32_t id, int what) {
  waiting = id;
  waits_for = what;
  proxy_set_tick_period_milliseconds(10);
  return PAUSE;
}

void CALLBACK(proxy_abi_version_0_1_0)(void) {}

void __wasm_call_ctors(void);

void CALLBACK(_start)(void) { __wasm_call_ctors(); }

void *CALLBACK(proxy_on_memory_allocate)(size_t size) { return malloc(size); }

void CALLBACK(proxy_on_context_create)(uint32_t id, uint32_t root) { (void)id, (void)root; }

int CALLBACK(proxy_on_vm_start)(uint32_t root, size_t size) {
  (void)root, (void)size;
  return 1;
}

int CALLBACK(proxy_on_configure)(uint32_t root, size_t size) {
  (void)root, (void)size;
  free(configuration);
  configuration = NULL, configuration_length = 0;
  return proxy_get_configuration(&configuration, &configuration_length) == OK;
}

int CALLBACK(proxy_on_request_headers)(uint32_t id, size_t number) {
  (void)number;
  proxy_clear_route_cache();
  return is("x-wait", "request") ? wait_for(id, REQUEST) : CONTINUE;
}

int CALLBACK(proxy_on_response_headers)(uint32_t id, size_t number) {
  (void)number;
  set("x-filter", "c-old", 5);
  set("x-configuration", configuration, configuration_length);
  char *value = NULL;
  size_t length = 99;
  int status =
      proxy_get_header_map_value(RESPONSE_HEADERS, "x-not-there", 11, &value, &length);
  char shown[] = {(char)('0' + status % 10), ' ', (char)('0' + length % 10)};
  set("x-missing", shown, sizeof shown);
  return is("x-wait", "response") ? wait_for(id, RESPONSE) : CONTINUE;
}

void CALLBACK(proxy_on_tick)(uint32_t root) {
  (void)root;
  proxy_set_tick_period_milliseconds(0);
  if (!waiting || proxy_set_effective_context(waiting) != OK) return;
  waiting = 0;
  if (waits_for == REQUEST)
    proxy_continue_request();
  else
    proxy_continue_response();
}

int CALLBACK(proxy_on_done)(uint32_t id) {
  if (id == waiting) waiting = 0;
  return 1;
}

void CALLBACK(proxy_on_log)(uint32_t id) { (void)id; }

void CALLBACK(proxy_on_delete)(uint32_t id) { (void)id; }
