//! The database of an original Spring Cloud Skipper server: repositories, packages, and the history of its releases.
//!
//! Both generations keep the same facts in slightly other columns: a manifest in its own table or in the release's row, the
//! bytes of a package beside its metadata or in a table of their own.

mod h2;
mod package;
mod tables;

use serde_json::{Map, Value};

pub use h2::{H2Error, read as read_h2};
pub use package::zip_of;
pub use tables::{Cell, Table, Tables};

use tables::Row;

/// What a server of before knew.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Original {
    /// Its repositories.
    pub repositories: Vec<Repository>,
    /// Its packages, local and remote.
    pub packages: Vec<Package>,
    /// Every version of every release, by name, then by version.
    pub releases: Vec<Release>,
    /// What could not be read, for people.
    pub warnings: Vec<String>,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its number there.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Where its sources are.
    pub source_url: Option<String>,
    /// Whether packages are uploaded to it.
    pub local: bool,
    /// One line about it.
    pub description: Option<String>,
    /// The higher, the earlier it is asked.
    pub order: i64,
}

/// A version of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The name of its repository.
    pub repository: String,
    /// Whether that is a local one.
    pub local: bool,
    /// The zip, where the server had it.
    pub bytes: Option<Vec<u8>>,
}

/// One version of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// 1, 2, 3, …
    pub version: u64,
    /// What had become of it.
    pub status: Status,
    /// In words.
    pub description: Option<String>,
    /// When it was made, in microseconds since 1970; `None` where it is not told.
    pub deployed_at: Option<i64>,
    /// The platform account.
    pub platform: Option<String>,
    /// The text that was deployed.
    pub manifest: Option<String>,
    /// What the user had set, as YAML.
    pub values: Option<String>,
    /// The package as the server kept it with the release: metadata, templates, values, dependencies.
    pub package: Map<String, Value>,
}

/// What had become of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It ran, or was being started.
    Deployed,
    /// It was replaced or deleted.
    Deleted,
    /// It did not get healthy.
    Failed,
    /// It was under way.
    Unknown,
}

impl Status {
    /// By the original's word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "DEPLOYED" => Self::Deployed,
            "DELETED" => Self::Deleted,
            "FAILED" => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

impl Release {
    /// One text of the package's metadata.
    #[must_use]
    pub fn package_text(&self, key: &str) -> Option<&str> {
        self.package.get("metadata")?.get(key)?.as_str()
    }
}

impl Original {
    /// From the tables of its database.
    #[must_use]
    pub fn from_tables(tables: &Tables) -> Self {
        let mut warnings = Vec::new();
        let repositories: Vec<Repository> = tables.rows("repository").filter_map(repository).collect();
        let packages = packages(tables, &repositories);
        let releases = releases(tables, &mut warnings);
        for table in ["repository", "package_metadata", "release"] {
            if !tables.0.contains_key(table) {
                warnings.push(format!("there is no table `{table}` (or `skipper_{table}`), or it has no rows"));
            }
        }
        Self { repositories, packages, releases, warnings }
    }

    /// The name of the repository that the package of a release was in, as far as that is told.
    #[must_use]
    pub fn repository_of(&self, release: &Release) -> Option<&str> {
        if let Some(name) = release.package_text("repositoryName").filter(|name| !name.is_empty()) {
            return self.repositories.iter().map(|known| known.name.as_str()).find(|known| *known == name);
        }
        let number = release.package.get("metadata")?.get("repositoryId")?.as_i64()?;
        self.repositories.iter().find(|known| known.id == number).map(|known| known.name.as_str())
    }

    /// Puts versions of releases in order.
    pub fn sort(&mut self) {
        self.releases.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
    }
}

fn repository(row: Row<'_>) -> Option<Repository> {
    Some(Repository {
        id: row.number("id")?,
        name: row.text("name")?,
        url: row.text("url").unwrap_or_default(),
        source_url: row.text("source_url"),
        local: row.get("local").text().is_some_and(truth),
        description: row.text("description"),
        order: row.number("repo_order").unwrap_or(0),
    })
}

fn truth(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "t" | "1" | "b'1'")
}

