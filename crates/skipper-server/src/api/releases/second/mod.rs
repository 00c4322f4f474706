//! The controllers of 2.x.

pub(super) mod actuator;
mod bulk;
mod logs;
mod manifest;
mod status;
mod verbs;

pub(super) use bulk::{states, statuses};
pub(super) use logs::{logs, logs_app};
pub(super) use manifest::{manifest, manifest_version};
pub(super) use status::{list, list_name, status, status_version};
pub(super) use verbs::{
    cancel, delete, delete_like_path, install, install_id, rollback, rollback_path, scale, upgrade,
};
