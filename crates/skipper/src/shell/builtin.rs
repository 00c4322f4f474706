use super::{
    script,
    session::{After, Last, Session},
    tree::{self, Builtin},
};
use crate::{
    failure::{Exit, Failure, writing},
    render::tame,
};

/// Does what the shell itself is asked.
pub(super) fn run(session: &mut Session, builtin: Builtin, line: &str) -> After {
    match builtin {
        Builtin::Help { path } => match help(&path) {
            Ok(text) => said(session, line, &text),
            Err(failure) => session.failed(line, failure),
        },
        Builtin::Clear => {
            said(session, line, if session.surroundings.stdout_is_terminal { "\x1b[H\x1b[2J\x1b[3J" } else { "" })
        }
        Builtin::Exit { code } => After::Leave(code),
        Builtin::Script { file, spring_file, keep_going } => {
            script::run_file(session, &file.or(spring_file).unwrap_or_default(), keep_going)
        }
        Builtin::Stacktrace => {
            let text = session.last.as_ref().map_or_else(|| "no error so far\n".to_owned(), trace);
            said(session, line, &text)
        }
    }
}

fn said(session: &mut Session, line: &str, text: &str) -> After {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => After::Next,
        Err(error) => session.failed(line, writing(&error)),
    }
}

/// The commands, or how one is used.
fn help(path: &[String]) -> Result<String, Failure> {
    let mut root = tree::tree();
    root.build();
    if path.is_empty() {
        return Ok(list(&root));
    }
    let mut command = &mut root;
    for word in path {
        command = command.find_subcommand_mut(word).ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("there is no command `{}`", path.join(" ")))
                .hint("`help` alone lists the commands")
        })?;
    }
    Ok(command.render_long_help().to_string())
}

fn list(root: &clap::Command) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    let line = |command: &clap::Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        let below = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        if !command.is_subcommand_required_set() {
            rows.push((name.to_owned(), line(command)));
        }
        rows.extend(below.map(|sub| (format!("{name} {}", sub.get_name()), line(sub))));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::from("Commands; `help COMMAND` explains one, Tab completes:\n\n");
    for (name, about) in rows {
        text.push_str(&format!("  {name:<width$}  {about}\n"));
    }
    text
}

fn trace(last: &Last) -> String {
    let Last { line, failure } = last;
    let mut text =
        format!("{}\n  failed with exit code {}: {}\n", tame(line), failure.exit as u8, tame(&failure.message));
    for cause in &failure.causes {
        text.push_str(&format!("  caused by: {}\n", tame(cause)));
    }
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("  hint: {}\n", tame(hint)));
    }
    text
}
