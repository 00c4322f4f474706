//! One output as a plain file, for those who look where Spring's deployer puts it. The log proper is [`super::logfile`]'s.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

/// A file of bounded size; the one before is kept beside it, with `.1` at its end.
///
/// Nothing waits for it and nothing is told of it: a disk that is full, or an application that removes the file, costs lines
/// of this copy only.
#[derive(Debug)]
pub(super) struct Copy {
    path: PathBuf,
    bytes: u64,
    open: Option<(fs::File, u64)>,
}

impl Copy {
    /// Of at most `bytes`; opened with the first output.
    pub(super) const fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes, open: None }
    }

    pub(super) fn write(&mut self, output: &[u8]) {
        if self.try_write(output).is_err() {
            self.open = None;
        }
    }

    fn try_write(&mut self, output: &[u8]) -> io::Result<()> {
        let full = self.open.as_ref().is_some_and(|(_, size)| size + output.len() as u64 > self.bytes);
        if full {
            self.open = None;
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            fs::rename(&self.path, before)?;
        }
        if self.open.is_none() {
            let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        if let Some((file, size)) = &mut self.open {
            file.write_all(output)?;
            *size += output.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_on_where_it_was_and_keeps_the_one_before() {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let path = dir.path().join("stdout_0.log");
        let mut copy = Copy::new(path.clone(), 10);
        copy.write(b"12345");
        let mut copy = Copy::new(path.clone(), 10);
        copy.write(b"6789\n");
        assert_eq!(fs::read(&path).expect("it is there"), b"123456789\n");
        copy.write(b"next");
        assert_eq!(fs::read(&path).expect("it is there"), b"next");
        assert_eq!(fs::read(dir.path().join("stdout_0.log.1")).expect("it is kept"), b"123456789\n");
    }
}
