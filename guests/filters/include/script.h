// A filter that does what a script says, and logs what the host answered.
//
// A guest says, as `FUNCTIONS(X)`, which host functions scripts can call, and then includes
// `callbacks.h`: `X(PREFIX, MODULE, RESULT, NAME, COUNT, TYPES...)`, with `I` and `L` for 32 and 64
// bits.
//
// A script is the plugin's configuration, and for one stream its request header `x-script`. Its
// lines end with a line break or with `;`:
//
//   NAME ARGUMENT…         calls a host function; `PREFIX.NAME` where the prefix is not `env`
//   times N NAME ARGUMENT… calls it N times, and logs the last
//   @CALLBACK              what follows belongs to that callback, named without `proxy_on_`;
//                          what stands before any belongs to `request_headers`
//   return N               what the callback returns, instead of 0, or of 1 where that is `true`
//   answer                 answers the request with what this callback has logged
//   allocate HOW           how the host's calls of `malloc` end from now on: `null`, `wild` (an
//                          address out of bounds), `call` (calls the host first), `trap`, `well`
//   trap                   ends the VM
//   trace                  anywhere in a script: every callback of it is logged
//   # …                    says nothing
//
// `@vm_start` belongs into the configuration of the VM. Arguments:
//
//   12 -1 0xff             numbers
//   end end-4              the first address behind the memory, and before that
//   ctx root               the context of the script, and its plugin's
//   $0 … $4                the arguments of the callback
//   "a\n\0\x7f\"\\"        text, which makes two arguments: where it is and how long
//   {:path=/|x-a=1}        headers in the host's form, in the same way
//   >>                     two places for the address and the length of what the host returns
//   >{                     the same, shown as headers
//   >a                     a place for 32 bits, kept as `$a`, any letter
//   >8                     a place for 64 bits
//
// Each call logs `NAME -> STATUS`, and with a status of 0 what came back:
//   proxy_get_header_map_value -> 0 "/path"
#pragma once

#include <string.h>

#include "proxy.h"

typedef int32_t I;
typedef int64_t L;

// What this file calls itself; scripts can call it as well.
#define OWN(X)                                                 \
  X(env, "env", I, proxy_log, 3, I, I, I)                      \
  X(env, "env", I, proxy_get_buffer_bytes, 5, I, I, I, I, I)   \
  X(env, "env", I, proxy_get_header_map_size, 2, I, I)         \
  X(env, "env", I, proxy_get_header_map_value, 5, I, I, I, I, I) \
  X(env, "env", I, proxy_send_local_response, 8, I, I, I, I, I, I, I, I)

#define PASS_0
#define PASS_1 a[0]
#define PASS_2 PASS_1, a[1]
#define PASS_3 PASS_2, a[2]
#define PASS_4 PASS_3, a[3]
#define PASS_5 PASS_4, a[4]
#define PASS_6 PASS_5, a[5]
#define PASS_7 PASS_6, a[6]
#define PASS_8 PASS_7, a[7]
#define PASS_9 PASS_8, a[8]
#define PASS_10 PASS_9, a[9]
#define PASS_12 PASS_10, a[10], a[11]
#define RETURN_I return
#define RETURN_void
// The import, and a function of one type that calls it.
#define DECLARE(prefix, module, result, name, count, ...)                  \
  IMPORT_FROM(module, name) result prefix##_##name(__VA_ARGS__);           \
  static I call_##prefix##_##name(const L *a) {                            \
    (void)a;                                                               \
    RETURN_##result prefix##_##name(PASS_##count);                         \
    return 0;                                                              \
  }
