//! Folders of a container.

use std::collections::BTreeSet;

use skipper_core::{Sha256, spec::Volume};

use crate::app::{merge::Merged, pod};

/// Volumes by unique names. A preview never writes where production does: it gets a folder of its own instead.
pub(super) fn volumes(merged: &Merged, name: &str, preview: bool) -> Vec<Volume> {
    let mut names = BTreeSet::new();
    let mut volumes = Vec::new();
    for volume in &merged.volumes {
        let mut unique = pod::volume_name(name, &volume.mount_path);
        // `/a-b` and `/a/b` are one label.
        if !names.insert(unique.clone()) {
            unique.truncate(54);
            unique = format!("{}-{}", unique.trim_end_matches('-'), Sha256::of(volume.mount_path.as_bytes()).short());
            names.insert(unique.clone());
        }
        volumes.push(Volume {
            name: unique,
            path: volume.mount_path.clone(),
            env: None,
            source: (!preview || volume.read_only).then(|| volume.host_path.clone()),
            read_only: volume.read_only,
        });
    }
    volumes
}

/// The same for a pod's manifest.
pub(super) fn pod_volumes(volumes: &[Volume]) -> Vec<pod::Volume> {
    let volume = |volume: &Volume| pod::Volume {
        name: volume.name.clone(),
        host_path: volume.source.clone(),
        mount_path: volume.path.clone(),
        read_only: volume.read_only,
    };
    volumes.iter().map(volume).collect()
}
