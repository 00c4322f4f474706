//! What a process is started with where signals are concerned: as a shell in the foreground starts it, however the server was started.
//!
//! A signal that is ignored stays ignored in whatever a process starts: after `nohup skipper server &` an application could be
//! ended neither by SIGINT nor by SIGHUP, and may well ask for one of them by its stop signal. A signal that is *caught* is not: it
//! has its default again in the program that is started. So what is ignored here is caught before, which does nothing. The mask
//! and SIGPIPE are the standard library's business, which empties and resets them for whatever it starts.

use std::{fs, io};

use tokio::signal::unix::{SignalKind, signal};

/// Signals are 1 to 64.
const SIGNALS: i32 = 64;

/// Gives what this process starts from now on the default of every signal that is ignored here.
///
/// # Errors
///
/// When a handler cannot be installed.
pub(super) fn hand_on_defaults() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored: Vec<i32> = ignored(&status).into_iter().filter(|number| is_inherited(*number)).collect();
    if ignored.is_empty() {
        return Ok(());
    }
    // The handlers stay when it is gone, and nobody listens to them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    for number in ignored {
        match signal(SignalKind::from_raw(number)) {
            Ok(_) => {}
            // Those that tell of a fault of the process itself are not caught, and nobody has them ignored.
            Err(error) if error.kind() == io::ErrorKind::Other => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// SIGPIPE is ignored by this program itself, and the standard library resets it.
fn is_inherited(number: i32) -> bool {
    number != rustix::process::Signal::PIPE.as_raw()
}

/// The numbers of the ignored signals, from `/proc/PID/status`.
fn ignored(status: &str) -> Vec<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    (1..=SIGNALS).filter(|number| mask >> (number - 1) & 1 == 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_understood() {
        assert_eq!(ignored("Name:\tx\nSigBlk:\tffff\nSigIgn:\t0000000000001007\nSigCgt:\t0\n"), [1, 2, 3, 13]);
        assert_eq!(ignored("Name:\tx\nSigIgn:\t8000000000000000\n"), [64]);
        assert_eq!(ignored("Name:\tx\n"), [0; 0]);
    }
}
