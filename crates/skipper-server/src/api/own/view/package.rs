use serde_json::Value;
use skipper_core::port::Description;

use super::time;
use crate::{
    api::own::wire::{PackageDetail, PackageView, PlatformView, RefreshReport, RepositoryView},
    verb::{
        packages::{Detail, Entry},
        repositories::{Listed, Report},
    },
};

/// One version of a package.
pub(crate) fn package(entry: &Entry) -> PackageView {
    PackageView {
        id: entry.num,
        repository: entry.repository.to_string(),
        name: entry.name.to_string(),
        version: entry.version.clone(),
        description: entry.metadata.get("description").and_then(|text| text.as_str()).map(str::to_owned),
        tags: tags(&entry.metadata),
        sha256: entry.sha256.map(|digest| digest.to_string()),
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

fn tags(metadata: &Value) -> Vec<String> {
    let tags = metadata.get("tags").and_then(Value::as_array).into_iter().flatten();
    tags.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A repository with the number of its packages.
pub(crate) fn repository(listed: &Listed, packages: u64) -> RepositoryView {
    RepositoryView {
        id: listed.num,
        name: listed.name.to_string(),
        kind: listed.kind.as_str().to_owned(),
        url: listed.url.clone(),
        source_url: listed.source_url.clone(),
        order: listed.order.unwrap_or_default(),
        writable: listed.writable,
        description: listed.description.clone(),
        packages,
        refreshed_at: listed.refresh.refreshed_at.map(time),
        failures: listed.refresh.failures,
        problem: listed.refresh.problem.clone(),
    }
}

/// What a refresh found.
pub(crate) fn report(report: Report) -> RefreshReport {
    RefreshReport {
        unchanged: report.unchanged,
        packages: report.packages,
        added: report.changed.added,
        updated: report.changed.updated,
        removed: report.changed.removed,
        broken: report.broken,
        faults: report.faults,
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
