//! What a check prints: read as fast as it comes, the head and the tail kept, the rest counted.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How much of the beginning is kept, in bytes.
const HEAD: usize = 1 << 10;
/// How much of the end is kept, in bytes.
const TAIL: usize = 3 << 10;

/// The output of one check, read by a thread of its own.
pub(super) struct Capture {
    kept: Arc<Mutex<Kept>>,
    end: Receiver<()>,
}

impl Capture {
    /// Starts to read.
    pub(super) fn start(mut reader: impl Read + Send + 'static) -> Capture {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (sender, end) = channel();
        let shared = Arc::clone(&kept);
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
        Capture { kept, end }
    }

    /// Waits until nobody is left who could print; false if that takes longer than `patience`.
    pub(super) fn wait_for_end(&self, patience: Duration) -> bool {
        self.end.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }

    /// Returns what was printed so far.
    pub(super) fn text(&self) -> String {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
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

    fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.dropped {
            0 => words(&[self.head.as_slice(), &tail].concat()),
            dropped => format!("{}\n… {dropped} bytes left out …\n{}", words(&self.head), words(&tail)),
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
}
