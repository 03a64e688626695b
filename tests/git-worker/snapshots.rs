//! The worktree of a job is kept as it was, and can be brought back.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::room::{Room, kill, kill_with_heir, text, until};

/// Lists the snapshots of a job.
#[track_caller]
fn snapshots(room: &Room, job: &str) -> Vec<Value> {
    let listed = room.worker(&["snapshots", job, "--json"]).succeeds().json();
    listed["snapshots"].as_array().unwrap().clone()
}

/// Lists the events of a job that are snapshots.
fn events(room: &Room, id: &str) -> Vec<Value> {
    let all = text(&room.folder(id).join("events.jsonl"));
    let all = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["event"] == "snapshot").collect()
}

/// What 'git status' and the index of a worktree say.
fn seen(room: &Room, worktree: &Path) -> (String, Vec<u8>) {
    let status = room.git_in(worktree, &["status", "--porcelain", "--ignored"]);
    (status, fs::read(room.repo().join(".git/index")).unwrap())
}

#[test]
fn what_a_killed_agent_and_supervisor_left_is_brought_back_as_of_the_last_milestone() {
    let room = Room::new();
    room.write(".gitignore", "ignored\n");
    room.write("gone", "here\n");
    room.commit("rules");
    let gate = room.path().join("gate");
    let wait = format!("while ! [ -e '{}' ]; do sleep 0.01; done", gate.display());
    let edits = "echo two > README; mkdir -p 'new ü'; echo fresh > 'new ü/file'; rm gone; echo x > ignored";
    let mess = "rm -r 'new ü'; echo broken > README; echo half > other; echo back > gone";
    let id = room.sh("agent", &format!("{edits}; echo '::milestone:: good'; {wait}; {mess}; echo messed; sleep 60"));
    until("the milestone is kept", || !events(&room, &id).is_empty());
    let clean = seen(&room, &room.repo());
    let kept = snapshots(&room, &id);
    assert_eq!((kept.len(), &kept[0]["milestone"], &kept[0]["files"]), (1, &Value::from("good"), &Value::from(3)));
    assert_eq!(clean, seen(&room, &room.repo()));
    assert_eq!(clean.0, " M README\n D gone\n?? \"new \\303\\274/\"\n!! .codex-worker/\n!! ignored");
    room.write_in(room.path(), "gate", "");
    until("it goes on", || room.worker(&["logs", &id]).stdout.ends_with("messed\n"));
    let job = room.job(&id);
    kill_with_heir(&room, &job["supervisor"]["pid"]);
    kill(&room, "-9", &job["child"]["pid"]);
    until("it is lost", || room.job(&id)["state"] == "lost");
    room.worker(&["stop", "--grace", "0", &id]).succeeds();
    assert_eq!(snapshots(&room, &id)[1]["why"], "lost");
    room.write("other", "whole\n");

    // Beside, and then in place, where what is there is kept first.
    let beside = room.path().join("beside");
    room.worker(&["restore", &format!("{id}@1"), "--to", beside.to_str().unwrap()]).succeeds();
    for folder in [&beside, &room.repo()] {
        if *folder == room.repo() {
            room.worker(&["restore", "-n", &id]).succeeds().says("would restore");
            assert_eq!(text(&folder.join("README")), "broken\n");
            let done = room.worker(&["restore", &format!("{id}@1"), "--json"]).succeeds().json();
            assert_eq!(done["before"], "refs/worker/agent/1/3", "{done}");
            assert_eq!(text(&folder.join("ignored")), "x\n");
        }
        let file = |name: &str| text(&folder.join(name));
        assert_eq!((file("README"), file("new ü/file")), ("two\n".into(), "fresh\n".into()), "{}", folder.display());
        assert!(!folder.join("gone").exists() && !folder.join("other").exists());
    }
    assert_eq!(seen(&room, &room.repo()), clean);
    room.worker(&["restore", &format!("{id}@1"), "--to", beside.to_str().unwrap()]).exits(128).warns("empty");
    for (number, other) in [(2, "half\n"), (3, "whole\n")] {
        room.worker(&["restore", &format!("{id}@{number}")]).succeeds();
        let found = (text(&room.repo().join("README")), text(&room.repo().join("other")));
        assert_eq!(found, ("broken\n".into(), other.into()));
    }
    room.git(&["fsck", "--strict"]);
}

