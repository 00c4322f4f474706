use std::{
    fmt::Display,
    io::{BufRead, Write},
    str::FromStr,
};

use super::texts::FirstApp;
use crate::failure::{Doing as _, Exit, Failure};

/// How often a question is asked again.
const TRIES: usize = 3;

/// Asks a person. What is left empty is what stands in brackets.
pub(super) struct Asker<R, W> {
    answers: R,
    questions: W,
}

impl<R: BufRead, W: Write> Asker<R, W> {
    pub(super) const fn new(answers: R, questions: W) -> Self {
        Self { answers, questions }
    }

    fn line(&mut self, question: &str, default: &str) -> Result<String, Failure> {
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        write!(self.questions, "{question}{shown}: ")
            .and_then(|()| self.questions.flush())
            .doing(|| "ask".to_owned())?;
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).doing(|| "read the answer".to_owned())?;
        if read == 0 {
            return Err(Failure::new(Exit::Error, "the answers ended; nothing was done"));
        }
        let line = line.trim();
        Ok(if line.is_empty() { default.to_owned() } else { line.to_owned() })
    }

    fn until<T>(
        &mut self,
        question: &str,
        default: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let mut wrong = String::new();
        for _ in 0..TRIES {
            match read(&self.line(question, default)?) {
                Ok(value) => return Ok(value),
                Err(why) => {
                    writeln!(self.questions, "  {why}").doing(|| "ask".to_owned())?;
                    wrong = why;
                }
            }
        }
        Err(Failure::usage(wrong))
    }

    pub(super) fn parsed<T: FromStr<Err: Display> + Display>(
        &mut self,
        question: &str,
        default: &T,
    ) -> Result<T, Failure> {
        self.until(question, &default.to_string(), |text| {
            text.parse().map_err(|why: T::Err| format!("`{text}`: {why}"))
        })
    }

    pub(super) fn one_of(&mut self, question: &str, words: &[&str], default: &str) -> Result<String, Failure> {
        let question = format!("{question} ({})", words.join(", "));
        self.until(&question, default, |text| match words.contains(&text) {
            true => Ok(text.to_owned()),
            false => Err(format!("`{text}` is none of {}", words.join(", "))),
        })
    }

    /// The first app; `None` where no name is given.
    pub(super) fn app(&mut self) -> Result<Option<FirstApp>, Failure> {
        let name = self.line("Name of the first app (empty: none yet)", "")?;
        if name.is_empty() {
            return Ok(None);
        }
        let image = self.until("Its image, without a tag, as ghcr.io/you/web", "", |text| match text {
            "" => Err("an app needs an image".to_owned()),
            text => Ok(text.to_owned()),
        })?;
        let host =
            Some(self.line("Its host name (empty: nobody sends it requests)", "")?).filter(|host| !host.is_empty());
        let mut app = FirstApp { name, image, host, port: 8080, health: None };
        if app.host.is_some() {
            app.port = self.parsed("Its port in the container", &app.port)?;
            app.health = Some(self.line("Path that answers when it is healthy (- for none)", "/health")?)
                .filter(|path| path != "-");
        }
        Ok(Some(app))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(answers: &str) -> (Result<Option<FirstApp>, Failure>, String) {
        let mut questions = Vec::new();
        let app = Asker::new(answers.as_bytes(), &mut questions).app();
        (app, String::from_utf8(questions).expect("UTF-8"))
    }

    #[test]
    fn an_empty_answer_is_the_default_and_a_wrong_one_is_asked_for_again() {
        let (found, questions) = app("web\nacme/web\nweb.test\neighty\n\n\n");
        let expected = FirstApp {
            name: "web".into(),
            image: "acme/web".into(),
            host: Some("web.test".into()),
            port: 8080,
            health: Some("/health".into()),
        };
        assert_eq!(found.expect("answered"), Some(expected));
        assert!(questions.contains("container [8080]: ") && questions.contains("`eighty`"), "{questions}");
        assert_eq!(app("\n").0.expect("answered"), None);
        assert!(app("web\n").0.is_err(), "the answers end");
        assert_eq!(app("web\n\n\n\n").0.expect_err("no image").exit, Exit::Usage);
        let worker = app("jobs\nacme/jobs\n\n").0.expect("answered").expect("an app");
        assert_eq!((worker.host, worker.health), (None, None));
    }
}
