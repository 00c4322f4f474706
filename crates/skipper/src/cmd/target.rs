use skipper_server::api::own::wire::{Health, ReleasePage};

use super::{Context, config::keep_secret, password};
use crate::{
    client::{self, Call, Client},
    failure::{Done, Failure},
    targets::{self, Connection, Credentials, TargetEntry, TargetsFile},
};

/// Chooses a server and what lets in, as Spring's shell has it.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Address of the server
    #[arg(long, visible_aliases = ["url", "server"], value_name = "URL", value_hint = clap::ValueHint::Url, help_heading = "Target")]
    uri: Option<String>,
    /// Who you are, where the server knows people by name; the password is asked for
    #[arg(long, value_name = "NAME", help_heading = "Target", requires = "uri")]
    username: Option<String>,
    /// The password; seen by everybody on this machine, so better leave it to be asked for
    #[arg(long, value_name = "PASSWORD", help_heading = "Target")]
    password: Option<String>,
    /// Command that prints what to send as `Authorization`; run anew for each request
    #[arg(long, value_name = "COMMAND", help_heading = "Target", requires = "uri", conflicts_with_all = ["username", "password"])]
    credentials_provider_command: Option<String>,
    /// Believe every certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", hide_possible_values = true, help_heading = "Target", requires = "uri")]
    skip_ssl_validation: Option<bool>,
}

impl Target {
    /// The address, if one was given.
    pub(super) fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }

    /// Whether anything was given.
    pub(super) const fn is_asked(&self) -> bool {
        self.uri.is_some() || self.password.is_some()
    }

    /// Asks the server, and makes it the current target if it lets us in.
    pub(super) async fn run(self, context: &Context) -> Done {
        if self.password.is_some() && self.username.is_none() {
            return Err(Failure::usage("A password may be specified only together with a username"));
        }
        let Some(uri) = self.uri else {
            let client = context.client()?;
            lets_us_in(client).await?;
            return context.out.line(&format!("Successfully targeted {}", client.url()));
        };
        let base = client::base_url(&uri)?;
        let credentials = match (self.credentials_provider_command, self.username, self.password) {
            (Some(command), _, _) => Some(Credentials::Command(command)),
            (None, Some(username), Some(password)) => Some(Credentials::Basic { username, password }),
            (None, Some(username), None) => {
                Some(Credentials::Basic { username, password: password::ask(context, "Password: ")? })
            }
            (None, None, _) => None,
        };
        let connection = Connection {
            url: Some(uri.clone()),
            credentials: credentials.clone(),
            trust_anybody: self.skip_ssl_validation.unwrap_or(false),
            ..Connection::default()
        };
        let target = targets::resolve(&connection, &context.surroundings)?;
        lets_us_in(&Client::new(target)?).await?;
        let mut file = TargetsFile::read(&context.surroundings)?;
        let name = name_of(&file, &uri, &base);
        let mut entry = TargetEntry {
            url: uri.clone(),
            skip_ssl_validation: connection.trust_anybody,
            ..file.targets.get(&name).cloned().unwrap_or_default()
        };
        match credentials {
            None => {}
            Some(Credentials::Command(command)) => {
                entry = TargetEntry { credentials_command: Some(command), ..without_credentials(entry) };
            }
            Some(Credentials::Basic { username, password }) => {
                let password_file = Some(keep_secret(context, &name, "password", &password)?);
                entry = TargetEntry { username: Some(username), password_file, ..without_credentials(entry) };
            }
            Some(Credentials::Token(_)) => {}
        }
        file.targets.insert(name.clone(), entry);
        file.current = Some(name);
        file.write(&context.surroundings)?;
        if !context.out.guide && context.surroundings.var("SKIPPER_URL").is_some() {
            context.out.warn("SKIPPER_URL is set and is stronger than the current target");
        }
        context.out.line(&format!("Successfully targeted {uri}"))
    }
}

/// Whether a server answers there, and answers us.
async fn lets_us_in(client: &Client) -> Done {
    let _: Health = client.ask(&Call::get(&["healthz"])).await?;
    let _: ReleasePage = client.ask(&Call::get(&["v1", "releases"]).query("limit", 1)).await?;
    Ok(())
}

/// The target of that address, or a new name for it: `localhost:7577`.
pub(super) fn name_of(file: &TargetsFile, uri: &str, base: &url::Url) -> String {
    let known = file.targets.iter().find(|(_, entry)| targets::same_server(&entry.url, uri));
    if let Some((name, _)) = known {
        return name.clone();
    }
    let host = base.host_str().unwrap_or_default();
    let name = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if file.targets.contains_key(&name) { uri.to_owned() } else { name }
}

fn without_credentials(entry: TargetEntry) -> TargetEntry {
    TargetEntry { token_file: None, username: None, password_file: None, credentials_command: None, ..entry }
}
