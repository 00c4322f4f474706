//! The sample applications of Spring Cloud Skipper's guide, which are in this binary: its tour needs no network and no Java.

use skipper_core::Sha256;

use super::Coordinates;

const GROUP: &str = "org.springframework.cloud.samples";
const ARTIFACT: &str = "spring-cloud-skipper-samples-helloworld";
/// The versions, and what they answer to a greeting.
const VERSIONS: [(&str, &str); 2] = [("1.0.0.RELEASE", "Hello World!"), ("1.0.1.RELEASE", "Olá Mundo!")];

/// A built-in program that stands for an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// The builtin that is run.
    pub builtin: &'static str,
    /// Which version it is to show.
    pub version: &'static str,
    /// What it says unless told otherwise.
    pub greeting: &'static str,
    /// What it is pinned by. It has no bytes of its own: the name stands for them.
    pub digest: Sha256,
}

/// What stands for these coordinates, unless a repository has them.
#[must_use]
pub fn stand_in(wanted: &Coordinates) -> Option<StandIn> {
    if wanted.group != GROUP || wanted.artifact != ARTIFACT || wanted.extension != "jar" || wanted.classifier.is_some()
    {
        return None;
    }
    let (version, greeting) = VERSIONS.into_iter().find(|(version, _)| *version == wanted.version)?;
    let digest = Sha256::of(format!("builtin:sample@{version}").as_bytes());
    Some(StandIn { builtin: "sample", version, greeting, digest })
}
