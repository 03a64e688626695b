//! A command of the user's, which answers as the headless dialect does.
//!
//! `<command> new` gets one JSON document on its standard input and prints `{"task_id": …}`;
//! `<command> show <task_id>` prints the task with its variants. With exit 3 it says that it surely
//! did not begin, or that the task is not there; any other failure leaves that open.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shared::failure::Failure;
use shared::process;

use super::ask::Program;
use super::shown::Shown;
use super::{Asked, Begun, Blind, CREATE, LONGEST_LINE, LOOK, Look, Memory, Task, cut, is_task_id};

/// The exit code of a sure no.
const SURELY_NOT: i32 = 3;

/// The program that is set.
#[derive(Debug)]
pub(crate) struct Command {
    program: Program,
}

impl Command {
    /// Finds the program of a setting: by its full path, or on `PATH`.
    ///
    /// # Errors
    /// When none is set, or it is not there.
    pub(crate) fn find(words: &[String]) -> Result<Command, Failure> {
        let Some((name, rest)) = words.split_first() else {
            let failure = Failure::could_not("no-command", "there is no command to ask: 'bo4.command' is not set");
            return Err(failure.hint("'git task config set bo4.command' sets the program and its arguments"));
        };
        let path = if Path::new(name).is_absolute() {
            Some(PathBuf::from(name)).filter(|path| path.exists())
        } else if name.contains('/') {
            None
        } else {
            process::find_trusted(name, None)
        };
        let path = path.ok_or_else(|| {
            let message = format!("there is no program '{}', which 'bo4.command' names", name.escape_debug());
            Failure::could_not("no-command", message).hint("it has to be a full path, or a name on PATH")
        })?;
        Ok(Command { program: Program { path, words: rest.to_vec() } })
    }

    pub(crate) fn create(&self, asked: &Asked) -> Begun {
        let Asked { env, branch, best_of, prompt, title } = asked;
        let request = json!({
            "schema": 1, "title": title, "prompt": prompt, "env": env, "branch": branch, "best_of": best_of,
        });
        match self.program.ask(&["new"], Some(request.to_string().as_bytes()), CREATE) {
            Ok(said) if said.code == 0 => parse_begun(&said.stdout),
            Ok(said) if said.code == SURELY_NOT => Begun::No { why: why(said.code, &said.stderr) },
            Ok(said) => Begun::Unsure { why: why(said.code, &said.stderr) },
            Err(silent) => silent.begun(),
        }
    }

    pub(crate) fn look(&self, task: &Task, memory: &mut Memory) -> Result<Look, Blind> {
        let said = self.program.ask(&["show", task.id], None, LOOK).map_err(|silent| Blind::ForNow(silent.why()))?;
        match said.code {
            0 if said.is_cut => Err(Blind::ForNow("its answer is too large".to_owned())),
            0 => Ok(Shown::parse(task.id, &said.stdout).map_err(Blind::ForNow)?.judge(task, memory)),
            SURELY_NOT => Err(Blind::ForGood(format!("the task has vanished: {}", why(said.code, &said.stderr)))),
            code => Err(Blind::ForNow(why(code, &said.stderr))),
        }
    }
}

fn why(code: i32, stderr: &str) -> String {
    let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or_else(|| format!("the command ended with exit code {code}"), |line| cut(line, LONGEST_LINE))
}

fn parse_begun(stdout: &[u8]) -> Begun {
    let answer: Value = serde_json::from_slice(stdout).unwrap_or_default();
    match answer["task_id"].as_str().filter(|id| is_task_id(id)) {
        Some(id) => {
            let url = answer["url"].as_str().map(|url| cut(url, LONGEST_LINE));
            Begun::Yes { task_id: id.to_owned(), url }
        }
        None => Begun::Unsure { why: "the command printed no name of a task".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::record::{Phase, State};

    /// A command that runs this script.
    fn command(folder: &tempfile::TempDir, script: &str) -> Command {
        let path = folder.path().join("backend");
        shared::durable::replace_public(&path, script.as_bytes(), 0o644).unwrap();
        Command::find(&["sh".to_owned(), path.display().to_string(), "first".to_owned()]).unwrap()
    }

    const ASKED: Asked = Asked { env: None, branch: "main", best_of: 2, prompt: "-n \"x\"\n", title: "T" };
    const TASK: Task = Task { id: "t-1", env: None, best_of: 2, settle: Duration::ZERO };

    #[test]
    fn a_command_is_asked_and_answers_in_json() {
        let folder = tempfile::tempdir().unwrap();
        let asked = folder.path().join("asked");
        let script = format!(
            "echo \"$@\" > '{0}'; cat >> '{0}'\n[ \"$2\" = new ] && echo '{{\"task_id\":\"t-1\"}}' && exit\n\
             echo '{{\"variants\":[{{\"number\":2,\"status\":\"completed\",\"diff\":\"d\"}},\
             {{\"number\":1,\"status\":\"cancelled\"}}]}}'",
            asked.display()
        );
        let command = command(&folder, &script);
        assert_eq!(command.create(&ASKED), Begun::Yes { task_id: "t-1".to_owned(), url: None });
        let given = fs::read_to_string(&asked).unwrap();
        let (words, request) = given.split_once('\n').unwrap();
        assert_eq!(words, "first new");
        let request: Value = serde_json::from_str(request).unwrap();
        assert_eq!((&request["prompt"], &request["best_of"]), (&json!("-n \"x\"\n"), &json!(2)));

        let look = command.look(&TASK, &mut Memory::default()).unwrap();
        assert_eq!(fs::read_to_string(&asked).unwrap(), "first show t-1\n");
        assert_eq!((look.phase, look.is_whole), (Phase::Ready, true));
        assert_eq!(look.variants[0].state, State::Cancelled);
        assert_eq!(look.variants[1].diff.as_deref(), Some(&b"d"[..]));
    }

    #[test]
    fn only_exit_3_is_a_sure_no() {
        let folder = tempfile::tempdir().unwrap();
        let refused = command(&folder, "echo no room >&2; exit 3");
        assert_eq!(refused.create(&ASKED), Begun::No { why: "no room".to_owned() });
        let gone = refused.look(&TASK, &mut Memory::default());
        assert_eq!(gone, Err(Blind::ForGood("the task has vanished: no room".to_owned())));
        let broken = command(&folder, "exit 1");
        assert!(matches!(broken.create(&ASKED), Begun::Unsure { .. }));
        assert!(matches!(broken.look(&TASK, &mut Memory::default()), Err(Blind::ForNow(_))));
        let silent = command(&folder, "exit 0");
        assert!(matches!(silent.create(&ASKED), Begun::Unsure { .. }));
        assert!(matches!(silent.look(&TASK, &mut Memory::default()), Err(Blind::ForNow(_))));
    }

    #[test]
    fn a_program_of_the_folder_at_hand_is_not_taken() {
        for words in [&[][..], &["./backend".to_owned()], &["no-such-program-of-a-test".to_owned()]] {
            assert_eq!(Command::find(words).unwrap_err().kind(), "no-command");
        }
    }
}
