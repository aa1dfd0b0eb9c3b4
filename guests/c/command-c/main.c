// An ordinary program of WASI's first preview: its first argument says what it does.
//
// `args…` prints them, `env`, `cat`, `exit N`, `stderr TEXT`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static int cat(void) {
  char bytes[4096];
  size_t length;
  while ((length = fread(bytes, 1, sizeof bytes, stdin)) > 0)
    if (fwrite(bytes, 1, length, stdout) != length) return 1;
  return ferror(stdin) != 0;
}

static void lines(char **text) {
  for (; *text; text++) puts(*text);
}

int main(int count, char **words) {
  if (count < 2) {
    puts("Hello from a command");
  } else if (!strcmp(words[1], "args")) {
    lines(words + 2);
  } else if (!strcmp(words[1], "env")) {
    lines(environ);
  } else if (!strcmp(words[1], "cat")) {
    return cat();
  } else if (!strcmp(words[1], "exit") && count == 3) {
    exit(atoi(words[2]));
  } else if (!strcmp(words[1], "stderr") && count == 3) {
    fprintf(stderr, "%s\n", words[2]);
  } else {
    fprintf(stderr, "no such thing to do: %s\n", words[1]);
    return 1;
  }
  return 0;
}
