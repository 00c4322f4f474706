//! Reading logs: the last lines, all of them, and what comes, across files, restarts of the process, and restarts of the
//! server.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    fs, io,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use skipper_core::{
    BoxStream,
    port::{Error, ErrorKind, LogChunk, LogQuery, LogStreamKind},
    time::Timestamp,
};

use super::{
    account::blocking,
    keeper::{LINE_BYTES, segments, stamp},
    list,
};

/// Lines handed over at once.
const BATCH: usize = 256;
/// How often a follower looks for more. Fast enough for people, and cheap: one read of nothing an instance.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

/// Where reading stands in one instance's log.
struct Cursor {
    instance: u32,
    dir: PathBuf,
    number: u64,
    offset: u64,
    ready: VecDeque<LogChunk>,
    /// The file that was read last, while following: an instance that is removed takes its folder along, and what it said
    /// last is still in the open file.
    kept: Option<fs::File>,
    follow: bool,
}

/// Where reading stands in all of them.
struct Reading {
    deployment: PathBuf,
    only: Option<u32>,
    follow: bool,
    cursors: BTreeMap<u32, Cursor>,
}

/// The lines a query asks for.
pub(super) async fn stream(
    deployment: PathBuf,
    query: LogQuery,
) -> Result<BoxStream<'static, Result<LogChunk, Error>>, Error> {
    let begun = blocking(move || Reading::begin(deployment, &query)).await??;
    let batches = futures::stream::unfold((begun, VecDeque::new()), |(mut reading, mut ready)| async move {
        loop {
            if let Some(chunk) = ready.pop_front() {
                return Some((Ok(chunk), (reading, ready)));
            }
            // Fails only when the runtime shuts down.
            let (back, batch, more) = blocking(move || reading.batch()).await.ok()?;
            (reading, ready) = (back, batch.into());
            match (ready.is_empty(), more) {
                (true, false) => return None,
                (true, true) => tokio::time::sleep(FOLLOW_PAUSE).await,
                (false, _) => {}
            }
        }
    });
    Ok(Box::pin(batches))
}

impl Reading {
    fn begin(deployment: PathBuf, query: &LogQuery) -> Result<Self, Error> {
        let missing = |what: String| Error::new(ErrorKind::NotFound, "no-logs", what);
        let here = list::instances(&deployment);
        if !deployment.is_dir() {
            return Err(missing(format!("deployment {} is not here; its logs went with it", query.deployment)));
        }
        if let Some(only) = query.instance
            && !here.contains(&only)
        {
            return Err(missing(format!("{} has no instance {only}", query.deployment)));
        }
        let mut reading = Self { deployment, only: query.instance, follow: query.follow, cursors: BTreeMap::new() };
        reading.find_instances();
        if let Some(lines) = query.tail {
            for cursor in reading.cursors.values_mut() {
                cursor.skip_to_last(lines);
            }
        }
        Ok(reading)
    }

    /// Notices instances that came or went.
    fn find_instances(&mut self) {
        let here = list::instances(&self.deployment);
        self.cursors.retain(|index, cursor| here.contains(index) || !cursor.ready.is_empty());
        for index in here.into_iter().filter(|index| self.only.is_none_or(|only| only == *index)) {
            let dir = self.deployment.join(index.to_string()).join("log");
            let fresh = || Cursor::new(index, dir, self.follow);
            self.cursors.entry(index).or_insert_with(fresh);
        }
    }

    /// The next lines of all instances by time, and whether there may be more.
    fn batch(mut self) -> (Self, Vec<LogChunk>, bool) {
        let mut out = Vec::new();
        for cursor in self.cursors.values_mut() {
            cursor.fill();
        }
        let mut heap: BinaryHeap<Reverse<(Timestamp, u32)>> =
            self.cursors.values().filter_map(|c| Some(Reverse((c.ready.front()?.at, c.instance)))).collect();
        while out.len() < BATCH
            && let Some(Reverse((_, index))) = heap.pop()
        {
            let Some(cursor) = self.cursors.get_mut(&index) else { continue };
            out.extend(cursor.ready.pop_front());
            if cursor.ready.is_empty() {
                cursor.fill();
            }
            heap.extend(cursor.ready.front().map(|chunk| Reverse((chunk.at, index))));
        }
        let mut more = !out.is_empty();
        if out.is_empty() && self.follow {
            self.find_instances();
            more = !self.cursors.is_empty();
        }
        (self, out, more)
    }
}

impl Cursor {
    const fn new(instance: u32, dir: PathBuf, follow: bool) -> Self {
        Self { instance, dir, number: 0, offset: 0, ready: VecDeque::new(), kept: None, follow }
    }

