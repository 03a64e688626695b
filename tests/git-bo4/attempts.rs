//! What the tests of runs share: agents that are shell scripts, and a backend that hands out diffs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use suite_tests::{Ran, Sandbox};

/// Writes an agent that is a shell script; it runs in its worktree.
pub fn agent(room: &Sandbox, name: &str, body: &str) -> String {
    room.script(name, &format!("cat > /dev/null\n{body}")).display().to_string()
}

/// Runs git-bo4 in the repository.
pub fn bo4(room: &Sandbox, words: &[&str]) -> Ran {
    room.run("git-bo4", words)
}

/// Asks agents, waits for them, and returns the name of the run.
#[track_caller]
pub fn ended(room: &Sandbox, agents: &[&str]) -> String {
    let lanes: Vec<&str> = agents.iter().flat_map(|agent| ["--lane", agent]).collect();
    let begun = bo4(room, &[&["new", "--prompt", "do it", "--json"], &lanes[..]].concat()).succeeds().json();
    let run = begun["run"].as_str().expect("a run has a name").to_owned();
    bo4(room, &["watch", &run, "--interval", "200ms", "--timeout", "120s"]);
    run
}

/// Returns a run as `status` shows it.
#[track_caller]
pub fn status(room: &Sandbox, run: &str) -> Value {
    bo4(room, &["status", run, "--json"]).succeeds().json()
}

/// Returns one variant of what `status` shows.
#[track_caller]
pub fn variant(status: &Value, number: usize) -> &Value {
    let all = status["variants"].as_array().expect("a run has variants");
    all.iter().find(|row| row["number"] == number).unwrap_or_else(|| panic!("no variant {number}: {status:#}"))
}

/// Sets a backend that counts its calls and gives out these diffs, each as a completed variant; the folder is its own.
pub fn backend(room: &Sandbox, diffs: &[&[u8]]) -> PathBuf {
    let folder = room.path().join("backend");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let row = |(at, diff): (usize, &&[u8])| json!({ "variant_index": at + 1, "status": "completed", "diff": String::from_utf8_lossy(diff) });
    let variants: Vec<Value> = diffs.iter().enumerate().map(row).collect();
    let shown = json!({ "task_id": "task-1", "status": "ready", "attempt_total": diffs.len(), "variants": variants });
    fs::write(folder.join("shown.json"), shown.to_string()).expect("a file can be written");
    let own = folder.display();
    let script = room.script(
        "the-backend",
        &format!(
            "case $1 in\nnew) echo begun >> '{own}/news'; cat > /dev/null; . '{own}/on-new';;\n\
             show) cat '{own}/shown.json';;\nesac"
        ),
    );
    room.write_in(&folder, "on-new", "echo '{\"task_id\":\"task-1\"}'\n");
    room.user_config(&format!("[bo4]\ncommand = [\"{}\"]\nsettle = \"0s\"\n", script.display()));
    folder
}

/// Asks the backend and waits; returns the name of the run.
#[track_caller]
pub fn asked(room: &Sandbox, count: usize) -> String {
    let words = ["new", "--backend", "command", "--prompt", "do it", "--json", "--best-of", &count.to_string()];
    let run = bo4(room, &words).succeeds().json()["run"].as_str().expect("a run has a name").to_owned();
    bo4(room, &["watch", &run, "--interval", "200ms", "--timeout", "60s"]);
    run
}

/// Lists everything below a folder with its kind, size and time, to see whether anything was written.
pub fn listed(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let facts = entry.path().symlink_metadata().expect("an entry is there");
        if facts.is_dir() {
            lines.push(entry.path().display().to_string());
            lines.extend(listed(&entry.path()));
        } else {
            lines.push(format!("{} {} {:?}", entry.path().display(), facts.len(), facts.modified().ok()));
        }
    }
    lines.sort();
    lines
}
