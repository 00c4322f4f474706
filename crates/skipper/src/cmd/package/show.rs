use skipper_server::api::own::wire::{PackageDetail, PackageView};

use super::super::Context;
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
    render::{Output, Style, at, tame},
};

/// Arguments of `package show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Package: `name`, `repository/name` or `name@version`
    #[arg(value_name = "PACKAGE", add = complete::packages())]
    package: String,
    /// Version [default: the newest]
    #[arg(value_name = "VERSION", add = complete::package_versions())]
    version: Option<String>,
    /// Print its values alone, as YAML: a file to start from
    #[arg(long, conflicts_with = "readme")]
    values: bool,
    /// Print its readme alone
    #[arg(long)]
    readme: bool,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Done {
        let client = context.client()?;
        let found = super::find(client, &super::known(&self.package, self.version.as_deref())?).await?;
        let detail = ask(context, &found).await?;
        let out = &context.out;
        if self.values {
            return out.text(&with_end(&detail.values));
        }
        if self.readme {
            return match &detail.readme {
                Some(readme) => out.text(&with_end(readme)),
                None => {
                    out.note("it has no readme");
                    Ok(())
                }
            };
        }
        if out.json {
            return out.json(&detail);
        }
        out.text(&text(out, &detail, None))
    }
}

/// One package with what is inside.
pub(super) async fn ask(context: &Context, package: &PackageView) -> Result<PackageDetail, Failure> {
    let call = Call::get(&["v1", "packages", &package.repository, &package.name, &package.version]);
    context.client()?.ask(&call).await
}

/// What it is and holds, as text; or why nobody can tell what it holds.
pub(super) fn text(out: &Output, detail: &PackageDetail, unread: Option<&str>) -> String {
    let package = &detail.package;
    let mut text = String::new();
    let mut field = |label: &str, value: &str| {
        text.push_str(&format!("{} {}\n", out.paint.style(Style::Dim, &format!("{label:<11}")), tame(value)));
    };
    field("package", &format!("{} {}", package.name, package.version));
    field("repository", &package.repository);
    for (key, label) in [
        ("display_name", "called"),
        ("description", "description"),
        ("maintainer", "maintainer"),
        ("tags", "tags"),
        ("home", "home"),
        ("source_url", "source"),
    ] {
        match detail.metadata.get(key) {
            Some(serde_json::Value::String(value)) if !value.is_empty() => field(label, value),
            Some(serde_json::Value::Array(words)) if !words.is_empty() => {
                let words: Vec<_> = words.iter().filter_map(serde_json::Value::as_str).collect();
                field(label, &words.join(", "));
            }
            _ => {}
        }
    }
    field("sha256", package.sha256.as_deref().unwrap_or("not known yet"));
    field("size", &package.size.map_or_else(|| "not known yet".to_owned(), |size| format!("{size} bytes")));
    field("uploaded", &package.created_at.as_deref().map_or_else(|| "built in".to_owned(), at));
    if let Some(why) = unread {
        field("cannot read", why);
        return text;
    }
    field("templates", &detail.templates.join(", "));
    field("used by", &if detail.used_by.is_empty() { "nobody".to_owned() } else { detail.used_by.join(", ") });
    if !detail.values.trim().is_empty() {
        text.push_str(&format!("\n{}\n", out.paint.style(Style::Strong, "values")));
        for line in detail.values.lines() {
            text.push_str(&format!("  {}\n", tame(line)));
        }
    }
    text
}

fn with_end(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}
