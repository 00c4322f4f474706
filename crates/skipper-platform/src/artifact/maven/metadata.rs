//! `maven-metadata.xml` of a snapshot: which of its builds is the newest.

use quick_xml::{Reader, events::Event};

use super::coordinates::{Coordinates, is_plain};

/// Largest document that is read: thousands of files of one version.
pub(super) const MAX_BYTES: u64 = 1 << 20;
/// Deepest nesting; real ones have five levels.
const MAX_DEPTH: usize = 16;

/// What the document says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// `yyyyMMddHHmmss`; empty where it is not said.
    pub(super) updated: String,
    timestamp: String,
    build: String,
    files: Vec<File>,
}

/// One file of the newest build.
#[derive(Debug, Default, PartialEq, Eq)]
struct File {
    classifier: String,
    extension: String,
    value: String,
    updated: String,
}

impl Metadata {
    /// Reads the document.
    ///
    /// # Errors
    ///
    /// A sentence for what is not such a document.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
        let mut found = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut reader = Reader::from_str(text);
        let mut any = false;
        loop {
            match reader.read_event().map_err(|error| format!("is not XML: {error}"))? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    if path.is_empty() && name != "metadata" {
                        return Err(format!("is a <{}>", name.chars().take(40).collect::<String>()));
                    }
                    any = true;
                    if name == "snapshotVersion" {
                        found.files.push(File::default());
                    }
                    path.push(name);
                    if path.len() > MAX_DEPTH {
                        return Err("is nested too deeply".to_owned());
                    }
                }
                Event::End(_) => {
                    path.pop();
                }
                Event::Text(text) => {
                    let text = text.trim().to_owned();
                    if !text.is_empty() {
                        found.take(&path, text);
                    }
                }
                Event::Eof if any && path.is_empty() => return Ok(found),
                Event::Eof => return Err("ends in its middle".to_owned()),
                _ => {}
            }
        }
    }

    fn take(&mut self, path: &[String], text: String) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let place = match path[..] {
            ["metadata", "versioning", "lastUpdated"] => Some(&mut self.updated),
            ["metadata", "versioning", "snapshot", "timestamp"] => Some(&mut self.timestamp),
            ["metadata", "versioning", "snapshot", "buildNumber"] => Some(&mut self.build),
            ["metadata", "versioning", "snapshotVersions", "snapshotVersion", field] => {
                self.files.last_mut().and_then(|file| match field {
                    "classifier" => Some(&mut file.classifier),
                    "extension" => Some(&mut file.extension),
                    "value" => Some(&mut file.value),
                    "updated" => Some(&mut file.updated),
                    _ => None,
                })
            }
            _ => None,
        };
        if let Some(place) = place {
            *place = text;
        }
    }

    /// When the wanted file was built, and the version its name has. As written where the document says nothing of it.
    pub(super) fn newest(&self, wanted: &Coordinates) -> (String, String) {
        let classifier = wanted.classifier.as_deref().unwrap_or_default();
        let listed = self.files.iter().find(|file| file.classifier == classifier && file.extension == wanted.extension);
        if let Some(file) = listed
            && is_plain(&file.value)
        {
            let updated = if file.updated.is_empty() { &self.updated } else { &file.updated };
            return (updated.clone(), file.value.clone());
        }
        // Before Maven 3 there was no list.
        let base = wanted.version.strip_suffix("SNAPSHOT").unwrap_or(&wanted.version);
        let stamped = format!("{base}{}-{}", self.timestamp, self.build);
        if self.files.is_empty() && !self.timestamp.is_empty() && !self.build.is_empty() && is_plain(&stamped) {
            return (self.updated.clone(), stamped);
        }
        (self.updated.clone(), wanted.version.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(xml: &str, uri: &str) -> (String, String) {
        let wanted = Coordinates::parse(uri).expect("they are coordinates");
        Metadata::read(xml.as_bytes()).expect("it is metadata").newest(&wanted)
    }

    #[test]
    fn the_file_of_the_right_classifier_and_extension_is_the_newest() {
        let xml = r#"<?xml version="1.0"?><!DOCTYPE x><metadata modelVersion="1.1.0"><groupId>g</groupId>
            <versioning><snapshot><timestamp>20260102.030405</timestamp><buildNumber>6</buildNumber></snapshot>
            <lastUpdated>20260102030405</lastUpdated><snapshotVersions>
            <snapshotVersion><extension>pom</extension><value>1.0-20260102.030405-6</value></snapshotVersion>
            <snapshotVersion><classifier>exec</classifier><extension>jar</extension>
              <value>1.0-20260101.000000-5</value><updated>20260101000000</updated></snapshotVersion>
            <snapshotVersion><extension>jar</extension><value>1.0-20260102.030405-6</value></snapshotVersion>
            </snapshotVersions></versioning></metadata>"#;
        let of = |uri| newest(xml, uri);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(of("maven://g:a:1.0-SNAPSHOT"), pair("20260102030405", "1.0-20260102.030405-6"));
        assert_eq!(of("maven://g:a:jar:exec:1.0-SNAPSHOT"), pair("20260101000000", "1.0-20260101.000000-5"));
        assert_eq!(of("maven://g:a:zip:1.0-SNAPSHOT"), pair("20260102030405", "1.0-SNAPSHOT"), "it is not listed");
    }

    #[test]
    fn older_documents_tell_time_and_build_and_local_ones_neither() {
        let old = "<metadata><versioning><snapshot><timestamp>20260102.030405</timestamp><buildNumber>6</buildNumber>\
                   </snapshot></versioning></metadata>";
        assert_eq!(newest(old, "maven://g:a:1.0-SNAPSHOT").1, "1.0-20260102.030405-6");
        let local = "<metadata><versioning><snapshot><localCopy>true</localCopy></snapshot>\
                     <lastUpdated>20260102030405</lastUpdated></versioning></metadata>";
        let (updated, version) = newest(local, "maven://g:a:1.0-SNAPSHOT");
        assert_eq!((updated.as_str(), version.as_str()), ("20260102030405", "1.0-SNAPSHOT"));
    }

    #[test]
    fn what_is_not_metadata_is_said_to_be_something_else() {
        let deep = "<metadata>".repeat(40);
        for (xml, words) in [
            ("<html><body>log in</body></html>", "is a <html>"),
            ("<metadata><versioning>", "ends in its middle"),
            ("", "ends in its middle"),
            ("<metadata></versioning>", "is not XML"),
            (deep.as_str(), "too deeply"),
        ] {
            let error = Metadata::read(xml.as_bytes()).expect_err(xml);
            assert!(error.contains(words), "{xml}: {error}");
        }
        let evil = "<metadata><versioning><snapshotVersions><snapshotVersion><extension>jar</extension>\
                    <value>../../../etc/passwd</value></snapshotVersion></snapshotVersions></versioning></metadata>";
        assert_eq!(newest(evil, "maven://g:a:1.0-SNAPSHOT").1, "1.0-SNAPSHOT", "a path is no version");
    }
}
