//! A program outside that is asked something: in an empty folder, with an end, and with no more output than is good.

use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use shared::process;

use super::Begun;

/// The most that is taken of an answer.
const MOST: u64 = 64 << 20;

/// The most that is taken of what it narrates.
const MOST_NARRATED: u64 = 256 << 10;

/// How long its streams are waited for after its end, in case that somebody else holds them.
const GRACE: Duration = Duration::from_secs(5);

/// The longest time between two looks whether it has ended.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// A program with its first arguments.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) words: Vec<String>,
}

/// What a program that ended said.
#[derive(Debug)]
pub(crate) struct Said {
    /// 128 + the number if a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    /// Whether there was more of it than is taken.
    pub(crate) is_cut: bool,
    pub(crate) stderr: String,
}

/// Why a program said nothing that counts.
#[derive(Debug)]
pub(crate) enum Silent {
    NotStarted(String),
    /// It was started, and nobody knows what it did.
    Unknown(String),
}

impl Silent {
    pub(crate) fn why(self) -> String {
        match self {
            Silent::NotStarted(why) | Silent::Unknown(why) => why,
        }
    }

    /// Says what became of a kickoff.
    pub(crate) fn begun(self) -> Begun {
        match self {
            Silent::NotStarted(why) => Begun::No { why },
            Silent::Unknown(why) => Begun::Unsure { why },
        }
    }
}

impl Program {
    /// Runs it with more arguments and returns how it ended, whatever its exit code; after `limit` it is killed with its children.
    ///
    /// # Errors
    /// When it cannot be started, or did not end in time.
    pub(crate) fn ask(&self, words: &[&str], input: Option<&[u8]>, limit: Duration) -> Result<Said, Silent> {
        let deadline = Instant::now() + limit;
        let name = self.path.display();
        let not_started = |error: io::Error| Silent::NotStarted(format!("cannot start '{name}': {error}"));
        // The Codex CLI leaves an 'error.log' where it runs, and takes the branch from there if it is not told.
        let scratch = tempfile::tempdir().map_err(not_started)?;
        let mut command = process::command(&self.path);
        process::scrub(&mut command).args(&self.words).args(words).current_dir(scratch.path());
        // A backtrace is no reason.
        command.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0").env("NO_COLOR", "1");
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(not_started)?;
        if let (Some(input), Some(mut stdin)) = (input.map(<[u8]>::to_vec), child.stdin.take()) {
            // Beside the waiting, because it may not read; who does not says so by its end.
            thread::spawn(move || stdin.write_all(&input));
        }
        let answer = child.stdout.take().map(|stdout| listen(stdout, MOST));
        let narration = child.stderr.take().map(|stderr| listen(stderr, MOST_NARRATED));
        let status = wait(&mut child, deadline).map_err(|error| match error.kind() {
            ErrorKind::TimedOut => Silent::Unknown(format!("'{name}' did not end within {}s", limit.as_secs())),
            _ => Silent::Unknown(format!("nobody knows how '{name}' ended: {error}")),
        })?;
        let end = Instant::now() + GRACE;
        let (stdout, is_cut) = answer.map(|pieces| collect(&pieces, end, MOST)).unwrap_or_default();
        let (stderr, _) = narration.map(|pieces| collect(&pieces, end, MOST_NARRATED)).unwrap_or_default();
        Ok(Said { code: code(status), stdout, is_cut, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Reads to the end, and passes on the first bytes as they come: one more than is wanted, to know that there are more.
fn listen(mut from: impl Read + Send + 'static, most: u64) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut first = from.by_ref().take(most + 1);
        let mut buffer = vec![0; 64 << 10];
        loop {
            match first.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => drop(sender.send(buffer[..n].to_vec())),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
        drop(sender);
        // A full pipe would keep it from its end.
        let _ = io::copy(&mut from, &mut io::sink());
    });
    receiver
}

/// Waits for the end of a child, and kills it with its own children when the time is over.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    // The children first: the CLI is one of a small program that would leave it behind. It has no group of its
    // own, so that what ends us at a terminal ends it too.
    if let Ok(root) = i32::try_from(child.id()) {
        process::end(|| process::descendants(root), Duration::ZERO);
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(ErrorKind::TimedOut.into())
}

/// Takes what came until nobody can say any more or the time is over, and whether something is missing.
fn collect(pieces: &Receiver<Vec<u8>>, end: Instant, most: u64) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let is_open = loop {
        match pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(piece) => all.extend(piece),
            Err(RecvTimeoutError::Timeout) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let is_cut = all.len() > most;
    all.truncate(most);
    (all, is_cut || is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn sh(script: &str) -> Program {
        let path = process::find("sh", None).unwrap();
        Program { path, words: vec!["-c".into(), script.into(), "sh".into()] }
    }

    #[test]
    fn both_streams_and_the_code_are_caught_in_an_empty_folder() {
        let script = "ls -A; echo \"$1\"; cat; echo told >&2; touch error.log; exit 3";
        let said = sh(script).ask(&["a b"], Some(b"given\n"), LONG).unwrap();
        assert_eq!((said.code, said.is_cut), (3, false));
        assert_eq!(said.stdout, b"a b\ngiven\n");
        assert_eq!(said.stderr, "told\n");
    }

    #[test]
    fn input_is_nothing_if_none_is_given() {
        assert_eq!(sh("cat | wc -c").ask(&[], None, LONG).unwrap().stdout.trim_ascii(), b"0");
    }

    #[test]
    fn more_than_is_good_is_read_over_and_said() {
        let said = sh("head -c 70000000 /dev/zero; echo end >&2").ask(&[], None, LONG).unwrap();
        assert!(said.is_cut);
        assert_eq!((said.code, said.stdout.len() as u64, said.stderr.as_str()), (0, MOST, "end\n"));
    }

    #[test]
    fn what_does_not_end_is_killed_with_its_children() {
        let mut program = sh("sleep 61 & sleep 61");
        program.words[1].insert_str(0, "export OF_AN_ASKED_PROGRAM=1; ");
        let silent = program.ask(&[], None, Duration::from_millis(300)).unwrap_err();
        assert!(matches!(&silent, Silent::Unknown(why) if why.contains("did not end within 0s")), "{silent:?}");
        let end = Instant::now() + Duration::from_secs(10);
        while !process::marked("OF_AN_ASKED_PROGRAM=1").is_empty() {
            assert!(Instant::now() < end, "one of them lives on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_program_that_is_not_there_was_not_started() {
        let program = Program { path: "/nowhere/codex".into(), words: Vec::new() };
        assert!(matches!(program.ask(&[], None, LONG), Err(Silent::NotStarted(_))));
    }
}