#[test]
fn an_unchanged_tree_makes_no_snapshot_and_the_end_of_a_changed_one_does() {
    let room = Room::new();
    let id = room.sh("idle", "echo '::milestone:: nothing'");
    room.ended(&id);
    assert_eq!((snapshots(&room, &id).len(), events(&room, &id).len()), (0, 0));
    let id = room.sh("end", "echo new > file; exit 3");
    room.ended(&id);
    let kept = snapshots(&room, &id);
    assert_eq!((kept.len(), &kept[0]["why"], &kept[0]["files"]), (1, &Value::from("failed"), &Value::from(1)));
    assert_eq!(room.git(&["show", "refs/worker/end/1/1:file"]), "new");
    room.worker(&["snapshots", "end"]).succeeds().says("1 file  failed");
    room.worker(&["restore", "idle"]).exits(128).warns("no snapshot");
    room.user_config("[worker]\nsnapshot = \"never\"\n");
    let id = room.sh("never", "echo newer > file");
    room.ended(&id);
    assert_eq!(snapshots(&room, &id).len(), 0);
}

#[test]
fn many_milestones_make_few_snapshots_and_the_last_one_has_its_own() {
    let room = Room::new();
    room.user_config("[worker]\nsnapshot-every = \"700ms\"\n");
    let id = room
        .sh("many", "for n in 1 2 3 4 5 6; do echo $n > file; echo \"::milestone:: $n\"; sleep 0.05; done; sleep 60");
    until("the last milestone is kept", || snapshots(&room, &id).iter().any(|kept| kept["milestone"] == "6"));
    assert_eq!(snapshots(&room, &id).len(), 2);
    assert_eq!(room.git(&["show", "refs/worker/many/1/2:file"]), "6");
    room.worker(&["stop", "--grace", "1s", &id]).succeeds();
    assert_eq!(room.ended(&id)["state"], "stopped");
    assert_eq!(snapshots(&room, &id).len(), 2, "nothing has changed since");
}

