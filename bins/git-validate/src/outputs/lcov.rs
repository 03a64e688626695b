//! lcov's tracefiles, as geninfo(1) describes them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::Parsed;

/// The record of one file.
#[derive(Default)]
struct Record {
    /// Each line, and whether it was run.
    lines: BTreeMap<u64, bool>,
    found: Option<u64>,
    hit: Option<u64>,
}

/// Reads a report: what each record sums up, or the lines of those that sum up nothing.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed> {
    let text = String::from_utf8_lossy(bytes);
    let mut parsed = Parsed::default();
    let mut open: Option<Record> = None;
    let mut records = 0;
    for line in text.lines().map(str::trim) {
        let (word, value) = line.split_once(':').unwrap_or((line, ""));
        match (word, &mut open) {
            ("SF", None) => open = Some(Record::default()),
            ("SF", Some(_)) => break,
            ("LF", Some(record)) => record.found = value.trim().parse().ok(),
            ("LH", Some(record)) => record.hit = value.trim().parse().ok(),
            ("DA", Some(record)) => record.add(value),
            ("end_of_record", Some(record)) => {
                let (found, hit) = record.sums();
                parsed.count("lines", found);
                parsed.count("lines-covered", hit);
                records += 1;
                open = None;
            }
            _ => {}
        }
    }
    ensure!(open.is_none(), "its last record has no end");
    ensure!(records > 0, "there is no record in it");
    Ok(parsed)
}

impl Record {
    /// `<line>,<times>[,<checksum>]`.
    fn add(&mut self, value: &str) {
        let mut parts = value.split(',').map(str::trim);
        let (Some(line), Some(times)) = (parts.next(), parts.next()) else { return };
        if let Ok(line) = line.parse() {
            *self.lines.entry(line).or_default() |= times.parse::<f64>().is_ok_and(|times| times > 0.0);
        }
    }

    fn sums(&self) -> (u64, u64) {
        match (self.found, self.hit) {
            (Some(found), Some(hit)) => (found, hit.min(found)),
            _ => (self.lines.len() as u64, self.lines.values().filter(|hit| **hit).count() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_count_or_else_lines() {
        let report = "TN:\nSF:a.c\nDA:1,1\nLF:10\nLH:4\nend_of_record\r\nTN:\nSF:b.c\nDA:1,0\nDA:2,7,abc\nDA:2,0\nDA:x\nend_of_record\n";
        let parsed = parse(report.as_bytes()).unwrap();
        assert_eq!((parsed.counts["lines"], parsed.counts["lines-covered"]), (12, 5));
    }

    #[test]
    fn what_is_no_whole_report_is_refused() {
        for text in ["", "LF:3\nLH:3\n", "SF:a\nLF:1\n", "SF:a\nLF:1\nSF:b\nend_of_record\n", "end_of_record\n"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
