//! The log of a job within its cap: the head in `output.log`, the tail in `output.1`, `output.2` and so on.
//!
//! When the tail has too many pieces the oldest goes and is counted. At the end the pieces are
//! joined to the head, with a line between that says what is left out. Until then, and after a
//! crash, readers find them in their order.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use crate::job::{self, Job};
use crate::link;

/// Pieces of the tail.
const PIECES: u64 = 16;
/// A smaller cap would cut the tail into crumbs.
const SMALLEST: u64 = 1024 * 1024;

/// How long head and pieces are; all that is kept is never longer than the cap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    head: u64,
    piece: u64,
}

/// The end at which is written.
#[derive(Debug)]
pub(crate) struct Tape {
    path: PathBuf,
    file: File,
    shape: Option<Shape>,
    /// 0 is the head.
    at: u64,
    /// Bytes that still fit into the file at hand.
    room: u64,
    /// Lengths of the pieces that are there, the oldest first.
    pieces: Vec<(u64, u64)>,
    logged: u64,
    /// What fell between head and tail.
    between: u64,
    /// What the disk had no room for.
    refused: u64,
}

impl Shape {
    /// Returns the shape of a log with this cap; none without a cap.
    pub(crate) fn of(cap: u64) -> Option<Shape> {
        let cap = Some(cap).filter(|cap| *cap > 0)?.max(SMALLEST);
        Some(Shape { head: cap / 4, piece: cap / 4 * 3 / PIECES })
    }
}

impl Tape {
    /// Opens the log, which is there and empty.
    pub(crate) fn open(path: &Path, shape: Option<Shape>) -> io::Result<Tape> {
        let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let file = OpenOptions::new().append(true).custom_flags(flags).open(path)?;
        let room = shape.map_or(u64::MAX, |shape| shape.head);
        let path = path.to_owned();
        Ok(Tape { path, file, shape, at: 0, room, pieces: Vec::new(), logged: 0, between: 0, refused: 0 })
    }

    /// Returns the bytes in the log, and those that are not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.logged, self.between + self.refused)
    }

    /// Returns how much was written so far, what fell out again included.
    pub(crate) fn place(&self) -> u64 {
        self.logged + self.between
    }

    /// Writes; what the disk has no room for is dropped and counted.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room == 0 && self.next().is_err() {
                self.refused += bytes.len() as u64;
                return;
            }
            let fitting = bytes.len().min(self.room.try_into().unwrap_or(usize::MAX));
            match self.file.write(&bytes[..fitting]) {
                Ok(n) if n > 0 => {
                    self.logged += n as u64;
                    self.room -= n as u64;
                    if let Some(piece) = self.pieces.last_mut() {
                        piece.1 += n as u64;
                    }
                    bytes = &bytes[n..];
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    self.refused += bytes.len() as u64;
                    return;
                }
            }
        }
    }

    /// Begins the next piece, in the room of the oldest.
    fn next(&mut self) -> io::Result<()> {
        let Some(shape) = self.shape else { return Ok(()) };
        if self.pieces.len() as u64 >= PIECES {
            let (oldest, length) = self.pieces.remove(0);
            link::remove(&piece(&self.path, oldest))?;
            self.logged -= length;
            self.between += length;
        }
        let path = piece(&self.path, self.at + 1);
        link::remove(&path)?;
        self.file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        self.at += 1;
        self.pieces.push((self.at, 0));
        self.room = shape.piece;
        Ok(())
    }

    /// Joins the pieces to the head; where the disk has no room for that they stay as they are.
    pub(crate) fn end(&mut self) {
        let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let Ok(mut log) = OpenOptions::new().append(true).custom_flags(flags).open(&self.path) else { return };
        if self.between > 0 && log.write_all(gap(Some(self.between)).as_bytes()).is_err() {
            return;
        }
        for (at, _) in std::mem::take(&mut self.pieces) {
            let path = piece(&self.path, at);
            let length = log.metadata().map(|facts| facts.len());
            let copied = File::open(&path).and_then(|mut piece| io::copy(&mut piece, &mut log));
            if copied.is_err() {
                let _ = length.and_then(|length| log.set_len(length));
                return;
            }
            let _ = link::remove(&path);
        }
        if self.refused > 0 {
            let line = format!("\n[git-worker: {} bytes did not fit on the disk]\n", self.refused);
            let _ = log.write_all(line.as_bytes());
        }
    }
}

/// Reads a log from head to tail, also while it is written.
#[derive(Debug)]
pub(crate) struct Reader {
    job: Job,
    file: File,
    /// The number of the piece at hand; 0 is the head, or all once the pieces are joined to it.
    at: u64,
    shape: Option<Shape>,
}

