use std::path::PathBuf;

use suite_tests::Sandbox;

use crate::room::{Mount, bare_worktree, commit_aged, hydrate, is_complete, snapshot, varied, vary};

/// A repository on a file system of its own, and a new worktree beside it.
fn on(room: &Sandbox, system: &str) -> Option<(Mount, PathBuf, PathBuf)> {
    let mount = Mount::new(room, &format!("the mode on {system}"), system, 400)?;
    let repo = mount.path().join("repo");
    room.git(&["init", "-q", repo.to_str().unwrap()]);
    vary(room, &repo);
    commit_aged(room, &repo);
    let worktree = mount.path().join("new");
    room.git_in(&repo, &["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap()]);
    Some((mount, repo, worktree))
}

#[test]
fn reflink_clones_every_file_that_has_content() {
    for system in ["xfs", "btrfs"] {
        let room = Sandbox::new();
        let Some((_mount, repo, worktree)) = on(&room, system) else { continue };
        let answer = hydrate(&room, &worktree, &["--mode=reflink", "--json"]).succeeds().json();
        let tracked = &answer["tracked"];
        assert_eq!(tracked["copied"], 1, "only the empty file has nothing to share: {answer}");
        assert_eq!((tracked["checked_out"].as_u64(), answer["clone_from"].as_u64()), (Some(0), Some(1)));
        assert_eq!(snapshot(&worktree), snapshot(&repo));
        is_complete(&room, &worktree);
    }
}

#[test]
fn reflink_fails_where_nothing_can_be_cloned_and_auto_goes_on() {
    let room = Sandbox::new();
    let Some((_mount, repo, worktree)) = on(&room, "ext4") else { return };
    let ran = hydrate(&room, &worktree, &["--mode", "reflink"]).exits(128);
    ran.warns("shares no extents").warns("--mode=auto");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!((answer["tracked"]["cloned"].as_u64(), answer["clone_from"].as_u64()), (Some(0), None));
    assert_eq!(snapshot(&worktree), snapshot(&repo));
    is_complete(&room, &worktree);
}

#[test]
fn copy_clones_nothing_and_the_settings_say_the_same() {
    for system in ["xfs", "btrfs"] {
        let room = Sandbox::new();
        let Some((mount, repo, worktree)) = on(&room, system) else { continue };
        let answer = hydrate(&room, &worktree, &["--mode=copy", "--json"]).succeeds().json();
        assert_eq!((answer["tracked"]["cloned"].as_u64(), answer["clone_from"].as_u64()), (Some(0), None));
        is_complete(&room, &worktree);
        let second = mount.path().join("second");
        room.git_in(&repo, &["config", "codex-agents.hydrate.mode", "copy"]);
        room.git_in(&repo, &["worktree", "add", "-q", "--detach", "--no-checkout", second.to_str().unwrap()]);
        let dry = hydrate(&room, &second, &["--dry-run", "--json"]).succeeds().json();
        assert_eq!(dry["tracked"]["cloned"], 0);
        room.git_in(&repo, &["config", "codex-agents.hydrate.mode", "auto"]);
        room.git_in(&repo, &["config", "codex-agents.hydrate.clone-from", "1000"]);
        let answer = hydrate(&room, &second, &["--json"]).succeeds().json();
        assert_eq!(answer["clone_from"], 1000);
        assert!(answer["tracked"]["cloned"].as_u64().unwrap() > 1, "{answer}");
    }
}

#[test]
fn an_unknown_mode_is_a_wrong_request() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &["--mode=hardlink"]).exits(129).warns("auto, reflink, copy");
}
