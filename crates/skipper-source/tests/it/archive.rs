use std::{fs, io::Write as _, os::unix::fs::symlink};

use skipper_source::{Archive, build};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    support::{PACKAGE, file, package},
    zip_bytes::{Entry, entry, zip},
};

fn metadata() -> Entry {
    entry("package.yml", PACKAGE)
}

#[track_caller]
fn refused(entries: &[Entry], code: &str, words: &str) {
    let error = Archive::from_zip(&zip(entries)).expect_err("must be refused");
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

/// A zip by the library, as other programs write it.
fn deflated(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in files {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(*path, options).expect("started");
        writer.write_all(bytes).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

#[test]
fn a_zip_may_have_a_top_folder_or_none() {
    let files = [("package.yml", PACKAGE), ("values.yml", "a: 1"), ("templates/a.yml", "b: 2"), ("README.md", "# hi")];
    let plain: Vec<Entry> = files.iter().map(|(path, text)| entry(path, text)).collect();
    let foldered: Vec<Entry> = std::iter::once(Entry { mode: 0o040_755, ..entry("hello-1.0.0/", "") })
        .chain(files.iter().map(|(path, text)| entry(&format!("hello-1.0.0/{path}"), text)))
        .chain([
            entry("__MACOSX/hello-1.0.0/._package.yml", "junk"),
            entry("hello-1.0.0/.DS_Store", "junk"),
            entry(".git/config", "x"),
        ])
        .collect();
    let archive = Archive::from_zip(&zip(&plain)).expect("plain");
    assert_eq!(Archive::from_zip(&zip(&foldered)).expect("foldered"), archive);
    let dotted: Vec<Entry> = std::iter::once(Entry { mode: 0o040_755, ..entry("./", "") })
        .chain(files.iter().map(|(path, text)| entry(&format!("./hello-1.0.0/{path}"), text)))
        .collect();
    assert_eq!(Archive::from_zip(&zip(&dotted)).expect("dotted"), archive);
    assert_eq!(archive.readme(), Some("# hi"));
    assert_eq!(archive.templates().len(), 1);
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    assert_eq!(Archive::from_zip(&deflated(&files)).expect("deflated"), archive);
}

#[test]
fn packages_nest_to_any_depth_within_a_bound() {
    let nested = |depth: usize| {
        let files = (0..=depth).map(|level| {
            let folder = "packages/p/".repeat(level);
            file(&format!("{folder}package.yml"), "x: 1")
        });
        Archive::from_files(files.collect())
    };
    let deep = nested(8).expect("eight are fine");
    assert_eq!(deep.tree().len(), 9);
    assert_eq!(deep.tree()[2].folder_name(), Some("p"));
    assert_eq!(nested(9).expect_err("nine are not").code(), "archive-too-large");
    let orphan = Archive::from_files(vec![file("package.yml", PACKAGE), file("packages/db/values.yml", "")]);
    assert!(orphan.expect_err("no metadata").to_string().contains("packages/db/package.yml"));
    let zipped = Archive::from_files(vec![file("package.yml", PACKAGE), file("packages/db-1.0.0.zip", "")]);
    assert_eq!(zipped.expect_err("zip").code(), "archive-misplaced");
}

#[test]
fn a_built_zip_is_the_same_for_the_same_files_and_reads_back() {
    let files =
        [("values.yml", "a: 1"), ("templates/a.yml", "b"), ("packages/p/package.yml", "c: 1"), ("LICENSE", "x")];
    let archive = package(&files);
    let built = build(&archive).expect("built");
    let mut turned = files;
    turned.reverse();
    assert_eq!(build(&package(&turned)).expect("built").bytes, built.bytes);
    assert_eq!(Archive::from_zip(&built.bytes).expect("readable"), archive);
    assert_eq!(built.file_name(), "hello-1.0.0.zip");
    assert_eq!(built.sha256, skipper_core::Sha256::of(&built.bytes));
}

#[test]
fn the_longest_names_that_are_accepted_are_readable_when_built() {
    let metadata = PACKAGE.replace("hello", &"n".repeat(128)).replace("1.0.0", &format!("1.0.0-{}", "v".repeat(94)));
    let long = format!("{}/{}", "d".repeat(255), "f".repeat(255));
    let deep = "d/".repeat(23) + "f";
    let built = build(&package(&[("package.yml", &metadata), (&long, "x"), (&deep, "y")])).expect("built");
    assert_eq!(Archive::from_zip(&built.bytes).expect("readable").others().len(), 2);
    for (from, to) in [("hello", "n".repeat(129)), ("1.0.0", format!("1.0.0-{}", "v".repeat(95)))] {
        assert!(build(&package(&[("package.yml", &PACKAGE.replace(from, &to))])).is_err());
    }
}

#[test]
fn a_directory_is_read_and_its_links_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("templates/sub")).expect("made");
    fs::create_dir_all(at(".git/objects")).expect("made");
    fs::write(at("package.yml"), PACKAGE).expect("written");
    fs::write(at("templates/sub/a.yml"), "a: 1").expect("written");
    fs::write(at(".git/objects/x"), "x").expect("written");
    let archive = Archive::from_dir(dir.path()).expect("a package");
    assert_eq!(archive.templates()[0].path, "templates/sub/a.yml");
    assert_eq!(Archive::from_path(dir.path()).expect("a package"), archive);
    fs::write(at("p.zip"), zip(&[metadata()])).expect("written");
    Archive::from_path(&at("p.zip")).expect("a package");
    fs::remove_file(at("p.zip")).expect("removed");

    symlink("/etc/passwd", at("values.yml")).expect("linked");
    assert_eq!(Archive::from_dir(dir.path()).expect_err("a link").code(), "archive-special-file");
    fs::remove_file(at("values.yml")).expect("removed");
    symlink(dir.path(), at("packages")).expect("linked");
    assert_eq!(Archive::from_dir(dir.path()).expect_err("a link").code(), "archive-special-file");
    fs::remove_file(at("packages")).expect("removed");
    fs::write(at("large.bin"), vec![0; 5 << 20]).expect("written");
    assert_eq!(Archive::from_dir(dir.path()).expect_err("too large").code(), "archive-too-large");
    assert_eq!(Archive::from_dir(&at("nowhere")).expect_err("missing").code(), "archive-io");
    fs::remove_file(at("large.bin")).expect("removed");
    fs::remove_file(at("package.yml")).expect("removed");
    assert_eq!(Archive::from_dir(dir.path()).expect_err("no metadata").code(), "archive-no-metadata");
}

#[test]
fn paths_that_could_leave_the_package_are_refused() {
    for path in [
        "../evil",
        "a/../../evil",
        "/etc/evil",
        "..",
        "a\\..\\evil",
        "C:\\evil",
        "C:/evil",
        "c:evil",
        "templates/..",
        "\\\\host\\x",
        "a/..",
    ] {
        refused(&[metadata(), entry(path, "x")], "archive-escape", "outside of the package");
    }
}

#[test]
fn odd_names_are_refused() {
    let long_part = "x".repeat(300);
    for path in [
        "a//b",
        "a/./b",
        "./a/./b",
        "a\nb",
        "a\u{0}b",
        "a\u{202E}b",
        "aa:b",
        "a*b",
        "a ",
        "a./b",
        " a",
        "e\u{301}",
        &long_part,
    ] {
        refused(&[metadata(), entry(path, "x")], "archive-name", "");
    }
    refused(&[metadata(), entry(&"x/".repeat(30), "")], "archive-too-large", "folders");
    refused(&[metadata(), entry(&format!("a/{}", "y/".repeat(500)), "")], "archive-too-large", "768 bytes");
    refused(&[metadata(), Entry { name: b"a\xFFb".to_vec(), ..entry("", "x") }], "archive-name", "not UTF-8");
}

#[test]
fn links_and_devices_are_refused() {
    for mode in [0o120_777, 0o060_644, 0o020_644, 0o010_644, 0o140_644, 0o040_755] {
        refused(&[metadata(), Entry { mode, ..entry("link", "/etc/passwd") }], "archive-special-file", "`link`");
    }
    let plain = Entry { mode: 0, ..metadata() };
    Archive::from_zip(&zip(&[plain])).expect("an archive from another system has no modes");
}

#[test]
fn encrypted_entries_are_refused() {
    refused(&[metadata(), Entry { flags: 1, ..entry("x", "0123456789ab") }], "archive-encrypted", "`x`");
}

#[test]
fn names_are_unique_whatever_their_case() {
    refused(&[metadata(), entry("a", "1"), entry("a", "2")], "archive-duplicate", "`a`");
    refused(&[metadata(), entry("Readme", "1"), entry("README", "2")], "archive-duplicate", "case");
    refused(&[metadata(), entry("a/B", "1"), entry("A/b", "2")], "archive-duplicate", "case");
    refused(&[metadata(), entry("a", "1"), entry("a/b", "2")], "archive-file-and-folder", "both a file and a folder");
    refused(&[metadata(), entry("package.yaml", "x")], "archive-misplaced", "another ending");
}

#[test]
fn bombs_are_defused() {
    let zeros = vec![0; 3 << 20];
    let bomb = deflated(&[("package.yml", PACKAGE.as_bytes()), ("zeros.txt", &zeros)]);
    assert_eq!(Archive::from_zip(&bomb).expect_err("a bomb").code(), "archive-bomb");
    let large: Vec<u8> = (0..5_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let large = deflated(&[("package.yml", PACKAGE.as_bytes()), ("large", &large)]);
    assert_eq!(Archive::from_zip(&large).expect_err("large").code(), "archive-too-large");
    let many: Vec<Entry> = (0..2001).map(|n| entry(&format!("f{n}"), "")).collect();
    refused(&many, "archive-too-large", "number of entries");
    let four = "abcdefgh".repeat(1 << 19);
    let all: Vec<Entry> = (0..9).map(|n| entry(&format!("f{n}"), &four[..3 << 20])).collect();
    assert_eq!(Archive::from_zip(&zip(&all)).expect_err("too long").code(), "archive-too-large");
    assert_eq!(Archive::from_zip(&vec![0; 17 << 20]).expect_err("too long").code(), "archive-too-large");
}

#[test]
fn headers_that_lie_are_refused() {
    refused(
        &[metadata(), Entry { local_name: Some(b"other".to_vec()), ..entry("x", "data") }],
        "archive-inconsistent",
        "",
    );
    refused(&[metadata(), Entry { crc: Some(7), ..entry("x", "data") }], "archive-inconsistent", "`x`");
    for size in [0, 3, 5, 60_000] {
        refused(&[metadata(), Entry { size: Some(size), ..entry("x", "data") }], "archive-inconsistent", "");
    }
    refused(&[metadata(), Entry { method: 12, ..entry("x", "data") }], "archive-not-zip", "stored or deflated");
    let mut prefixed = b"#!/bin/sh\n".to_vec();
    prefixed.extend(zip(&[metadata()]));
    assert!(Archive::from_zip(&prefixed).is_err());
    let honest = zip(&[metadata(), entry("x", "data")]);
    // A second entry that is not in the directory.
    let at = honest.windows(4).position(|w| w == b"PK\x01\x02").expect("a directory");
    let mut hidden = honest[..at].to_vec();
    hidden.extend(b"PK\x03\x04");
    assert!(Archive::from_zip(&[hidden, honest[at..].to_vec()].concat()).is_err());
}

#[test]
fn what_is_no_package_is_refused() {
    for bytes in [&b""[..], b"PK", b"not a zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
        assert!(Archive::from_zip(bytes).is_err());
    }
    refused(&[entry("values.yml", "")], "archive-no-metadata", "package.yml");
    refused(&[entry("a/b/package.yml", PACKAGE)], "archive-no-metadata", "package.yml");
    let binary = Entry { data: vec![0xFF, 0xFE], ..entry("values.yml", "") };
    refused(&[metadata(), binary], "archive-not-text", "values.yml");
    let honest = zip(&[metadata(), entry("x", "data")]);
    for end in 0..honest.len() {
        assert!(Archive::from_zip(&honest[..end]).is_err(), "cut at {end}");
    }
}
