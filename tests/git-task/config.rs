use suite_tests::Sandbox;

#[test]
fn each_layer_beats_the_one_below_and_is_named() {
    let room = Sandbox::new();
    let origin = |room: &Sandbox| {
        let list = room.run("git-task", &["config", "list", "--origin"]).succeeds().stdout;
        list.lines().find(|line| line.contains("task.merge")).unwrap().to_owned()
    };
    assert_eq!(origin(&room), "built in\ttask.merge = \"merge\"");
    room.user_config("# mine\n[task]\nmerge = \"squash\"\n");
    assert!(origin(&room).ends_with("config.toml:3\ttask.merge = \"squash\""));
    room.git(&["config", "--global", "codex-agents.task.merge", "rebase"]);
    assert!(origin(&room).ends_with(".gitconfig\ttask.merge = \"rebase\""));
    room.write(".codex-agent/config.toml", "[task]\nmerge = \"merge\"\n");
    assert!(origin(&room).ends_with("config.toml:2\ttask.merge = \"merge\""));
    room.git(&["config", "codex-agents.task.merge", "squash"]);
    assert!(origin(&room).contains("squash"));
    let get = |extra: &[(&str, &str)], arguments: &[&str]| {
        let mut command = room.command("git");
        let output =
            command.envs(extra.iter().copied()).args(arguments).args(["config", "get", "task.merge"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(get(&[("CODEX_AGENTS_TASK_MERGE", "rebase")], &["task"]), "rebase\n");
    let both = &[("CODEX_AGENTS_TASK_MERGE", "rebase")];
    assert_eq!(get(both, &["-c", "codex-agents.task.merge=merge", "task"]), "merge\n");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    let room = Sandbox::new();
    room.user_config("[task]\n\nmege = \"squash\"\n");
    room.run("git-task", &["config", "list"])
        .exits(128)
        .warns("config.toml:3: unknown key 'task.mege'")
        .warns("'task.merge'");
    room.user_config("");
    room.run("git", &["-c", "codex-agents.task.mege=x", "task", "config", "list"]).exits(128).warns("'task.merge'");
    room.run("git-task", &["config", "get", "task.mege"]).exits(128).warns("'task.merge'");
    room.user_config("[task]\nmerge = \"fast\"\n");
    room.run("git-task", &["config", "list"]).exits(128).warns("must be one of merge, squash, rebase");
    room.user_config("[task\n");
    room.run("git-task", &["config", "list"]).exits(128).warns("config.toml:1");
}

#[test]
fn set_changes_one_value_and_keeps_comments() {
    let room = Sandbox::new();
    room.user_config("# top\n[task]\nmerge = \"merge\" # how\n");
    room.run("git-task", &["config", "set", "task.merge", "squash"]).succeeds();
    room.run("git-task", &["config", "set", "checks.unit.command", "[\"make\", \"test\"]"]).succeeds();
    room.run("git-task", &["config", "set", "worker.timeout", "10m"]).succeeds();
    let text = std::fs::read_to_string(room.home().join(".config/codex-agents/config.toml")).unwrap();
    assert!(text.starts_with("# top\n[task]\nmerge = \"squash\" # how\n"), "{text}");
    room.run("git-task", &["config", "get", "checks.unit.command"]).succeeds().prints("[\"make\", \"test\"]\n");
    room.run("git-task", &["config", "set", "worker.timeout", "soon"]).exits(129).warns("time span");
    room.run("git-task", &["config", "set", "-n", "task.merge", "rebase"]).succeeds();
    room.run("git-task", &["config", "get", "task.merge"]).succeeds().prints("squash\n");
    room.run("git-task", &["config", "get", "task.base"]).exits(1).prints("");
    room.run("git-task", &["config", "set", "--repo", "task.base", "main"]).succeeds();
    room.run("git-task", &["config", "get", "task.base"]).succeeds().prints("main\n");
}

#[test]
fn an_unknown_variable_of_ours_is_refused_with_the_nearest_known_one() {
    let room = Sandbox::new();
    let output =
        room.command("git-task").env("CODEX_AGENTS_TASK_MEGE", "squash").args(["config", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(128));
    assert!(String::from_utf8_lossy(&output.stderr).contains("'CODEX_AGENTS_TASK_MERGE'"));
}
