//! A report for a terminal.

use std::fmt;

use shared::output::Foreign;

use super::{Report, words};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  {}", self.run, Foreign(&self.title))?;
        for (name, value) in words::facts(self) {
            writeln!(f, "  {name:<12} {}", Foreign(&value))?;
        }
        writeln!(f)?;
        table(f, self)?;
        if !self.ranking.is_empty() {
            writeln!(f, "\nRanking")?;
        }
        for place in &self.ranking {
            let at = place.place.map_or_else(|| "-".to_owned(), |place| place.to_string());
            writeln!(f, "  {at:>2}  variant {}: {}", place.variant, Foreign(&place.reason))?;
        }
        let named =
            |(name, reason): (String, &Option<String>)| reason.as_ref().map(|reason| format!("{name}: {reason}"));
        let ends = self
            .variants
            .iter()
            .filter_map(|line| named((format!("variant {} {}", line.variant, line.state), &line.reason)));
        let stale = self
            .variants
            .iter()
            .filter(|line| line.commit.is_none())
            .filter_map(|line| named((format!("variant {} does not apply", line.variant), &line.problem)));
        list(f, "Ended early", ends.chain(stale).collect())?;
        let risks = self.in_order().into_iter().flat_map(|line| {
            let text = |risk: &crate::review::findings::Risk| {
                format!("variant {} ({}): {}", line.variant, words::weight(risk.weight), risk.text)
            };
            line.risks.iter().map(text)
        });
        list(f, "Risks", risks.collect())?;
        list(f, "Alike", words::alike(self))?;
        list(f, "Judge", words::judged(self))?;
        list(f, "What remains", self.residual.clone())?;
        if !self.next.is_empty() {
            writeln!(f, "\nNext")?;
        }
        let width = self.next.iter().map(|step| step.command.chars().count()).max().unwrap_or(0);
        self.next.iter().try_for_each(|step| writeln!(f, "  {:width$}  {}", Foreign(&step.command), step.why))
    }
}

fn list(f: &mut fmt::Formatter<'_>, head: &str, lines: Vec<String>) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{head}")?;
    lines.iter().try_for_each(|line| writeln!(f, "  {}", Foreign(line)))
}

/// The variants, the best first, in columns.
fn table(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let rows = report.in_order().into_iter().map(|line| words::cells(line).map(|cell| Foreign(&cell).to_string()));
    let rows: Vec<[String; 11]> = [words::HEADS.map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..words::HEADS.len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;

    #[test]
    fn the_text_has_the_table_the_ranking_and_what_to_do() {
        let text = report().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "r1  Do it");
        for wanted in [
            "variant  place  state      checks    metric  code         files  tokens  time   risks      by",
            "1        1      completed  pass 1/1  -       12 (+12 -0)  1      1.2k    1m02s  -          codex",
            "   1  variant 1: passes all checks; smallest change of 2 (12 lines, next 87)",
            "   -  variant 3: cannot win: check 'test' fails",
            "  variant 4 (cannot win): removes 2 tests",
            "  git bo4 pick r1 --variant 1        take it",
        ] {
            assert!(lines.contains(&wanted), "{wanted}\n{text}");
        }
    }
}
