//! What an agent gets to see, what it leaves behind in the checkout, and whom our program talks to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::agent::{Agent, each_agent};
use crate::room::{Room, text, until};

each_agent!(an_agent_sees_the_variables_of_the_list_and_no_others, the_checkout_beside_the_worktree_is_as_before,);

/// Nobody's business, and the keys of each agent, of which it may see its own.
const PLANTED: [&str; 9] = [
    "PLANTED",
    "GH_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "SSH_AUTH_SOCK",
    "GIT_DIR",
    "NODE_OPTIONS",
    "OPENAI_PLANTED_KEY",
    "ANTHROPIC_PLANTED_KEY",
    "GEMINI_PLANTED_KEY",
];

fn may_see(agent: Agent, name: &str) -> bool {
    match name {
        "OPENAI_PLANTED_KEY" => matches!(agent, Agent::Codex | Agent::Opencode),
        "ANTHROPIC_PLANTED_KEY" => matches!(agent, Agent::Claude | Agent::Opencode),
        "GEMINI_PLANTED_KEY" => matches!(agent, Agent::Gemini | Agent::Opencode),
        _ => false,
    }
}

fn an_agent_sees_the_variables_of_the_list_and_no_others(agent: Agent) {
    let Some(mut room) = Room::new(agent) else { return };
    let own = room.environment.clone();
    room.environment
        .extend(PLANTED.iter().filter(|name| **name != "GIT_DIR").map(|name| (*name, "planted".to_owned())));
    room.environment.push(("GIT_DIR", room.repo().join(".git").display().to_string()));
    room.environment.retain(|(name, _)| *name != "NODE_OPTIONS");
    let id = room.launch("environment", &[]);
    let child = format!("/proc/{}/environ", room.job(&id)["child"]["pid"]);
    let names = |bytes: &[u8]| -> BTreeSet<String> {
        let all = bytes.split(|byte| *byte == 0).filter(|one| !one.is_empty());
        all.map(|one| String::from_utf8_lossy(one).split('=').next().unwrap_or_default().to_owned()).collect()
    };
    let seen = names(&fs::read(&child).expect("the agent runs"));
    room.environment = own;
    let job = room.ends(&id, "completed");
    let listed = job["env_names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let given = ["GIT_WORKER_JOB", "GIT_WORKER_PROMPT_FILE"].map(str::to_owned);
    assert_eq!(seen, listed.chain(given).collect(), "{}", agent.name());
    // What its commands see is more by what the agent adds, and never one of these.
    let of_command = fs::read_to_string(room.repo().join("environment")).expect("the command ran");
    for name in PLANTED {
        let (sees, commands) = (seen.contains(name), of_command.lines().any(|line| line == name));
        assert!(sees == may_see(agent, name) && (!commands || sees), "{}: {name} {sees} {commands}", agent.name());
    }
}

/// Every file below a folder with its content, and what git says of it.
fn all_of(room: &Room) -> (Vec<(String, Vec<u8>)>, String) {
    let mut files = Vec::new();
    collect(&room.repo(), &mut files);
    files.sort();
    (files, room.git(&["status", "--porcelain=v2", "--ignored", "--untracked-files=all"]))
}

fn collect(folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        // git's own: what a worktree, snapshots and the exclusion of our folder add to it is not of the checkout.
        if path.is_dir() && entry.file_name() != ".git" {
            collect(&path, files);
        } else if path.is_file() {
            files.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn the_checkout_beside_the_worktree_is_as_before(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    let tree = room.path().join("tree");
    room.git(&["worktree", "add", "-q", "-b", "work", tree.to_str().unwrap()]);
    room.write("README", "changed\n");
    room.write("staged", "x\n");
    room.git(&["add", "staged"]);
    room.write("untracked/file", "x\n");
    let index = || fs::read(room.repo().join(".git/index")).unwrap();
    let (before, head, index_before) = (all_of(&room), room.git(&["rev-parse", "HEAD"]), index());
    let id = room.launch("sample", &["--worktree", tree.to_str().unwrap()]);
    let job = room.ends(&id, "completed");
    until("its lock is let go", || room.worker(&["list", "--live"]).stdout.is_empty());
    assert_eq!((all_of(&room), room.git(&["rev-parse", "HEAD"])), (before, head), "{}", agent.name());
    assert_eq!(index(), index_before);
    let changed = room.git_in(&tree, &["status", "--porcelain", "--ignored", "--untracked-files=all"]);
    let changed: Vec<&str> =
        changed.lines().map(|line| &line[3..]).filter(|path| !path.starts_with(".codex-worker")).collect();
    assert_eq!(changed, ["hello.txt", "second.txt"], "{}", agent.name());
    assert_eq!(text(&job, "worktree"), tree.display().to_string());
}

/// Whatever an agent does, our own program opens no connection and asks no name server.
#[test]
fn our_own_program_opens_no_socket_of_the_internet() {
    let room = suite_tests::Sandbox::new();
    if room.run("sh", &["-c", "strace -o /dev/null true"]).code != 0 {
        return suite_tests::skip("the sockets of git-worker", "strace cannot trace here");
    }
    let program = suite_tests::program_folder().join("git-worker").display().to_string();
    room.user_config("[agents.stand-in]\ncommand = [\"true\"]\n");
    let trace = room.path().join("trace").display().to_string();
    let traced = ["-f", "-qq", "-e", "trace=socket,connect,sendto", "-o", &trace, &program];
    let worked = ["run", "--agent", "stand-in", "--prompt", "x"];
    for words in [&worked[..], &["agents", "--probe"], &["list"], &["show", "main"], &["logs", "main"]] {
        room.run("strace", &[&traced[..], words].concat()).succeeds();
        let calls = fs::read_to_string(&trace).unwrap();
        assert!(!calls.contains("AF_INET"), "{words:?}: {calls}");
    }
}
