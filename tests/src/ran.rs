//! How a program ended, and what a test expects of it.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use serde_json::Value;

/// A program that ended.
#[derive(Debug)]
pub struct Ran {
    /// What was run, for messages.
    pub words: String,
    /// Its exit code; 128 + the number if a signal ended it.
    pub code: i32,
    /// What it answered.
    pub stdout: String,
    /// What it narrated.
    pub stderr: String,
}

impl Ran {
    /// Takes the end of a program.
    pub fn new(words: String, output: Output) -> Ran {
        Ran {
            words,
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Expects exit 0.
    #[track_caller]
    pub fn succeeds(self) -> Ran {
        self.exits(0)
    }

    /// Expects this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(
            self.code, code,
            "`{}` exited {}\n--- stdout\n{}\n--- stderr\n{}",
            self.words, self.code, self.stdout, self.stderr
        );
        self
    }

    /// Expects exactly this on stdout.
    #[track_caller]
    pub fn prints(self, text: &str) -> Ran {
        assert_eq!(self.stdout, text, "stdout of `{}`; stderr: {}", self.words, self.stderr);
        self
    }

    /// Expects this somewhere on stdout.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        assert!(self.stdout.contains(text), "`{}` does not say {text:?}: {}\n{}", self.words, self.stdout, self.stderr);
        self
    }

    /// Expects this somewhere on stderr.
    #[track_caller]
    pub fn warns(self, text: &str) -> Ran {
        assert!(self.stderr.contains(text), "`{}` does not warn {text:?}: {}", self.words, self.stderr);
        self
    }

    /// Returns stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("`{}` printed no JSON ({e}): {}\n{}", self.words, self.stdout, self.stderr));
        assert_eq!(value["schema"], 1, "{}", self.stdout);
        value
    }

    /// Returns stdout without the newline at its end.
    pub fn text(&self) -> &str {
        self.stdout.trim_end_matches('\n')
    }
}
