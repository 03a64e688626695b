//! Who conflicts with whom, and where.

use std::collections::HashMap;
use std::fmt;

use shared::output::Foreign;

use crate::answer::{Answer, Verdict};
use crate::conflict::Conflict;

/// So many paths of a conflict are named; how many more there are is said.
const PATHS: usize = 4;

/// An answer as a table, with the conflicts below it.
pub(crate) struct Matrix<'a>(pub(crate) &'a Answer);

impl fmt::Display for Matrix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Matrix(answer) = self;
        table(f, answer)?;
        let places: HashMap<&str, usize> =
            answer.branches.iter().enumerate().map(|(at, row)| (row.name.as_str(), at + 1)).collect();
        let with_base = answer.branches.iter().map(|row| (&row.name, None, row.verdict, &row.conflicts));
        let pairs = answer.pairs.iter().map(|row| (&row.a, Some(&row.b), row.verdict, &row.conflicts));
        for (a, b, verdict, conflicts) in with_base.chain(pairs) {
            if !matches!(verdict, Verdict::Conflict | Verdict::CouldNotTell) {
                continue;
            }
            let place = |name: &String| places.get(name.as_str()).copied().unwrap_or_default();
            let other = b.map_or_else(|| "base".to_owned(), |b| place(b).to_string());
            writeln!(f, "{:>3} {} {other:<4}  {}", place(a), sign(verdict), paths(conflicts))?;
        }
        Ok(())
    }
}

/// The table alone: `x` conflicts, `.` merges, `?` could not be told, `-` was not asked; the first column is the base.
pub(crate) fn table(f: &mut fmt::Formatter<'_>, answer: &Answer) -> fmt::Result {
    let width = answer.branches.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let mut verdicts = HashMap::new();
    for pair in &answer.pairs {
        verdicts.insert((pair.a.as_str(), pair.b.as_str()), pair.verdict);
        verdicts.insert((pair.b.as_str(), pair.a.as_str()), pair.verdict);
    }
    write!(f, "{:1$} base", "", width + 4)?;
    (1..=answer.branches.len()).try_for_each(|n| write!(f, " {n:>2}"))?;
    writeln!(f)?;
    for (at, row) in answer.branches.iter().enumerate() {
        write!(f, "{:>3} {:width$} {:>4}", at + 1, Foreign(&row.name), sign(row.verdict))?;
        for (other, column) in answer.branches.iter().enumerate() {
            let verdict = verdicts.get(&(row.name.as_str(), column.name.as_str()));
            write!(f, " {:>2}", if at == other { '\\' } else { verdict.map_or('-', |verdict| sign(*verdict)) })?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// The sign of a verdict in the table.
pub(crate) fn sign(verdict: Verdict) -> char {
    match verdict {
        Verdict::Clean => '.',
        Verdict::Conflict => 'x',
        Verdict::CouldNotTell => '?',
        Verdict::Skipped => '-',
    }
}

/// The paths of some conflicts on one line.
pub(crate) fn paths(conflicts: &[Conflict]) -> String {
    names(conflicts.iter().map(|one| one.path.as_str()))
}

/// The first of some paths on one line, and how many more there are.
pub(crate) fn names<'a>(paths: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = paths.len().saturating_sub(PATHS);
    let mut names: Vec<String> = paths.take(PATHS).map(|path| Foreign(path).to_string()).collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}
