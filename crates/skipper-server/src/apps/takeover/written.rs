//! Pods that slip made. They bear no labels: that they are slip's is written in its storage alone.

use std::{fs, io::Read as _, path::Path};

use serde::Deserialize;

/// Most files that are looked at, and the largest one.
const MOST: usize = 10_000;
const LARGEST: u64 = 1 << 20;

/// What is read of a file.
#[derive(Deserialize)]
struct State {
    #[serde(default, alias = "pod_name")]
    current_pod_name: Option<String>,
}

/// Pods by what their containers would have as `slip.app`: of `state/APP.json` and `state/previews/APP/ID.json`. What cannot be read is passed over. Blocking.
pub(super) fn read(storage: &Path) -> Vec<(String, String)> {
    let state = storage.join("state");
    let mut all: Vec<(String, String)> =
        files(&state).into_iter().filter_map(|(stem, path)| Some((stem, pod(&path)?))).collect();
    for app in fs::read_dir(state.join("previews")).into_iter().flatten().flatten().take(MOST) {
        let Ok(name) = app.file_name().into_string() else { continue };
        let of_app = files(&app.path()).into_iter();
        all.extend(of_app.filter_map(|(id, path)| Some((format!("{name}-preview-{id}"), pod(&path)?))));
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

fn pod(path: &Path) -> Option<String> {
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > LARGEST {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
    let State { current_pod_name: pod } = serde_json::from_str(&text).ok()?;
    pod.filter(|pod| !pod.is_empty())
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
        write("previews/stats/pr-1.json", r#"{"tag":"v2","pod_name":"stats-preview-pr-1-x"}"#);
        write("torn.json", "{");
        write("notes.txt", "{}");
        let mut all = read(dir.path());
        all.sort();
        let pair = |label: &str, pod: &str| (label.to_owned(), pod.to_owned());
        assert_eq!(
            all,
            [pair("stats", "stats-01abcdef"), pair("stats-preview-pr-1", "stats-preview-pr-1-x")],
            "web is no pod"
        );
        assert!(read(&dir.path().join("nowhere")).is_empty());
    }
}
