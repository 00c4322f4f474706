use crate::{
    client::{Call, Client},
    cmd::{self, Command, Context, Targeted},
    failure::{Exit, Failure},
    render::{Colour, Output},
    surroundings::Surroundings,
    targets::{self, Connection, TargetsFile},
};
use skipper_server::api::own::wire::{Health, ReleasePage};

use super::{
    builtin, script,
    tree::{self, Parsed},
    words::{Words, says_nothing},
};

/// What is to happen after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The next line.
    Next,
    /// It failed, and has said why.
    Failed(Exit),
    /// The shell is left, with that exit code.
    Leave(u8),
}

/// The last error, for `stacktrace`.
#[derive(Debug)]
pub(super) struct Last {
    /// The line that failed.
    pub(super) line: String,
    /// How.
    pub(super) failure: Failure,
}

/// What is remembered between lines.
#[derive(Debug)]
pub(super) struct Session {
    /// Environment and terminals.
    pub(super) surroundings: Surroundings,
    /// The server, for lines that name none.
    pub(super) connection: Connection,
    /// Whether it answered when it was asked last.
    pub(super) connected: bool,
    /// The last error.
    pub(super) last: Option<Last>,
    /// Scripts that run now, one within another.
    pub(super) scripts: usize,
    json: bool,
    colour: Colour,
    quiet: bool,
}

impl Session {
    /// Reaches for nothing yet.
    pub(super) fn new(context: &Context, connection: Connection) -> Self {
        Self {
            surroundings: context.surroundings.clone(),
            connection,
            connected: false,
            last: None,
            scripts: 0,
            json: context.out.json,
            colour: context.out.colour,
            quiet: context.out.quiet,
        }
    }

    /// Runs a line.
    pub(super) fn line(&mut self, line: &str) -> After {
        if says_nothing(line) {
            return After::Next;
        }
        let words = Words::of(line);
        if let Some(quote) = words.open {
            return self.failed(line, Failure::usage(format!("the quote {quote} is not closed")));
        }
        self.run(line, words.texts())
    }

    /// Runs a line that is words already.
    pub(super) fn words(&mut self, words: Vec<String>) -> After {
        self.run(&words.join(" "), words)
    }

    fn run(&mut self, line: &str, words: Vec<String>) -> After {
        // As the program itself is told a script.
        if let [word] = words.as_slice()
            && let Some(file) = word.strip_prefix('@')
        {
            return script::run_file(self, file.as_ref(), false);
        }
        let parsed = match tree::parse(words) {
            Ok(parsed) => parsed,
            Err(error) => {
                // Help goes to standard output and is no error.
                let _ = error.print();
                if !error.use_stderr() {
                    return After::Next;
                }
                let told = error.to_string();
                let told = told.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
                self.last = Some(Last { line: line.to_owned(), failure: Failure::usage(told) });
                return After::Failed(Exit::Usage);
            }
        };
        match parsed {
            Parsed::Builtin(builtin) => builtin::run(self, builtin, line),
            Parsed::Verb(cli) => {
                let connection = cli.connection.over(&self.connection);
                let colour = if cli.colour == Colour::Auto { self.colour } else { cli.colour };
                let mut out = Output::new(&self.surroundings, self.json || cli.json, colour, self.quiet || cli.quiet);
                out.guide = true;
                let context = Context::new(self.surroundings.clone(), out, connection);
                let Some(verb) = cli.command else { return After::Next };
                self.verb(line, verb, &context)
            }
        }
    }

    fn verb(&mut self, line: &str, verb: Command, context: &Context) -> After {
        let chosen = verb.targets();
        let done = verb.perform(context);
        // A line that makes no sense chooses nothing.
        if let Some(chosen) = chosen.filter(|_| !done.as_ref().is_err_and(|failure| failure.exit == Exit::Usage)) {
            self.target(chosen, done.is_ok());
        }
        match done {
            Ok(()) => After::Next,
            Err(failure) => self.failed(line, failure),
        }
    }

    /// Later lines are for another server.
    fn target(&mut self, chosen: Targeted, worked: bool) {
        let current = || TargetsFile::read(&self.surroundings).ok()?.current;
        self.connection = match chosen {
            Targeted::Name(name) if worked => Connection { target: Some(name), ..Connection::default() },
            Targeted::Address(_) if worked => Connection { target: current(), ..Connection::default() },
            // One that does not answer is the one all the same: what comes next is not for the server before.
            Targeted::Address(url) => Connection { url: Some(url), ..Connection::default() },
            Targeted::Name(_) => return,
        };
        self.connected = false;
    }

    /// Says why a line failed, and remembers it.
    pub(super) fn failed(&mut self, line: &str, failure: Failure) -> After {
        let exit = failure.exit;
        // Output that nobody reads any more is no failure.
        if exit == Exit::Ok {
            return After::Leave(0);
        }
        failure.print();
        if !failure.message.is_empty() {
            self.last = Some(Last { line: line.to_owned(), failure });
        }
        After::Failed(exit)
    }

    /// The server's address, whether it is the usual one, and what it says about itself.
    ///
    /// # Errors
    ///
    /// It does not answer, or does not let us in.
    pub(super) fn greet(&mut self, patience: std::time::Duration) -> Result<Greeting, Failure> {
        self.connected = false;
        let target = targets::resolve(&self.connection, &self.surroundings)?;
        let client = Client::new(target)?.answering_within(patience);
        let version = cmd::wait_for(greeting(&client))?;
        self.connected = true;
        Ok(Greeting { url: client.url().to_owned(), version })
    }

    /// The server's address where it is not the one that is looked for by itself.
    pub(super) fn unusual_server(&self) -> Option<String> {
        let target = targets::resolve(&self.connection, &self.surroundings).ok()?;
        let name = self.connection.target.clone().unwrap_or(target.url.value);
        (!targets::is_default(&name)).then_some(name)
    }
}

/// What a server says about itself.
#[derive(Debug)]
pub(super) struct Greeting {
    /// Its address.
    pub(super) url: String,
    /// Its version.
    pub(super) version: String,
}

/// Asks for the version, and for something that takes being let in.
async fn greeting(client: &Client) -> Result<String, Failure> {
    let health: Health = client.ask(&Call::get(&["healthz"])).await?;
    let _: ReleasePage = client.ask(&Call::get(&["v1", "releases"]).query("limit", 1)).await?;
    Ok(health.version)
}
