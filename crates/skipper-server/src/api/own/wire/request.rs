use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Names a package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageRef {
    /// Its repository; every repository is searched, in their order, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version; the highest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// `POST /v1/releases`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstallRequest {
    /// The new release's name.
    pub name: String,
    /// What to install.
    pub package: PackageRef,
    /// Values over the package's own (an object).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub values: Option<Value>,
    /// The same as YAML text instead of `values`, kept as it is for those who want to see it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values_text: Option<String>,
    /// The platform account for applications that name none; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Free text that goes into the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Only go ahead if the plan still has this hash (from `POST /v1/plans`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_plan: Option<String>,
}

/// `POST /v1/releases/{name}/upgrade`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// The package to move to; the one that serves, in the same version, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageRef>,
    /// Values over the package's own (an object).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub values: Option<Value>,
    /// The same as YAML text instead of `values`, kept as it is for those who want to see it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values_text: Option<String>,
    /// Put the given values over those of the serving revision. The default when no values are given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse_values: bool,
    /// Forget the values of the serving revision. The default when values are given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset_values: bool,
    /// Put the given values over those of the newest version, whatever has become of that, as 2.x of Spring Cloud Skipper does;
    /// without values those of before are forgotten. Not beside `reuse_values` and `reset_values`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub additive: bool,
    /// Roll out even if nothing differs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Launch these applications anew although nothing about them changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<String>,
    /// Launch all of them anew, as `force` of Spring Cloud Skipper does. Not beside `apps`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relaunch: bool,
    /// How long the rollout waits for health, in milliseconds, in place of each application's own bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The platform account for applications that name none; the one used before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Free text that goes into the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Only go ahead if the plan still has this hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_plan: Option<String>,
}

/// `POST /v1/releases/{name}/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The revision to go back to; the one that served before when absent. A deleted release gets the one named here again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// The same by the number that `/api` gives, which does not count scalings; 0 for the version before. Not beside `to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_version: Option<u64>,
    /// How long the rollout waits for health, in milliseconds, in place of each application's own bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Free text that goes into the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Only go ahead if the plan still has this hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_plan: Option<String>,
}

/// `POST /v1/releases/{name}/scale`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleRequest {
    /// New count by application.
    pub replicas: BTreeMap<String, u32>,
    /// Free text that goes into the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Only go ahead if the plan still has this hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_plan: Option<String>,
}

/// `POST /v1/releases/{name}/exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// In which application; needed where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// In which instance; in the first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// In which container of a pod, or service of a tenant's project; needed where a project has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// How long it may take, in milliseconds; at most as long as a request may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecView {
    /// The application.
    pub app: String,
    /// The deployment.
    pub deployment: String,
    /// Which instance.
    pub instance: u32,
    /// Exit status; `null` when killed by a signal.
    pub code: Option<i32>,
    /// Output and error output, at most 1 MiB.
    pub output: String,
}

/// The query of `DELETE /v1/releases/{name}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeleteQuery {
    /// Whose release; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Remove revisions, manifests, bundles and logs as well. Events stay.
    #[serde(default)]
    pub purge: bool,
    /// Only go ahead if the plan still has this hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_plan: Option<String>,
}

/// `POST /v1/plans`: any verb, without doing it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// `install`, `upgrade`, `rollback`, `scale` or `delete`.
    pub verb: String,
    /// The release.
    pub name: String,
    /// As in install and upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageRef>,
    /// Instead of `package`: the zip of one that is in no repository, in base64. It is looked at and not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// As in install and upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub values: Option<Value>,
    /// As in upgrade.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse_values: bool,
    /// As in upgrade.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset_values: bool,
    /// As in upgrade.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub additive: bool,
    /// As in upgrade.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// As in upgrade.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<String>,
    /// As in upgrade.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relaunch: bool,
    /// As in install and upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// As in rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// As in rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_version: Option<u64>,
    /// As in scale.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replicas: BTreeMap<String, u32>,
    /// As in delete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purge: bool,
}

/// `POST /v1/releases/{name}/hold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// Longest a request waits at the edge, as `30s` or `2m`.
    #[serde(default = "hold_bound")]
    pub bound: String,
}

fn hold_bound() -> String {
    "60s".to_owned()
}

impl Default for HoldRequest {
    fn default() -> Self {
        Self { bound: hold_bound() }
    }
}

/// `POST /v1/releases/{name}/maintenance`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceRequest {
    /// What the page says, as plain text of at most 1000 characters.
    pub message: String,
}
