//! JUnit XML, as test runners of all languages write it.

use std::path::Path;

use anyhow::Result;

use super::xml::{self, Element, Piece};
use super::{Parsed, line, message, paths};
use crate::finding::{Finding, Severity};

/// As much of what a failure says is looked at, in bytes.
const TEXT: usize = 8 << 10;
/// A rule is cut after this many characters.
const RULE: usize = 100;

/// Reads a report; the test cases themselves are counted, whatever the suites say of their number.
pub(super) fn parse(bytes: &[u8], top: &Path) -> Result<Parsed> {
    let mut reading = Reading { top, parsed: Parsed::default(), open: Vec::new(), case: None, said: 0 };
    for count in ["tests", "failures", "errors", "skipped"] {
        reading.parsed.count(count, 0);
    }
    xml::walk(bytes, &["testsuites", "testsuite"], |piece| match piece {
        Piece::Begin(element) => reading.begin(&element),
        Piece::Text(text) => {
            reading.text(text);
            Ok(())
        }
        Piece::End => {
            reading.end();
            Ok(())
        }
    })?;
    Ok(reading.finish())
}

struct Reading<'a> {
    top: &'a Path,
    parsed: Parsed,
    open: Vec<Open>,
    case: Option<Case>,
    /// The failures and errors of which the suites speak.
    said: u64,
}

/// An element that has begun.
enum Open {
    Suite { file: Option<String> },
    Case,
    Problem,
    Other,
}

#[derive(Default)]
struct Case {
    name: String,
    file: Option<String>,
    line: Option<u32>,
    problem: Option<Problem>,
    skipped: bool,
}

struct Problem {
    is_error: bool,
    rule: String,
    message: String,
    text: String,
}

impl Reading<'_> {
    fn begin(&mut self, element: &Element<'_>) -> Result<()> {
        let name = element.name();
        let open = match (name.as_str(), &mut self.case) {
            ("testsuites" | "testsuite", None) => {
                if self.open.is_empty() {
                    self.said = element.number("failures")?.unwrap_or(0).max(element.number("errors")?.unwrap_or(0));
                }
                Open::Suite { file: element.attribute("file")? }
            }
            ("testcase", None) => {
                self.case = Some(self.case(element)?);
                Open::Case
            }
            ("failure" | "error", Some(case)) if matches!(self.open.last(), Some(Open::Case)) => {
                // Of several only the first is told; that it is an error is told of each.
                let problem = problem(element, name == "error")?;
                match &mut case.problem {
                    None => case.problem = Some(problem),
                    Some(first) => first.is_error |= problem.is_error,
                }
                Open::Problem
            }
            ("skipped", Some(case)) => {
                case.skipped = true;
                Open::Other
            }
            _ => Open::Other,
        };
        self.open.push(open);
        Ok(())
    }

    fn case(&self, element: &Element<'_>) -> Result<Case> {
        let class = element.attribute("classname")?.filter(|class| !class.is_empty());
        let name = element.attribute("name")?.unwrap_or_default();
        let of_suite = || {
            self.open.iter().rev().find_map(|open| match open {
                Open::Suite { file } => file.clone(),
                Open::Case | Open::Problem | Open::Other => None,
            })
        };
        Ok(Case {
            name: class.map_or_else(|| name.clone(), |class| format!("{class} {name}")),
            file: element.attribute("file")?.or_else(of_suite),
            line: element.attribute("line")?.as_deref().and_then(line),
            ..Case::default()
        })
    }

    fn text(&mut self, text: &str) {
        let Some(Open::Problem) = self.open.last() else { return };
        let Some(problem) = self.case.as_mut().and_then(|case| case.problem.as_mut()) else { return };
        if problem.text.len() < TEXT {
            problem.text.extend(text.chars().take(TEXT));
        }
    }

    fn end(&mut self) {
        // Within a case no other begins.
        if let Some(Open::Case) = self.open.pop()
            && let Some(case) = self.case.take()
        {
            self.count(case);
        }
    }

    fn count(&mut self, case: Case) {
        self.parsed.count("tests", 1);
        let Some(problem) = case.problem else {
            self.parsed.count("skipped", u64::from(case.skipped));
            return;
        };
        self.parsed.count(if problem.is_error { "errors" } else { "failures" }, 1);
        let said = if problem.message.trim().is_empty() { &problem.text } else { &problem.message };
        self.parsed.add(Finding {
            path: case.file.and_then(|file| paths::seen_from(self.top, file.as_bytes())),
            line: case.line,
            rule: problem.rule,
            severity: Severity::Error,
            message: message(&format!("{}: {said}", case.name)),
        });
    }

    /// A report that speaks of failures and shows none is no pass.
    fn finish(mut self) -> Parsed {
        if self.said > 0 && self.parsed.findings.is_empty() {
            self.parsed.add(Finding {
                path: None,
                line: None,
                rule: "junit/failure".to_owned(),
                severity: Severity::Error,
                message: format!("the report counts {} failures, and shows none of them", self.said),
            });
        }
        self.parsed
    }
}