impl Reader {
    /// Opens the log at its beginning.
    pub(crate) fn open(job: &Job, shape: Option<Shape>) -> io::Result<Reader> {
        Ok(Reader { file: File::open(job.path(job::LOG))?, job: job.clone(), at: 0, shape })
    }

    /// Moves to the start of the last lines, reading from the end.
    pub(crate) fn seek_to_tail(&mut self, lines: u64) -> io::Result<()> {
        let mut wanted = Wanted { lines, closing: true };
        self.wait_for_joining()?;
        for at in self.pieces().into_iter().rev() {
            let Ok(file) = File::open(self.piece(at)) else { continue };
            (self.file, self.at) = (file, at);
            if wanted.seek(&mut self.file)? {
                return Ok(());
            }
        }
        (self.file, self.at) = (File::open(self.job.path(job::LOG))?, 0);
        wanted.seek(&mut self.file)?;
        Ok(())
    }

    /// Moves to a place among all that was printed, or to where it is said that it is left out.
    pub(crate) fn seek_to(&mut self, place: u64) -> io::Result<()> {
        self.wait_for_joining()?;
        let Some(shape) = self.shape.filter(|shape| place > shape.head) else {
            let end = self.file.metadata()?.len();
            return self.file.seek(SeekFrom::Start(place.min(end))).map(drop);
        };
        if self.is_joined()? {
            return self.seek_joined(shape, place);
        }
        let at = (place - shape.head) / shape.piece + 1;
        let Some(next) = self.pieces().into_iter().find(|piece| *piece >= at) else {
            // Behind all that there is.
            return self.seek_to_tail(0);
        };
        (self.file, self.at) = (File::open(self.piece(next))?, next);
        let within = if next == at { (place - shape.head) % shape.piece } else { 0 };
        self.file.seek(SeekFrom::Start(within)).map(drop)
    }

