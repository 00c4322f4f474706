use std::time::Duration;

use skipper_server::api::own::wire::{Health, ReleasePage};

use super::Context;
use crate::{
    client::{Call, Client},
    failure::{Done, Exit},
    render::Style,
    targets,
};

/// Longest that somebody who only typed the name waits for what a server has to say.
const PATIENCE: Duration = Duration::from_millis(500);

/// What it is, how it stands here, and what to try first.
pub(super) async fn run(context: &Context) -> Done {
    let paint = context.out.paint;
    let strong = |text: &str| paint.style(Style::Strong, text);
    let mut text = format!(
        "{} {}: a release manager for your own servers.\n\n\
         It turns a package into a numbered release, moves traffic to a new version without dropping a request,\n\
         remembers every version, and takes you back to any of them.\n\n",
        strong("skipper"),
        env!("CARGO_PKG_VERSION"),
    );
    let target = targets::resolve(&context.connection, &context.surroundings)?;
    let client = Client::new(target)?.answering_within(PATIENCE);
    let hints: Vec<(&str, &str)> = match client.ask::<Health>(&Call::get(&["healthz"])).await {
        Err(_) => {
            text.push_str(&format!("No server answers at {}. What to try first:\n\n", client.url()));
            vec![
                ("skipper demo", "see it all on this machine, half a minute, nothing left behind"),
                ("skipper server", "run the server here"),
                ("skipper package create hello", "make a package"),
                ("skipper config add-target NAME --url URL", "talk to a server elsewhere"),
            ]
        }
        Ok(health) => {
            text.push_str(&format!("The server at {} runs version {}", client.url(), health.version));
            match client.ask::<ReleasePage>(&Call::get(&["v1", "releases"]).query("limit", 1)).await {
                Ok(page) if page.items.is_empty() => {
                    text.push_str(" and has no release yet. What to try first:\n\n");
                    vec![
                        ("skipper search", "the packages there are"),
                        ("skipper install hello helloworld", "run one"),
                        ("skipper package create shop", "make one of your own"),
                        ("skipper shell", "type commands, with history and completion"),
                    ]
                }
                Ok(_) => {
                    text.push_str(". What to look at:\n\n");
                    vec![
                        ("skipper list", "what runs"),
                        ("skipper status NAME", "how it runs, and where to reach it"),
                        ("skipper events --follow", "what happens"),
                        ("skipper shell", "type commands, with history and completion"),
                    ]
                }
                Err(failure) if failure.exit == Exit::Auth => {
                    text.push_str(" and wants a token:\n\n");
                    vec![
                        ("skipper list --token-file FILE", "with a token for this once"),
                        ("skipper config add-target NAME --url URL --token-file FILE", "with a token from now on"),
                    ]
                }
                Err(failure) => {
                    text.push_str(&format!(", but something is wrong: {failure}\n\n"));
                    vec![("skipper doctor", "look for what is wrong")]
                }
            }
        }
    };
    let width = hints.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in hints {
        text.push_str(&format!("  {}  {what}\n", strong(&format!("{command:<width$}"))));
    }
    text.push_str("\n`skipper --help` lists every verb.\n");
    context.out.text(&text)
}
