use std::{io::BufRead, path::Path};

use super::{
    session::{After, Session},
    words::{Words, says_nothing},
};
use crate::failure::{Doing as _, Exit, Failure};

/// Longest line of a script, its continuations included.
const MAX_LINE: u64 = 1 << 20;
/// Scripts that call scripts, at most: more is a script that calls itself.
const MAX_DEPTH: usize = 16;

/// Runs the commands in a file.
pub(super) fn run_file(session: &mut Session, file: &Path, keep_going: bool) -> After {
    let name = file.display().to_string();
    let opened = std::fs::File::open(session.surroundings.resolve(file)).map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Error };
        let told = Err::<(), _>(error).doing(|| format!("read the script {name}"));
        Failure { exit, ..told.expect_err("it is one") }
    });
    match opened {
        Ok(opened) => run(session, &name, &mut std::io::BufReader::new(opened), keep_going),
        Err(failure) => session.failed(&format!("script {name}"), failure),
    }
}

/// Runs the commands of a script, until one fails or the shell is left; with `keep_going` all of them, and the first
/// failure is what comes of it.
pub(super) fn run(session: &mut Session, name: &str, lines: &mut dyn BufRead, keep_going: bool) -> After {
    if session.scripts >= MAX_DEPTH {
        let failure = Failure::error(format!("{MAX_DEPTH} scripts call one another; does {name} call itself?"));
        return session.failed(&format!("script {name}"), failure);
    }
    session.scripts += 1;
    let after = run_lines(session, name, lines, keep_going);
    session.scripts -= 1;
    after
}

fn run_lines(session: &mut Session, name: &str, lines: &mut dyn BufRead, keep_going: bool) -> After {
    let mut number = 0;
    let mut first = After::Next;
    loop {
        let (at, line) = match next(lines, &mut number) {
            Ok(Some(found)) => found,
            Ok(None) => return first,
            Err(failure) => {
                let failure = Failure { message: format!("{name}: {failure}"), ..failure };
                return session.failed(name, failure);
            }
        };
        match session.line(&line) {
            After::Next => {}
            After::Leave(code) => return After::Leave(code),
            After::Failed(exit) => {
                crate::render::to_stderr(&format!("{name}: line {at} failed: {}\n", line.trim()));
                if first == After::Next {
                    first = After::Failed(exit);
                }
                // Ctrl-C is meant for the script.
                if !keep_going || exit == Exit::Interrupted {
                    return After::Failed(exit);
                }
            }
        }
    }
}

/// The next command and the number of its first line. A backslash at the end, or a quote that is open, asks for the line
/// after.
fn next(lines: &mut dyn BufRead, number: &mut usize) -> Result<Option<(usize, String)>, Failure> {
    let mut command = String::new();
    let mut at = 0;
    loop {
        let mut line = String::new();
        let read = std::io::Read::take(&mut *lines, MAX_LINE + 1).read_line(&mut line);
        let bytes = read.doing(|| format!("read line {}", *number + 1))?;
        if bytes == 0 {
            return Ok((!command.is_empty()).then_some((at, command)));
        }
        *number += 1;
        if line.len() as u64 + command.len() as u64 > MAX_LINE {
            return Err(Failure::error(format!("line {number} is longer than {} KiB", MAX_LINE >> 10)));
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if command.is_empty() {
            at = *number;
            // A file that an editor of Windows saved may begin with a mark.
            let line = line.strip_prefix('\u{feff}').unwrap_or(line);
            if says_nothing(line) {
                continue;
            }
            command.push_str(line);
        } else {
            command.push_str(line);
        }
        if Words::of(&command).is_whole() {
            return Ok(Some((at, command)));
        }
        command.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(script: &str) -> Vec<(usize, String)> {
        let (mut lines, mut number) = (script.as_bytes(), 0);
        std::iter::from_fn(|| next(&mut lines, &mut number).expect("readable")).collect()
    }

    #[test]
    fn comments_and_blank_lines_are_left_out_and_lines_counted() {
        let found = commands("\u{feff}// tour\n\nlist\r\n  # more\nstatus a\n");
        assert_eq!(found, [(3, "list".to_owned()), (5, "status a".to_owned())]);
    }

    #[test]
    fn a_command_may_go_on_in_the_next_line() {
        let found = commands("install a \\\n  --file x\nset 'a\nb'\nlast \\");
        assert_eq!(
            found,
            [(1, "install a \\\n  --file x".to_owned()), (3, "set 'a\nb'".to_owned()), (5, "last \\\n".to_owned())]
        );
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = "x".repeat(2 << 20);
        let (mut lines, mut number) = (endless.as_bytes(), 0);
        assert!(next(&mut lines, &mut number).is_err());
    }
}