    /// Reads on until something is ready or the log is at its end. What cannot be read is passed over: it has been
    /// removed, and its successor is there.
    fn fill(&mut self) {
        while self.ready.is_empty() {
            // Before reading: a file that has a successor now is complete.
            let files = segments(&self.dir).unwrap_or_default();
            let Some((newest, _)) = files.last() else { return self.last_words() };
            if *newest < self.number {
                // The instance was removed and launched again: this is another log.
                (self.number, self.offset) = (0, 0);
            }
            let newest = *newest;
            let Some((number, path)) = files.into_iter().find(|(number, _)| *number >= self.number) else { return };
            if number != self.number {
                (self.number, self.offset) = (number, 0);
            }
            match self.read_from(&path) {
                Ok(0) | Err(_) if newest > number => (self.number, self.offset) = (number + 1, 0),
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// What the file still holds that is gone from its folder.
    fn last_words(&mut self) {
        let Some(file) = self.kept.take() else { return };
        while let Ok(file) = file.try_clone()
            && self.read(file).is_ok_and(|read| read > 0)
        {}
    }

    /// Reads whole lines from where it stands; returns how many bytes these were.
    fn read_from(&mut self, path: &Path) -> io::Result<u64> {
        let file = fs::File::open(path)?;
        self.kept = if self.follow { Some(file.try_clone()?) } else { None };
        self.read(file)
    }

    fn read(&mut self, mut file: fs::File) -> io::Result<u64> {
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        let full = self.ready.len() + BATCH;
        let begun = self.offset;
        let mut line = Vec::new();
        while self.ready.len() < full {
            line.clear();
            // A line and its stamp; whatever is longer was not written by a keeper.
            let count = reader.by_ref().take((LINE_BYTES + 64) as u64).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                // Being written just now.
                break;
            }
            self.offset += count as u64;
            self.ready.extend(parse(&line[..count - 1], self.instance));
        }
        Ok(self.offset - begun)
    }

    /// Stands before the last `lines` lines.
    fn skip_to_last(&mut self, lines: usize) {
        let Ok(files) = segments(&self.dir) else { return };
        let mut wanted = lines;
        for (number, path) in files.into_iter().rev() {
            let Ok((offset, found)) = last_lines(&path, wanted) else { continue };
            (self.number, self.offset) = (number, offset);
            wanted -= found;
            if wanted == 0 {
                return;
            }
        }
    }
}

/// Where the last `wanted` whole lines of a file begin, and how many there are.
fn last_lines(path: &Path, wanted: usize) -> io::Result<(u64, usize)> {
    const BLOCK: u64 = 64 << 10;
    let mut file = fs::File::open(path)?;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut found = 0;
    let mut block = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        block.resize(usize::try_from(end - begin).unwrap_or_default(), 0);
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut block)?;
        for (i, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // Each line end but the last one is also where a wanted line begins.
            if found == wanted {
                return Ok((begin + i as u64 + 1, found));
            }
            found += 1;
        }
        end = begin;
    }
    Ok((0, found))
}

/// A line as a keeper wrote it; `None` for anything else.
fn parse(line: &[u8], instance: u32) -> Option<LogChunk> {
    let at = stamp::parse(line)?;
    let (tag, text) = line.get(stamp::LEN..)?.split_at_checked(3)?;
    let stream = match tag {
        b" o " => LogStreamKind::Stdout,
        b" e " => LogStreamKind::Stderr,
        _ => return None,
    };
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    Some(LogChunk { at, instance, stream, line: String::from_utf8_lossy(text).into_owned() })
}

/// The last lines of one log as text, for people. Blocking.
pub(super) fn tail_text(dir: &Path, lines: usize) -> String {
    let mut cursor = Cursor::new(0, dir.to_owned(), false);
    cursor.skip_to_last(lines);
    let mut text = String::new();
    loop {
        cursor.fill();
        if cursor.ready.is_empty() {
            return text;
        }
        for chunk in cursor.ready.drain(..) {
            text.push_str(&chunk.line);
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_begin_where_they_should() {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let path = dir.path().join("x");
        fs::write(&path, "a\nbb\nccc\nunfinished").expect("it is ours");
        let last = |wanted| last_lines(&path, wanted).expect("it can be read");
        assert_eq!([last(0), last(1), last(2), last(3), last(9)], [(9, 0), (5, 1), (2, 2), (0, 3), (0, 3)]);
    }

    #[test]
    fn what_was_said_last_is_heard_after_the_folder_is_gone() {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let log = dir.path().join("0/log");
        fs::create_dir_all(&log).expect("it is ours");
        let path = log.join("000001.log");
        let line = |text: &str| format!("2026-01-01T00:00:00.000000Z o {text}\n");
        fs::write(&path, line("first")).expect("written");
        let mut cursor = Cursor::new(0, log, true);
        let heard = |cursor: &mut Cursor| {
            cursor.fill();
            cursor.ready.drain(..).map(|chunk| chunk.line).collect::<Vec<_>>()
        };
        assert_eq!(heard(&mut cursor), ["first"]);
        let mut file = fs::OpenOptions::new().append(true).open(&path).expect("there");
        io::Write::write_all(&mut file, line("bye").as_bytes()).expect("written");
        fs::remove_dir_all(dir.path().join("0")).expect("removed");
        assert_eq!(heard(&mut cursor), ["bye"]);
        assert_eq!(heard(&mut cursor), [""; 0]);
    }
}