fn packages(tables: &Tables, repositories: &[Repository]) -> Vec<Package> {
    let files = tables.by_id("package_file");
    let bytes_of = |row: &Row<'_>| {
        let own = ["package_file", "package_file_bytes", "package_bytes"].map(|column| row.get(column));
        let apart = row.number("packagefile_id").and_then(|id| files.get(&id)).map(|file| file.get("package_bytes"));
        own.into_iter().chain(apart).find_map(|cell| match cell {
            Cell::Bytes(bytes) if !bytes.is_empty() => Some(bytes.clone()),
            _ => None,
        })
    };
    let package = |row: Row<'_>| {
        let repository = row
            .number("repository_id")
            .and_then(|id| repositories.iter().find(|repository| repository.id == id))
            .or_else(|| {
                let name = row.text("repository_name")?;
                repositories.iter().find(|repository| repository.name == name)
            });
        Some(Package {
            name: row.text("name")?,
            version: row.text("version")?,
            local: repository.is_none_or(|repository| repository.local),
            repository: repository.map_or_else(|| "local".to_owned(), |repository| repository.name.clone()),
            bytes: bytes_of(&row),
        })
    };
    tables.rows("package_metadata").filter_map(package).collect()
}

fn releases(tables: &Tables, warnings: &mut Vec<String>) -> Vec<Release> {
    let (infos, statuses, manifests) = (tables.by_id("info"), tables.by_id("status"), tables.by_id("manifest"));
    let mut releases = Vec::new();
    for row in tables.rows("release") {
        let (Some(name), Some(version)) = (row.text("name"), row.number("version").and_then(|v| u64::try_from(v).ok()))
        else {
            warnings.push("a release without name or version was left out".to_owned());
            continue;
        };
        let info = row.number("info_id").and_then(|id| infos.get(&id));
        let status = info.and_then(|info| info.number("status_id")).and_then(|id| statuses.get(&id));
        let manifest = row.text("manifest").or_else(|| manifests.get(&row.number("manifest_id")?)?.text("data"));
        let package = row.text("pkg_json_string").map(|text| serde_json::from_str::<Map<String, Value>>(&text));
        let package = match package {
            Some(Ok(package)) => package,
            Some(Err(error)) => {
                warnings.push(format!("the package of `{name}` version {version} cannot be read: {error}"));
                Map::new()
            }
            None => Map::new(),
        };
        releases.push(Release {
            status: status.and_then(|row| row.text("status_code")).map_or(Status::Unknown, |word| Status::of(&word)),
            description: info.and_then(|info| info.text("description")),
            deployed_at: info.and_then(|info| info.text("last_deployed")).and_then(|text| micros(&text)),
            platform: row.text("platform_name"),
            values: row.text("config_values_string"),
            name,
            version,
            manifest,
            package,
        });
    }
    releases.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
    releases
}

/// `2017-10-27 16:39:03.123`, also with `T`, `Z` or an offset, in microseconds since 1970. Without an offset it is taken
/// for UTC: the original writes the local time of its machine and does not say which.
#[must_use]
pub fn micros(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let mut parts = clock.trim().splitn(3, ':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().unwrap_or("0").parse().ok()?;
    if !(0..24).contains(&hours) || !(0..60).contains(&minutes) || !(0.0..62.0).contains(&seconds) {
        return None;
    }
    let offset = match zone.trim_start_matches('Z').trim() {
        "" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
            let hours: i64 = digits.get(..2)?.parse().ok()?;
            let minutes: i64 = digits.get(2..4).map_or(Some(0), |text| text.parse().ok())?;
            sign * (hours * 60 + minutes)
        }
    };
    let days = days_since_1970(year, month, day);
    #[expect(clippy::cast_possible_truncation, reason = "bounded above: at most 62 million")]
    let micros = (seconds * 1e6).round() as i64;
    Some(((days * 24 + hours) * 60 + minutes - offset) * 60_000_000 + micros)
}

/// By the calendar of today, counted with years that begin in March.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
