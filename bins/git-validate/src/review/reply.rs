//! What a reviewer has answered; anything but a whole and fitting answer is none.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::finding::{Finding, Severity};

/// As many findings are taken.
const MOST: usize = 50;
/// No message is longer, in characters.
const LONGEST: usize = 500;

/// What a reviewer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Opinion {
    Approve,
    Changes,
    Inconclusive,
}

/// A reviewer's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) opinion: Opinion,
    pub(super) summary: String,
    pub(super) findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    nonce: String,
    tree: String,
    verdict: Opinion,
    summary: String,
    #[serde(default)]
    findings: Vec<RawFinding>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFinding {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    line: Option<u32>,
    severity: Severity,
    message: String,
}

/// The JSON Schema that an answer has to fit.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["nonce", "tree", "verdict", "summary", "findings"],
        "properties": {
            "nonce": { "type": "string" },
            "tree": { "type": "string" },
            "verdict": { "enum": ["approve", "changes", "inconclusive"] },
            "summary": { "type": "string" },
            "findings": { "type": "array", "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["path", "line", "severity", "message"],
                "properties": {
                    "path": { "type": ["string", "null"] },
                    "line": { "type": ["integer", "null"], "minimum": 1 },
                    "severity": { "enum": ["error", "warning", "note"] },
                    "message": { "type": "string" }
                }
            } }
        }
    })
}

/// Reads an answer, or says why it is none.
pub(super) fn read(answer: &Value, nonce: &str, tree: &str) -> Result<Reply, String> {
    let raw: Raw = serde_json::from_value(answer.clone()).map_err(|e| format!("its answer does not fit: {e}"))?;
    if raw.nonce != nonce {
        return Err("its answer does not carry the nonce of this review".to_owned());
    }
    if raw.tree != tree {
        return Err("its answer is about another tree".to_owned());
    }
    let findings = raw.findings.into_iter().take(MOST).map(|finding| Finding {
        path: finding.path.map(|path| short(&path)),
        line: finding.line.filter(|line| *line > 0),
        rule: "review".to_owned(),
        severity: finding.severity,
        message: short(&finding.message),
    });
    Ok(Reply { opinion: raw.verdict, summary: short(&raw.summary), findings: findings.collect() })
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(nonce: &str, tree: &str, verdict: &str) -> Value {
        json!({ "nonce": nonce, "tree": tree, "verdict": verdict, "summary": "s", "findings": [
            { "path": "a", "line": null, "severity": "error", "message": "m" }
        ] })
    }

    #[test]
    fn only_an_answer_to_this_very_question_counts() {
        let reply = read(&answer("n", "t", "changes"), "n", "t").unwrap();
        assert_eq!((reply.opinion, reply.findings.len()), (Opinion::Changes, 1));
        for wrong in [
            answer("m", "t", "approve"),
            answer("n", "u", "approve"),
            answer("n", "t", "APPROVED"),
            json!({}),
            json!("approve"),
        ] {
            assert!(read(&wrong, "n", "t").is_err(), "{wrong}");
        }
    }
}
