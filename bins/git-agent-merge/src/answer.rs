//! What `check` answers, for people and for programs.

use std::fmt;

use serde::Serialize;
use shared::output::Foreign;

use crate::conflict::Conflict;
use crate::matrix;

/// Whether something merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// It does.
    Clean,
    /// It does not.
    Conflict,
    /// Git refused to say.
    CouldNotTell,
    /// Not asked, because a side conflicts with the base by itself.
    Skipped,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Clean => "clean",
            Verdict::Conflict => "conflict",
            Verdict::CouldNotTell => "could not tell",
            Verdict::Skipped => "skipped",
        })
    }
}

/// All that was found out.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) base: BaseRow,
    pub(crate) branches: Vec<BranchRow>,
    pub(crate) pairs: Vec<PairRow>,
}

/// What the branches were checked against.
#[derive(Debug, Serialize)]
pub(crate) struct BaseRow {
    #[serde(rename = "ref")]
    pub(crate) name: String,
    pub(crate) commit: String,
}

/// A branch against the base.
#[derive(Debug, Serialize)]
pub(crate) struct BranchRow {
    pub(crate) name: String,
    pub(crate) task: Option<String>,
    #[serde(rename = "ref")]
    pub(crate) branch: Option<String>,
    pub(crate) commit: String,
    pub(crate) dirty: bool,
    pub(crate) verdict: Verdict,
    /// What it merges to, where git said so.
    pub(crate) tree: Option<String>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) reason: Option<String>,
}

/// A branch against another, both merged into the base.
#[derive(Debug, Serialize)]
pub(crate) struct PairRow {
    pub(crate) a: String,
    pub(crate) b: String,
    pub(crate) verdict: Verdict,
    /// What it merges to, where git said so.
    pub(crate) tree: Option<String>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) reason: Option<String>,
}

impl Answer {
    /// Returns every verdict, of branches and of pairs.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.branches.iter().map(|row| row.verdict).chain(self.pairs.iter().map(|row| row.verdict))
    }

    /// Returns every conflicted path once, sorted.
    pub(crate) fn paths(&self) -> Vec<&[u8]> {
        let branches = self.branches.iter().flat_map(|row| &row.conflicts);
        let all = branches.chain(self.pairs.iter().flat_map(|row| &row.conflicts));
        let mut paths: Vec<&[u8]> = all.map(|conflict| conflict.raw_path.as_slice()).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Foreign(self.base.name.strip_prefix("refs/heads/").unwrap_or(&self.base.name));
        let width = self.branches.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        for row in &self.branches {
            let dirty = if row.dirty { "  (with uncommitted work)" } else { "" };
            writeln!(f, "{:width$}  into {base}  {}{dirty}", Foreign(&row.name), row.verdict)?;
            details(f, &row.conflicts, row.reason.as_deref())?;
        }
        for row in self.pairs.iter().filter(|row| matches!(row.verdict, Verdict::Conflict | Verdict::CouldNotTell)) {
            writeln!(f, "{} with {}  {}", Foreign(&row.a), Foreign(&row.b), row.verdict)?;
            details(f, &row.conflicts, row.reason.as_deref())?;
        }
        let clean = self.pairs.iter().filter(|row| row.verdict == Verdict::Clean).count();
        if clean > 0 {
            writeln!(f, "{clean} of {} pairs merge with each other", self.pairs.len())?;
        }
        if self.branches.len() > 2 {
            writeln!(f)?;
            matrix::table(f, self)?;
        }
        Ok(())
    }
}

fn details(f: &mut fmt::Formatter<'_>, conflicts: &[Conflict], reason: Option<&str>) -> fmt::Result {
    if let Some(reason) = reason {
        writeln!(f, "    {}", Foreign(reason))?;
    }
    for conflict in conflicts {
        writeln!(f, "    {}  {}", Foreign(&conflict.path), conflict.kind)?;
        for hunk in &conflict.hunks {
            writeln!(f, "      at line {}", hunk.line)?;
            for (sign, text) in [('|', &hunk.base), ('<', &hunk.ours), ('>', &hunk.theirs)] {
                for line in text.lines().take(5) {
                    writeln!(f, "        {sign} {}", Foreign(line))?;
                }
                if text.lines().count() > 5 {
                    writeln!(f, "        {sign} … {} lines in all", text.lines().count())?;
                }
            }
        }
    }
    Ok(())
}
