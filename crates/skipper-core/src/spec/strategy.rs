use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{name::PortName, time::Millis};

/// How one revision of an application follows another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Strategy {
    /// The new one is started beside the old one; traffic moves in one step when it is healthy.
    BlueGreen {
        /// How long the old one stays warm after the shift.
        bake: Millis,
    },
    /// The old one is stopped first; requests are held at the edge meanwhile.
    Recreate {
        /// How long the new one is watched before the rollout counts as done.
        bake: Millis,
    },
    /// Instances are replaced a few at a time.
    Rolling {
        /// How many at once; at least 1.
        batch: u32,
        /// How long the last batch is watched.
        bake: Millis,
    },
    /// The new one gets a growing share of the traffic and is judged at each stage.
    Canary {
        /// The stages, with growing weights below 100; the shift to 100 follows the last one.
        steps: Vec<CanaryStep>,
        /// How long the old one stays warm after the full shift.
        bake: Millis,
    },
}

/// One stage of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryStep {
    /// Share of new requests, in per cent.
    pub weight: u8,
    /// How long it is watched.
    pub bake: Millis,
}

impl Strategy {
    /// How long the result is watched before the old revision goes.
    #[must_use]
    pub const fn bake(&self) -> Millis {
        match self {
            Self::BlueGreen { bake }
            | Self::Recreate { bake }
            | Self::Rolling { bake, .. }
            | Self::Canary { bake, .. } => *bake,
        }
    }

    /// The word users write.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BlueGreen { .. } => "blue-green",
            Self::Recreate { .. } => "recreate",
            Self::Rolling { .. } => "rolling",
            Self::Canary { .. } => "canary",
        }
    }
}

/// Why an application is recreated although it asked for something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum RecreateReason {
    /// A volume mounted read-write has one owner.
    SingleWriter {
        /// The volume.
        volume: String,
    },
    /// Two generations cannot listen on one port of the host.
    DirectPort {
        /// The port.
        port: PortName,
    },
    /// The process insists on a port number that the old one holds, and the platform gives it no network of its own.
    FixedPort {
        /// The port.
        port: PortName,
    },
}

impl fmt::Display for RecreateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SingleWriter { volume } => {
                write!(f, "volume `{volume}` is mounted read-write and two revisions never share one")
            }
            Self::DirectPort { port } => {
                write!(f, "port `{port}` is direct and two revisions cannot both listen on it")
            }
            Self::FixedPort { port } => {
                write!(
                    f,
                    "port `{port}` has a fixed number that two revisions cannot both listen on; \
                     let the process take it from its environment to have both run side by side"
                )
            }
        }
    }
}
