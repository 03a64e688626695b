//! SARIF 2.1.0, as linters and scanners write it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{Parsed, message, paths};
use crate::finding::{Finding, Severity};

/// Where base addresses lead to base addresses, no further.
const BASES: usize = 8;

#[derive(Deserialize)]
struct Log {
    version: String,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    #[serde(default)]
    tool: Tool,
    /// Nothing if the run came to none.
    #[serde(default)]
    results: Option<Vec<Found>>,
    #[serde(default)]
    artifacts: Vec<Artifact>,
    #[serde(default)]
    original_uri_base_ids: BTreeMap<String, Place>,
}

#[derive(Default, Deserialize)]
struct Tool {
    #[serde(default)]
    driver: Driver,
}

#[derive(Default, Deserialize)]
struct Driver {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    #[serde(default)]
    default_configuration: Configuration,
    #[serde(default)]
    short_description: Option<Message>,
    #[serde(default)]
    message_strings: BTreeMap<String, Message>,
}

#[derive(Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    level: Option<String>,
}

#[derive(Deserialize)]
struct Artifact {
    #[serde(default)]
    location: Option<Place>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    #[serde(default)]
    rule_id: Option<String>,
    #[serde(default)]
    rule_index: Option<i64>,
    #[serde(default)]
    rule: Option<RuleReference>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    level: Option<String>,
    message: Message,
    #[serde(default)]
    locations: Vec<Location>,
    #[serde(default)]
    suppressions: Option<Vec<Suppression>>,
}

#[derive(Deserialize)]
struct RuleReference {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    index: Option<i64>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    arguments: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(default)]
    physical_location: Option<Physical>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    #[serde(default)]
    artifact_location: Option<Place>,
    #[serde(default)]
    region: Option<Region>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    uri_base_id: Option<String>,
    #[serde(default)]
    index: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    #[serde(default)]
    start_line: Option<i64>,
}

#[derive(Deserialize)]
struct Suppression {
    #[serde(default)]
    status: Option<String>,
}

/// Reads a report.
pub(super) fn parse(bytes: &[u8], top: &Path) -> Result<Parsed> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let log: Log = serde_json::from_slice(bytes).context("it is no SARIF log")?;
    ensure!(log.version == "2.1.0", "it is of version '{}', not 2.1.0", log.version.escape_debug());
    let mut parsed = Parsed::default();
    for run in &log.runs {
        for found in run.results.iter().flatten().filter(|found| !found.is_suppressed()) {
            if let Some(finding) = run.finding(found, top) {
                parsed.add(finding);
            }
        }
    }
    Ok(parsed)
}

impl Found {
    /// One suppression that nobody has accepted yet, or that was rejected, leaves it as it is.
    fn is_suppressed(&self) -> bool {
        let accepted = |suppression: &Suppression| suppression.status.as_deref().is_none_or(|word| word == "accepted");
        self.suppressions.as_ref().is_some_and(|all| !all.is_empty() && all.iter().all(accepted))
    }
}

impl Run {
    fn finding(&self, found: &Found, top: &Path) -> Option<Finding> {
        let rule = self.rule(found);
        let severity = severity(found, rule)?;
        let id = found.rule_id.as_deref().or_else(|| found.rule.as_ref()?.id.as_deref());
        let id = id.or(rule.map(|rule| rule.id.as_str())).filter(|id| !id.is_empty()).unwrap_or("sarif");
        let physical = found.locations.first().and_then(|location| location.physical_location.as_ref());
        let place = physical.and_then(|physical| physical.artifact_location.as_ref());
        let line = physical.and_then(|physical| physical.region.as_ref()?.start_line);
        Some(Finding {
            path: place.and_then(|place| self.path(place, top)),
            line: line.and_then(|line| u32::try_from(line).ok()).filter(|line| *line > 0),
            rule: message(id),
            severity,
            message: message(&words(found, rule)),
        })
    }

    fn rule(&self, found: &Found) -> Option<&Rule> {
        let rules = &self.tool.driver.rules;
        let index = found.rule_index.or_else(|| found.rule.as_ref()?.index);
        let by_index = index.and_then(|index| rules.get(usize::try_from(index).ok()?));
        by_index.or_else(|| rules.iter().find(|rule| Some(&rule.id) == found.rule_id.as_ref()))
    }

    fn path(&self, place: &Place, top: &Path) -> Option<String> {
        let listed = || self.artifacts.get(usize::try_from(place.index?).ok()?)?.location.as_ref();
        let place = if place.uri.is_some() { place } else { listed()? };
        let uri = self.absolute(place, BASES)?;
        let path = match uri.strip_prefix("file:") {
            // 'file:///path', 'file:/path' and 'file://localhost/path' are the same.
            Some(rest) => rest.strip_prefix("//localhost").or(rest.strip_prefix("//")).unwrap_or(rest),
            None => &uri,
        };
        paths::seen_from(top, &paths::percent_decoded(path))
    }

    /// Puts the base before an address that has one; a base that is not told is the top of the tree.
    fn absolute(&self, place: &Place, left: usize) -> Option<String> {
        let uri = place.uri.as_deref()?;
        let is_absolute = uri.starts_with('/') || uri.starts_with("file:");
        let base = place.uri_base_id.as_ref().filter(|_| left > 0 && !is_absolute);
        let base = base.and_then(|base| self.absolute(self.original_uri_base_ids.get(base)?, left - 1));
        Some(match base {
            Some(base) if base.ends_with('/') => format!("{base}{uri}"),
            Some(base) => format!("{base}/{uri}"),
            None => uri.to_owned(),
        })
    }
}

