//! Everything that is missing is fetched before anything that runs is touched.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use skipper_core::port::Error;

use crate::container::{Pull, account::Account, fault};

/// What has to be fetched, by service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needed {
    /// Services whose image is to be asked for.
    pub services: Vec<String>,
    /// Images that are not here.
    pub missing: Vec<String>,
}

/// Images by service.
pub(super) fn of(resolved: &Value) -> BTreeMap<String, String> {
    let services = resolved.get("services").and_then(Value::as_object);
    let image =
        |(name, service): (&String, &Value)| Some((name.clone(), service.get("image")?.as_str()?.replace("$$", "$")));
    services.into_iter().flatten().filter_map(image).collect()
}

/// Asks the engine which of them are here.
pub(super) async fn needed(
    account: &Arc<Account>,
    images: &BTreeMap<String, String>,
    pull: Pull,
) -> Result<Needed, Error> {
    let engine = account.engine().await?;
    let mut needed = Needed { services: Vec::new(), missing: Vec::new() };
    for (service, image) in images {
        let is_here = match engine.inspect_image(image).await {
            Ok(_) => true,
            Err(said) if fault::is_missing(&said) => false,
            Err(said) => return Err(account.failed(format!("look for the image {image}"), said)),
        };
        if !is_here && !needed.missing.contains(image) {
            needed.missing.push(image.clone());
        }
        if pull == Pull::Always || !is_here {
            needed.services.push(service.clone());
        }
    }
    Ok(needed)
}