#define LIST(prefix, module, result, name, count, ...) \
  {#prefix "." #name, count, call_##prefix##_##name},

OWN(DECLARE)
FUNCTIONS(DECLARE)

static const struct function {
  const char *name;
  int count;
  I (*call)(const L *arguments);
} functions[] = {OWN(LIST) FUNCTIONS(LIST)};

// ---- Memory: what is taken in a callback is free again when it is over.

extern char __heap_base;
static char *heap = &__heap_base;
static char allocation = 'w';

static char *memory_end(void) { return (char *)(__builtin_wasm_memory_size(0) << 16); }

static char *take(size_t size) {
  char *start = heap;
  size = (size + 7) & ~(size_t)7;
  if (size > (size_t)(memory_end() - start) &&
      __builtin_wasm_memory_grow(0, (size >> 16) + 1) == (size_t)-1)
    return NULL;
  heap = start + size;
  return start;
}

void *allocate(size_t size) __attribute__((export_name("malloc")));
void *allocate(size_t size) {
  size_t unused;
  switch (allocation) {
    case 'n': return NULL;
    case 't': __builtin_trap();
    case 'c': env_proxy_get_header_map_size(REQUEST_HEADERS, (I)&unused); break;
    case 'x': return (char *)-16;
  }
  return take(size);
}

// ---- What is said: lines for the log, and all of them for an answer.

static char said[32768];
static size_t said_length, line_start;

static void put(const char *text, size_t length) {
  if (length > sizeof said - said_length) length = sizeof said - said_length;
  memcpy(said + said_length, text, length);
  said_length += length;
}

static void put_text(const char *text) { put(text, strlen(text)); }

static void put_number(uint64_t number) {
  char digits[20], *first = digits + sizeof digits;
  do *--first = (char)('0' + number % 10);
  while (number /= 10);
  put(first, (size_t)(digits + sizeof digits - first));
}

static void put_signed(L number) {
  if (number < 0) put_text("-");
  put_number(number < 0 ? -(uint64_t)number : (uint64_t)number);
}

// Bytes as a script would write them.
static void put_quoted(const char *bytes, size_t length) {
  static const char hex[] = "0123456789abcdef";
  put_text("\"");
  for (; length; bytes++, length--) {
    unsigned char byte = (unsigned char)*bytes;
    char code[] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    if (byte == '"' || byte == '\\')
      put((char[]){'\\', (char)byte}, 2);
    else if (byte < ' ' || byte > '~')
      put(code, sizeof code);
    else
      put(bytes, 1);
  }
  put_text("\"");
}

static void put_pairs(const char *bytes, size_t length) {
  uint32_t count = 0, sizes[2];
  if (length >= 4) memcpy(&count, bytes, 4);
  const char *text = bytes + 4 + 8 * (size_t)count;
  put_text("{");
  for (uint32_t pair = 0; pair < count; pair++) {
    memcpy(sizes, bytes + 4 + 8 * (size_t)pair, 8);
    if (pair) put_text("|");
    put(text, sizes[0]);
    put_text("=");
    put(text + sizes[0] + 1, sizes[1]);
    text += sizes[0] + sizes[1] + 2;
  }
  put_text("}");
}

static void end_line(void) {
  env_proxy_log(INFO, (I)(said + line_start), (I)(said_length - line_start));
  put_text("\n");
  line_start = said_length;
}

// ---- Scripts: one for each context that has its own.

static struct script {
  uint32_t id, root;
  int used, trace;
  size_t length;
  char text[8192];
} scripts[32];

static struct script *find(uint32_t id) {
  for (size_t at = 0; at < sizeof scripts / sizeof *scripts; at++)
    if (scripts[at].used && scripts[at].id == id) return &scripts[at];
  return NULL;
}

// The script that counts for a context: its own, or its plugin's.
static struct script *script_of(uint32_t id) {
  struct script *script = find(id);
  return script && !script->length && script->root ? find(script->root) : script;
}

static void create(uint32_t id, uint32_t root) {
  for (size_t at = 0; at < sizeof scripts / sizeof *scripts; at++) {
    if (scripts[at].used) continue;
    scripts[at].used = 1, scripts[at].id = id, scripts[at].root = root;
    scripts[at].trace = 0, scripts[at].length = 0;
    return;
  }
  put_text("no room for another context");
  end_line();
}

static void keep(struct script *script, const char *text, size_t length) {
  if (!script || length > sizeof script->text) {
    put_text("no room for this script");
    return end_line();
  }
  memcpy(script->text, text, length);
  script->length = length;
  for (size_t at = 0; at + 5 <= length; at++) {
    int begins = !at || text[at - 1] == '\n' || text[at - 1] == ';' || text[at - 1] == ' ';
    int ends = at + 5 == length || text[at + 5] == '\n' || text[at + 5] == ';';
    if (begins && ends && !memcmp(text + at, "trace", 5)) script->trace = 1;
  }
}

// Which context began a call: answers come to the plugin's.
static struct {
  uint32_t call, id;
} calls[32];
static size_t calls_begun;

static uint32_t caller(uint32_t call, uint32_t root) {
  for (size_t at = 0; at < sizeof calls / sizeof *calls; at++)
    if (calls[at].id && calls[at].call == call && find(calls[at].id)) return calls[at].id;
  return root;
}

// ---- Lines of a script.

static L variables[26];

// What is being run: the rest of the line, whose it is, and what the callback was given.
static struct run {
  const char *at, *end;
  uint32_t id, root;
  L given[5];
} run;

static void skip(void) {
  while (run.at < run.end && *run.at == ' ') run.at++;
}

// Whether the line goes on with this word, which is then behind us.
static int word(const char *text) {
  size_t length = strlen(text);
  skip();
  if ((size_t)(run.end - run.at) < length || memcmp(run.at, text, length)) return 0;
  const char *behind = run.at + length;
  if (behind < run.end && *behind != ' ' && *behind != '-') return 0;
  run.at = behind;
  return 1;
}

static int digit(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : 16;
}

static L number(void) {
  skip();
  int negative = run.at < run.end && *run.at == '-';
  run.at += negative;
  int hex = run.end - run.at > 2 && run.at[0] == '0' && run.at[1] == 'x';
  if (hex) run.at += 2;
  uint64_t value = 0;
  for (; run.at < run.end && digit(*run.at) < (hex ? 16 : 10); run.at++)
    value = value * (hex ? 16 : 10) + (uint64_t)digit(*run.at);
  return negative ? -(L)value : (L)value;
}

// The text behind a quotation mark, up to the next.
static size_t quoted(char *into) {
  char *start = into;
  for (; run.at < run.end && *run.at != '"'; run.at++) {
    if (*run.at != '\\' || run.at + 1 >= run.end) {
      *into++ = *run.at;
      continue;
    }
    switch (*++run.at) {
      case 'n': *into++ = '\n'; break;
      case '0': *into++ = '\0'; break;
      case 'x':
        if (run.end - run.at < 3) break;
        *into++ = (char)(digit(run.at[1]) << 4 | digit(run.at[2]));
        run.at += 2;
        break;
      default: *into++ = *run.at;
    }
  }
  run.at++;
  return (size_t)(into - start);
}

// The headers behind a brace, in the host's form.
static size_t pairs(char *into) {
  const char *start = run.at;
  uint32_t count = 0;
  while (run.at < run.end && *run.at != '}') {
    count += run.at == start || *run.at == '|';
    run.at++;
  }
  const char *end = run.at++;
  memcpy(into, &count, 4);
  char *sizes = into + 4, *text = sizes + 8 * (size_t)count;
  for (const char *at = start; at < end; at++) {
    const char *next = at, *value = NULL;
    for (; next < end && *next != '|'; next++)
      if (*next == '=' && !value) value = next;
    if (!value) value = next;
    uint32_t lengths[] = {(uint32_t)(value - at), (uint32_t)(next > value ? next - value - 1 : 0)};
    memcpy(sizes, lengths, 8);
    memcpy(text, at, lengths[0]);
    text[lengths[0]] = '\0';
    memcpy(text + lengths[0] + 1, value + 1, lengths[1]);
    text[lengths[0] + 1 + lengths[1]] = '\0';
    sizes += 8, text += lengths[0] + lengths[1] + 2, at = next;
  }
  return (size_t)(text - into);
}

// The arguments of a call, and what of them is shown afterwards.
struct call {
  L a[16];
  int count;
  struct output {
    char kind, letter;
    char *place;
  } outputs[6];
  int shown;
};

static void push(struct call *call, L value) {
  if (call->count < 16) call->a[call->count++] = value;
}

static void output(struct call *call, char kind, char letter, int places) {
  uint32_t *place = (uint32_t *)take(8);
  if (!place || call->shown == 6) return;
  place[0] = place[1] = 0;
  call->outputs[call->shown++] = (struct output){kind, letter, (char *)place};
  for (int at = 0; at < places; at++) push(call, (L)(size_t)(place + at));
}

static void argument(struct call *call) {
  char *bytes;
  if (word("end")) return push(call, (L)(size_t)memory_end() + number());
  if (word("ctx")) return push(call, run.id);
  if (word("root")) return push(call, run.root);
  char first = *run.at, next = run.at + 1 < run.end ? run.at[1] : ' ';
  switch (first) {
    case '"':
    case '{':
      bytes = take(12 * (size_t)(run.end - run.at) + 16);
      run.at++;
      if (!bytes) return;
      push(call, (L)(size_t)bytes);
      return push(call, (L)(first == '"' ? quoted(bytes) : pairs(bytes)));
    case '$':
      run.at += 2;
      if (next >= '0' && next < '5') return push(call, run.given[next - '0']);
      return push(call, next >= 'a' && next <= 'z' ? variables[next - 'a'] : 0);
    case '>':
      run.at += 2;
      if (next == '>' || next == '{') return output(call, next, ' ', 2);
      return output(call, next == '8' ? '8' : '4', next, 1);
  }
  const char *before = run.at;
  L value = number();
  if (run.at == before) run.at = run.end;
  push(call, value);
}

static void show(const struct output *output) {
  uint32_t place[2];
  uint64_t wide;
  memcpy(place, output->place, 8);
  memcpy(&wide, output->place, 8);
  put_text(" ");
  switch (output->kind) {
    case '>': return put_quoted((const char *)(size_t)place[0], place[1]);
    case '{': return put_pairs((const char *)(size_t)place[0], place[1]);
    case '8': return put_number(wide);
  }
  put_number(place[0]);
  if (output->letter >= 'a' && output->letter <= 'z') variables[output->letter - 'a'] = place[0];
}

static const struct function *named(const char *name, size_t length) {
  for (size_t at = 0; at < sizeof functions / sizeof *functions; at++) {
    const char *known = functions[at].name;
    if (!memcmp(known, "env.", 4)) known += 4;
    if (strlen(known) == length && !memcmp(known, name, length)) return &functions[at];
  }
  return NULL;
}

static void call_host(L times) {
  skip();
  const char *name = run.at;
  while (run.at < run.end && *run.at != ' ') run.at++;
  size_t length = (size_t)(run.at - name);
  const struct function *function = named(name, length);
  struct call call = {0};
  for (skip(); run.at < run.end; skip()) argument(&call);
  put(name, length);
  put_text(" -> ");
  if (!function || call.count != function->count) {
    put_text(function ? "another number of arguments" : "no such function");
    return end_line();
  }
  char *mark = heap;
  I status = 0;
  while (times-- > 0) {
    heap = mark;
    status = function->call(call.a);
  }
  put_signed(status);
  for (int at = 0; at < call.shown && status == OK; at++) show(&call.outputs[at]);
  // The last place of what begins a call is that of its id.
  int begins = length > 12 && (!memcmp(name, "proxy_http_c", 12) ||
                               !memcmp(name, "proxy_grpc_c", 12) ||
                               !memcmp(name, "proxy_grpc_s", 12));
  if (status == OK && call.shown && begins) {
    size_t slot = calls_begun++ % (sizeof calls / sizeof *calls);
    memcpy(&calls[slot].call, call.outputs[call.shown - 1].place, 4);
    calls[slot].id = run.id;
  }
  end_line();
}

static void line(L *result) {
  skip();
  if (run.at == run.end || *run.at == '#' || word("trace")) return;
  if (word("trap")) __builtin_trap();
  if (word("return")) {
    *result = number();
  } else if (word("answer")) {
    env_proxy_send_local_response(200, 0, 0, (I)said, (I)said_length, 0, 0, -1);
  } else if (word("allocate")) {
    allocation = word("null") ? 'n' : word("wild") ? 'x' : word("call") ? 'c'
               : word("trap") ? 't' : 'w';
  } else {
    call_host(word("times") ? number() : 1);
  }
}

// Runs those lines of a text that belong to a callback; answers what it shall return.
static L lines(const char *text, size_t length, const char *callback, L result) {
  const char *end = text + length, *section = "request_headers";
  size_t section_length = strlen(section);
  for (const char *at = text; at < end; at++) {
    const char *start = at;
    for (int quoted = 0; at < end && *at != '\n' && (*at != ';' || quoted); at++) {
      if (quoted && *at == '\\') at++;
      else if (*at == '"') quoted = !quoted;
    }
    if (at > end) at = end;
    while (start < at && *start == ' ') start++;
    const char *behind = at;
    while (behind > start && (behind[-1] == ' ' || behind[-1] == '\r')) behind--;
    if (start < behind && *start == '@') {
      section = start + 1, section_length = (size_t)(behind - section);
    } else if (section_length == strlen(callback) && !memcmp(section, callback, section_length)) {
      run.at = start, run.end = behind;
      line(&result);
    }
  }
  return result;
}
