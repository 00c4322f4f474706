use std::path::PathBuf;

use clap::ValueHint;
use skipper_server::api::own::wire::{NewToken, TokenCreated, TokenList};

use super::{Context, confirm, server::Settings};
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
    render::{Table, at},
};

/// Arguments of `token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first token is made on the machine of the server, while the server is stopped or still lets everybody on this machine
in. From then on a token is required.")]
pub(crate) struct Token {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a token; its secret is shown this once
    Create(Create),
    /// List tokens, without their secrets
    #[command(visible_alias = "ls")]
    List,
    /// Make a token useless, at once and for ever
    #[command(visible_alias = "rm")]
    Revoke {
        /// The token's id
        #[arg(value_name = "ID", add = complete::tokens())]
        id: String,
        /// Do not ask; without a terminal nobody is asked
        #[arg(long, short)]
        yes: bool,
    },
}

/// Arguments of `token create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Who or what uses it
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do: everything; everything about releases, packages and secrets; or read
    #[arg(long, value_name = "ROLE", value_parser = ["admin", "operator", "viewer"], default_value = "operator")]
    role: String,
    /// The only tenant it may touch [default: that of --tenant and its like, else every tenant]
    #[arg(long, value_name = "TENANT")]
    for_tenant: Option<String>,
    /// It may touch every tenant, whatever --tenant, SKIPPER_TENANT or the target say
    #[arg(long, conflicts_with = "for_tenant")]
    every_tenant: bool,
    /// How long it is good for, as 30d or 12h [default: until it is revoked]
    #[arg(long, visible_alias = "expires-in", value_name = "DURATION")]
    expires: Option<String>,
    /// Print the secret alone
    #[arg(long)]
    secret_only: bool,
    /// Make it in this data directory, of a server that does not run
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Configuration file of that server
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "data_dir")]
    config: Option<PathBuf>,
}

impl Token {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::Create(create) => create.run(context).await,
            Verb::List => list(context).await,
            Verb::Revoke { id, yes } => {
                if context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal {
                    confirm::ask(context, &format!("Revoke token {id}?"), yes)?;
                }
                context.client()?.tell(&Call::delete(&["v1", "tokens", &id])).await?;
                if context.out.json {
                    return context.out.json(&serde_json::json!({"id": id}));
                }
                context.out.line(&format!("{id} is revoked"))
            }
        }
    }
}

impl Create {
    /// Whoever names a tenant means it here as everywhere: a token that is good for more than was asked is never made.
    fn scope(&self, context: &Context) -> Result<Option<String>, Failure> {
        if self.every_tenant || self.for_tenant.is_some() {
            return Ok(self.for_tenant.clone());
        }
        if self.data_dir.is_some() {
            let said = context.connection.tenant.as_deref().or_else(|| context.surroundings.var("SKIPPER_TENANT"));
            return Ok(said.map(str::to_owned));
        }
        Ok(context.client()?.tenant().map(str::to_owned))
    }

    async fn run(self, context: &Context) -> Done {
        let tenant = self.scope(context)?;
        let (secret_only, data_dir) = (self.secret_only, self.data_dir);
        let new = NewToken { name: self.name, role: self.role, tenant, expires_in: self.expires };
        let alone = data_dir.is_none() && locks_everybody_out(context, &new).await;
        let created: TokenCreated = match data_dir {
            Some(dir) => {
                let settings = Settings::of(self.config, Some(dir), None);
                super::offline::create_token(context, &settings, &new).await?
            }
            None => context.client()?.ask(&Call::post(&["v1", "tokens"]).json(&new)).await.map_err(|mut failure| {
                if failure.message.starts_with("no server answers") {
                    let offline = "or make the token without it: --data-dir DIR";
                    failure.hint = Some(failure.hint.map_or(offline.to_owned(), |hint| format!("{hint}\n{offline}")));
                }
                failure
            })?,
        };
        let out = &context.out;
        if out.json && !secret_only {
            return out.json(&created);
        }
        let Some(secret) = &created.secret else {
            // The answer got lost on the way and was asked for again; it never holds the secret a second time.
            return Err(Failure::error(format!(
                "token {} was made, but its secret got lost on the way",
                created.token.id
            ))
            .hint(format!("revoke it and make another: skipper token revoke {}", created.token.id)));
        };
        out.line(secret)?;
        if secret_only {
            return Ok(());
        }
        out.note(&format!(
            "token {} ({}, {} of {}); this is the only time its secret is shown",
            created.token.name,
            created.token.id,
            created.token.role,
            created.token.tenant.as_ref().map_or_else(|| "every tenant".to_owned(), |one| format!("tenant {one}"))
        ));
        if alone {
            out.note(
                "note: this is the first token, so from now on everybody needs one, and with this one nobody can make another. \
                 `skipper token create NAME --role admin --data-dir DIR` does, where the server is and while it does not run",
            );
        }
        out.next("keep it in a file that only you can read, and name that file in --token-file");
        Ok(())
    }
}

/// Whether a token that may not make others would be the first one. Whoever has been let in by a token is not alone.
async fn locks_everybody_out(context: &Context, new: &NewToken) -> bool {
    if new.role == "admin" && new.tenant.is_none() {
        return false;
    }
    let Ok(client) = context.client() else { return false };
    let none =
        async { client.ask::<TokenList>(&Call::get(&["v1", "tokens"])).await.is_ok_and(|list| list.items.is_empty()) };
    !client.has_token() && none.await
}

async fn list(context: &Context) -> Done {
    let list: TokenList = context.client()?.ask(&Call::get(&["v1", "tokens"])).await?;
    if context.out.json {
        return context.out.json(&list);
    }
    let mut table = Table::new(["ID", "NAME", "ROLE", "TENANT", "CREATED", "EXPIRES", "LAST USED"]);
    for token in list.items {
        table.row([
            token.id,
            token.name,
            token.role,
            token.tenant.unwrap_or_else(|| "every".to_owned()),
            at(&token.created_at),
            token.expires_at.as_deref().map_or_else(|| "never".to_owned(), at),
            token.last_used_at.as_deref().map_or_else(|| "never".to_owned(), at),
        ]);
    }
    context
        .out
        .table(&table, "no token: whoever is on the server's machine is let in; `skipper token create NAME` makes one")
}
