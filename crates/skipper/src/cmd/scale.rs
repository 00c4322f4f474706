use std::collections::{BTreeMap, BTreeSet};

use skipper_server::api::own::wire::{Accepted, PlanRequest, ReleaseStatus, ScaleRequest};

use super::{Context, follow::WaitArgs, plan};
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
};

/// Arguments of `scale`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  skipper scale shop web=3 worker=2
  skipper scale hello 2             where the release has one application")]
pub(crate) struct Scale {
    /// The release
    #[arg(value_name = "NAME", required_unless_present = "release_name", add = complete::scaled())]
    name: Option<String>,
    /// The same by name: the release
    #[arg(long, value_name = "NAME", hide = true, add = complete::releases())]
    release_name: Option<String>,
    /// Instances: `APP=N`, or `N` where there is one application
    #[arg(value_name = "APP=N", add = complete::counts())]
    counts: Vec<String>,
    /// Free text for the history
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Only if the plan still has this hash
    #[arg(long, value_name = "HASH", conflicts_with = "dry_run")]
    require_plan: Option<String>,
    /// Show the plan and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Scale {
    pub(super) async fn run(mut self, context: &Context) -> Done {
        self.sort_out()?;
        if self.dry_run {
            return self.plan(context).await;
        }
        let request = ScaleRequest {
            replicas: self.replicas(context).await?,
            description: self.description.clone(),
            require_plan: self.require_plan.clone(),
        };
        let call = Call::post(&["v1", "releases", self.release(), "scale"]).json(&request);
        let accepted: Accepted = context.client()?.ask(&call).await?;
        self.wait.by_default(self.release_name.is_some()).settle(context, "scale", accepted).await
    }

    pub(super) async fn plan(mut self, context: &Context) -> Done {
        self.sort_out()?;
        let request = PlanRequest {
            verb: "scale".into(),
            name: self.release().into(),
            replicas: self.replicas(context).await?,
            ..PlanRequest::default()
        };
        plan::show(context, &request).await
    }

    /// Where the release is named by Spring's option, the first word is a count.
    fn sort_out(&mut self) -> Result<(), Failure> {
        let Some(release) = &self.release_name else { return Ok(()) };
        match self.name.take() {
            Some(word) if word.contains('=') || word.parse::<u32>().is_ok() => self.counts.insert(0, word),
            Some(word) => {
                return Err(Failure::usage(format!(
                    "the release is `{release}` by --release-name, and `{word}` by a word"
                )));
            }
            None => {}
        }
        Ok(())
    }

    fn release(&self) -> &str {
        self.release_name.as_deref().or(self.name.as_deref()).unwrap_or_default()
    }

    async fn replicas(&self, context: &Context) -> Result<BTreeMap<String, u32>, Failure> {
        let (mut replicas, bare) = read_counts(&self.counts)?;
        if let Some(count) = bare {
            let status: ReleaseStatus = context.client()?.ask(&Call::get(&["v1", "releases", self.release()])).await?;
            // During a rollout an application is there twice, with its old and its new deployment.
            let names: BTreeSet<_> = status.apps.iter().map(|app| app.name.as_str()).collect();
            let names: Vec<_> = names.into_iter().collect();
            if names.is_empty() {
                return Err(Failure::error(format!("nothing of {} runs that could be scaled", self.release()))
                    .hint(format!("`skipper status {}` says why", self.release())));
            }
            let [app] = names.as_slice() else {
                let message = format!("{} has {} applications; say which one", self.release(), names.len());
                let first = names.first().copied().unwrap_or("APP");
                return Err(
                    Failure::usage(message).hint(format!("there are: {}; write {first}={count}", names.join(", ")))
                );
            };
            replicas.insert((*app).to_owned(), count);
        }
        Ok(replicas)
    }
}

/// Reads `web=3 worker=2`, or one bare number.
fn read_counts(counts: &[String]) -> Result<(BTreeMap<String, u32>, Option<u32>), Failure> {
    if counts.is_empty() {
        return Err(Failure::usage("how many instances? write APP=N, or N where there is one application"));
    }
    let wrong = |text: &str| Failure::usage(format!("`{text}` is not a count of instances; write APP=N, as web=3"));
    if let [only] = counts
        && !only.contains('=')
    {
        return only.parse().map(|count| (BTreeMap::new(), Some(count))).map_err(|_| wrong(only));
    }
    let mut replicas = BTreeMap::new();
    for text in counts {
        let (app, count) = text.split_once('=').ok_or_else(|| wrong(text))?;
        let count = count.parse().map_err(|_| wrong(text))?;
        if app.is_empty() || replicas.insert(app.to_owned(), count).is_some() {
            return Err(Failure::usage(format!("`{text}`: each application once, by its name")));
        }
    }
    Ok((replicas, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_application_or_alone() {
        let read = |words: &[&str]| read_counts(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&["web=3", "db=0"]).expect("valid").0, [("db".to_owned(), 0), ("web".to_owned(), 3)].into());
        assert_eq!(read(&["2"]).expect("valid").1, Some(2));
        for bad in [&["web"][..], &["web=x"], &["=2"], &["web=1", "web=2"], &["1", "2"], &["web=-1"], &[]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
