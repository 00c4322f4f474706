//! Where an original server's knowledge is read from: a script of H2, its PostgreSQL, or its API.

use std::{io::Read as _, path::Path};

use skipper_source::original::{Original, Tables, read_h2};

use super::{super::Context, api};
use crate::failure::{Doing as _, Exit, Failure, chain};

/// What can be read.
const FROM: &str = "give the server's API (http://host:7577), its PostgreSQL, or the file of H2's `SCRIPT TO 'file'`";
/// How a script is made of a database file.
const DUMP: &str =
    "write one with H2's own tool: java -cp h2.jar org.h2.tools.Script -url jdbc:h2:FILE -script dump.sql";

/// Largest script that is read: it is held in memory.
const MAX_SCRIPT: u64 = 1 << 30;

/// Tables of both generations.
const TABLES: [&str; 15] = [
    "skipper_repository",
    "skipper_package_metadata",
    "skipper_package_file",
    "skipper_release",
    "skipper_info",
    "skipper_status",
    "skipper_manifest",
    "repository",
    "package_metadata",
    "package_file",
    "release",
    "info",
    "status",
    "manifest",
    "app_deployer_data",
];

/// Columns of long texts, which Hibernate keeps as large objects on some databases.
const TEXTS: [&str; 5] = ["manifest", "pkg_json_string", "config_values_string", "data", "description"];

/// Reads all of it.
///
/// # Errors
///
/// What is wrong with the address, the file, the database or the server.
pub(super) async fn read(context: &Context, from: &str) -> Result<Original, Failure> {
    if from.starts_with("postgres://") || from.starts_with("postgresql://") {
        // The Java driver's word, by which the original names its schema.
        return database(&from.replace("currentSchema=", "options[search_path]=")).await;
    }
    if from.starts_with("jdbc:postgresql:") {
        let (url, note) = skipper_server::config::postgres_of_jdbc(from)
            .map_err(|wrong| Failure::usage(format!("the address of the database {wrong}")))?;
        let mut original = database(&url).await?;
        original.warnings.extend(note);
        return Ok(original);
    }
    if from.starts_with("jdbc:") {
        return Err(Failure::usage(format!(
            "`{}` is a database that Skipper does not read",
            from.split(['?', ';']).next().unwrap_or(from)
        ))
        .hint(FROM));
    }
    if from.starts_with("http://") || from.starts_with("https://") {
        return api::read(from).await;
    }
    if let Some((scheme, _)) = from.split_once("://").filter(|(scheme, _)| *scheme != "file") {
        return Err(Failure::usage(format!("`{scheme}://` is no address that Skipper imports from")).hint(FROM));
    }
    script(context, from.strip_prefix("file:").unwrap_or(from))
}

async fn database(url: &str) -> Result<Original, Failure> {
    let found = skipper_store::read_postgres(url, &TABLES, &TEXTS).await.map_err(|error| {
        let failure = Failure::error(chain(&error));
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    let mut tables = Tables::default();
    for (name, rows) in &found {
        tables.add_json(name, rows);
    }
    if tables.0.is_empty() {
        return Err(Failure::error("no table of Spring Cloud Skipper is filled in that database")
            .hint("they may be in another schema than `public`: `?currentSchema=NAME` behind the address names it"));
    }
    Ok(Original::from_tables(&tables))
}

fn script(context: &Context, path: &str) -> Result<Original, Failure> {
    let full = context.surroundings.resolve(Path::new(path));
    let meta = std::fs::metadata(&full)
        .map_err(|error| Failure::new(Exit::NotFound, format!("there is no file {path}: {error}")))?;
    if meta.len() > MAX_SCRIPT {
        return Err(Failure::error(format!("{path} is larger than {} MiB", MAX_SCRIPT >> 20)));
    }
    // A device has no length.
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&full).and_then(|file| file.take(MAX_SCRIPT + 1).read_to_end(&mut bytes));
    read.doing(|| format!("read {path}"))?;
    if bytes.len() as u64 > MAX_SCRIPT {
        return Err(Failure::error(format!("{path} is larger than {} MiB", MAX_SCRIPT >> 20)));
    }
    let is_database = path.ends_with(".mv.db") || path.ends_with(".h2.db");
    if is_database || bytes.starts_with(b"H2") || bytes.starts_with(b"-- H2 0.5/B") {
        return Err(Failure::error(format!("{path} is a database file of H2, not a script")).hint(DUMP));
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::error(format!("{path} is not UTF-8 text")).hint(DUMP))?;
    let tables = read_h2(&text).map_err(|error| Failure::error(format!("{path}, {error}")))?;
    if tables.0.is_empty() {
        return Err(Failure::error(format!("{path} is no script of H2: no table is filled in it")).hint(DUMP));
    }
    Ok(Original::from_tables(&tables))
}
