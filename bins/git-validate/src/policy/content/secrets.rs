//! Keys, tokens and passwords, by the forms that are known of them.
//!
//! What is told of one never holds the whole of it.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memchr;
use regex::bytes::Regex;

use super::{Found, LineCounter, line_around};

/// How far a secret and its line are looked at.
const REACH: usize = 1000;

/// One form: what it begins with, and how it goes on; what the first group holds, or else all of it, is the secret.
struct Form {
    name: &'static str,
    starts: &'static [&'static str],
    whole: &'static str,
    /// Whether anything of that form is a secret, or only what looks random.
    is_sure: bool,
    /// Whether it may go on from a name, as in `db_password`.
    may_join: bool,
}

const fn form(name: &'static str, starts: &'static [&'static str], whole: &'static str) -> Form {
    Form { name, starts, whole, is_sure: true, may_join: false }
}

const FORMS: &[Form] = &[
    form("private key", &["-----BEGIN "], r"^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    form("AWS access key", &["AKIA", "ASIA"], r"^A[KS]IA[A-Z2-7]{16}\b"),
    form(
        "AWS secret key",
        &["aws_secret_access_key", "SecretAccessKey"],
        r#"^(?i:aws_secret_access_key|SecretAccessKey)["']?\s*[=:]\s*["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
    ),
    form("GitHub token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"^gh[pousr]_[A-Za-z0-9]{36,255}\b"),
    form("GitHub token", &["github_pat_"], r"^github_pat_[A-Za-z0-9_]{50,255}\b"),
    form("GitLab token", &["glpat-", "gldt-", "glrt-"], r"^gl(?:pat|dt|rt)-[A-Za-z0-9_-]{20,255}"),
    form("Slack token", &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-"], r"^xox[baprse]-[A-Za-z0-9-]{10,255}"),
    form(
        "Slack webhook",
        &["hooks.slack.com/services/"],
        r"^hooks\.slack\.com/services/(T[A-Za-z0-9]{6,}/B[A-Za-z0-9]{6,}/[A-Za-z0-9]{16,})",
    ),
    form("Stripe key", &["sk_live_", "rk_live_"], r"^[sr]k_live_[A-Za-z0-9]{16,255}\b"),
    form("Anthropic key", &["sk-ant-"], r"^sk-ant-[a-z0-9]{2,20}-[A-Za-z0-9_-]{24,255}"),
    Form {
        name: "OpenAI key",
        starts: &["sk-"],
        whole: r"^sk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{32,255}",
        is_sure: false,
        may_join: false,
    },
    form("Google key", &["AIza"], r"^AIza[A-Za-z0-9_-]{35}"),
    form("Google OAuth secret", &["GOCSPX-"], r"^GOCSPX-[A-Za-z0-9_-]{28}"),
    form("npm token", &["npm_"], r"^npm_[A-Za-z0-9]{36}\b"),
    form("PyPI token", &["pypi-AgEIcHlwaS5vcmc"], r"^pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{40,}"),
    form("JSON web token", &["eyJ"], r"^eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}"),
    Form {
        name: "password or key",
        starts: &["password", "passwd", "secret", "token", "api_key", "apikey", "api-key", "access_key"],
        whole: r#"^(?i:password|passwd|secret|token|api[_-]?key|access_key)[A-Za-z0-9_-]{0,20}["'`]?\s{0,8}(?:=|:|:=|=>)\s{0,8}["'`]([^"'`\s]{8,200})["'`]"#,
        is_sure: false,
        may_join: true,
    },
];

/// Words that only an example holds.
const EXAMPLES: &[&str] =
    &["example", "placeholder", "changeme", "change-me", "dummy", "your", "xxxx", "redacted", "sample", "fake"];

/// The forms, ready to be looked for.
#[derive(Debug)]
pub(crate) struct Secrets {
    finder: Option<AhoCorasick>,
    /// The form of each beginning that is looked for.
    forms: Vec<usize>,
    wholes: Vec<Option<Regex>>,
    allow: Vec<Regex>,
}

impl Secrets {
    /// Looks for all forms but for what `allow` matches.
    pub(crate) fn new(allow: Vec<Regex>) -> Secrets {
        let starts = FORMS.iter().enumerate().flat_map(|(at, form)| form.starts.iter().map(move |start| (at, start)));
        let (forms, starts): (Vec<usize>, Vec<&str>) = starts.map(|(at, start)| (at, *start)).unzip();
        let mut finder = AhoCorasick::builder();
        finder.match_kind(MatchKind::LeftmostLongest).ascii_case_insensitive(true);
        Secrets {
            // A test builds all of them.
            finder: finder.build(starts).ok(),
            forms,
            wholes: FORMS.iter().map(|form| Regex::new(form.whole).ok()).collect(),
            allow,
        }
    }

    pub(super) fn judge(&self, data: &[u8], own: &mut Found) {
        let Some(finder) = &self.finder else { return };
        let mut counter = LineCounter::new(data);
        let mut end = 0;
        for hit in finder.find_iter(data) {
            if hit.start() < end {
                continue;
            }
            let at = self.forms[hit.pattern().as_usize()];
            let Some(secret) = self.secret_at(data, hit.start(), at) else { continue };
            end = secret.end;
            let name = FORMS[at].name;
            own.add(counter.line_of(secret.start), || told(name, &data[secret]));
        }
    }

    /// Replaces each secret by a word, and counts them.
    pub(crate) fn mask(&self, text: &[u8]) -> (Vec<u8>, usize) {
        let Some(finder) = &self.finder else { return (text.to_vec(), 0) };
        let (mut masked, mut end, mut count) = (Vec::with_capacity(text.len()), 0, 0);
        for hit in finder.find_iter(text) {
            let at = self.forms[hit.pattern().as_usize()];
            let Some(secret) = (hit.start() >= end).then(|| self.secret_at(text, hit.start(), at)).flatten() else {
                continue;
            };
            masked.extend_from_slice(&text[end..secret.start]);
            masked.extend_from_slice(b"[secret]");
            (end, count) = (secret.end, count + 1);
        }
        masked.extend_from_slice(&text[end..]);
        (masked, count)
    }

    fn secret_at(&self, data: &[u8], start: usize, at: usize) -> Option<std::ops::Range<usize>> {
        let form = &FORMS[at];
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let is_joined = start.checked_sub(1).and_then(|at| data.get(at)).is_some_and(is_part);
        if is_joined && !form.may_join {
            return None;
        }
        let window = &data[start..data.len().min(start + REACH)];
        let hit = self.wholes[at].as_ref()?.captures(window)?;
        let hit = hit.get(1).or_else(|| hit.get(0))?;
        let secret = hit.as_bytes();
        if is_example(secret) || (!form.is_sure && !looks_random(secret)) {
            return None;
        }
        let line = line_around(data, start, REACH);
        if self.allow.iter().any(|allow| allow.is_match(secret) || allow.is_match(line)) {
            return None;
        }
        Some(start + hit.start()..start + hit.end())
    }
}

/// Its kind, how it begins and how long it is.
fn told(name: &str, secret: &[u8]) -> String {
    if secret.starts_with(b"-----") {
        return name.to_owned();
    }
    let shown = String::from_utf8_lossy(&secret[..secret.len().min(4)]).into_owned();
    format!("{name} '{shown}…' of {} characters", secret.len())
}

fn is_example(secret: &[u8]) -> bool {
    let lower = secret.to_ascii_lowercase();
    EXAMPLES.iter().any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some())
        || matches!(secret.first(), Some(b'$' | b'<' | b'{' | b'%'))
        || memchr::memmem::find(secret, b"${").is_some()
        // An address is none, unless somebody logs in with it.
        || (secret.starts_with(b"http") && memchr::memmem::find(secret, b"://").is_some() && memchr(b'@', secret).is_none())
        || secret.starts_with(b"arn:")
}

/// Says whether a text has letters and digits, and too little order for a word or a path.
fn looks_random(secret: &[u8]) -> bool {
    let has = |class: fn(&u8) -> bool| secret.iter().any(class);
    secret.len() >= 12 && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && entropy(secret) >= 3.2
}

/// Bits of a character, by how often each occurs.
fn entropy(text: &[u8]) -> f64 {
    let mut counts: HashMap<u8, f64> = HashMap::new();
    text.iter().for_each(|byte| *counts.entry(*byte).or_default() += 1.0);
    let all = text.len() as f64;
    counts.values().map(|count| -(count / all) * (count / all).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, allow: &[&str]) -> Vec<String> {
        let secrets = Secrets::new(allow.iter().map(|text| Regex::new(text).unwrap()).collect());
        let mut own = Found::at(0);
        secrets.judge(text.as_bytes(), &mut own);
        own.spots.into_iter().map(|spot| format!("{}: {}", spot.line, spot.detail)).collect()
    }

    /// Put together here, so that no scanner takes this file for a leak.
    fn samples() -> Vec<(&'static str, String)> {
        let tail = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3gH5";
        vec![
            ("private key", format!("-----BEGIN RSA {} KEY-----", "PRIVATE")),
            ("AWS access key", format!("{}{}", "AKIA", "QYLPMN5HJ7TRWZ2K")),
            ("AWS secret key", format!("aws_secret_access_key = {}wxyz", tail)),
            ("GitHub token", format!("ghp_{tail}")),
            ("GitHub token", format!("github_pat_{tail}{tail}")),
            ("GitLab token", format!("glpat-{}", &tail[..20])),
            ("Slack token", format!("xoxb-{}", "123456789012-abcdefGHIJ")),
            ("Slack webhook", format!("https://hooks.slack.com/services/T1234567/B1234567/{}", &tail[..24])),
            ("Stripe key", format!("sk_live_{}", &tail[..24])),
            ("Anthropic key", format!("sk-ant-api03-{tail}")),
            ("OpenAI key", format!("sk-proj-{tail}")),
            ("Google key", format!("AIza{}", &tail[..35])),
            ("npm token", format!("npm_{tail}")),
            ("PyPI token", format!("pypi-AgEIcHlwaS5vcmc{tail}{tail}")),
            ("JSON web token", format!("eyJ{}.eyJ{}.{}", &tail[..20], &tail[..20], tail)),
            ("password or key", format!("db_password: '{}'", &tail[..16])),
        ]
    }

    #[test]
    fn each_form_is_found_and_never_told_whole() {
        for (name, secret) in samples() {
            let found = found(&format!("a\n  x {secret}\nb\n"), &[]);
            assert_eq!(found.len(), 1, "{secret}: {found:?}");
            assert!(found[0].starts_with(&format!("2: {name}")), "{secret}: {found:?}");
            let body = secret.rsplit([' ', '_', '-', '/', '\'']).find(|part| part.len() > 8).unwrap_or("none");
            assert!(!found[0].contains(body), "{found:?}");
        }
        assert!(FORMS.iter().all(|form| Regex::new(form.whole).is_ok()));
        assert!(Secrets::new(Vec::new()).finder.is_some());
    }

    #[test]
    fn words_examples_and_what_is_allowed_are_no_secrets() {
        for text in [
            "password = \"correct horse\"",
            "password = \"hunter2hunter2\" # short of order",
            "token: \"${TOKEN_FROM_ENVIRONMENT_1}\"",
            "api_key = \"your-api-key-goes-here-1234\"",
            &format!("{}IOSFODNN7EXAMPLE", "AKIA"),
            "task-sk-abcdefghijklmnopqrstuvwxyzabcdefghij",
            "token_url = \"https://a1b2c3.example-host.org/oauth2/v3/token\"",
            "secret = \"/usr/share/aaaa/aaaa/aaaa1\"",
        ] {
            assert_eq!(found(text, &[]), Vec::<String>::new(), "{text}");
        }
        for (_, secret) in samples() {
            assert_eq!(found(&format!("{secret} # only a test"), &["only a test$"]), Vec::<String>::new());
        }
    }
}
