//! What slip wrote down of what it runs. Its pods bear no labels: that they are slip's is written in its storage alone; as is how long
//! a preview may live.

use std::{fs, io::Read as _, path::Path};

use serde::Deserialize;
use skipper_core::time::Timestamp;

/// Most files that are looked at, and the largest one.
const MOST: usize = 10_000;
const LARGEST: u64 = 1 << 20;

/// What is read of a file.
#[derive(Deserialize)]
struct State {
    #[serde(default, alias = "pod_name")]
    current_pod_name: Option<String>,
    #[serde(default, alias = "tag")]
    current_tag: Option<String>,
    #[serde(default, alias = "port")]
    current_port: Option<u16>,
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default)]
    deployed_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

/// An app or a preview, as it was when slip wrote last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// What its containers have as `slip.app`: `APP`, or `APP-preview-ID`.
    pub(super) label: String,
    /// Its pod, where it is one.
    pub(super) pod: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) sha: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) deployed_at: Option<Timestamp>,
    /// When a preview goes by itself.
    pub(super) expires_at: Option<Timestamp>,
}

/// Of `state/APP.json` and `state/previews/APP/ID.json`. What cannot be read is passed over. Blocking.
pub(super) fn read(storage: &Path) -> Vec<Written> {
    let state = storage.join("state");
    let mut all: Vec<Written> = files(&state).into_iter().filter_map(|(stem, path)| written(stem, &path)).collect();
    for app in fs::read_dir(state.join("previews")).into_iter().flatten().flatten().take(MOST) {
        let Ok(name) = app.file_name().into_string() else { continue };
        let of_app = files(&app.path()).into_iter();
        all.extend(of_app.filter_map(|(id, path)| written(format!("{name}{}{id}", super::INFIX), &path)));
    }
    all
}

fn files(folder: &Path) -> Vec<(String, std::path::PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST);
    let stem = |path: &Path| {
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_json).map(str::to_owned)
    };
    entries.filter_map(|entry| Some((stem(&entry.path())?, entry.path()))).collect()
}

fn written(label: String, path: &Path) -> Option<Written> {
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > LARGEST {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
    let state: State = serde_json::from_str(&text).ok()?;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let time = |text: Option<String>| super::history::time(&text?);
    Some(Written {
        label,
        pod: some(state.current_pod_name),
        tag: some(state.current_tag),
        port: state.current_port,
        sha: some(state.sha),
        domain: some(state.domain),
        deployed_at: time(state.deployed_at),
        expires_at: time(state.expires_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slip_runs_is_read_from_its_storage() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = dir.path().join("state").join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("web.json", r#"{"current_tag":"v7","current_container_id":"c","current_pod_name":null}"#);
        write("stats.json", r#"{"current_tag":"v1","current_pod_name":"stats-01abcdef","current_manifest_path":"/x"}"#);
        write(
            "previews/stats/pr-1.json",
            r#"{"tag":"v2","pod_name":"stats-preview-pr-1-x","domain":"pr-1.p.test","expires_at":"2026-01-02T03:04:05Z"}"#,
        );
        write("torn.json", "{");
        write("notes.txt", "{}");
        let mut all = read(dir.path());
        all.sort_by(|a, b| a.label.cmp(&b.label));
        let seen: Vec<_> = all.iter().map(|one| (one.label.as_str(), one.pod.as_deref(), one.tag.as_deref())).collect();
        assert_eq!(
            seen,
            [
                ("stats", Some("stats-01abcdef"), Some("v1")),
                ("stats-preview-pr-1", Some("stats-preview-pr-1-x"), Some("v2")),
                ("web", None, Some("v7")),
            ]
        );
        assert_eq!(all[1].domain.as_deref(), Some("pr-1.p.test"));
        assert!(all[1].expires_at > Some(Timestamp::default()) && all[0].expires_at.is_none(), "{all:?}");
        assert!(read(&dir.path().join("nowhere")).is_empty());
    }
}
