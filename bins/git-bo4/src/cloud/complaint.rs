//! What a Codex CLI means by its standard error.

use serde_json::Value;

use super::{Begun, Blind, cut};

/// The most that is kept of a complaint.
const LONGEST: usize = 400;

/// What a Codex CLI complains of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    kind: Kind,
    /// In its own words, which may hold anything.
    pub(crate) why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It does not understand our arguments.
    Usage,
    /// It could not even begin: no login, no such environment, broken settings.
    NotReady,
    /// The environments could not be asked for, which comes before all else.
    Environments(Option<u16>),
    NoTask,
    /// What the server answered.
    Status(u16),
    Other,
}

impl Complaint {
    /// Reads what a CLI that ended with this code wrote to its standard error.
    pub(crate) fn parse(code: i32, stderr: &str) -> Complaint {
        let text = gist(stderr);
        // What comes after is the body of an answer, in which anything may stand.
        let head = text.split("; content-type=").next().unwrap_or_default();
        let head = head.split("; body=").next().unwrap_or_default().lines().next().unwrap_or_default();
        let kind = match status(head) {
            _ if code == 2 => Kind::Usage,
            status if is_about_environments(head) => Kind::Environments(status),
            Some(404 | 410) if is_about_task(head) => Kind::NoTask,
            Some(status) => Kind::Status(status),
            None => kind_of_words(head),
        };
        let words = if text.contains("; body=") { with_detail(head, &text) } else { in_one_line(&text) };
        let why = if words.is_empty() { format!("it ended with exit code {code}") } else { cut(&words, LONGEST) };
        Complaint { kind, why }
    }

    /// Makes one of ours, of an answer that cannot be used.
    pub(crate) fn of_us(why: impl Into<String>) -> Complaint {
        Complaint { kind: Kind::Other, why: why.into() }
    }

    /// Says what became of a kickoff that ended so.
    pub(crate) fn begun(self) -> Begun {
        let surely_not = match self.kind {
            Kind::Usage | Kind::NotReady | Kind::Environments(_) => true,
            // Of these it may be that the server did it all the same.
            Kind::Status(status) => (400..500).contains(&status) && !matches!(status, 408 | 409),
            Kind::NoTask => true,
            Kind::Other => false,
        };
        if surely_not { Begun::No { why: self.why } } else { Begun::Unsure { why: self.why } }
    }

    /// Says whether the task is not there.
    pub(crate) fn is_no_task(&self) -> bool {
        self.kind == Kind::NoTask
    }

    /// Says whether another way to ask may lead to an answer: the environment or the list is gone, not the task.
    pub(crate) fn is_no_list(&self) -> bool {
        matches!(self.kind, Kind::NotReady | Kind::Environments(Some(404)) | Kind::Status(404)) && !self.is_signed_out()
    }

    /// Says whether it makes sense to look again.
    pub(crate) fn blind(self) -> Blind {
        let is_refused = match self.kind {
            Kind::Usage | Kind::Environments(Some(401 | 403)) | Kind::Status(401 | 403) => true,
            Kind::NotReady => self.is_signed_out(),
            Kind::NoTask | Kind::Environments(_) | Kind::Status(_) | Kind::Other => false,
        };
        if is_refused { Blind::ForGood(self.why) } else { Blind::ForNow(self.why) }
    }

    fn is_signed_out(&self) -> bool {
        self.kind == Kind::NotReady && self.why.starts_with("Not signed in")
    }
}

/// Leaves the warnings of a start out, and the word before the reason.
fn gist(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("WARNING: ")).collect();
    let from = lines.iter().position(|line| line.starts_with("Error: ") || line.starts_with("error: "));
    let text = lines[from.unwrap_or(0)..].join("\n");
    let text = text.split("\nStack backtrace:").next().unwrap_or_default();
    let text = text.trim().trim_start_matches("Error: ").trim_start_matches("error: ");
    text.trim_start_matches("http error: ").to_owned()
}

fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Adds what the server said of it, if that was meant to be read.
fn with_detail(head: &str, text: &str) -> String {
    let body = text.split_once("; body=").map(|(_, body)| body).unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let detail = [&body["detail"], &body["message"], &body["error"], &body["error"]["message"]];
    match detail.iter().find_map(|detail| detail.as_str()) {
        Some(detail) => in_one_line(&format!("{head}: {detail}")),
        None => head.to_owned(),
    }
}

/// Finds the status of an answer in `… failed: 429 Too Many Requests`.
fn status(head: &str) -> Option<u16> {
    // Then parts of the answer stand in the head.
    if head.contains("Decode error for ") {
        return None;
    }
    let (_, rest) = head.rsplit_once(" failed: ")?;
    let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    number.parse().ok().filter(|status| number.len() == 3 && (100..600).contains(status))
}

fn is_about_environments(head: &str) -> bool {
    (head.contains("/environments") || head.contains("GET environments failed")) && !head.contains("tasks")
}

fn is_about_task(head: &str) -> bool {
    head.contains("tasks/") && !head.contains("tasks/list") && !head.contains("sibling_turns")
}

