//! What the launcher gives to the supervisor and to nobody else: a command or prompt that holds a secret.
//!
//! It goes through the pipe of the orders and is never written to a disk: the record and the
//! prompt's file hold it redacted. The prompt lies in memory, where the job reads it under the
//! supervisor's name.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rustix::fs::MemfdFlags;
use shared::failure::Failure;

use crate::job::Job;

const WORDS: &[u8] = b"words";
const PROMPT: &[u8] = b"prompt";
const GO: &[u8] = b"go";

/// What was given before the word to go.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) words: Option<Vec<OsString>>,
    pub(crate) prompt: Option<File>,
}

/// Returns the refusal to launch once more what was not written down.
pub(crate) fn refuse_redacted(job: &Job) -> Failure {
    let message = format!("what job '{}' was asked held a secret, which was not written down", job.id());
    let hint = "launch it anew, with a secret that the job reads from its environment";
    Failure::could_not("secret-request", message).hint(hint)
}

/// Returns the order that gives a command line.
pub(crate) fn words(words: &[OsString]) -> Vec<u8> {
    let mut order = [WORDS, b"\0", words.len().to_string().as_bytes(), b"\0"].concat();
    for word in words {
        order.extend_from_slice(word.as_bytes());
        order.push(0);
    }
    order
}

/// Returns the order that gives a prompt.
pub(crate) fn prompt(prompt: &[u8]) -> Vec<u8> {
    [PROMPT, b"\0", prompt.len().to_string().as_bytes(), b"\0", prompt].concat()
}

/// Takes what is given until the word to go.
///
/// # Errors
/// When the launcher ends before, or says something else.
pub(crate) fn take(orders: &mut impl BufRead) -> Result<Given> {
    let mut given = Given::default();
    loop {
        match order(orders)?.as_slice() {
            GO => return Ok(given),
            WORDS => {
                let count = number(orders)?;
                let words = (0..count).map(|_| Ok(OsString::from_vec(order(orders)?))).collect::<Result<_>>();
                given.words = Some(words?);
            }
            PROMPT => {
                let length = number(orders)?;
                let mut bytes = Vec::new();
                orders.take(length).read_to_end(&mut bytes).context("cannot hear the prompt")?;
                let file = rustix::fs::memfd_create("prompt", MemfdFlags::CLOEXEC).map_err(std::io::Error::from);
                let mut file = File::from(file.context("cannot keep the prompt in memory")?);
                file.write_all(&bytes).context("cannot keep the prompt in memory")?;
                given.prompt = Some(file);
            }
            _ => bail!("the launcher said something else than go"),
        }
    }
}

/// Reads up to the next zero byte; the end of the launcher is the end of the orders.
///
/// # Errors
/// When there is none.
pub(crate) fn order(orders: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    orders.read_until(0, &mut bytes).context("cannot hear the launcher")?;
    if bytes.pop() != Some(0) {
        bail!("the launcher has ended");
    }
    Ok(bytes)
}

fn number(orders: &mut impl BufRead) -> Result<u64> {
    String::from_utf8_lossy(&order(orders)?).parse().context("the launcher said no number")
}

impl Given {
    /// Returns the path under which the job finds the prompt while the supervisor lives.
    pub(crate) fn prompt_path(&self) -> Option<PathBuf> {
        let own = rustix::process::getpid().as_raw_nonzero();
        self.prompt.as_ref().map(|file| PathBuf::from(format!("/proc/{own}/fd/{}", file.as_raw_fd())))
    }
}
