//! Hands that work with compose.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use futures::future::BoxFuture;
use skipper_core::fleet::Outcome;
use skipper_source::fleet::WorkOrder;

use super::{
    hands::{Finished, Hands, Need, Projects},
    settings::Settings,
};

/// The driver of compose, as the agent uses it.
pub(super) struct Compose {
    base: PathBuf,
}

impl Compose {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { base: settings.base_dir.clone() }
    }
}

/// Until the driver is there.
const NOT_YET: &str = "this version of the agent cannot carry orders out yet";

impl Hands for Compose {
    fn carry_out<'a>(&'a self, _order: &'a WorkOrder, _within: Duration) -> BoxFuture<'a, Finished> {
        Box::pin(async {
            Finished {
                outcome: Outcome::Failed,
                exit_code: None,
                summary: NOT_YET.to_owned(),
                services: BTreeMap::new(),
                logs_tail: String::new(),
            }
        })
    }

    fn look(&self) -> BoxFuture<'_, Result<Projects, String>> {
        Box::pin(async { Ok(Projects::new()) })
    }

    fn needs(&self) -> BoxFuture<'_, Vec<Need>> {
        let found =
            Err((format!("{NOT_YET}; projects in {}", self.base.display()), "wait for the next one".to_owned()));
        Box::pin(async { vec![Need { name: "compose", found }] })
    }
}
