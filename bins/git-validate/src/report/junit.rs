//! JUnit XML: a suite for each subject, a case for each check; XML 1.0 without a DTD.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::{end, more_findings, reason};
use crate::verdict::{Answer, CheckStatus, Row, Verdict};

pub(crate) fn render(answers: &[Answer]) -> String {
    let mut sheet = Sheet(Writer::new_with_indent(Vec::new(), b' ', 2));
    sheet.put(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    let all: Vec<&Row> = answers.iter().flat_map(|answer| &answer.checks).collect();
    let without_checks = answers.iter().filter(|answer| answer.verdict == Verdict::NoChecks).count();
    let sums = sums(&all, without_checks);
    sheet.element("testsuites", &attributes("git-validate", &sums), |sheet| {
        answers.iter().for_each(|answer| suite(sheet, answer));
    });
    let mut text = String::from_utf8(sheet.0.into_inner()).unwrap_or_default();
    text.push('\n');
    text
}

fn suite(sheet: &mut Sheet, answer: &Answer) {
    let rows: Vec<&Row> = answer.checks.iter().collect();
    let is_without = answer.verdict == Verdict::NoChecks;
    let (name, sums) = (answer.subject.to_string(), sums(&rows, usize::from(is_without)));
    let attributes = attributes(&name, &sums);
    sheet.element("testsuite", &attributes, |sheet| {
        sheet.element("properties", &[], |sheet| {
            let commit = answer.subject.commit.map(|id| id.to_string()).unwrap_or_default();
            let (verdict, tree) = (answer.verdict.word(), answer.subject.tree.to_string());
            for (name, value) in [("verdict", verdict), ("tree", &tree), ("commit", &commit)] {
                sheet.element("property", &[("name", name), ("value", value)], |_| {});
            }
        });
        rows.iter().for_each(|row| case(sheet, row));
        if is_without {
            // An empty suite would read as a pass.
            sheet.element(
                "testcase",
                &[("name", "checks"), ("classname", "git-validate"), ("time", "0.000")],
                |sheet| {
                    sheet.element("error", &[("message", "there is no check to run"), ("type", "no-checks")], |_| {});
                },
            );
        }
    });
}

fn case(sheet: &mut Sheet, row: &Row) {
    let time = seconds(row.duration_ms.unwrap_or(0));
    sheet.element("testcase", &[("name", &row.name), ("classname", "git-validate"), ("time", &time)], |sheet| {
        let findings = findings(row);
        let problem = match row.status {
            Some(CheckStatus::Pass) => None,
            Some(CheckStatus::Fail) => Some(("failure", "fail")),
            Some(CheckStatus::TimedOut) => Some(("error", "timed-out")),
            Some(CheckStatus::Broken) => Some(("error", "broken")),
            Some(CheckStatus::Skipped) => Some(("skipped", "skipped")),
            // What was not run is no pass either.
            None => Some(("error", "not-run")),
        };
        let mut printed = end(row).to_owned();
        match problem {
            Some(("skipped", _)) => sheet.element("skipped", &[("message", &reason(row))], |_| {}),
            Some((element, kind)) => {
                sheet.element(element, &[("message", &reason(row)), ("type", kind)], |sheet| sheet.text(&findings));
            }
            None => printed = findings + &printed,
        }
        if !printed.is_empty() {
            sheet.element("system-out", &[], |sheet| sheet.text(&printed));
        }
    });
}

fn findings(row: &Row) -> String {
    let mut text: String = row.findings.iter().map(|finding| format!("{finding}\n")).collect();
    if more_findings(row) > 0 {
        text.push_str(&format!("and {} more\n", more_findings(row)));
    }
    text
}

/// The attributes that sum up, in the order in which they are written.
type Sums = [(&'static str, String); 5];

fn sums(rows: &[&Row], without_checks: usize) -> Sums {
    let count = |is: fn(Option<CheckStatus>) -> bool| rows.iter().filter(|row| is(row.status)).count();
    let failures = count(|status| status == Some(CheckStatus::Fail));
    let errors = count(|status| matches!(status, None | Some(CheckStatus::TimedOut | CheckStatus::Broken)));
    let time = rows.iter().filter_map(|row| row.duration_ms).sum();
    [
        ("tests", (rows.len() + without_checks).to_string()),
        ("failures", failures.to_string()),
        ("errors", (errors + without_checks).to_string()),
        ("skipped", count(|status| status == Some(CheckStatus::Skipped)).to_string()),
        ("time", seconds(time)),
    ]
}

fn attributes<'a>(name: &'a str, sums: &'a Sums) -> Vec<(&'a str, &'a str)> {
    let sums = sums.iter().map(|(name, value)| (*name, value.as_str()));
    std::iter::once(("name", name)).chain(sums).collect()
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// What is written to: memory, which takes everything.
struct Sheet(Writer<Vec<u8>>);

impl Sheet {
    fn put(&mut self, event: Event<'_>) {
        let written = self.0.write_event(event);
        debug_assert!(written.is_ok(), "memory takes everything");
    }

    fn element(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Sheet)) {
        let mut start = BytesStart::new(name);
        for (name, value) in attributes {
            start.push_attribute((*name, allowed(value).as_str()));
        }
        self.put(Event::Start(start));
        inside(self);
        self.put(Event::End(BytesEnd::new(name)));
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.put(Event::Text(BytesText::new(&allowed(text))));
        }
    }
}

/// Replaces what XML 1.0 forbids or advises against, and a terminal might obey.
fn allowed(text: &str) -> String {
    let is_allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
            && !matches!(c, '\u{fdd0}'..='\u{fdef}')
            && u32::from(c) & 0xfffe != 0xfffe
    };
    text.chars().map(|c| if is_allowed(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{EVIL, answer, hostile, row};
    use super::*;
    use crate::outputs;

    #[test]
    fn our_own_reader_reads_it() {
        let skipped = Row { reason: Some("nothing to do".to_owned()), ..row("s", Some(CheckStatus::Skipped)) };
        let answers = [hostile(), answer(vec![skipped]), answer(Vec::new())];
        let text = render(&answers);
        let parsed = outputs::parse(crate::checks::Format::Junit, text.as_bytes(), std::path::Path::new("/")).unwrap();
        let counts = ["tests", "failures", "errors", "skipped"].map(|name| parsed.counts[name]);
        assert_eq!(counts, [6, 1, 3, 1]);
        assert!(text.contains("<testsuites name=\"git-validate\" tests=\"6\" failures=\"1\" errors=\"3\" skipped=\"1\" time=\"4.936\">"), "{text}");
        assert!(text.contains("<failure message=\"fail\" type=\"fail\">odd |`,:%[x]\\xff:7: error: a"), "{text}");
        assert!(
            !text.contains("<!DOCTYPE")
                && EVIL.contains('\0')
                && text.chars().all(|c| allowed(&c.to_string()) == c.to_string())
        );
    }
}
