// Calls any function of WASI that hosts of Proxy-Wasm have, as a script says: `preview1.NAME` from
// `wasi_snapshot_preview1`, `unstable.NAME` from `wasi_unstable`.
//
// `../../include/script.h` has the language.
#define FUNCTIONS(X)                        \
  WASI(X, preview1, "wasi_snapshot_preview1") \
  WASI(X, unstable, "wasi_unstable")
#define WASI(X, prefix, module)                                        \
  X(prefix, module, I, args_get, 2, I, I)                              \
  X(prefix, module, I, args_sizes_get, 2, I, I)                        \
  X(prefix, module, I, clock_res_get, 2, I, I)                         \
  X(prefix, module, I, clock_time_get, 3, I, L, I)                     \
  X(prefix, module, I, environ_get, 2, I, I)                           \
  X(prefix, module, I, environ_sizes_get, 2, I, I)                     \
  X(prefix, module, I, fd_advise, 4, I, L, L, I)                       \
  X(prefix, module, I, fd_allocate, 3, I, L, L)                        \
  X(prefix, module, I, fd_close, 1, I)                                 \
  X(prefix, module, I, fd_datasync, 1, I)                              \
  X(prefix, module, I, fd_fdstat_get, 2, I, I)                         \
  X(prefix, module, I, fd_fdstat_set_flags, 2, I, I)                   \
  X(prefix, module, I, fd_fdstat_set_rights, 3, I, L, L)               \
  X(prefix, module, I, fd_filestat_get, 2, I, I)                       \
  X(prefix, module, I, fd_filestat_set_size, 2, I, L)                  \
  X(prefix, module, I, fd_filestat_set_times, 4, I, L, L, I)           \
  X(prefix, module, I, fd_pread, 5, I, I, I, L, I)                     \
  X(prefix, module, I, fd_prestat_dir_name, 3, I, I, I)                \
  X(prefix, module, I, fd_prestat_get, 2, I, I)                        \
  X(prefix, module, I, fd_pwrite, 5, I, I, I, L, I)                    \
  X(prefix, module, I, fd_read, 4, I, I, I, I)                         \
  X(prefix, module, I, fd_readdir, 5, I, I, I, L, I)                   \
  X(prefix, module, I, fd_renumber, 2, I, I)                           \
  X(prefix, module, I, fd_seek, 4, I, L, I, I)                         \
  X(prefix, module, I, fd_sync, 1, I)                                  \
  X(prefix, module, I, fd_tell, 2, I, I)                               \
  X(prefix, module, I, fd_write, 4, I, I, I, I)                        \
  X(prefix, module, I, path_create_directory, 3, I, I, I)              \
  X(prefix, module, I, path_filestat_get, 5, I, I, I, I, I)            \
  X(prefix, module, I, path_filestat_set_times, 7, I, I, I, I, L, L, I) \
  X(prefix, module, I, path_link, 7, I, I, I, I, I, I, I)              \
  X(prefix, module, I, path_open, 9, I, I, I, I, I, L, L, I, I)        \
  X(prefix, module, I, path_readlink, 6, I, I, I, I, I, I)             \
  X(prefix, module, I, path_remove_directory, 3, I, I, I)              \
  X(prefix, module, I, path_rename, 6, I, I, I, I, I, I)               \
  X(prefix, module, I, path_symlink, 5, I, I, I, I, I)                 \
  X(prefix, module, I, path_unlink_file, 3, I, I, I)                   \
  X(prefix, module, I, poll_oneoff, 4, I, I, I, I)                     \
  X(prefix, module, I, random_get, 2, I, I)                            \
  X(prefix, module, I, sched_yield, 0, void)                           \
  X(prefix, module, I, sock_accept, 3, I, I, I)                        \
  X(prefix, module, I, sock_recv, 6, I, I, I, I, I, I)                 \
  X(prefix, module, I, sock_send, 5, I, I, I, I, I)                    \
  X(prefix, module, I, sock_shutdown, 2, I, I)                         \
  X(prefix, module, void, proc_exit, 1, I)

#include "callbacks.h"
