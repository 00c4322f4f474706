//! Manifests: the rendered text of a revision, as people read it.
//!
//! A manifest is made from the spec, not from the templates' text. So equal specs have equal manifests, a difference
//! between two manifests is a difference in what runs, and specs that were never written down (a scaled one, or one whose
//! digests were pinned) have a manifest too.

use skipper_core::spec::Spec;

use crate::{
    application,
    finding::{Faults, Finding, Findings},
    package::validated,
    yaml::{self, Input},
};

/// The manifest of a spec: `text`, where that is the author's own, else written anew from the spec.
#[must_use]
pub fn of(spec: &Spec, text: String) -> String {
    if spec.verbatim { text } else { write(spec) }
}

/// Name of a manifest in messages.
const FILE: &str = "manifest";
/// Most applications of a release.
const MAX_APPLICATIONS: usize = 200;

/// The spec as canonical YAML documents, applications by name, each after a `---`. Equal specs give equal texts, and
/// [`parse`] gives the spec back (with its applications by name).
#[must_use]
pub fn write(spec: &Spec) -> String {
    let mut applications: Vec<_> = spec.applications.iter().collect();
    applications.sort_by(|a, b| a.name.cmp(&b.name));
    let documents = applications.into_iter().map(|app| format!("---\n{}", yaml::emit(&application::write(app))));
    documents.collect()
}

/// Reads a manifest that [`write`](fn@write) wrote, or somebody. Every application must name its platform.
///
/// # Errors
///
/// Every fault at once.
pub fn parse(text: &str) -> Result<Spec, Faults> {
    let documents = yaml::read(Input::plain(FILE, text))?;
    if documents.len() > MAX_APPLICATIONS {
        let message = format!("{} applications, and at most {MAX_APPLICATIONS} are allowed", documents.len());
        return Err(Finding::error("manifest-size", message).in_file(FILE).into());
    }
    let mut findings = Findings::new();
    let mut applications: Vec<_> = documents
        .iter()
        .filter_map(|document| findings.take(application::read(FILE, document, None)))
        .map(|(application, _)| application)
        .collect();
    findings.into_result()?;
    applications.sort_by(|a, b| a.name.cmp(&b.name));
    let spec = Spec::new(applications);
    validated(&spec)?;
    Ok(spec)
}