fn kind_of_words(head: &str) -> Kind {
    let is_environment = head.starts_with("environment ") || head.starts_with("no cloud environments");
    let is_settings = head.starts_with("error loading") || head.starts_with("Error loading");
    if head.starts_with("Not signed in") || is_environment || is_settings {
        Kind::NotReady
    } else if head.to_ascii_lowercase().starts_with("task ") && head.ends_with("not found") {
        Kind::NoTask
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://127.0.0.1:1/backend-api/wham";

    fn begun(stderr: &str) -> &'static str {
        match Complaint::parse(1, stderr).begun() {
            Begun::Yes { .. } => "yes",
            Begun::No { .. } => "no",
            Begun::Unsure { .. } => "unsure",
        }
    }

    fn creation(status: &str) -> String {
        let body = "content-type=application/json; body={\"detail\": \"scripted failed: 404 \"}";
        format!("Error: http error: create_task failed: POST {URL}/tasks failed: {status}; {body}")
    }

    #[test]
    fn a_kickoff_surely_did_not_happen_only_where_the_server_refused_or_was_not_asked() {
        for status in ["400 Bad Request", "401 Unauthorized", "404 Not Found", "422 X", "429 Too Many Requests"] {
            assert_eq!(begun(&creation(status)), "no", "{status}");
        }
        for status in ["408 Request Timeout", "409 Conflict", "500 Internal Server Error", "502 X", "504 X", "302 X"] {
            assert_eq!(begun(&creation(status)), "unsure", "{status}");
        }
        let request = format!("error sending request for url ({URL}");
        assert_eq!(begun(&format!("Error: http error: create_task failed: {request}/tasks)")), "unsure");
        let garbage = format!("Error: http error: create_task failed: Decode error for {URL}/tasks: expected value");
        assert_eq!(begun(&garbage), "unsure");
        assert_eq!(begun("thread 'main' panicked"), "unsure");
        assert_eq!(begun(""), "unsure");

        let refused = "\n\nCaused by:\n    0: client error (Connect)\n    2: Connection refused (os error 111)\n";
        assert_eq!(begun(&format!("Error: {request}/environments){refused}")), "no");
        assert_eq!(begun(&format!("Error: GET {URL}/environments failed: 500 Internal Server Error; body=x")), "no");
        assert_eq!(begun(&format!("Error: Decode error for {URL}/environments: expected value; body=\u{7}")), "no");
        assert_eq!(
            begun("Error: environment 'nope' not found; run `codex cloud` to list available environments"),
            "no"
        );
        assert_eq!(begun("WARNING: proceeding\nNot signed in. Please run 'codex login' to sign in"), "no");
        assert!(matches!(Complaint::parse(2, "error: invalid value '9' for '--attempts").begun(), Begun::No { .. }));
        // As the other dialect says it.
        assert_eq!(begun("Error: POST tasks failed: 429; body={}"), "no");
        assert_eq!(begun("Error: POST tasks failed: 500; body={}"), "unsure");
        assert_eq!(begun("Error: GET environments failed: <urlopen error [Errno 111] Connection refused>"), "no");
    }

    #[test]
    fn a_look_is_given_up_only_where_the_login_is_refused() {
        let details = |tail: &str| format!("Error: http error: get_task_details failed: GET {URL}/tasks/t_1 {tail}");
        let is_for_good = |code, stderr: &str| match Complaint::parse(code, stderr).blind() {
            Blind::ForGood(_) => true,
            Blind::ForNow(_) => false,
        };
        for tail in ["429 Too Many Requests", "500 X", "503 X", "404 Not Found"] {
            assert!(!is_for_good(1, &details(&format!("failed: {tail}; content-type=x; body=failed: 401"))), "{tail}");
        }
        assert!(!is_for_good(1, "Error: http error: list_tasks failed: error sending request for url (x)"));
        assert!(!is_for_good(1, "Error: environment 'nope' not found; run `codex cloud`"));
        assert!(!is_for_good(139, ""));
        assert!(is_for_good(1, &details("failed: 401 Unauthorized; content-type=x; body=y")));
        assert!(is_for_good(
            1,
            &format!("Error: GET {URL}/environments failed: 403 Forbidden; content-type=text/html")
        ));
        assert!(is_for_good(1, "Not signed in. Please run 'codex login' to sign in with ChatGPT"));
        assert!(is_for_good(2, "error: unrecognized subcommand 'list'"));
    }

    #[test]
    fn a_task_is_missed_only_where_it_was_asked_for_itself() {
        let missing = |words: &str| Complaint::parse(1, words).is_no_task();
        assert!(missing(&format!(
            "Error: http error: get_task_details failed: GET {URL}/tasks/t failed: 404 Not Found; x"
        )));
        assert!(missing("Error: GET tasks/t failed: 404; body={\"detail\": \"Task not found\"}"));
        assert!(missing("Error: Task t_1 not found"));
        assert!(!missing(&format!("Error: list_tasks failed: GET {URL}/tasks/list?limit=2 failed: 404 Not Found; x")));
        assert!(!missing(&format!("Error: GET {URL}/tasks/t/turns/u/sibling_turns failed: 404 Not Found; x")));
        assert!(!missing("Error: Attempt 4 not available; only 3 attempt(s) found"));
        assert!(!missing(&format!("Error: Decode error for {URL}/tasks/t: string \" failed: 404 \"; body=x")));
    }

    #[test]
    fn a_complaint_is_one_line_without_what_is_not_the_reason() {
        let text = "WARNING: proceeding, even though\nError: http error: it\n\nCaused by:\n    0: that\n\nStack backtrace:\n   0: x";
        assert_eq!(Complaint::parse(1, text).why, "it Caused by: 0: that");
        assert_eq!(Complaint::parse(137, "WARNING: x\n").why, "it ended with exit code 137");
        let answer =
            |body: &str| Complaint::parse(1, &format!("Error: GET x failed: 500 X; content-type=y; body={body}")).why;
        assert_eq!(answer("{\"detail\": \"too\\nmuch\"}"), "GET x failed: 500 X: too much");
        assert_eq!(answer("\u{1}garbage\nof a server"), "GET x failed: 500 X");
        assert!(Complaint::parse(1, &"é".repeat(10_000)).why.len() <= LONGEST + 3);
    }
}
