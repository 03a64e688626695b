//! What a check prints: read as fast as it comes, the head and the tail kept, the rest counted.
//!
//! Beside it a log file takes the output whole, up to its own bound; it is made with the first byte.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How much of the beginning is kept, in bytes.
const HEAD: usize = 1 << 10;
/// How much of the end is kept, in bytes.
const TAIL: usize = 3 << 10;
/// How much a log takes, in bytes.
const LOG: u64 = 8 << 20;

/// The output of one check, over all of its processes.
pub(super) struct Capture {
    kept: Arc<Mutex<Kept>>,
}

/// The output of one process, read by a thread of its own.
pub(super) struct Reading(Receiver<()>);

impl Capture {
    /// Makes it empty; the log, if it is ever made, goes to `log`.
    pub(super) fn new(log: PathBuf) -> Capture {
        Capture { kept: Arc::new(Mutex::new(Kept { log: Log::NotYet(log), ..Kept::default() })) }
    }

    /// Starts to read what one process prints.
    pub(super) fn read(&self, mut reader: impl Read + Send + 'static) -> Reading {
        let (sender, end) = channel();
        let shared = Arc::clone(&self.kept);
        thread::spawn(move || {
            // Dropped with the thread, which says that the end is reached.
            let _sender = sender;
            let mut buffer = vec![0; 64 << 10];
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => shared.lock().unwrap_or_else(PoisonError::into_inner).add(&buffer[..count]),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        });
        Reading(end)
    }

    /// Returns what was printed so far.
    pub(super) fn text(&self) -> String {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).text()
    }

    /// Ends the log and returns it, if there is one.
    pub(super) fn finish_log(&self) -> Option<PathBuf> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let end = match kept.log_dropped {
            0 => Vec::new(),
            dropped => [format!("\n… {dropped} bytes left out …\n").as_bytes(), &kept.tail()].concat(),
        };
        match std::mem::replace(&mut kept.log, Log::None) {
            Log::Open(path, mut file) => {
                let _ = file.write_all(&end);
                Some(path)
            }
            Log::NotYet(_) | Log::None => None,
        }
    }
}

impl Reading {
    /// Waits until nobody is left who could print; false if that takes longer than `patience`.
    pub(super) fn wait_for_end(&self, patience: Duration) -> bool {
        self.0.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

#[derive(Default)]
enum Log {
    NotYet(PathBuf),
    Open(PathBuf, File),
    #[default]
    None,
}

#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
    log: Log,
    logged: u64,
    log_dropped: u64,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        self.log(bytes);
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        // Of a large piece only its end can still count.
        let skipped = rest.len().saturating_sub(TAIL);
        self.dropped += skipped as u64;
        self.tail.extend(&rest[skipped..]);
        let over = self.tail.len().saturating_sub(TAIL);
        self.dropped += over as u64;
        self.tail.drain(..over);
    }

    /// A log that cannot be written is given up: the answer does not depend on it.
    fn log(&mut self, bytes: &[u8]) {
        if let Log::NotYet(path) = &mut self.log {
            let path = std::mem::take(path);
            if let Some(folder) = path.parent() {
                let _ = shared::durable::private_folder(folder);
            }
            let _ = fs::remove_file(&path);
            let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            self.log = opened.map_or(Log::None, |file| Log::Open(path, file));
        }
        let Log::Open(_, file) = &mut self.log else { return };
        let room = usize::try_from(LOG - self.logged).unwrap_or(usize::MAX).min(bytes.len());
        if file.write_all(&bytes[..room]).is_err() {
            self.log = Log::None;
            return;
        }
        self.logged += room as u64;
        self.log_dropped += (bytes.len() - room) as u64;
    }

    fn tail(&self) -> Vec<u8> {
        self.tail.iter().copied().collect()
    }

    fn text(&self) -> String {
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.dropped {
            0 => words(&[self.head.as_slice(), &self.tail()].concat()),
            dropped => format!("{}\n… {dropped} bytes left out …\n{}", words(&self.head), words(&self.tail())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_kept_whole_and_long_output_at_both_ends() {
        let mut kept = Kept::default();
        kept.add(b"one\n");
        kept.add(b"two\n");
        assert_eq!(kept.text(), "one\ntwo\n");
        let mut kept = Kept::default();
        kept.add(b"first ");
        (0..100).for_each(|_| kept.add(&[b'x'; 1000]));
        kept.add(b" last");
        let text = kept.text();
        assert!(text.starts_with("first x") && text.ends_with("x last") && text.len() < 5000);
        assert!(text.contains(&format!("… {} bytes left out …", 100_011 - HEAD - TAIL)));
    }

    #[test]
    fn a_log_is_made_with_the_first_byte_and_bounded() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("logs/a.log");
        let capture = Capture::new(path.clone());
        assert!(capture.finish_log().is_none() && !path.exists());
        let capture = Capture::new(path.clone());
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..10 {
            capture.kept.lock().unwrap().add(&piece);
        }
        assert_eq!(capture.finish_log(), Some(path.clone()));
        let log = fs::read(&path).unwrap();
        assert!(log.len() as u64 > LOG && (log.len() as u64) < LOG + 4096);
        assert!(String::from_utf8(log).unwrap().contains("… 2097152 bytes left out …"));
    }
}
