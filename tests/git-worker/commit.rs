//! What becomes of a task's work at the end of its job.

use std::fs;

use crate::room::Room;

#[test]
fn the_work_of_a_task_becomes_a_commit_with_its_origin() {
    let room = Room::new();
    let worktree = room.task("gate");
    room.user_config("[agents.bot]\ncommand = [\"sh\", \"-c\", \"echo new > new.txt; echo more >> README; echo x > skip.log; cat > asked\"]\nprompt = \"stdin\"\n");
    room.write(".git/info/exclude", "*.log\n");
    room.worker(&["launch", "gate", "--agent", "bot"]).succeeds().prints("gate#1\n");
    let job = room.ended("gate");
    assert_eq!(job["commit_problem"], serde_json::Value::Null, "{job}");
    let head = room.git_in(&worktree, &["rev-parse", "HEAD"]);
    assert_eq!(job["commit"].as_str(), Some(head.as_str()));
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), "");
    let message = room.git_in(&worktree, &["log", "-1", "--format=%B%an <%ae>"]);
    assert_eq!(
        message,
        "Mend the gate\n\nJob: gate#1\nCo-authored-by: bot <bot@agents.invalid>\nA Tester <tester@example.com>"
    );
    let files = room.git_in(&worktree, &["show", "--name-only", "--format=", "HEAD"]);
    assert_eq!(files, "README\nasked\nnew.txt");
    let asked = fs::read_to_string(worktree.join("asked")).unwrap();
    assert!(asked.contains("\n\nMend the  gate\n\nIt squeaks.\n\n"), "{asked}");
    let note = room.git(&["notes", "--ref=agent", "show", &head]);
    assert_eq!(note, "{\"job\":\"gate#1\",\"agent\":\"bot\"}");
}

#[test]
fn the_brief_of_a_task_is_its_prompt() {
    let room = Room::new();
    room.task("gate");
    room.write(".git/codex-agents/briefs/gate.md", "# As a person wrote it\n");
    room.user_config("[agents.bot]\ncommand = [\"cat\"]\nprompt = \"stdin\"\n[worker]\nagent = \"bot\"\n");
    room.worker(&["launch", "gate"]).succeeds();
    room.ended("gate");
    let said = room.worker(&["logs", "gate"]).succeeds().says("\n\n# As a person wrote it\n\n").stdout;
    assert!(!said.contains("squeaks"), "{said}");
    room.worker(&["launch", "gate", "--prompt", "only this"]).succeeds();
    room.ended("gate");
    room.worker(&["logs", "gate"]).succeeds().prints("only this");
}

#[test]
fn a_commit_of_the_agents_own_is_noted() {
    let room = Room::new();
    let worktree = room.task("gate");
    let script = "echo a > a; git add a; git commit -qm own";
    room.worker(&["launch", "gate", "--", "sh", "-c", script]).succeeds();
    assert_eq!(room.ended("gate")["commit"], serde_json::Value::Null);
    let head = room.git_in(&worktree, &["rev-parse", "HEAD"]);
    assert_eq!(room.git(&["notes", "--ref=agent", "show", &head]), "{\"job\":\"gate#1\",\"agent\":null}");
}

#[test]
fn work_stays_as_it_is_where_a_commit_would_be_wrong() {
    let room = Room::new();
    let worktree = room.task("gate");
    for (script, why) in [
        ("echo a > a; exit 1", None),
        ("echo a > a; git checkout -q --detach", Some("not on 'refs/heads/task/gate'")),
        ("echo a > a; git checkout -q task/gate; touch $(git rev-parse --git-dir)/MERGE_HEAD", Some("a merge")),
    ] {
        room.worker(&["launch", "gate", "--", "sh", "-c", script]).succeeds();
        let job = room.ended("gate");
        assert_eq!(job["commit"], serde_json::Value::Null);
        match why {
            Some(why) => assert!(job["commit_problem"].as_str().unwrap().contains(why), "{job}"),
            None => assert_eq!(job["state"], "failed"),
        }
        assert!(worktree.join("a").exists());
    }
    assert_eq!(room.git(&["rev-parse", "task/gate"]), room.git(&["rev-parse", "main"]));
}

#[test]
fn without_an_identity_nothing_is_committed() {
    let room = Room::new();
    let worktree = room.task("gate");
    room.write_in(&room.home(), ".gitconfig", "");
    room.worker(&["launch", "gate", "--", "sh", "-c", "echo a > a"]).succeeds();
    let job = room.ended("gate");
    assert_eq!(job["state"], "completed");
    assert!(job["commit_problem"].as_str().unwrap().contains("user.name"), "{job}");
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), "?? a");
}

#[test]
fn a_worktree_that_points_elsewhere_leads_git_nowhere() {
    let room = Room::new();
    let worktree = room.task("gate");
    let evil = room.path().join("evil");
    room.git(&["init", "-q", evil.to_str().unwrap()]);
    let hook = "#!/bin/sh\\ntouch canary\\n";
    let script = format!(
        "echo a > a; echo 'gitdir: {0}/.git' > .git; printf '{hook}' > {0}/.git/hooks/pre-commit; \
         chmod +x {0}/.git/hooks/pre-commit; git -C {0} config core.fsmonitor 'touch {0}/canary'",
        evil.display()
    );
    room.worker(&["launch", "gate", "--", "sh", "-c", &script]).succeeds();
    let job = room.ended("gate");
    assert_eq!(job["commit"].as_str().unwrap(), room.git(&["rev-parse", "task/gate"]));
    assert!(!evil.join("canary").exists() && !worktree.join("canary").exists());
}

#[test]
fn a_plain_worktree_and_a_user_who_said_never_are_left_alone() {
    let room = Room::new();
    let worktree = room.task("gate");
    let id = room.sh("plain", "echo a > a");
    assert_eq!(room.ended(&id)["commit"], serde_json::Value::Null);
    assert_eq!(room.git(&["status", "--porcelain"]), "?? a");
    room.user_config("[worker]\ncommit = \"never\"\n");
    room.worker(&["launch", "gate", "--", "sh", "-c", "echo a > a"]).succeeds();
    assert_eq!(room.ended("gate")["commit"], serde_json::Value::Null);
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), "?? a");
}

#[test]
fn a_task_without_worktree_is_refused() {
    let room = Room::new();
    room.task("gate");
    room.worker(&["launch", "gaet", "--", "true"]).exits(128).warns("gate");
    let path = room.data().join("tasks.json");
    let tasks = fs::read_to_string(&path).unwrap();
    let mut tasks: serde_json::Value = serde_json::from_str(&tasks).unwrap();
    tasks["tasks"][0]["worktree"] = serde_json::Value::Null;
    room.write_in(&room.data(), "tasks.json", &tasks.to_string());
    room.worker(&["launch", "gate", "--", "true"]).exits(128).warns("git task worktree add gate");
}
