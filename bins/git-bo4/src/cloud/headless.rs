//! The headless dialect: `codex cloud new`, `list --json` and `show --json --all`.

use std::io::Write;

use jiff::Timestamp;
use serde_json::Value;

use super::ask::{Program, Said};
use super::complaint::Complaint;
use super::shown::{self, Row, Shown};
use super::{Asked, Begun, Blind, CREATE, Candidate, HELP, LOOK, Look, Memory, SKEW, Task, cut, is_task_id};

/// The Codex CLI in its headless dialect.
#[derive(Debug)]
pub(crate) struct Headless {
    pub(crate) program: Program,
}

impl Headless {
    pub(crate) fn create(&self, asked: &Asked) -> Begun {
        // Of a title it is not sure whether it is unknown, optional or needed.
        let help = match self.program.ask(&["new", "--help"], None, HELP) {
            Ok(said) => String::from_utf8_lossy(&said.stdout).into_owned(),
            Err(silent) => return Begun::No { why: silent.why() },
        };
        let best_of = asked.best_of.to_string();
        let base = format!("--base={}", asked.branch);
        let mut words = vec!["new", &base, "--best-of", &best_of];
        let env = asked.env.map(|env| format!("--env={env}"));
        words.extend(env.as_deref());
        let title = format!("--title={}", asked.title);
        if help.contains("--title") {
            words.push(&title);
        }
        let file = match prompt_file(asked.prompt) {
            Ok(file) => file,
            Err(e) => return Begun::No { why: format!("cannot write the prompt: {e}") },
        };
        let prompt = match file.path().to_str().filter(|_| help.contains("--prompt-file")) {
            Some(path) => format!("--prompt-file={path}"),
            None => format!("--prompt={}", asked.prompt),
        };
        words.push(&prompt);
        match self.program.ask(&words, None, CREATE) {
            Ok(said) => parse_begun(&said),
            Err(silent) => silent.begun(),
        }
    }

    pub(crate) fn look(&self, task: &Task, memory: &mut Memory) -> Result<Look, Blind> {
        let said = self.asked(&["show", task.id, "--json", "--all"])?;
        if said.code != 0 {
            let complaint = Complaint::parse(said.code, &said.stderr);
            return Err(match complaint.is_no_task() && memory.misses() {
                true => Blind::ForGood(format!("the task has vanished: {}", complaint.why)),
                false => complaint.blind(),
            });
        }
        if said.is_cut {
            return Err(Blind::ForNow("its answer is too large".to_owned()));
        }
        let shown = Shown::parse(task.id, &said.stdout).map_err(Blind::ForNow)?;
        memory.found();
        Ok(shown.judge(task, memory))
    }

    pub(crate) fn candidates(&self, since: Timestamp) -> Result<Vec<Candidate>, Blind> {
        let said = self.asked(&["list", "--json"])?;
        if said.code != 0 {
            return Err(Complaint::parse(said.code, &said.stderr).blind());
        }
        let rows = parse_list(&said.stdout).map_err(Blind::ForNow)?;
        let since = since.checked_sub(SKEW).unwrap_or(since);
        let rows = rows.into_iter().filter(|row| row.updated.is_none_or(|updated| updated >= since));
        Ok(rows.map(|row| Candidate { id: row.id, title: row.title.unwrap_or_default() }).collect())
    }

    fn asked(&self, words: &[&str]) -> Result<Said, Blind> {
        self.program.ask(words, None, LOOK).map_err(|silent| Blind::ForNow(silent.why()))
    }
}

fn prompt_file(prompt: &str) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(prompt.as_bytes())?;
    Ok(file)
}

/// Reads what `new` printed: the name of the task alone.
fn parse_begun(said: &Said) -> Begun {
    if said.code != 0 {
        return Complaint::parse(said.code, &said.stderr).begun();
    }
    let text = String::from_utf8_lossy(&said.stdout);
    let id = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    if is_task_id(id) {
        return Begun::Yes { task_id: id.to_owned(), url: None };
    }
    Begun::Unsure { why: format!("codex printed no name of a task: '{}'", cut(id, 100)) }
}

fn parse_list(json: &[u8]) -> Result<Vec<Row>, String> {
    let list: Value = serde_json::from_slice(json).map_err(|e| format!("its list is no JSON: {e}"))?;
    shown::parse_rows(&list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(code: i32, stdout: &str, stderr: &str) -> Begun {
        let stdout = stdout.as_bytes().to_vec();
        parse_begun(&Said { code, stdout, is_cut: false, stderr: stderr.to_owned() })
    }

    #[test]
    fn a_kickoff_is_known_by_the_name_that_it_printed() {
        let yes = Begun::Yes { task_id: "task_e_00000002".to_owned(), url: None };
        assert_eq!(begun(0, "task_e_00000002\n", "WARNING: x\n"), yes);
        assert!(matches!(begun(0, "", ""), Begun::Unsure { .. }));
        assert!(matches!(begun(0, "two words\n", ""), Begun::Unsure { .. }));
        let needed = "codex cloud {cloud} new: error: the following arguments are required: --title\n";
        assert!(matches!(begun(2, "", needed), Begun::No { .. }));
        assert!(matches!(begun(1, "", "Error: environment 'nope' not found\n"), Begun::No { .. }));
    }

    #[test]
    fn a_list_that_is_none_is_said_to_be_none() {
        let row =
            r#"{"id":"t_1","title":"T","status":"ready","updated_at":"2026-11-21T02:40:37.279037Z","attempt_total":4}"#;
        let rows = parse_list(format!(r#"{{"tasks":[{row}],"truncated":false}}"#).as_bytes()).unwrap();
        assert_eq!((rows[0].id.as_str(), rows[0].attempts, rows[0].updated.is_some()), ("t_1", Some(4), true));
        for bad in ["", "[]", r#"{"tasks":7}"#] {
            assert!(parse_list(bad.as_bytes()).is_err(), "{bad}");
        }
        let foreign = format!(r#"{{"tasks":[{{"id":"../x","status":"ready"}},7,{row}]}}"#);
        assert_eq!(parse_list(foreign.as_bytes()).unwrap(), rows);
    }
}