    /// Reads what comes next; 0 if there is nothing now.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.file.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            if let (Some(shape), true) = (self.shape, self.is_joined()?) {
                if !self.go_on_joined(shape)? {
                    return Ok(0);
                }
                continue;
            }
            let Some(next) = self.pieces().into_iter().find(|next| *next > self.at) else { return Ok(0) };
            // It was whole before the next one began; that may have been after our look.
            let n = self.file.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            let left_out = next - self.at - 1;
            match File::open(self.piece(next)) {
                Ok(file) => (self.file, self.at) = (file, next),
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            }
            if left_out > 0 {
                let line = gap(self.shape.map(|shape| left_out * shape.piece));
                buffer[..line.len()].copy_from_slice(line.as_bytes());
                return Ok(line.len());
            }
        }
    }

    /// Goes on in the joined log, or behind it in the pieces that a crash left; false if nothing follows.
    fn go_on_joined(&mut self, shape: Shape) -> io::Result<bool> {
        self.wait_for_joining()?;
        let here = self.file.stream_position()?;
        if self.at > 0 {
            let place = shape.head + (self.at - 1) * shape.piece + here;
            self.seek_joined(shape, place)?;
            return Ok(self.file.stream_position()? < self.file.metadata()?.len() || !self.pieces().is_empty());
        }
        if here < self.file.metadata()?.len() {
            return Ok(true);
        }
        let (left_out, line) = self.left_out(shape)?;
        let joined = (here - line).saturating_sub(shape.head) + left_out;
        let at = joined / shape.piece + 1;
        let Some(next) = self.pieces().into_iter().find(|piece| *piece >= at) else { return Ok(false) };
        (self.file, self.at) = (File::open(self.piece(next))?, next);
        self.shape = None;
        self.file.seek(SeekFrom::Start(if next == at { joined % shape.piece } else { 0 }))?;
        Ok(true)
    }

    fn seek_joined(&mut self, shape: Shape, place: u64) -> io::Result<()> {
        (self.file, self.at) = (File::open(self.job.path(job::LOG))?, 0);
        let (left_out, line) = self.left_out(shape)?;
        let start = match place.saturating_sub(shape.head) {
            0 => place,
            behind if behind < left_out => shape.head,
            behind => shape.head + line + (behind - left_out).min(self.file.metadata()?.len()),
        };
        let start = start.min(self.file.metadata()?.len());
        self.file.seek(SeekFrom::Start(start)).map(drop)
    }

    /// Reads what the line between head and tail says; returns that and the line's length.
    fn left_out(&self, shape: Shape) -> io::Result<(u64, u64)> {
        let mut line = Vec::new();
        let mut log = File::open(self.job.path(job::LOG))?;
        log.seek(SeekFrom::Start(shape.head))?;
        log.take(80).read_to_end(&mut line)?;
        let line = String::from_utf8_lossy(&line);
        let number = line.strip_prefix("\n[git-worker: ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let number = number.filter(|number| line.starts_with(&gap(Some(*number)))).unwrap_or(0);
        Ok((number, if number > 0 { gap(Some(number)).len() as u64 } else { 0 }))
    }

    /// Says whether the pieces are joined to the head, or are just being.
    fn is_joined(&self) -> io::Result<bool> {
        let Some(shape) = self.shape else { return Ok(false) };
        Ok(self.job.path(job::LOG).metadata()?.len() > shape.head)
    }

    /// Waits while the supervisor joins the pieces; that is a matter of moments.
    fn wait_for_joining(&self) -> io::Result<()> {
        while self.is_joined()? && !self.pieces().is_empty() && self.job.is_live().unwrap_or(false) {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Returns when the log was last written to.
    pub(crate) fn last_write(&self) -> Option<Timestamp> {
        let log = self.job.path(job::LOG);
        let newest = self.pieces().last().map_or(log.clone(), |at| piece(&log, *at));
        Timestamp::try_from(newest.metadata().ok()?.modified().ok()?).ok()
    }

    fn pieces(&self) -> Vec<u64> {
        pieces(&self.job.path(job::LOG))
    }

    fn piece(&self, at: u64) -> PathBuf {
        piece(&self.job.path(job::LOG), at)
    }
}

/// The lines that a tail still wants.
#[derive(Debug)]
struct Wanted {
    lines: u64,
    /// Whether the next newline from the end ends the last line and begins none.
    closing: bool,
}

impl Wanted {
    /// Moves to where the wanted lines begin; to the beginning and false if there are not so many.
    fn seek(&mut self, log: &mut File) -> io::Result<bool> {
        const CHUNK: u64 = 64 * 1024;
        let mut end = log.seek(SeekFrom::End(0))?;
        let mut buffer = vec![0; CHUNK as usize];
        while end > 0 {
            let length = end.min(CHUNK);
            end -= length;
            log.seek(SeekFrom::Start(end))?;
            let part = &mut buffer[..length as usize];
            log.read_exact(part)?;
            if self.lines == 0 {
                // Behind whatever stands at the end.
                return Ok(true);
            }
            for at in (0..part.len()).rev() {
                let closes = std::mem::take(&mut self.closing);
                if part[at] == b'\n' && !closes {
                    self.lines -= 1;
                }
                if self.lines == 0 {
                    log.seek(SeekFrom::Start(end + at as u64 + 1))?;
                    return Ok(true);
                }
            }
        }
        log.seek(SeekFrom::Start(0))?;
        Ok(false)
    }
}

/// Returns how much of a log is there, in whatever files.
pub(crate) fn length(log: &Path) -> u64 {
    let files = pieces(log).into_iter().map(|at| piece(log, at)).chain([log.to_owned()]);
    files.filter_map(|file| file.metadata().ok()).map(|facts| facts.len()).sum()
}

/// The line between head and tail.
fn gap(bytes: Option<u64>) -> String {
    match bytes {
        Some(bytes) => format!("\n[git-worker: {bytes} bytes left out]\n"),
        None => "\n[git-worker: some bytes left out]\n".to_owned(),
    }
}

fn piece(log: &Path, at: u64) -> PathBuf {
    log.with_extension(at.to_string())
}

/// Lists the pieces of a log that are there, the oldest first.
fn pieces(log: &Path) -> Vec<u64> {
    let entries = log.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("output.")?.parse().ok();
    let mut all: Vec<u64> = entries.filter_map(|entry| number(entry.file_name())).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(content: &str, lines: u64) -> String {
        let name = format!("git-worker-tail-{}-{lines}-{}", std::process::id(), content.len());
        let path = std::env::temp_dir().join(name);
        shared::durable::replace(&path, content.as_bytes(), shared::durable::Previous::Drop).unwrap();
        let mut file = File::open(&path).unwrap();
        Wanted { lines, closing: true }.seek(&mut file).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        fs::remove_file(path).unwrap();
        text
    }

    #[test]
    fn the_tail_begins_at_a_line() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\nb\nc", 1), "c");
        assert_eq!(tail("a\nb\n", 9), "a\nb\n");
        assert_eq!(tail("a\nb\n", 0), "");
        let long = format!("{}\n{}\nend\n", "x".repeat(65536), "y".repeat(65536));
        assert_eq!(tail(&long, 2), long[65537..]);
    }
}
