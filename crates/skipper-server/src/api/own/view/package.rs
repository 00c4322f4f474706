use skipper_core::port::Description;

use super::time;
use crate::{
    api::own::wire::{PackageDetail, PackageView, PlatformView, RepositoryView},
    verb::packages::{Detail, Entry, Listed},
};

/// One version of a package.
pub(crate) fn package(entry: &Entry) -> PackageView {
    PackageView {
        id: entry.num,
        repository: entry.repository.to_string(),
        name: entry.name.to_string(),
        version: entry.version.clone(),
        description: entry.metadata.get("description").and_then(|text| text.as_str()).map(str::to_owned),
        sha256: entry.sha256.to_string(),
        size: entry.size,
        created_at: entry.created_at.map(time),
    }
}

/// A package with what is inside.
pub(crate) fn detail(detail: Detail) -> PackageDetail {
    PackageDetail {
        package: package(&detail.entry),
        row_version: detail.entry.row_version,
        metadata: detail.entry.metadata,
        values: detail.values,
        values_schema: detail.schema,
        templates: detail.templates,
        readme: detail.readme,
        used_by: detail.used_by,
    }
}

/// A repository.
pub(crate) fn repository(listed: &Listed) -> RepositoryView {
    RepositoryView {
        name: listed.name.to_string(),
        order: listed.order,
        writable: listed.writable,
        description: listed.description.clone(),
    }
}

/// A platform account.
pub(crate) fn platform(described: Description, default: &str) -> PlatformView {
    let can = &described.capabilities;
    let words = [
        ("replicas", can.replicas),
        ("volumes", can.volumes),
        ("memory-limits", can.memory_limits),
        ("cpu-limits", can.cpu_limits),
        ("hooks", can.hooks),
        ("pods", can.pods),
        ("own-network", can.own_network),
        ("converges", can.converges),
        ("routes", can.routes),
    ];
    PlatformView {
        default: described.name == default,
        name: described.name,
        kind: described.kind,
        summary: described.summary,
        reachable: described.reachable,
        capabilities: words.iter().filter(|(_, able)| *able).map(|(word, _)| (*word).to_owned()).collect(),
        schemes: described.capabilities.schemes,
    }
}