fn problem(element: &Element<'_>, is_error: bool) -> Result<Problem> {
    let kind = element.attribute("type")?.map(|kind| message(&kind)).filter(|kind| !kind.is_empty());
    let kind = kind.unwrap_or_else(|| if is_error { "error" } else { "failure" }.to_owned());
    let rule = format!("junit/{}", kind.chars().take(RULE).collect::<String>());
    Ok(Problem { is_error, rule, message: element.attribute("message")?.unwrap_or_default(), text: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed {
        parse(text.as_bytes(), Path::new("/top")).unwrap()
    }

    fn counts(parsed: &Parsed) -> [u64; 4] {
        ["tests", "failures", "errors", "skipped"].map(|name| parsed.counts[name])
    }

    #[test]
    fn each_case_that_did_not_pass_is_a_finding() {
        let parsed = read(
            "\u{feff}<?xml version=\"1.0\"?>\n<testsuites><testsuite name='s' file='/top/spec/a.js'><properties/>\
             <testcase classname='c' name='one'/>\
             <testcase classname='c' name='two' file='/top/t.py' line='7'><failure type='AssertionError' message='1 &lt; 2&#10;no'>t</failure></testcase>\
             <testcase name='three'><error>line &amp; <![CDATA[<more>]]></error></testcase>\
             <testcase name='four'><skipped/></testcase></testsuite></testsuites>\n",
        );
        assert_eq!(counts(&parsed), [4, 1, 1, 1]);
        let [two, three] = &parsed.findings[..] else { panic!("{parsed:?}") };
        assert_eq!((two.path.as_deref(), two.line), (Some("t.py"), Some(7)));
        assert_eq!((two.rule.as_str(), two.message.as_str()), ("junit/AssertionError", "c two: 1 < 2 no"));
        assert_eq!((three.path.as_deref(), three.rule.as_str()), (Some("spec/a.js"), "junit/error"));
        assert_eq!(three.message, "three: line & <more>");
    }

    #[test]
    fn a_flaky_test_has_passed_and_a_hidden_failure_has_not() {
        let parsed = read("<testsuite failures='0'><testcase name='a'><flakyFailure/></testcase></testsuite>");
        assert_eq!((counts(&parsed), parsed.findings.len()), ([1, 0, 0, 0], 0));
        let parsed = read("<testsuite failures='2'><testcase name='a'/></testsuite>");
        assert_eq!((counts(&parsed), parsed.findings.len()), ([1, 0, 0, 0], 1));
    }

    #[test]
    fn what_is_no_whole_report_is_refused() {
        for text in [
            "<html/>",
            "<testsuite><testcase name='a'/>",
            "<testsuite><testcase name='a'></testsuite>",
            "<testsuite><testcase name=\"a",
            "<testsuite/><testsuite/>",
            "<testsuite/>text",
            "<!DOCTYPE t [<!ENTITY a 'b'><!ENTITY c '&a;&a;'>]><testsuite><testcase name='&c;'/></testsuite>",
            "<!DOCTYPE t [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><testsuite><testcase name='x'><failure>&a;</failure></testcase></testsuite>",
        ] {
            assert!(parse(text.as_bytes(), Path::new("/top")).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_and_many_attributes_cost_no_stack_and_no_square() {
        let deep = format!("<testsuite>{}{}</testsuite>", "<a>".repeat(300_000), "</a>".repeat(300_000));
        assert_eq!(counts(&read(&deep)), [0; 4]);
        let attributes: String = (0..200_000).map(|n| format!(" a{n}='x'")).collect();
        assert_eq!(counts(&read(&format!("<testsuite><testcase{attributes}/></testsuite>"))), [1, 0, 0, 0]);
    }
}
