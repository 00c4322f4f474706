use std::{fs::File, io::Read, path::Path};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex};

use super::super::Context;
use crate::{
    failure::{Doing as _, Exit, Failure},
    render::to_stderr,
};

/// What the terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// Largest value.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a value from a file, else from standard input: without showing it where that is a terminal. One line end at the end
/// is not part of it, unless `exact`.
///
/// # Errors
///
/// It cannot be read, or is empty, or too large.
pub(super) fn read_value(context: &Context, name: &str, from: Option<&Path>, exact: bool) -> Result<Vec<u8>, Failure> {
    let whole = |source: &mut dyn Read| {
        let mut value = Vec::new();
        source.take(MAX_BYTES + 1).read_to_end(&mut value).map(|_| value)
    };
    let mut value = match from.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let path = context.surroundings.resolve(path);
            File::open(&path).and_then(|mut file| whole(&mut file)).doing(|| format!("read {}", path.display()))?
        }
        None if context.surroundings.stdin_is_terminal => read_hidden(name)?,
        None => whole(&mut std::io::stdin().lock()).doing(|| "read the value".to_owned())?,
    };
    if value.len() as u64 > MAX_BYTES {
        return Err(Failure::error(format!("the value is larger than {} KiB", MAX_BYTES >> 10)));
    }
    if !exact && value.ends_with(b"\n") {
        value.pop();
        if value.ends_with(b"\r") {
            value.pop();
        }
    }
    if value.is_empty() {
        return Err(
            Failure::usage("the value is empty").hint("give it on standard input, as in `< FILE`, or with --from-file")
        );
    }
    Ok(value)
}

/// Reads a line from the terminal without showing it; the terminal is put back also when reading fails.
fn read_hidden(name: &str) -> Result<Vec<u8>, Failure> {
    let terminal = rustix::stdio::stdin();
    let before = termios::tcgetattr(terminal).doing(|| "ask the terminal".to_owned())?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    // Ctrl-C must not end the process while the echo is off: it ends the line instead, and is seen there.
    hidden.local_modes.remove(LocalModes::ISIG);
    hidden.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    to_stderr(&format!("value of {name} (not shown): "));
    termios::tcsetattr(terminal, OptionalActions::Flush, &hidden).doing(|| "switch off the echo".to_owned())?;
    let mut line = Vec::new();
    let read = read_line(&mut line);
    let restored = termios::tcsetattr(terminal, OptionalActions::Flush, &before);
    read.doing(|| "read the value".to_owned())?;
    restored.doing(|| "switch the echo on again".to_owned())?;
    if line.contains(&CTRL_C) {
        to_stderr("\n");
        return Err(Failure::quiet(Exit::Interrupted));
    }
    Ok(line)
}

/// Reads to the end of the line or to Ctrl-C.
fn read_line(line: &mut Vec<u8>) -> std::io::Result<()> {
    for byte in std::io::stdin().lock().take(MAX_BYTES + 1).bytes() {
        let byte = byte?;
        line.push(byte);
        if byte == b'\n' || byte == CTRL_C {
            break;
        }
    }
    Ok(())
}
