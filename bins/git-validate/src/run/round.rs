//! One round of checks in a slot, and one by one where it has to be known who changed the files.

use std::fs;
use std::path::{Path, PathBuf};

use shared::app::Context;
use shared::clock;
use shared::failure::Failure;
use shared::output::Foreign;

use super::Args;
use super::child::Ended;
use super::live::Live;
use super::pool::{Job, Pool};
use super::signals;
use super::slot::Slot;
use crate::journal::Journal;
use crate::subject::Subject;
use crate::verdict::{CheckStatus, short};

/// One round in a slot.
pub(super) struct Round<'a> {
    pub(super) cx: &'a Context,
    pub(super) args: &'a Args,
    pub(super) subject: &'a Subject,
}

impl Round<'_> {
    /// Runs jobs side by side; if files of the tree were changed, one after the other, so that it is known by whom.
    pub(super) fn run(&self, jobs: &[Job<'_>]) -> Result<Vec<Option<Ended>>, Failure> {
        let cx = self.cx;
        let slot = Slot::take(cx)?;
        slot.fill(cx, self.subject)?;
        let logs = logs(cx, self.subject)?;
        let live = Live::new(cx, jobs.len(), self.args.jsonl);
        let pool = || Pool::new(cx, &slot, self.subject, logs.clone(), self.args.fail_fast, &live);
        let mut ended = pool()?.wide(self.args.jobs.filter(|jobs| *jobs > 0)).run(jobs)?;
        let mut changed = slot.changed(cx, self.subject);
        if !changed.is_empty() && jobs.len() > 1 && signals::refuse_if_interrupted().is_ok() {
            cx.output.note("a check changed files of the tree, in its copy; they run again, one by one, to see which");
            for (at, job) in jobs.iter().enumerate() {
                if ended[at].as_ref().is_none_or(|ended| !ended.is_answer) || signals::refuse_if_interrupted().is_err()
                {
                    continue;
                }
                slot.fill(cx, self.subject)?;
                if let Some(log) = ended[at].take().and_then(|ended| ended.log) {
                    let _ = fs::remove_file(log);
                }
                ended[at] = pool()?.run(std::slice::from_ref(job))?.pop().flatten();
                changed = slot.changed(cx, self.subject);
                self.blame(&mut ended[at], &changed);
            }
        } else if let Some(only) = ended.first_mut().filter(|_| jobs.len() == 1) {
            self.blame(only, &changed);
        }
        live.finish();
        self.show_logs(jobs, &mut ended)?;
        slot.release();
        let _ = fs::remove_dir(&logs);
        Ok(ended)
    }

    /// A check that changes what it judges has not judged the tree.
    fn blame(&self, ended: &mut Option<Ended>, changed: &[String]) {
        let (Some(first), Some(ended)) = (changed.first(), ended) else { return };
        let more = if changed.len() == 1 { String::new() } else { format!(" and {} more", changed.len() - 1) };
        ended.spoil(CheckStatus::Fail, format!("changed files of the tree, in its copy: '{}'{more}", Foreign(first)));
    }

    /// Shows the output of each check whole and in order, if asked, and keeps the logs of those that did not pass.
    fn show_logs(&self, jobs: &[Job<'_>], ended: &mut [Option<Ended>]) -> Result<(), Failure> {
        for (job, ended) in jobs.iter().zip(ended) {
            let Some(ended) = ended else { continue };
            let Some(log) = &ended.log else { continue };
            if self.args.verbose && !self.args.jsonl && !self.cx.output.is_json() {
                let text = fs::read(log).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                self.cx.output.note(format!("--- {} ({})\n{}", job.check.name, ended.status.word(), text.trim_end()));
            }
            if ended.status == CheckStatus::Pass {
                let _ = fs::remove_file(log);
                ended.log = None;
            }
        }
        Ok(())
    }
}

/// A folder of its own for the logs of a run, made with the first of them.
pub(super) fn logs(cx: &Context, subject: &Subject) -> Result<PathBuf, Failure> {
    let folder: &Path = &Journal::of(cx.repository()?)?.folder().join("logs");
    let time = clock::now().strftime("%Y%m%dT%H%M%SZ");
    Ok(folder.join(format!("{time}-{}-{}", short(&subject.tree), std::process::id())))
}
