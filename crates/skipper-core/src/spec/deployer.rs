use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a document written for Spring's deployers says of an application beside its resource. Platforms turn it into
/// arguments, environment and options, each in its own way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployer {
    /// `spec.applicationProperties`: what the application itself is told.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// `spec.deploymentProperties`: how it is to be run. Without the count, which is
    /// [`super::Application::replicas`].
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}
