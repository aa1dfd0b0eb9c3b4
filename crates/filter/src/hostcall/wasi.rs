//! WASI preview 1 as filters have it: the log, clocks, chance, the environment; no files.
//!
//! Every function answers with an error of WASI. Those that a filter cannot need say so.

use super::{Call, Outcome, logging};
use crate::abi::{LogLevel, Status, errno};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// As many bytes of chance are given at once.
const MOST_RANDOM: u32 = 64 << 10;
/// One line is made of so many pieces at most.
const MOST_PIECES: u32 = 1024;

/// An answer of WASI: success, or what the function has to say.
pub(crate) type Answer = Result<u32, super::Fail>;

/// The errors of memory have a word of their own here.
fn fault(outcome: Result<(), Status>) -> Answer {
    Ok(match outcome {
        Ok(()) => errno::SUCCESS,
        Err(_outside) => errno::FAULT,
    })
}

/// `fd_write`: a line for the log; one newline at its end is left out.
pub(crate) fn fd_write(call: &mut Call<'_>, fd: u32, pieces: u32, count: u32, to: u32) -> Answer {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Ok(errno::BADF),
    };
    if count > MOST_PIECES {
        return Ok(errno::INVAL);
    }
    let Some(line) = gather(call, pieces, count) else { return Ok(errno::FAULT) };
    let Ok(written) = u32::try_from(line.len()) else { return Ok(errno::INVAL) };
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    if !line.is_empty() {
        logging::write(call.state(), level, line);
    }
    fault(call.put_u32(to, written))
}

fn gather(call: &mut Call<'_>, pieces: u32, count: u32) -> Option<Vec<u8>> {
    let pieces = call.copy(pieces, count.checked_mul(8)?).ok()?;
    let mut line = Vec::new();
    for piece in pieces.chunks_exact(8) {
        let number = |at: usize| Some(u32::from_le_bytes(piece.get(at..at + 4)?.try_into().ok()?));
        let (part, _) = call.bytes(number(0)?, number(4)?).ok()?;
        line.extend_from_slice(part);
        // Many pieces that are the same memory would be a bomb.
        if line.len() > 1 << 20 {
            return None;
        }
    }
    Some(line)
}

