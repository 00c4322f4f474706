//! A zip that is the same for the same files.

use std::io::{Cursor, Write as _};

use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::File;

/// Writes the files, sorted by path, below the folder `top`.
pub(super) fn write(files: &[&File], top: &str) -> Vec<u8> {
    let mut sorted: Vec<&File> = files.to_vec();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    // No folders, no owners, and the time at which zip's calendar begins: nothing that differs from machine to machine.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for file in sorted {
        writer.start_file(format!("{top}/{}", file.path), options).expect("paths were checked when they were read");
        writer.write_all(&file.bytes).expect("memory takes what is written");
    }
    writer.finish().expect("memory takes what is written").into_inner()
}
