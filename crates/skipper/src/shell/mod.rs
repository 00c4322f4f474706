//! `skipper shell`: the verbs of the command line with history and completion, for people who know Spring's shell and for
//! scripts written for it.
//!
//! A line is read by the same tree of commands as the command line ([`tree`]), and its verb runs as it does there, with
//! results in the form that Spring's guide shows. A [`Session`] knows the server and the last error; lines come from a
//! person ([`editor`]), from a script ([`script`]), or from the command line.

mod builtin;
mod complete;
mod editor;
mod script;
mod session;
mod tree;
mod words;

pub(crate) use words::Words;

use std::{path::PathBuf, process::ExitCode};

use crate::{
    cmd::Context,
    failure::{Exit, Failure},
    targets::Credentials,
};
use session::{After, Session};

/// Arguments of `shell`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper shell                                     type commands; Tab completes, `help` lists them
  skipper shell --url http://server:7577
  skipper shell 'release list'                      one command
  skipper shell @tour.skipper                       the commands in a file, until one fails
  skipper shell < tour.skipper                      the same
Results look as in Spring Cloud Skipper's guide, and commands that change a release wait until it serves.")]
pub(crate) struct Shell {
    /// One command, or `@FILE` with one a line
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true, add = crate::complete::scripts())]
    command: Vec<String>,
    /// Go on with a script after a command that failed
    #[arg(long = "continue")]
    keep_going: bool,
    #[command(flatten)]
    spring: SpringClient,
}

// What Spring's shell is started with.
#[derive(Debug, clap::Args)]
struct SpringClient {
    #[arg(
        long = "spring.cloud.skipper.client.uri",
        aliases = [
            "spring.cloud.skipper.client.serverUri",
            "spring.cloud.skipper.client.server-uri",
            "spring.cloud.skipper.client.serverUrl",
            "spring.cloud.skipper.client.server-url",
        ],
        value_name = "URL",
        hide = true
    )]
    uri: Option<String>,
    #[arg(long = "spring.cloud.skipper.client.username", value_name = "NAME", hide = true)]
    username: Option<String>,
    #[arg(long = "spring.cloud.skipper.client.password", value_name = "PASSWORD", hide = true)]
    password: Option<String>,
    #[arg(
        long = "spring.cloud.skipper.client.credentials-provider-command",
        alias = "spring.cloud.skipper.client.credentialsProviderCommand",
        value_name = "COMMAND",
        hide = true
    )]
    credentials_provider_command: Option<String>,
    #[arg(
        long = "spring.cloud.skipper.client.skip-ssl-validation",
        alias = "spring.cloud.skipper.client.skipSslValidation",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true,
        hide = true
    )]
    skip_ssl_validation: Option<bool>,
}

impl SpringClient {
    fn credentials(self) -> Result<Option<Credentials>, Failure> {
        match (self.credentials_provider_command, self.username, self.password) {
            (Some(command), _, _) => Ok(Some(Credentials::Command(command))),
            (None, Some(username), Some(password)) => Ok(Some(Credentials::Basic { username, password })),
            (None, Some(_), None) => Err(Failure::usage("a user name was given without a password")
                .hint("`skipper config --uri URL --username NAME` asks for it and remembers it")),
            (None, None, Some(_)) => Err(Failure::usage("A password may be specified only together with a username")),
            (None, None, None) => Ok(None),
        }
    }
}

/// Where lines come from.
enum Lines {
    Person,
    Input,
    File(PathBuf),
    Line(String),
    Words(Vec<String>),
}

impl Shell {
    /// Runs until there are no more lines.
    pub(crate) fn run(self, context: &Context) -> ExitCode {
        match self.begin(context) {
            Ok((session, lines, keep_going)) => read(session, lines, keep_going),
            Err(failure) => {
                failure.print();
                failure.exit.into()
            }
        }
    }

    fn begin(self, context: &Context) -> Result<(Session, Lines, bool), Failure> {
        let mut connection = context.connection.clone();
        connection.url = connection.url.or_else(|| self.spring.uri.clone());
        connection.trust_anybody |= self.spring.skip_ssl_validation.unwrap_or(false);
        connection.credentials = self.spring.credentials()?;
        let lines = match <[String; 1]>::try_from(self.command) {
            Ok([word]) => match word.strip_prefix('@') {
                Some(file) => Lines::File(file.into()),
                None => Lines::Line(word),
            },
            Err(words) if !words.is_empty() => Lines::Words(words),
            Err(_) if context.surroundings.stdin_is_terminal => Lines::Person,
            Err(_) => Lines::Input,
        };
        Ok((Session::new(context, connection), lines, self.keep_going))
    }
}

fn read(mut session: Session, lines: Lines, keep_going: bool) -> ExitCode {
    let after = match lines {
        Lines::Person => editor::run(&mut session),
        Lines::Input => script::run(&mut session, "standard input", &mut std::io::stdin().lock(), keep_going),
        Lines::File(file) => script::run_file(&mut session, &file, keep_going),
        Lines::Line(line) => session.line(&line),
        Lines::Words(words) => session.words(words),
    };
    match after {
        After::Next => Exit::Ok.into(),
        After::Failed(exit) => exit.into(),
        After::Leave(code) => ExitCode::from(code),
    }
}
