//! A program that is asked something and must end within a time.

use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpgid, kill_process_group};

use super::tree::{descendants, end};

/// The longest time between two looks whether it has ended.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// How long its streams are waited for after its end, in case that somebody else holds them.
const GRACE: Duration = Duration::from_secs(5);

/// A program that ended, and what it printed.
#[derive(Debug)]
pub struct Caught {
    /// Its end.
    pub status: ExitStatus,
    /// The first bytes of its answer.
    pub stdout: Vec<u8>,
    /// Whether the answer went on.
    pub is_cut: bool,
    /// The first bytes of its narration.
    pub stderr: Vec<u8>,
}

/// Runs a program with `input` and returns its end and the first bytes that it printed, at most `most`; the rest is read over.
///
/// Its stderr goes nowhere. Else as [`catch_within`].
///
/// # Errors
/// As [`catch_within`].
pub fn run_within(
    command: &mut Command,
    input: Option<Vec<u8>>,
    most: u64,
    limit: Duration,
) -> io::Result<(ExitStatus, Vec<u8>)> {
    let caught = catch_within(command, input, [most, 0], limit)?;
    Ok((caught.status, caught.stdout))
}

/// Runs a program with `input` and catches the first bytes of its stdout and stderr, at most `most` of each; the rest is read over.
///
/// A stream of which nothing is wanted goes nowhere. After `limit` it is killed with its children, and with its
/// group if it leads one. Whoever else holds its streams keeps us for no longer than that.
///
/// # Errors
/// When it cannot be started; of kind `TimedOut` when it did not end in time.
pub fn catch_within(
    command: &mut Command,
    input: Option<Vec<u8>>,
    most: [u64; 2],
    limit: Duration,
) -> io::Result<Caught> {
    let deadline = Instant::now() + limit;
    let [answer, narration] = most;
    let stream = |most: u64| if most > 0 { Stdio::piped() } else { Stdio::null() };
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(stream(answer)).stderr(stream(narration)).spawn()?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // Beside the waiting, because it may not read; who does not says so by its end.
        thread::spawn(move || stdin.write_all(&input));
    }
    let stdout = child.stdout.take().map(|stdout| listen(stdout, answer));
    let stderr = child.stderr.take().map(|stderr| listen(stderr, narration));
    let status = wait(&mut child, deadline)?;
    let until = deadline.min(Instant::now() + GRACE);
    let (stdout, is_cut) = stdout.map(|pieces| collect(&pieces, until, answer)).unwrap_or_default();
    let (stderr, _) = stderr.map(|pieces| collect(&pieces, until, narration)).unwrap_or_default();
    Ok(Caught { status, stdout, is_cut, stderr })
}

/// Reads to the end, and passes on the first bytes as they come: one more than is wanted, to know that there are more.
fn listen(mut from: impl Read + Send + 'static, most: u64) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut first = from.by_ref().take(most.saturating_add(1));
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

/// Waits for the end of a child, and kills it when the time is over.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    kill(child);
    Err(ErrorKind::TimedOut.into())
}

/// The children first: a small program that only starts another would leave that behind.
fn kill(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // It is not reaped yet, so nobody else has its number.
    let group = pid.filter(|pid| getpgid(Some(*pid)) == Ok(*pid));
    if let Some(pid) = pid {
        end(|| descendants(pid.as_raw_nonzero().get()), Duration::ZERO);
    }
    let _ = match group {
        Some(group) => kill_process_group(group, Signal::KILL).map_err(io::Error::from),
        None => child.kill(),
    };
    let _ = child.wait();
}

/// Takes what came until nobody can print any more or the time is over, and says whether something is missing.
fn collect(pieces: &Receiver<Vec<u8>>, until: Instant, most: u64) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let is_open = loop {
        match pieces.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(piece) => all.extend(piece),
            Err(RecvTimeoutError::Timeout) => break true,
            Err(RecvTimeoutError::Disconnected) => break false,
        }
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let is_long = all.len() > most;
    all.truncate(most);
    (all, is_long || is_open)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::super::{command, marked};
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = command("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn who_else_holds_stdout_does_not_keep_us() {
        let began = Instant::now();
        let (status, printed) = run_within(&mut sh("sleep 20 & echo said"), None, 100, Duration::from_secs(2)).unwrap();
        assert!(status.success() && began.elapsed() < Duration::from_secs(10));
        assert_eq!(printed, b"said\n");
    }

    #[test]
    fn more_than_is_wanted_is_read_over() {
        let input = vec![b'x'; 1024 * 1024];
        let limit = Duration::from_secs(60);
        let (status, printed) = run_within(&mut sh("cat"), Some(input.clone()), 5000, limit).unwrap();
        assert!(status.success());
        assert_eq!(printed, input[..5000]);
        let (status, printed) = run_within(&mut sh("echo; exit 3"), Some(input), 0, limit).unwrap();
        assert_eq!((status.code(), printed.len()), (Some(3), 0));
    }

    #[test]
    fn at_the_limit_a_group_is_killed_as_a_whole() {
        let mut command = sh("sleep 60 & sleep 60");
        command.env("OF_A_BOUNDED_TEST", "1").process_group(0);
        let error = run_within(&mut command, None, 0, Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let end = Instant::now() + Duration::from_secs(10);
        while !marked("OF_A_BOUNDED_TEST=1").is_empty() {
            assert!(Instant::now() < end, "one of the group lives on");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