/// How much a result weighs; nothing if it says that all is well there.
fn severity(found: &Found, rule: Option<&Rule>) -> Option<Severity> {
    match found.kind.as_deref() {
        None | Some("fail") => {}
        Some("open" | "review" | "informational") => return Some(Severity::Note),
        Some(_) => return None,
    }
    let usual = rule.and_then(|rule| rule.default_configuration.level.as_deref());
    match found.level.as_deref().or(usual) {
        Some("error") => Some(Severity::Error),
        Some("note") => Some(Severity::Note),
        Some("none") => None,
        Some(_) | None => Some(Severity::Warning),
    }
}

fn words(found: &Found, rule: Option<&Rule>) -> String {
    let by_id = || rule?.message_strings.get(found.message.id.as_ref()?)?.text.clone();
    let in_short = || rule?.short_description.as_ref()?.text.clone();
    let text = found.message.text.clone().or_else(by_id).or_else(in_short);
    let mut text = text.unwrap_or_else(|| "it says no more".to_owned());
    for (number, argument) in found.message.arguments.iter().enumerate().take(10) {
        let place = format!("{{{number}}}");
        if text.len() < 64 << 10 && text.contains(&place) {
            text = text.replacen(&place, &message(argument), 10);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(run: &str) -> Parsed {
        let log = format!(r#"{{"version":"2.1.0","$schema":"x","runs":[{run}]}}"#);
        parse(log.as_bytes(), Path::new("/top")).unwrap()
    }

    fn first(result: &str) -> Finding {
        read(&format!(r#"{{"results":[{result}]}}"#)).findings.remove(0)
    }

    #[test]
    fn a_result_is_a_finding() {
        let found = first(
            r#"{"ruleId":"no-eval","level":"error","message":{"text":"a\nb"},"locations":[{"physicalLocation":
               {"artifactLocation":{"uri":"file:///top/src/a%20%C3%A4.js"},"region":{"startLine":3,"startColumn":1}}}]}"#,
        );
        assert_eq!((found.path.as_deref(), found.line), (Some("src/a ä.js"), Some(3)));
        assert_eq!((found.rule.as_str(), found.severity, found.message.as_str()), ("no-eval", Severity::Error, "a b"));
        let found = first(r#"{"message":{"text":"x"}}"#);
        assert_eq!((found.rule.as_str(), found.severity, found.path), ("sarif", Severity::Warning, None));
    }

    #[test]
    fn levels_and_words_come_from_the_rule_where_the_result_has_none() {
        let parsed = read(
            r#"{"tool":{"driver":{"rules":[{"id":"a","defaultConfiguration":{"level":"note"},
               "messageStrings":{"m":{"text":"{0} is {1}"}}},{"id":"b","defaultConfiguration":{"level":"error"}}]}},
               "results":[{"ruleIndex":0,"message":{"id":"m","arguments":["x","y"]}},{"ruleId":"b","message":{"text":"t"}},
               {"kind":"pass","message":{"text":"t"}},{"kind":"review","message":{"text":"t"}},
               {"level":"none","message":{"text":"t"}}]}"#,
        );
        let told: Vec<_> = parsed.findings.iter().map(|f| (f.rule.as_str(), f.severity, f.message.as_str())).collect();
        let expected = [("a", Severity::Note, "x is y"), ("b", Severity::Error, "t"), ("sarif", Severity::Note, "t")];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_suppressed_is_left_out() {
        let with = |suppressions: &str| {
            let result = format!(r#"{{"message":{{"text":"x"}},"suppressions":{suppressions}}}"#);
            read(&format!(r#"{{"results":[{result}]}}"#)).findings.len()
        };
        assert_eq!(with(r#"[{"kind":"inSource"}]"#), 0);
        assert_eq!((with("[]"), with(r#"[{"kind":"external","status":"rejected"}]"#)), (1, 1));
    }

    #[test]
    fn addresses_are_paths_of_the_tree() {
        let path = |location: &str| {
            let run = format!(
                r#"{{"originalUriBaseIds":{{"S":{{"uri":"src/","uriBaseId":"R"}},"R":{{"uri":"file:///top/"}},"L":{{"uri":"x","uriBaseId":"L"}}}},
                   "artifacts":[{{"location":{{"uri":"listed.c"}}}}],"results":[{{"message":{{"text":"x"}},
                   "locations":[{{"physicalLocation":{{"artifactLocation":{location}}}}}]}}]}}"#
            );
            read(&run).findings.remove(0).path
        };
        assert_eq!(path(r#"{"uri":"a.c","uriBaseId":"S"}"#).unwrap(), "src/a.c");
        assert_eq!(path(r#"{"uri":"./b/%FF","uriBaseId":"UNKNOWN"}"#).unwrap(), "b/\\xff");
        assert_eq!(path(r#"{"index":0}"#).unwrap(), "listed.c");
        assert_eq!(path(r#"{"uri":"/elsewhere/a"}"#).unwrap(), "/elsewhere/a");
        assert!(path(r#"{"uri":"a","uriBaseId":"L"}"#).is_some_and(|path| path.len() < 40));
        assert_eq!(path(r#"{"index":7}"#), None);
    }

    #[test]
    fn what_is_no_log_of_this_version_is_refused() {
        for text in [r#"{"version":"2.0.0","runs":[]}"#, r#"{"version":"2.1.0"}"#, r#"{"version":"2.1.0","runs":["#] {
            assert!(parse(text.as_bytes(), Path::new("/top")).is_err(), "{text}");
        }
        assert_eq!(read(r#"{"tool":{"driver":{"name":"t"}},"results":null}"#), Parsed::default());
    }
}
