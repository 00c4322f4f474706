use std::io::Read as _;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Context;
use crate::{
    failure::{Doing as _, Exit, Failure},
    render::to_stderr,
};

/// Longest password. Servers take less.
const MOST: usize = 1024;

/// Asks a person for a password; each letter shows as `*`.
///
/// # Errors
///
/// Nobody is there to type, or Ctrl-C.
pub(super) fn ask(context: &Context, question: &str) -> Result<String, Failure> {
    if !context.surroundings.stdin_is_terminal {
        return Err(Failure::usage("nobody is here to type the password").hint("give it with --password"));
    }
    let typed = {
        // Before anybody is asked to type.
        let _quiet = Quiet::new()?;
        to_stderr(question);
        read(&mut std::io::stdin().lock().bytes(), to_stderr)
    };
    to_stderr("\n");
    typed
}

/// The terminal without echo and with every key given on at once, until dropped.
struct Quiet(Termios);

impl Quiet {
    fn new() -> Result<Self, Failure> {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin).doing(|| "ask for the password".to_owned())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(stdin, OptionalActions::Now, &quiet).doing(|| "ask for the password".to_owned())?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nobody can be told; the next prompt sets the terminal anyway.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

fn read(keys: &mut dyn Iterator<Item = std::io::Result<u8>>, show: impl Fn(&str)) -> Result<String, Failure> {
    let mut typed: Vec<u8> = Vec::new();
    loop {
        let key = keys.next().transpose().doing(|| "read the password".to_owned())?;
        match key {
            Some(b'\n' | b'\r') => break,
            None | Some(3 | 4) => return Err(Failure::quiet(Exit::Interrupted)),
            Some(8 | 127) => {
                // A letter may be several bytes.
                while typed.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
                show("\x08 \x08");
            }
            Some(byte) if typed.len() < MOST => {
                typed.push(byte);
                if byte & 0xC0 != 0x80 {
                    show("*");
                }
            }
            Some(_) => {}
        }
    }
    String::from_utf8(typed).map_err(|_| Failure::usage("the password is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str) -> Option<String> {
        read(&mut keys.bytes().map(Ok), |_| ()).ok()
    }

    #[test]
    fn a_password_ends_with_enter_and_can_be_corrected() {
        assert_eq!(typed("secret\n").as_deref(), Some("secret"));
        assert_eq!(typed("aé\x7f\x7fb c\r").as_deref(), Some("b c"));
        assert_eq!(typed("abc\x03"), None);
        assert_eq!(typed("abc"), None);
    }
}
