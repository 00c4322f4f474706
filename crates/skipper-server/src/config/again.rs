//! The configuration, read again while the server runs: what is said of Caddy can change without a restart.

use std::{fmt, fs, io::ErrorKind, path::PathBuf, sync::Arc};

use super::{Sources, load};
use crate::{apps::Apps, caddy::Settings};

/// What a configuration was read from, without the directory of apps. Nothing by default.
#[derive(Clone, Default)]
pub struct Again(Option<Arc<Sources>>);

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Flags and variables hold keys.
        f.debug_tuple("Again").field(&self.0.is_some()).finish()
    }
}

impl From<Sources> for Again {
    fn from(sources: Sources) -> Self {
        Self(Some(Arc::new(sources)))
    }
}

/// What a file looked like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen(Option<(PathBuf, u64, u64, i64, i64)>);

impl Again {
    /// How the file looks now that was read, or would be. Blocking.
    pub(crate) fn look(&self) -> Seen {
        use std::os::unix::fs::MetadataExt as _;
        let Some(sources) = &self.0 else { return Seen(None) };
        let named = sources.file.iter().map(|named| sources.working_dir.join(named));
        let found = named.chain(sources.search.iter().filter(|_| sources.file.is_none()).cloned()).find_map(|path| {
            let meta = match fs::metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return None,
                read => read.ok(),
            };
            let told = meta.map_or((0, 0, 0, 0), |meta| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()));
            Some((path, told.0, told.1, told.2, told.3))
        });
        Seen(found)
    }

    /// What is said of Caddy now; `None` where nothing can be read again. Blocking.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the configuration, as text.
    pub(crate) fn caddy(&self, apps: Option<&Apps>) -> Result<Option<Option<Settings>>, String> {
        let Some(sources) = &self.0 else { return Ok(None) };
        let mut sources = Sources::clone(sources);
        if let Some(apps) = apps {
            sources.add_directory(apps);
        }
        let loaded = load(&sources).map_err(|faults| faults.to_string())?;
        Ok(Some(loaded.config.caddy))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::DirectoryTexts;

    fn apps(caddy: &str, domain: &str) -> Apps {
        let server = format!("[server]\n[auth]\nsecret = \"k\"\n[registry]\n[storage]\n{caddy}");
        let app = format!("[app]\nname = \"web\"\nimage = \"a/web\"\n[health]\n[preview]\ndomain = \"{domain}\"\n");
        let texts = DirectoryTexts { server, apps: [("web.toml".to_owned(), app)].into(), ..DirectoryTexts::default() };
        Apps::load(texts, &BTreeMap::new()).unwrap_or_else(|faults| panic!("{faults}"))
    }

    #[test]
    fn what_is_said_of_caddy_is_read_anew_with_the_domains_of_apps() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("skipper.toml");
        let sources = Sources {
            search: vec![file.clone()],
            default_data_dir: dir.path().to_owned(),
            working_dir: dir.path().to_owned(),
            ..Sources::default()
        };
        let again = Again::from(sources);
        let table = "[caddy]\n[caddy.tls]\nemail = \"a@b.c\"\ndns_provider = \"cloudflare\"\n";
        let settings = |apps: &Apps| again.caddy(Some(apps)).expect("it is right").expect("there are sources");
        assert_eq!(settings(&apps("", "p.test")), None);
        let wildcards = |domain: &str| settings(&apps(table, domain)).expect("it is named").wildcards;
        assert_eq!(wildcards("p.test")[0].as_str(), "*.p.test");
        assert_eq!(wildcards("q.test")[0].as_str(), "*.q.test");
        let before = again.look();
        assert_eq!(before, again.look());
        fs::write(&file, "[caddy]\ntls = \"internal\"\n").expect("written");
        assert_ne!(before, again.look());
        let internal = settings(&apps("[caddy]\n", "p.test")).expect("it is named");
        assert_eq!(internal.tls, crate::caddy::Tls::Internal);
        fs::write(&file, "[caddy]\ntls = \"on\"\n").expect("written");
        let wrong = again.caddy(Some(&apps("[caddy]\n", "p.test"))).expect_err("it is wrong");
        assert!(wrong.contains("`caddy.tls` = `on`"), "{wrong}");
    }
}
