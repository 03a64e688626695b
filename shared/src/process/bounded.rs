//! A program that is asked something and must end within a time.

use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpgid, kill_process_group};

/// The longest time between two looks whether it has ended.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Runs a program with `input` and returns its end and the first bytes that it printed, at most `most`; the rest is read over.
///
/// Its stderr goes nowhere, nor does its stdout where `most` is 0. After `limit` it is killed, with
/// its group if it leads one. Whoever else holds its stdout keeps us for no longer than that.
///
/// # Errors
/// When it cannot be started; of kind `TimedOut` when it did not end in time.
pub fn run_within(
    command: &mut Command,
    input: Option<Vec<u8>>,
    most: u64,
    limit: Duration,
) -> io::Result<(ExitStatus, Vec<u8>)> {
    let deadline = Instant::now() + limit;
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(if most > 0 { Stdio::piped() } else { Stdio::null() }).stderr(Stdio::null());
    let mut child = command.spawn()?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // Beside the waiting, because it may not read; who does not says so by its end.
        thread::spawn(move || stdin.write_all(&input));
    }
    let printed = child.stdout.take().map(|stdout| listen(stdout, most));
    let status = wait(&mut child, deadline)?;
    Ok((status, printed.map(|pieces| collect(&pieces, deadline)).unwrap_or_default()))
}

/// Reads to the end, and passes on the first bytes as they come.
fn listen(mut from: impl Read + Send + 'static, most: u64) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut first = from.by_ref().take(most);
        let mut buffer = [0; 4096];
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

fn kill(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // It is not reaped yet, so nobody else has its number.
    let _ = match pid.filter(|pid| getpgid(Some(*pid)) == Ok(*pid)) {
        Some(group) => kill_process_group(group, Signal::KILL).map_err(io::Error::from),
        None => child.kill(),
    };
    let _ = child.wait();
}

/// Takes what came until nobody can print any more, or the time is over.
fn collect(pieces: &Receiver<Vec<u8>>, deadline: Instant) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(piece) => all.extend(piece),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return all,
        }
    }
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