#[test]
fn what_is_too_large_or_a_repository_of_its_own_is_left_out_and_named() {
    let room = Room::new();
    room.user_config("[worker]\nsnapshot-max-file = \"1KiB\"\n");
    let script =
        "head -c 2000 /dev/zero > big; echo small > small; git init -q nested; head -c 3000 /dev/zero > README";
    let id = room.sh("large", script);
    room.ended(&id);
    let event = events(&room, &id).remove(0);
    let named: Vec<&str> = event["skipped"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
    assert_eq!((named, &event["left_out"]), (vec!["README", "big", "nested/"], &Value::from(3)), "{event}");
    assert_eq!(room.git(&["ls-tree", "-r", "--name-only", "refs/worker/large/1/1"]), "README\nsmall");
    assert_eq!(room.git(&["show", "refs/worker/large/1/1:README"]), "one\ntwo\nthree");
    // To go back writes over what no snapshot of the job holds: it is kept first, however large.
    room.worker(&["restore", "large"]).succeeds();
    assert_eq!(text(&room.repo().join("README")), "one\ntwo\nthree\n");
    assert_eq!(room.git(&["cat-file", "-s", "refs/worker/large/1/2:README"]), "3000");
    assert!(!room.repo().join("big").exists() && room.repo().join("nested/.git").exists());
}

#[test]
fn nothing_is_restored_under_a_live_job_or_over_an_ignored_file() {
    let room = Room::new();
    let id = room.sh("maker", "echo one > file");
    room.ended(&id);
    let busy = room.sh("busy", "sleep 60");
    room.worker(&["restore", "maker"]).exits(128).warns("job 'busy#1' works in");
    room.worker(&["stop", "--grace", "0", &busy]).succeeds();
    room.write("file", "precious\n");
    room.write(".gitignore", "file\n");
    let said = room.worker(&["restore", "maker"]).exits(128);
    assert!(said.stderr.contains("stays as it is") && said.stderr.contains("--to"), "{}", said.stderr);
    assert_eq!(
        (text(&room.repo().join("file")), text(&room.repo().join(".gitignore"))),
        ("precious\n".into(), "file\n".into())
    );
    room.worker(&["restore", "maker@x"]).exits(129);
}

#[test]
fn a_filter_that_an_agent_plants_does_not_run() {
    let room = Room::new();
    let trap = room.path().join("sprung");
    let plant = format!(
        "git config filter.x.clean \"touch '{}'; cat\"; echo '* filter=x' > .gitattributes; echo new > file; echo '::milestone:: set'; sleep 0.2",
        trap.display()
    );
    let id = room.sh("planter", &plant);
    room.ended(&id);
    assert!(!trap.exists());
    let events = events(&room, &id);
    assert!(
        events.iter().all(|event| event["error"].as_str().unwrap_or_default().contains("filter.x.clean")),
        "{events:?}"
    );
    assert!(!events.is_empty() && snapshots(&room, &id).is_empty());
    let linked = room.path().join("linked");
    room.git(&["config", "--unset", "filter.x.clean"]);
    fs::remove_file(room.repo().join(".gitattributes")).unwrap();
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    room.git(&["config", "extensions.worktreeConfig", "true"]);
    let plant = plant.replace("git config ", "git config --worktree ");
    let id = room.worker(&["launch", "--worktree", linked.to_str().unwrap(), "--", "sh", "-c", &plant]).succeeds();
    let job = room.ended(id.text());
    assert!(!trap.exists() && job["state"] == "completed", "{job}");
    assert!(snapshots(&room, id.text()).is_empty());
}

#[test]
fn a_filter_that_a_tasks_agent_plants_keeps_its_work_uncommitted() {
    let room = Room::new();
    let worktree = room.task("gate");
    let trap = room.path().join("sprung");
    let plant = "git config filter.x.clean \"touch '$1'; cat\"; echo '* filter=x' > .gitattributes; echo new > file";
    room.worker(&["launch", "gate", "--", "sh", "-c", plant, "sh", trap.to_str().unwrap()]).succeeds();
    let job = room.ended("gate");
    assert!(!trap.exists() && job["commit"].is_null() && worktree.join("file").exists());
    assert!(job["commit_problem"].as_str().unwrap().contains("filter.x.clean"), "{job}");
}

#[test]
fn the_worktree_of_a_lost_job_is_kept_before_what_is_left_of_it_is_ended() {
    let room = Room::new();
    for (name, way) in [("stop", vec!["stop", "stop"]), ("gc", vec!["gc"])] {
        let script = format!("echo {name} > of-{name}; trap ': > of-{name}; exit' TERM; sleep 60 & wait");
        let id = room.sh(name, &script);
        let file = room.repo().join(format!("of-{name}"));
        until("it has worked", || fs::read_to_string(&file).is_ok_and(|text| !text.is_empty()));
        kill_with_heir(&room, &room.job(&id)["supervisor"]["pid"]);
        until("it is lost", || room.job(&id)["state"] == "lost");
        room.worker(&way).succeeds();
        assert_eq!(text(&file), "", "{way:?} did not end what was left");
        let kept = snapshots(&room, &id);
        assert_eq!((kept.len(), kept[0]["why"].as_str()), (1, Some("lost")));
        assert_eq!(room.git(&["show", &format!("refs/worker/{name}/1/1:of-{name}")]), name);
        room.worker(&way).succeeds();
        assert_eq!(snapshots(&room, &id), kept);
    }
    room.user_config("[worker]\nsnapshot = \"never\"\n");
    let id = room.sh("never", "echo x > of-never; exec sleep 60");
    until("it has worked", || room.repo().join("of-never").exists());
    kill(&room, "-9", &room.job(&id)["supervisor"]["pid"]);
    room.worker(&["stop", &id]).succeeds().says("lost");
    room.worker(&["snapshots", &id]).succeeds().prints("");
}
