use std::io::Read as _;

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex};
use skipper_server::api::own::wire::{SecretList, SecretView};

use super::{Context, confirm};
use crate::{
    client::Call,
    complete,
    failure::{Doing as _, Done, Exit, Failure},
    render::{Table, at, to_stderr},
};

/// Arguments of `secrets`.
#[derive(Debug, clap::Args)]
pub(crate) struct Secrets {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Set a secret; the value comes from standard input, never from the command line
    #[command(after_help = "\
Examples:
  skipper secrets set db-password            asks, without showing what is typed
  skipper secrets set tls-key < key.pem      the whole input is the value
One line end at the end of the input is not part of the value, unless --exact is given. Releases get the new value with
their next rollout.")]
    Set {
        /// The secret
        #[arg(value_name = "NAME", add = complete::secrets())]
        name: String,
        /// Keep the line end at the end of the input
        #[arg(long)]
        exact: bool,
    },
    /// List secrets: names and versions, never values
    #[command(visible_alias = "ls")]
    List,
    /// Remove a secret
    #[command(visible_aliases = ["remove", "delete"])]
    Rm {
        /// The secret
        #[arg(value_name = "NAME", add = complete::secrets())]
        name: String,
        /// Also when something runs with it
        #[arg(long)]
        force: bool,
        /// Do not ask; without a terminal nobody is asked
        #[arg(long, short)]
        yes: bool,
    },
}

/// What the terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// Largest value.
const MAX_BYTES: u64 = 1 << 20;

impl Secrets {
    pub(super) async fn run(self, context: &Context) -> Done {
        let out = &context.out;
        match self.verb {
            Verb::Set { name, exact } => {
                // Asked for first, so that nobody types a value for a server that is not there.
                let client = context.client()?;
                let value = read_value(context, &name, exact)?;
                let call =
                    Call::new(reqwest::Method::PUT, &["v1", "secrets", &name]).bytes("application/octet-stream", value);
                let secret: SecretView = client.ask(&call).await?;
                if out.json {
                    return out.json(&secret);
                }
                out.line(&format!("{} is set, version {}", secret.name, secret.version))
            }
            Verb::List => {
                let list: SecretList = context.client()?.ask(&Call::get(&["v1", "secrets"])).await?;
                if out.json {
                    return out.json(&list);
                }
                let mut table = Table::new(["NAME", "VERSION", "SET", "USED"]).right([1]);
                for secret in list.items {
                    let used = if secret.used { "yes" } else { "no" };
                    table.row([secret.name, secret.version.to_string(), at(&secret.updated_at), used.to_owned()]);
                }
                out.table(&table, "no secret yet; `skipper secrets set NAME` sets one")
            }
            Verb::Rm { name, force, yes } => {
                if context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal {
                    confirm::ask(context, &format!("Remove secret {name}?"), yes)?;
                }
                let call = Call::delete(&["v1", "secrets", &name]).maybe("force", force.then_some(true));
                context.client()?.tell(&call).await?;
                if out.json {
                    return out.json(&serde_json::json!({"name": name}));
                }
                out.line(&format!("{name} is removed"))
            }
        }
    }
}

fn read_value(context: &Context, name: &str, exact: bool) -> Result<Vec<u8>, Failure> {
    let mut value = if context.surroundings.stdin_is_terminal {
        read_hidden(name)?
    } else {
        let mut value = Vec::new();
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut value).doing(|| "read the value".to_owned())?;
        value
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
        return Err(Failure::usage("the value is empty").hint(format!("skipper secrets set {name} < FILE")));
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
