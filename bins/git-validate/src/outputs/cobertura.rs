//! Cobertura's XML, as coverage tools of all languages write it.

use anyhow::Result;

use super::Parsed;
use super::xml::{self, Element, Piece};

/// Reads a report: what its root sums up, or the lines of the classes.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed> {
    let mut sums: Option<(u64, u64)> = None;
    let (mut lines, mut covered) = (0_u64, 0_u64);
    let mut open: Vec<String> = Vec::new();
    xml::walk(bytes, &["coverage"], |piece| {
        match piece {
            Piece::Begin(element) => {
                if open.is_empty() {
                    sums = summed(&element)?;
                }
                // A line of a method stands in its class once more.
                if element.name() == "line" && !open.iter().any(|name| name == "method") {
                    lines += 1;
                    covered += u64::from(element.number("hits")?.is_some_and(|hits| hits > 0));
                }
                open.push(element.name());
            }
            Piece::Text(_) => {}
            Piece::End => drop(open.pop()),
        }
        Ok(())
    })?;
    let (lines, covered) = sums.unwrap_or((lines, covered));
    let mut parsed = Parsed::default();
    parsed.count("lines", lines);
    parsed.count("lines-covered", covered.min(lines));
    Ok(parsed)
}

fn summed(root: &Element<'_>) -> Result<Option<(u64, u64)>> {
    Ok(root.number("lines-valid")?.zip(root.number("lines-covered")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_count_or_else_lines() {
        let of = |text: &str| {
            let parsed = parse(text.as_bytes()).unwrap();
            (parsed.counts["lines"], parsed.counts["lines-covered"])
        };
        let line = "<line number='1' hits='3'/><line number='2' hits='0'/>";
        let body = format!(
            "<packages><package><classes><class><methods><method><lines>{line}</lines></method></methods>\
             <lines>{line}</lines></class></classes></package></packages>"
        );
        assert_eq!(of(&format!("<coverage>{body}</coverage>")), (2, 1));
        assert_eq!(of(&format!("<coverage lines-valid='9' lines-covered='8'>{body}</coverage>")), (9, 8));
        assert_eq!(of("<coverage lines-valid='1' lines-covered='8'/>"), (1, 1));
        assert!(parse(b"<testsuite/>").is_err() && parse(b"<coverage>").is_err());
    }
}
