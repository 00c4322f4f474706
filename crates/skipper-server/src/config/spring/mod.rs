//! The configuration of Spring Cloud Skipper, as its users have it: YAML and properties files with profiles, arguments such
//! as `--server.port=9000`, `SPRING_APPLICATION_JSON`, environment variables, placeholders.
//!
//! It is read into properties with their origin (`source`, with the forms of files in `document`), by strength
//! (`environment`), and translated by a table of known keys (`key`, read by `rule`) into native ones (`translate`, and
//! `compose` for what several keys say together). Where these stand in
//! the order of all sources is decided by `merge`. Nothing here knows native types, and nothing reads the environment of
//! the process.

mod compose;
mod document;
mod environment;
mod jdbc;
mod key;
mod location;
mod name;
mod placeholder;
mod profile;
mod rule;
mod source;
mod translate;

pub(super) use environment::Strength;
pub(super) use translate::{Native, Said, Translated};

use super::{Sources, fault::Fault};

/// Reads and translates everything that was said in Spring's way.
pub(super) fn read(sources: &Sources, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) -> Translated {
    source::read(sources, faults, warnings)
        .map_or_else(Translated::default, |environment| translate::translate(&environment, sources, faults, warnings))
}

/// The address of the PostgreSQL that a JDBC address names (`postgres://…`), and what of it has no effect here.
///
/// # Errors
///
/// Why it is none.
pub fn postgres_of_jdbc(url: &str) -> Result<(String, Option<String>), String> {
    let translated = jdbc::translate(url, None, None, std::path::Path::new("/"), None)?;
    Ok((translated.url, translated.note))
}

#[cfg(test)]
mod tests;
