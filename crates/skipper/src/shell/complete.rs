use rustyline::completion::Pair;

use super::{
    tree,
    words::{Words, quoted},
};
use crate::{complete, surroundings::Surroundings, targets::Connection};

/// What the last word of a line could become, and where that word begins.
pub(super) fn candidates(surroundings: &Surroundings, connection: &Connection, line: &str) -> (usize, Vec<Pair>) {
    let words = Words::of(line);
    let start = if words.touches_end { words.words.last().map_or(line.len(), |word| word.start) } else { line.len() };
    let touches_end = words.touches_end;
    let mut texts = words.texts();
    if !touches_end {
        texts.push(String::new());
    }
    let found = match texts.as_mut_slice() {
        [help, path @ .., last] if help == "help" => commands(path, last),
        // `@FILE` is `script FILE`.
        [file] if file.starts_with('@') => {
            let texts = vec!["script".to_owned(), file.split_off(1)];
            let found = complete::in_shell(surroundings, connection, tree::tree(), tree::args(texts));
            // Nothing but files stands behind it.
            found.into_iter().filter(|file| !file.starts_with("--")).map(|file| format!("@{file}")).collect()
        }
        _ => complete::in_shell(surroundings, connection, tree::tree(), tree::args(texts)),
    };
    let alone = found.len() == 1;
    let pairs = found.into_iter().map(|value| {
        // A folder or `--option=` goes on.
        let ends = alone && !value.ends_with(['/', '=']);
        Pair { replacement: quoted(&value) + if ends { " " } else { "" }, display: value }
    });
    (start, pairs.collect())
}

/// The commands below a path whose names begin so.
fn commands(path: &[String], begin: &str) -> Vec<String> {
    let mut root = tree::tree();
    root.build();
    let mut command = &root;
    for word in path {
        let Some(below) = command.find_subcommand(word) else { return Vec::new() };
        command = below;
    }
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown.map(|sub| sub.get_name().to_owned()).filter(|name| name.starts_with(begin)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, start: usize, expected: &[&str]) {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir(dir.path().join("my dir")).expect("made");
        std::fs::write(dir.path().join("values.yml"), "").expect("written");
        let mut surroundings = Surroundings::of(&[("SKIPPER_URL", "http://127.0.0.1:1")]);
        surroundings.working_dir = dir.path().to_owned();
        let (at, pairs) = candidates(&surroundings, &Connection::default(), line);
        let found: Vec<_> = pairs.iter().map(|pair| pair.replacement.as_str()).collect();
        assert_eq!((at, found.as_slice()), (start, expected), "{line}");
    }

    #[test]
    fn commands_options_and_files_are_completed() {
        check("hist", 0, &["history "]);
        check("hist --max", 5, &["--max "]);
        check("release ro", 8, &["rollback "]);
        check("stackt", 0, &["stacktrace "]);
        check("install --releas", 8, &["--release-name "]);
        check("install --package-v", 8, &["--package-version "]);
        check("upgrade --file val", 15, &["values.yml "]);
        check("upgrade --file m", 15, &["'my dir/'"]);
        check("script 'my", 7, &["'my dir/'"]);
        check("rel", 0, &["release "]);
        check("@val", 0, &["@values.yml "]);
        check("@", 0, &["'@my dir/'", "@values.yml"]);
        check("help histo", 5, &["history "]);
        check("help release ro", 13, &["rollback "]);
        check("help keep", 5, &[]);
        check("help nothing x", 13, &[]);
    }

    #[test]
    fn what_runs_outside_of_the_shell_is_not_offered() {
        check("serv", 0, &[]);
    }
}
