//! Lines typed by a person: prompt, history, completion.

use std::{borrow::Cow, cell::RefCell, path::PathBuf, rc::Rc, time::Duration};

use rustyline::{
    ColorMode, CompletionType, Config, Context, Editor, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};

use super::{
    complete,
    session::{After, Session},
    words::{Words, says_nothing},
};
use crate::{
    failure::Exit,
    render::{Colour, Output, to_stderr},
    surroundings::Surroundings,
    targets::Connection,
};

/// Longest that the start waits for the server.
const GREETING: Duration = Duration::from_secs(3);
/// The same before a prompt, after something went wrong.
const GLANCE: Duration = Duration::from_millis(300);
/// Lines that are remembered.
const HISTORY: usize = 2000;

/// Reads lines until the person leaves.
pub(super) fn run(session: &mut Session) -> After {
    let out = Output::new(&session.surroundings, false, Colour::Auto, false);
    let asks = Rc::new(RefCell::new((session.surroundings.clone(), session.connection.clone())));
    let mut editor = match editor(Rc::clone(&asks)) {
        Ok(editor) => editor,
        Err(error) => return session.failed("", crate::failure::Failure::error(format!("use the terminal: {error}"))),
    };
    let history = history_file(&session.surroundings);
    if let Some(path) = &history {
        // The first time there is none, and one that cannot be read is no reason not to start.
        let _ = editor.load_history(path);
    }
    match session.greet(GREETING) {
        Ok(found) => out.note(&format!(
            "Skipper shell {}; the server at {} runs version {}.\n`help` lists the commands, Tab completes them, `exit` leaves.",
            env!("CARGO_PKG_VERSION"),
            found.url,
            found.version
        )),
        Err(failure) => {
            failure.print();
            out.note("`config --uri URL` names another server; `help` lists the commands.");
        }
    }
    let mut after = After::Next;
    loop {
        if !session.connected || matches!(after, After::Failed(exit) if exit != Exit::Usage) {
            let _ = session.greet(GLANCE);
        }
        *asks.borrow_mut() = (session.surroundings.clone(), session.connection.clone());
        let line = match editor.readline(&prompt(session, &out)) {
            Ok(line) => line,
            // Ctrl-C forgets what was typed; the shell is left with Ctrl-D or `exit`.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return After::Next,
            Err(error) => {
                to_stderr(&format!("error: read from the terminal: {error}\n"));
                return After::Failed(Exit::Error);
            }
        };
        for (nth, command) in commands(&line).iter().enumerate() {
            // What follows in a paste was not typed at a prompt; it is told which one its output is of.
            if nth > 0 {
                to_stderr(&format!("{}{command}\n", prompt(session, &out).1));
            }
            if worth_remembering(command)
                && editor.add_history_entry(command.as_str()).unwrap_or(false)
                && let Some(path) = &history
            {
                let _ = editor.append_history(path);
            }
            after = session.line(command);
            if let After::Leave(_) = after {
                return after;
            }
            if session.last.is_some()
                && matches!(after, After::Failed(exit) if !matches!(exit, Exit::Usage | Exit::Interrupted))
            {
                out.next("`stacktrace` shows what led to it");
            }
        }
    }
}

/// The commands of what was entered, a line for each but where one goes on: a paste may hold several.
fn commands(entered: &str) -> Vec<String> {
    let (mut all, mut open) = (Vec::new(), String::new());
    for line in entered.lines() {
        if !open.is_empty() {
            open.push('\n');
        }
        open.push_str(line);
        if says_nothing(&open) {
            open.clear();
        } else if Words::of(&open).is_whole() {
            all.push(std::mem::take(&mut open));
        }
    }
    all.extend(Some(open).filter(|open| !open.is_empty()));
    all
}

/// `skipper:>`, or `server-unknown:>`; what is not the usual server is named in front.
fn prompt(session: &Session, out: &Output) -> (String, String) {
    let word = if session.connected { "skipper:>" } else { "server-unknown:>" };
    let place = session.unusual_server().map_or(String::new(), |place| format!("{place} "));
    let style = if session.connected { crate::render::Style::Warn } else { crate::render::Style::Bad };
    let dim = out.paint.style(crate::render::Style::Dim, &place);
    (format!("{place}{word}"), format!("{dim}{}", out.paint.style(style, word)))
}

/// Secrets are not kept where others may look for them, and neither is what begins with a blank, as in other shells.
fn worth_remembering(line: &str) -> bool {
    let words = Words::of(line).texts();
    let secret = |word: &String| {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        matches!(name, "--password" | "--token" | "--admin-token")
    };
    !line.starts_with(char::is_whitespace)
        && !words.iter().any(secret)
        && !words.first().is_some_and(|word| matches!(word.as_str(), "secrets" | "secret"))
}

/// The file of the lines typed before, in a folder of the user's alone.
fn history_file(surroundings: &Surroundings) -> Option<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let folder = surroundings.state_dir()?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("shell-history"))
}

type Asks = Rc<RefCell<(Surroundings, Connection)>>;

fn editor(asks: Asks) -> rustyline::Result<Editor<Completing, FileHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        // The styled prompt holds colour where colour is wanted.
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Completing(asks)));
    Ok(editor)
}

/// What the line editor asks while a line is typed.
struct Completing(Asks);

impl Completer for Completing {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let asks = self.0.borrow();
        Ok(complete::candidates(&asks.0, &asks.1, &line[..pos]))
    }
}

impl Validator for Completing {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let line = context.input();
        let whole = says_nothing(line) || Words::of(line).is_whole();
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Hinter for Completing {
    type Hint = String;
}

impl Highlighter for Completing {
    fn highlight_candidate<'c>(&self, candidate: &'c str, _: CompletionType) -> Cow<'c, str> {
        Cow::Borrowed(candidate)
    }
}

impl Helper for Completing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_holds_a_command_in_each_line() {
        let text = "info\n# a comment\n\n  list\ninstall x --set 'a=1\nb=2' y\nstatus x";
        assert_eq!(commands(text), ["info", "  list", "install x --set 'a=1\nb=2' y", "status x"]);
        assert!(commands("  \n// nothing").is_empty());
    }

    #[test]
    fn secrets_are_not_remembered() {
        for line in [
            "config --uri x --username a --password b",
            "config --password=b",
            "list --token x",
            "secrets set a b",
            " list",
        ] {
            assert!(!worth_remembering(line), "{line}");
        }
        assert!(worth_remembering("install a --set password=x --token-file y"));
    }
}
