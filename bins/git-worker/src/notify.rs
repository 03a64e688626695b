//! Who is told when a job has ended: a command of the user's, and the terminal of the launch.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use shared::config::Config;
use shared::failure::Failure;
use shared::process;

use crate::job::Job;
use crate::listing::Entry;
use crate::record::Record;
use crate::shown;

/// The command has so long.
const LIMIT: Duration = Duration::from_secs(10);

/// Who is told, as the user's settings had it at the launch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Notify {
    /// Program and arguments; none if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) terminal: Option<Terminal>,
}

/// A terminal: the path alone may name another one later.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Terminal {
    pub(crate) path: String,
    /// Number of the device.
    pub(crate) device: u64,
}

impl Notify {
    /// Reads the settings; none if nobody is to be told.
    pub(crate) fn of(config: &Config) -> Result<Option<Notify>, Failure> {
        let command = config.list("notify.command")?;
        let terminal = if config.boolean("notify.terminal")? { Terminal::here() } else { None };
        Ok((!command.is_empty() || terminal.is_some()).then_some(Notify { command, terminal }))
    }
}

impl Terminal {
    /// Returns the terminal that one of the three streams is.
    fn here() -> Option<Terminal> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let of = |fd: std::os::fd::BorrowedFd<'_>| {
            let path = rustix::termios::ttyname(fd, Vec::new()).ok()?;
            let path = std::ffi::OsString::from_vec(path.into_bytes()).into_string().ok()?;
            Some(Terminal { device: rustix::fs::fstat(fd).ok()?.st_rdev, path })
        };
        of(stderr.as_fd()).or_else(|| of(stdout.as_fd())).or_else(|| of(stdin.as_fd()))
    }

    /// Opens it if it still is the same device and the user's own.
    fn open(&self) -> Option<File> {
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(&self.path).ok()?;
        let facts = file.metadata().ok()?;
        let own = facts.uid() == rustix::process::geteuid().as_raw();
        (facts.file_type().is_char_device() && facts.rdev() == self.device && own).then_some(file)
    }
}

/// Tells of a job's end; whatever fails here changes nothing for the job.
pub(crate) fn tell(job: &Job, record: &Record) {
    let Some(notify) = &record.notify else { return };
    if let Some(mut terminal) = notify.terminal.as_ref().and_then(Terminal::open) {
        // Both are plain: a slug, a number and a word of ours.
        let (id, state) = (&record.id, record.state);
        let text = format!("\u{1b}]9;{id} {state}\u{7}\u{1b}]777;notify;git worker;{id} {state}\u{7}\u{7}");
        let _ = terminal.write_all(text.as_bytes());
    }
    if let Some((program, arguments)) = notify.command.split_first() {
        run(program, arguments, job, record);
    }
}

fn run(program: &str, arguments: &[String], job: &Job, record: &Record) {
    let mut words = format!("{{\"schema\":{},\"job\":", shared::output::SCHEMA);
    if shown::append_json(&mut words, &Entry::new(job.clone(), record.clone())).is_err() {
        return;
    }
    words.push_str("}\n");
    let mut command = process::command(program);
    command.args(arguments).current_dir("/").process_group(0);
    let _ = process::run_within(&mut command, Some(words.into_bytes()), 0, LIMIT);
}
