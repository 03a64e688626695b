use std::time::Duration;

use super::*;

const SETTLE: Duration = Duration::from_secs(10);

fn said(code: i32, stdout: &str, stderr: &str) -> Said {
    Said { code, stdout: stdout.as_bytes().to_vec(), is_cut: false, stderr: stderr.to_owned() }
}

fn row(state: Phase, attempts: Option<usize>) -> Row {
    Row { id: "t".to_owned(), title: Some("T".to_owned()), state, updated: None, attempts }
}

fn task(best_of: usize) -> Task<'static> {
    Task { id: "t", env: None, best_of, settle: SETTLE }
}

fn diffs(all: &[&str]) -> Vec<Diff> {
    all.iter().map(|text| parse_diff(said(0, text, "")).unwrap().unwrap()).collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// The variants as `state label diff`.
fn told(look: &Look) -> Vec<String> {
    let one = |seen: &Seen| {
        let diff = seen.diff.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let label = seen.label.as_deref().unwrap_or("-");
        format!("{} {} {label} {diff}", seen.number, seen.state).trim_end().to_owned()
    };
    look.variants.iter().map(one).collect()
}

#[test]
fn a_kickoff_is_known_by_the_last_part_of_the_address() {
    let url = "http://127.0.0.1:41/codex/tasks/task_e_00000002";
    let yes = Begun::Yes { task_id: "task_e_00000002".to_owned(), url: Some(url.to_owned()) };
    assert_eq!(parse_begun(&said(0, &format!("{url}\n"), "WARNING: x\n")), yes);
    for unknown in ["", "task_e_00000002\n", "http://127.0.0.1/tasks/a%20b\n", "https://x/\u{1b}]0;y\n"] {
        assert!(matches!(parse_begun(&said(0, unknown, "")), Begun::Unsure { .. }), "{unknown}");
    }
    let refused =
        "Error: http error: create_task failed: POST http://x/wham/tasks failed: 429 Too Many Requests; body={}";
    assert!(matches!(parse_begun(&said(1, "", refused)), Begun::No { why } if why.contains("429")));
}

#[test]
fn a_list_is_read_page_by_page_and_garbage_is_none() {
    let task = r#"{"id":"task_e_1","url":"http://x","title":"Say \u001b[31mhello","status":"ready",
        "updated_at":"2026-11-21T02:32:32.272562980Z","environment_id":null,"attempt_total":4}"#;
    let (rows, cursor) = parse_page(&said(0, &format!(r#"{{"tasks":[{task}],"cursor":"20"}}"#), "")).unwrap();
    assert_eq!(cursor.as_deref(), Some("20"));
    assert_eq!((rows[0].state, rows[0].attempts), (Phase::Ready, Some(4)));
    assert_eq!(rows[0].title.as_deref(), Some("Say \u{1b}[31mhello"), "it is data, escaped where it is shown");
    let (rows, cursor) = parse_page(&said(0, r#"{"tasks":[],"cursor":null}"#, "")).unwrap();
    assert!(rows.is_empty() && cursor.is_none());
    for garbage in ["", "<html>", "{}", r#"{"tasks":{"id":1}}"#, &"[".repeat(10_000)] {
        assert!(parse_page(&said(0, garbage, "")).is_err());
    }
}

#[test]
fn a_status_is_its_first_line() {
    let row = parse_status("t", "[PENDING] Say hello\nacme/demo  •  0s ago\nno diff\n").unwrap();
    assert_eq!((row.state, row.title.as_deref(), row.attempts), (Phase::Pending, Some("Say hello"), None));
    assert_eq!(parse_status("t", "[ERROR] x\n").unwrap().state, Phase::Error);
    assert_eq!(parse_status("t", "[APPLIED] x\n").unwrap().state, Phase::Ready);
    for other in ["", "No tasks found.\n", "[WHAT] x\n", "[READY]"] {
        assert!(parse_status("t", other).is_none(), "{other}");
    }
}

#[test]
fn the_last_diff_is_known_by_what_is_said_after_it() {
    assert!(parse_diff(said(1, "", "Error: Attempt 4 not available; only 3 attempt(s) found\n")).unwrap().is_none());
    let none = "Error: No diff available for task task_e_6; it may still be running.\n";
    assert!(parse_diff(said(1, "", none)).unwrap().is_none());
    assert!(parse_diff(said(0, "", "")).unwrap().is_none(), "an empty diff is none");
    let gone = "Error: http error: get_task_details failed: GET http://x/wham/tasks/t failed: 404 Not Found; body={}";
    assert!(parse_diff(said(1, "", gone)).is_err_and(|complaint| complaint.is_no_task()));
    let cut = Said { is_cut: true, ..said(0, "diff", "") };
    assert!(parse_diff(cut).unwrap().is_some_and(|diff| diff.text.is_none()));
}

#[test]
fn with_a_failed_attempt_the_others_are_diffs_and_never_attempts() {
    let mut memory = Memory::default();
    let see = |memory: &mut Memory, state, all: &[&str], second| {
        judge(&row(state, Some(4)), diffs(all), &task(4), memory, at(second))
    };
    let look = see(&mut memory, Phase::Pending, &[], 0);
    assert_eq!((look.phase, look.is_whole), (Phase::Pending, false));
    assert_eq!(told(&look), ["1 pending -", "2 pending -", "3 pending -", "4 pending -"]);

    let look = see(&mut memory, Phase::Pending, &["b"], 5);
    assert_eq!((look.phase, look.is_whole), (Phase::InProgress, false));
    assert_eq!(told(&look)[..2], ["1 completed diff 1 of 1 b", "2 in_progress -"]);

    let look = see(&mut memory, Phase::Ready, &["a", "b", "d"], 10);
    assert_eq!((look.phase, look.is_whole), (Phase::InProgress, false));
    let look = see(&mut memory, Phase::Ready, &["a", "b", "d"], 20);
    assert_eq!((look.phase, look.is_whole), (Phase::Ready, true));
    let expected =
        ["1 completed diff 2 of 3 b", "2 completed diff 1 of 3 a", "3 completed diff 3 of 3 d", "4 failed -"];
    assert_eq!(told(&look), expected);
    assert_eq!(look.variants[3].reason.as_deref(), Some(NO_DIFF));

    // What came late after all is counted.
    let look = see(&mut memory, Phase::Ready, &["a", "b", "c", "d"], 500);
    assert_eq!(told(&look)[3], "4 completed attempt 3 c");
}

#[test]
fn all_diffs_together_need_no_waiting() {
    let look = judge(&row(Phase::Pending, Some(2)), diffs(&["a", "a"]), &task(2), &mut Memory::default(), at(0));
    assert_eq!((look.phase, look.is_whole), (Phase::Ready, true));
    assert_eq!(told(&look), ["1 completed attempt 1 a", "2 completed attempt 2 a"]);
}

#[test]
fn an_error_of_the_first_attempt_hides_no_other() {
    let mut memory = Memory::default();
    let see =
        |memory: &mut Memory, second| judge(&row(Phase::Error, Some(2)), diffs(&["b"]), &task(2), memory, at(second));
    assert!(!see(&mut memory, 0).is_whole);
    let look = see(&mut memory, 10);
    assert_eq!((look.phase, look.is_whole), (Phase::Ready, true));
    assert_eq!(told(&look), ["1 completed diff 1 of 1 b", "2 failed -"]);
}

#[test]
fn a_task_of_which_nothing_came_is_an_error() {
    let mut memory = Memory::default();
    for (second, is_whole) in [(0, false), (10, true)] {
        let look = judge(&row(Phase::Error, Some(2)), Vec::new(), &task(2), &mut memory, at(second));
        assert_eq!(look.is_whole, is_whole);
        assert_eq!(look.phase, if is_whole { Phase::Error } else { Phase::InProgress });
    }
    // The state of a single attempt is the state of the task.
    let look = judge(&row(Phase::Ready, Some(1)), Vec::new(), &task(1), &mut Memory::default(), at(0));
    assert_eq!((look.phase, look.is_whole), (Phase::Error, true));
}

#[test]
fn a_list_that_knows_of_fewer_attempts_than_were_asked_for_is_waited_for() {
    let look = judge(&row(Phase::Ready, Some(1)), diffs(&["a"]), &task(3), &mut Memory::default(), at(0));
    assert_eq!((look.is_whole, look.variants.len(), look.attempts), (false, 3, Some(1)));
    assert_eq!(told(&look)[0], "1 completed diff 1 of 1 a");
}

/// A codex that runs this script; `$n` counts its calls from 1.
fn codex(folder: &tempfile::TempDir, script: &str) -> Published {
    let path = folder.path().join("codex");
    let calls = folder.path().join("calls");
    let head = format!("echo \"$*\" >> '{0}'\nn=$(wc -l < '{0}')\n", calls.display());
    shared::durable::replace_public(&path, format!("{head}{script}\n").as_bytes(), 0o644).unwrap();
    let sh = shared::process::find("sh", None).unwrap();
    Published { program: Program { path: sh, words: vec![path.display().to_string(), "cloud".to_owned()] } }
}

fn calls(folder: &tempfile::TempDir) -> Vec<String> {
    let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
    calls.lines().map(str::to_owned).collect()
}

#[test]
fn diffs_that_shift_while_they_are_read_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    // The other attempt ends after the first call, and its diff comes before.
    let shifting = codex(&folder, "case $n in 1|2|4) echo late;; *) echo early;; esac");
    let hashes = hashes(&shifting.diffs("t", 2).unwrap());
    assert_eq!(calls(&folder).len(), 4);
    assert_eq!(hashes.len(), 2);
    assert_ne!(hashes[0], hashes[1]);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(codex(&folder, "echo same").diffs("t", 3).unwrap().len(), 3);
    assert_eq!(calls(&folder).len(), 6, "what is twice the same is so");
}

#[test]
fn a_task_that_the_list_has_no_more_is_asked_for_alone() {
    let folder = tempfile::tempdir().unwrap();
    let script = "case $2$n in\n\
        list1) echo '{\"tasks\":[],\"cursor\":\"-x\"}';;\nlist2) echo '{\"tasks\":[],\"cursor\":\"-x\"}';;\n\
        status*) printf '[READY] T\\nenv\\n';;\n\
        *) [ \"$5\" = 1 ] && echo diff && exit; echo 'Error: Attempt 2 not available; only 1 attempt(s) found' >&2; exit 1;;\n\
        esac";
    let task = Task { env: Some("-e"), ..task(2) };
    let look = codex(&folder, script).look(&task, &mut Memory::default()).unwrap();
    assert_eq!((look.attempts, look.is_whole, look.variants.len()), (None, false, 2));
    let list = "cloud list --json --limit 20 --env=-e";
    let expected = [list, &format!("{list} --cursor=-x"), "cloud status t", "cloud diff t --attempt 1"];
    assert_eq!(calls(&folder)[..4], expected);
}

#[test]
fn a_prompt_goes_in_by_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let script = "[ \"$(cat)\" = '-n x' ] && pwd >&2 && ls -A >&2 && echo https://chatgpt.com/codex/tasks/task_e_1";
    let asked = Asked { env: Some("e"), branch: "-b", best_of: 4, prompt: "-n x", title: "T" };
    assert!(matches!(codex(&folder, script).create(&asked), Begun::Yes { task_id, .. } if task_id == "task_e_1"));
    assert_eq!(calls(&folder), ["cloud exec --env=e --attempts 4 --branch=-b -- -"]);
    assert!(matches!(codex(&folder, "exit 0").create(&Asked { env: None, ..asked }), Begun::No { .. }));
}

#[test]
fn a_task_is_given_up_when_it_is_not_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    let script = "[ $2 = list ] && echo '{\"tasks\":[]}' && exit\n\
        echo 'Error: http error: get_task_details failed: GET http://x/wham/tasks/t failed: 404 Not Found; body=' >&2; exit 1";
    let (codex, mut memory) = (codex(&folder, script), Memory::default());
    assert!(matches!(codex.look(&task(2), &mut memory), Err(Blind::ForNow(_))));
    assert!(matches!(codex.look(&task(2), &mut memory), Err(Blind::ForGood(why)) if why.contains("vanished")));
}
