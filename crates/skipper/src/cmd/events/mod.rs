mod last;

use serde_json::Value;
use skipper_server::api::own::wire::{EventPage, EventView, VerifyView};

use super::Context;
use crate::{
    client::{Call, SseStream, pause},
    complete,
    failure::{Done, Exit, Failure},
    render::{Paint, Style, at, tame},
};

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Go on with what happens from now
    #[arg(long, short)]
    follow: bool,
    /// Only those of a release
    #[arg(long, value_name = "NAME", add = complete::releases())]
    release: Option<String>,
    /// Only those after this number
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// At most this many; the last ones, unless --after is given
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check that no event was changed or removed: each holds the hash of the one before
    Verify,
}

/// How often a broken stream is taken up again before the server counts as gone: about two minutes.
const TRIES: u32 = 45;

impl Events {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Some(Verb::Verify) => verify(context).await,
            None => {
                let last = self.list(context).await?;
                if self.follow { self.follow(context, last).await } else { Ok(()) }
            }
        }
    }

    async fn list(&self, context: &Context) -> Result<Option<u64>, Failure> {
        let source = last::Source { client: context.client()?, release: self.release.as_deref() };
        let items = match self.after {
            Some(after) => source.after(after, self.limit).await?,
            None => source.last(self.limit).await?,
        };
        let out = &context.out;
        let last = items.last().map(|event| event.seq).or(self.after);
        if out.json && !self.follow {
            out.json(&EventPage { next: last.map(|seq| seq.to_string()), items })?;
        } else if out.json {
            items.iter().try_for_each(|event| out.json_line(event))?;
        } else if items.is_empty() && !self.follow {
            out.note("nothing has happened yet");
        } else {
            out.text(&items.iter().map(|event| line(out.paint, event) + "\n").collect::<String>())?;
        }
        Ok(last)
    }

    async fn follow(&self, context: &Context, last: Option<u64>) -> Done {
        let client = context.client()?;
        let (out, mut last, mut tries) = (&context.out, last, 0);
        loop {
            let call = Call::get(&["v1", "events", "stream"]).maybe("release", self.release.as_deref());
            let mut headers = vec![("accept", "text/event-stream".to_owned())];
            headers.extend(last.map(|seq| ("last-event-id", seq.to_string())));
            match client.open_once(&call, &headers).await {
                Ok(response) => {
                    let mut stream = SseStream::new(client.checked(response).await?);
                    while let Ok(Some(message)) = stream.next().await {
                        let Ok(event) = serde_json::from_str::<EventView>(&message.data) else { continue };
                        tries = 0;
                        last = Some(event.seq);
                        if out.json { out.json_line(&event)? } else { out.line(&line(out.paint, &event))? }
                    }
                }
                Err(lost) if tries >= TRIES => return Err(client.lost(&lost)),
                Err(_) if tries == 0 => out.note("the server does not answer; waiting for it to come back"),
                Err(_) => {}
            }
            tries += 1;
            tokio::time::sleep(pause(tries)).await;
        }
    }
}

async fn verify(context: &Context) -> Done {
    let view: VerifyView = context.client()?.ask(&Call::get(&["v1", "events", "verify"])).await?;
    if context.out.json {
        context.out.json(&view)?;
    } else if view.intact {
        context.out.line(&format!("{} events, none changed or missing; head {}", view.events, view.head))?;
    }
    if view.intact {
        return Ok(());
    }
    let at = view.broken_at.map_or_else(|| "somewhere".to_owned(), |seq| format!("at event {seq}"));
    let at = view.reason.map_or(at.clone(), |reason| format!("{at}: {}", tame(&reason)));
    Err(Failure::new(Exit::Error, format!("the chain of events is broken {at}"))
        .hint("somebody changed the store outside Skipper; compare with a backup"))
}

/// One event in one line.
pub(super) fn line(paint: Paint, event: &EventView) -> String {
    let about = match (&event.release, event.revision) {
        (Some(release), Some(revision)) => format!(" {release} r{revision}"),
        (Some(release), None) => format!(" {release}"),
        (None, _) => String::new(),
    };
    let facts = facts(&event.data);
    let style = match event.kind.rsplit('.').next() {
        Some("failed" | "died" | "exited" | "unhealthy" | "degraded") => Style::Bad,
        Some("succeeded" | "done" | "installed" | "upgraded" | "live") => Style::Good,
        _ => Style::Busy,
    };
    format!(
        "{} {} {}{} {}",
        paint.style(Style::Dim, &format!("{:>6}  {}", event.seq, at(&event.at))),
        paint.style(style, &tame(&event.kind)),
        paint.style(Style::Dim, &tame(&event.actor)),
        tame(&about),
        tame(&facts),
    )
    .trim_end()
    .to_owned()
}

/// The event's own facts as `key=value`, what is long or nested left out.
fn facts(data: &Value) -> String {
    let Value::Object(map) = data else { return String::new() };
    let short = |(key, value): (&String, &Value)| match value {
        Value::String(text) if text.len() <= 200 => Some(format!("{key}={text}")),
        Value::Number(_) | Value::Bool(_) => Some(format!("{key}={value}")),
        _ => None,
    };
    map.iter().filter_map(short).collect::<Vec<_>>().join(" ")
}
