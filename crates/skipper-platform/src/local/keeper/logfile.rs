//! The log of an instance: numbered files of bounded size, the oldest removed. Files are never renamed, so that a reader
//! goes from one to the next without a race.
//!
//! A line is `<stamp> o|e <text>`. A disk that is full stops the log, not the application: lines are dropped and counted,
//! and the count is written as soon as there is room.

use std::{
    fs, io,
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use skipper_core::{port::LogStreamKind, time::Timestamp};

use super::stamp;

/// Longest line that is kept in one piece; a longer one is cut into several.
pub(crate) const LINE_BYTES: usize = 64 << 10;

/// An open log that is being written.
#[derive(Debug)]
pub(super) struct LogFile {
    dir: PathBuf,
    file_bytes: u64,
    files: u32,
    file: fs::File,
    number: u64,
    size: u64,
    /// The file does not end with a line end.
    torn: bool,
    pending: Vec<u8>,
    pending_lines: u64,
    dropped: u64,
    last_error: String,
}

/// The log's files with their numbers, oldest first.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found: Vec<(u64, PathBuf)> = fs::read_dir(dir)?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_suffix(".log")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort_unstable_by_key(|(number, _)| *number);
    Ok(found)
}

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}.log"))
}

impl LogFile {
    /// Goes on with the newest file, or begins the first.
    pub(super) fn open(dir: PathBuf, file_bytes: u64, files: u32) -> io::Result<Self> {
        let number = segments(&dir)?.last().map_or(1, |(number, _)| *number);
        let (file, size, torn) = open_segment(&segment(&dir, number))?;
        Ok(Self {
            dir,
            file_bytes: file_bytes.max(4096),
            files: files.max(1),
            file,
            number,
            size,
            torn,
            pending: Vec::new(),
            pending_lines: 0,
            dropped: 0,
            last_error: String::new(),
        })
    }

    /// Adds a line; it is written with the next [`LogFile::flush`].
    pub(super) fn line(&mut self, at: Timestamp, stream: LogStreamKind, text: &[u8]) {
        self.pending.extend_from_slice(stamp::format(at).as_bytes());
        self.pending.extend_from_slice(match stream {
            LogStreamKind::Stdout => b" o ",
            LogStreamKind::Stderr => b" e ",
        });
        self.pending.extend_from_slice(text);
        self.pending.push(b'\n');
        self.pending_lines += 1;
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self, at: Timestamp) {
        if self.pending.is_empty() {
            return;
        }
        let (lines, count) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.pending_lines));
        let mut failed = self.dropped > 0 && self.write_note(at).is_err();
        if !failed && let Err(error) = self.write(&lines) {
            self.last_error = error.to_string();
            failed = true;
        }
        if failed {
            self.dropped += count;
        }
        // Keeps its room for the next lines.
        self.pending = lines;
        self.pending.clear();
    }

    fn write_note(&mut self, at: Timestamp) -> io::Result<()> {
        let note = format!("[skipper] {} lines could not be written: {}", self.dropped, self.last_error);
        let line = format!("{} e {note}\n", stamp::format(at));
        self.write(line.as_bytes())?;
        self.dropped = 0;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + bytes.len() as u64 > self.file_bytes {
            self.next_segment()?;
        }
        if self.torn {
            self.file.write_all(b"\n")?;
            self.size += 1;
            self.torn = false;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.size += count as u64;
                    self.torn = rest[count - 1] != b'\n';
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let (file, size, torn) = open_segment(&segment(&self.dir, self.number + 1))?;
        (self.file, self.size, self.torn) = (file, size, torn);
        self.number += 1;
        for (number, path) in segments(&self.dir)? {
            if number + u64::from(self.files) <= self.number {
                // One that cannot be removed now is tried again with the next file.
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

fn open_segment(path: &Path) -> io::Result<(fs::File, u64, bool)> {
    let mut file = fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let size = file.seek(io::SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if size > 0 {
        file.seek(io::SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok((file, size, last[0] != b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(dir: &Path) -> Vec<String> {
        let files = segments(dir).expect("the folder is there");
        let all: String = files.iter().map(|(_, path)| fs::read_to_string(path).expect("it is text")).collect();
        all.lines().map(|line| line[stamp::LEN + 1..].to_owned()).collect()
    }

    #[test]
    fn old_files_go_and_new_lines_stay_in_order() {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let mut log = LogFile::open(dir.path().to_owned(), 4096, 3).expect("it opens");
        for number in 0..1000 {
            log.line(Timestamp::default(), LogStreamKind::Stdout, format!("line {number}").as_bytes());
            log.flush(Timestamp::default());
        }
        let files = segments(dir.path()).expect("the folder is there");
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|(_, path)| path.metadata().expect("it is there").len() <= 4096));
        let texts = texts(dir.path());
        let first = 1000 - texts.len();
        assert!(texts.iter().enumerate().all(|(i, text)| *text == format!("o line {}", first + i)));
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next_one() {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        fs::write(segment(dir.path(), 7), format!("{} o half", stamp::format(Timestamp::default())))
            .expect("it is ours");
        let mut log = LogFile::open(dir.path().to_owned(), 4096, 3).expect("it opens");
        log.line(Timestamp::default(), LogStreamKind::Stderr, b"whole");
        log.flush(Timestamp::default());
        assert_eq!(texts(dir.path()), ["o half", "e whole"]);
    }

    #[test]
    fn a_full_disk_drops_lines_and_says_so_later() {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let mut log = LogFile::open(dir.path().to_owned(), 4096, 3).expect("it opens");
        let room = std::mem::replace(
            &mut log.file,
            fs::OpenOptions::new().write(true).open("/dev/full").expect("linux has it"),
        );
        for _ in 0..2 {
            log.line(Timestamp::default(), LogStreamKind::Stdout, b"lost");
            log.flush(Timestamp::default());
        }
        log.file = room;
        log.line(Timestamp::default(), LogStreamKind::Stdout, b"kept");
        log.flush(Timestamp::default());
        let texts = texts(dir.path());
        assert!(texts[0].starts_with("e [skipper] 2 lines could not be written: No space left on device"), "{texts:?}");
        assert_eq!(texts[1], "o kept");
    }
}
