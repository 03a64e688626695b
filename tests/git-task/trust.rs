use std::fs;

use suite_tests::Sandbox;

const CHECK: &str = "[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n";

#[test]
fn what_was_agreed_to_is_exactly_what_counts() {
    let room = Sandbox::new();
    room.write(".codex-agent/config.toml", CHECK);
    room.run("git-task", &["trust", "--show"]).exits(1).says("checks.unit.command = [\"true\"]").says("config.toml:3");
    room.run("git-task", &["config", "get", "checks.unit.command"]).exits(128).warns("'git task trust'");
    room.run("git-task", &["trust"]).exits(128).warns("no terminal");
    room.run("git-task", &["trust", "--yes"]).succeeds().says("trusted");
    room.run("git-task", &["config", "get", "checks.unit.command"]).succeeds();
    room.write(".codex-agent/config.toml", &CHECK.replace("true", "trve"));
    room.run("git-task", &["config", "get", "checks.unit.command"]).exits(128);
    room.write(".codex-agent/config.toml", CHECK);
    room.run("git-task", &["config", "get", "checks.unit.command"]).succeeds();
    room.run("git-task", &["trust", "--revoke"]).succeeds();
    room.run("git-task", &["trust", "--show"]).exits(1);
}

#[test]
fn linked_worktrees_share_trust_and_a_copy_does_not() {
    let room = Sandbox::new();
    room.trusted_config(CHECK);
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    room.run_in(&linked, "git-task", &["trust", "--show"]).succeeds();
    room.run("cp", &["-r", ".", "../copy"]).succeeds();
    room.run_in(&room.path().join("copy"), "git-task", &["trust", "--show"]).exits(1);
}

#[test]
fn an_agents_worktree_cannot_change_the_settings() {
    let room = Sandbox::new();
    room.trusted_config(CHECK);
    room.commit("config");
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    room.write_in(&linked, ".codex-agent/config.toml", "[[checks]]\nname = \"unit\"\ncommand = [\"evil\"]\n");
    room.run_in(&linked, "git-task", &["config", "get", "checks.unit.command"]).succeeds().prints("[\"true\"]\n");
}

#[test]
fn git_commands_in_the_repositorys_own_configuration_wait_for_trust() {
    let room = Sandbox::new();
    room.run("git-task", &["add", "one"]).succeeds();
    let canary = room.path().join("canary");
    room.git(&["config", "filter.evil.smudge", &format!("touch {}", canary.display())]);
    room.run("git-task", &["worktree", "add", "one"]).exits(128).warns("filter.evil.smudge").warns("git task trust");
    room.run("git-task", &["trust", "--yes"]).succeeds().says("git config filter.evil.smudge");
    room.run("git-task", &["worktree", "add", "one"]).succeeds();
    assert!(!canary.exists());
}

#[test]
fn the_store_is_private_and_a_broken_one_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let room = Sandbox::new();
    room.trusted_config(CHECK);
    let path = room.state().join("trust.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(room.state()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::write(&path, "{").unwrap();
    room.run("git-task", &["trust", "--show"]).exits(128).warns("trust.json' is broken");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{");
}