/// `clock_time_get`.
pub(crate) fn clock_time_get(call: &mut Call<'_>, clock: u32, _precision: u64, to: u32) -> Answer {
    let outside = &mut call.state().outside;
    let time = match clock {
        0 => outside.now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        1 => outside.monotonic(),
        _ => return Ok(errno::NOTSUP),
    };
    fault(call.put_u64(to, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
}

/// `clock_res_get`.
pub(crate) fn clock_res_get(call: &mut Call<'_>, clock: u32, to: u32) -> Answer {
    match clock {
        0 | 1 => fault(call.put_u64(to, 1)),
        _ => Ok(errno::NOTSUP),
    }
}

/// `random_get`.
pub(crate) fn random_get(call: &mut Call<'_>, to: u32, size: u32) -> Answer {
    if size > MOST_RANDOM {
        return Ok(errno::INVAL);
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    if getrandom::fill(&mut bytes).is_err() {
        return Ok(errno::NOTSUP);
    }
    fault(call.put(to, &bytes))
}

/// `environ_sizes_get`: only what the deployment names.
pub(crate) fn environ_sizes_get(call: &mut Call<'_>, count: u32, size: u32) -> Answer {
    let environment = &call.state().plugin.environment;
    let bytes: usize = environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let (number, bytes) = (u32::try_from(environment.len()), u32::try_from(bytes));
    let (Ok(number), Ok(bytes)) = (number, bytes) else { return Ok(errno::INVAL) };
    fault(call.put_u32(count, number).and_then(|()| call.put_u32(size, bytes)))
}

/// `environ_get`.
pub(crate) fn environ_get(call: &mut Call<'_>, list: u32, buffer: u32) -> Answer {
    let plugin = Arc::clone(&call.state().plugin);
    let mut write = || {
        let (mut place, mut to) = (list, buffer);
        let outside = Status::InvalidMemoryAccess;
        for (name, value) in &plugin.environment {
            let line = format!("{name}={value}\0");
            call.put_u32(place, to)?;
            call.put(to, line.as_bytes())?;
            let length = u32::try_from(line.len()).map_err(|_long| outside)?;
            to = to.checked_add(length).ok_or(outside)?;
            place = place.checked_add(4).ok_or(outside)?;
        }
        Ok(())
    };
    fault(write())
}

/// `args_sizes_get`: none.
pub(crate) fn args_sizes_get(call: &mut Call<'_>, count: u32, size: u32) -> Answer {
    fault(call.put_u32(count, 0).and_then(|()| call.put_u32(size, 0)))
}

/// `fd_fdstat_get`: the two streams that are written to, with the right to do so.
pub(crate) fn fd_fdstat_get(call: &mut Call<'_>, fd: u32, to: u32) -> Answer {
    if !matches!(fd, 1 | 2) {
        return Ok(errno::BADF);
    }
    // A character device, no flags, the right of `fd_write` and none to pass on.
    let mut stat = [0; 24];
    stat[0] = 2;
    stat[8] = 64;
    fault(call.put(to, &stat))
}

/// `poll_oneoff`: nothing ever happens; runtimes ask it for the time to pass.
pub(crate) fn poll_oneoff(
    call: &mut Call<'_>,
    _subscriptions: u32,
    _events: u32,
    _count: u32,
    to: u32,
) -> Answer {
    fault(call.put_u32(to, 0))
}

/// `proc_exit` returns: whoever ends itself traps behind it, and takes nobody along.
pub(crate) fn proc_exit(call: &mut Call<'_>, code: u32) -> Outcome {
    let line = format!("the filter ends itself with {code}");
    logging::write(call.state(), LogLevel::Error, line.as_bytes());
    Ok(())
}

/// Functions that do nothing, with what they answer and the types of their arguments: `i` is 32
/// bits, `I` is 64.
pub(crate) const NOTHING: [(&str, &str, u32); 35] = [
    ("args_get", "ii", errno::SUCCESS),
    ("sched_yield", "", errno::SUCCESS),
    ("fd_close", "i", errno::SUCCESS),
    ("fd_seek", "iIii", errno::SUCCESS),
    ("fd_read", "iiii", errno::NOSYS),
    ("fd_pread", "iiiIi", errno::NOSYS),
    ("fd_fdstat_set_flags", "ii", errno::NOSYS),
    ("fd_fdstat_set_rights", "iII", errno::NOSYS),
    ("fd_prestat_get", "ii", errno::BADF),
    ("fd_prestat_dir_name", "iii", errno::NOSYS),
    ("fd_advise", "iIIi", errno::NOSYS),
    ("fd_allocate", "iII", errno::NOSYS),
    ("fd_datasync", "i", errno::NOSYS),
    ("fd_filestat_get", "ii", errno::NOSYS),
    ("fd_filestat_set_size", "iI", errno::NOSYS),
    ("fd_filestat_set_times", "iIIi", errno::NOSYS),
    ("fd_pwrite", "iiiIi", errno::NOSYS),
    ("fd_readdir", "iiiIi", errno::NOSYS),
    ("fd_renumber", "ii", errno::NOSYS),
    ("fd_sync", "i", errno::NOSYS),
    ("fd_tell", "ii", errno::NOSYS),
    ("path_open", "iiiiiIIii", errno::NOENT),
    ("path_create_directory", "iii", errno::NOTSUP),
    ("path_filestat_get", "iiiii", errno::NOTSUP),
    ("path_filestat_set_times", "iiiiIIi", errno::NOTSUP),
    ("path_link", "iiiiiii", errno::NOTSUP),
    ("path_readlink", "iiiiii", errno::NOTSUP),
    ("path_remove_directory", "iii", errno::NOTSUP),
    ("path_rename", "iiiiii", errno::NOTSUP),
    ("path_symlink", "iiiii", errno::NOTSUP),
    ("path_unlink_file", "iii", errno::NOTSUP),
    ("sock_accept", "iii", errno::NOTSUP),
    ("sock_recv", "iiiiii", errno::NOTSUP),
    ("sock_send", "iiiii", errno::NOTSUP),
    ("sock_shutdown", "ii", errno::NOTSUP),
];
