//! A program outside that is asked something: in an empty folder, with an end, and with no more output than is good.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use shared::process::{self, Caught};

use super::Begun;

/// The most that is taken of an answer.
const MOST: u64 = 64 << 20;

/// The most that is taken of what it narrates.
const MOST_NARRATED: u64 = 256 << 10;

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
        let name = self.path.display();
        let not_started = |error: io::Error| Silent::NotStarted(format!("cannot start '{name}': {error}"));
        // The Codex CLI leaves an 'error.log' where it runs, and takes the branch from there if it is not told.
        let scratch = tempfile::tempdir().map_err(not_started)?;
        let mut command = process::command(&self.path);
        process::scrub(&mut command).args(&self.words).args(words).current_dir(scratch.path());
        // A backtrace is no reason.
        command.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0").env("NO_COLOR", "1");
        // It has no group of its own, so that what ends us at a terminal ends it too.
        let caught = process::catch_within(&mut command, input.map(<[u8]>::to_vec), [MOST, MOST_NARRATED], limit);
        match caught {
            Ok(Caught { status, stdout, is_cut, stderr }) => {
                let stderr = String::from_utf8_lossy(&stderr).into_owned();
                Ok(Said { code: code(status), stdout, is_cut, stderr })
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                Err(Silent::Unknown(format!("'{name}' did not end within {}s", limit.as_secs())))
            }
            // Only what surely stands for its start may say that nothing was begun.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                Err(not_started(error))
            }
            Err(error) => Err(Silent::Unknown(format!("nobody knows how '{name}' ended: {error}"))),
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

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
