use std::fs;

use suite_tests::Sandbox;

use crate::room::Room;

/// Returns the names and commands that are proposed.
fn proposed(room: &Sandbox) -> Vec<(String, String)> {
    let answer = room.run("git-validate", &["init", "--json"]).succeeds().json();
    assert_eq!(answer["written"], false);
    let words = |check: &serde_json::Value| match check["command"].as_array() {
        Some(words) => words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" "),
        None => check["shell"].as_str().unwrap().to_owned(),
    };
    let checks = answer["checks"].as_array().unwrap();
    checks.iter().map(|check| (check["name"].as_str().unwrap().to_owned(), words(check))).collect()
}

#[track_caller]
fn proposes(files: &[(&str, &str)], expected: &[(&str, &str)]) {
    let room = Sandbox::new();
    for (name, content) in files {
        room.write(name, content);
    }
    let proposed = proposed(&room);
    let proposed: Vec<(&str, &str)> = proposed.iter().map(|(name, words)| (name.as_str(), words.as_str())).collect();
    assert_eq!(proposed, expected);
    assert!(!room.repo().join(".codex-agent").exists(), "it writes nothing by itself");
}

#[test]
fn each_kind_of_project_is_known() {
    let (fmt, test) = (("cargo-fmt", "cargo fmt --all --check"), ("cargo-test", "cargo test --workspace"));
    let clippy = ("cargo-clippy", "cargo clippy --workspace --all-targets -- -D warnings");
    proposes(&[("Cargo.toml", "[workspace]\nmembers = []\n")], &[fmt, clippy, test]);
    proposes(
        &[("package.json", r#"{"scripts":{"test":"vitest","lint":"eslint","dev":"x"}}"#), ("pnpm-lock.yaml", "")],
        &[
            (
                "pnpm-lint",
                "[ node_modules/.modules.yaml -nt pnpm-lock.yaml ] || pnpm install --frozen-lockfile || exit; exec pnpm run lint",
            ),
            (
                "pnpm-test",
                "[ node_modules/.modules.yaml -nt pnpm-lock.yaml ] || pnpm install --frozen-lockfile || exit; exec pnpm run test",
            ),
        ],
    );
    proposes(&[("package.json", r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#)], &[]);
    let format = ("go-fmt", "files=$(gofmt -l .) && echo \"$files\" && test -z \"$files\"");
    proposes(&[("go.mod", "module x\n")], &[format, ("go-vet", "go vet ./..."), ("go-test", "go test ./...")]);
    proposes(
        &[("pyproject.toml", "[project]\ndependencies = [\"pytest>=8\"]\n[tool.ruff]\n"), ("uv.lock", "")],
        &[
            ("ruff", "uv run ruff check ."),
            ("ruff-format", "uv run ruff format --check ."),
            ("pytest", "uv run pytest"),
        ],
    );
    proposes(&[("tox.ini", "[tox]\n")], &[("tox", "tox")]);
    proposes(
        &[("Makefile", "test := 1\nlint check: x\n\ttrue\n")],
        &[("make-lint", "make lint"), ("make-check", "make check")],
    );
}

#[test]
fn managers_are_told_by_their_lock_or_by_name() {
    let scripts = r#""scripts":{"typecheck":"tsc"}"#;
    for (lock, named, begin) in [
        ("package-lock.json", "", "npm-typecheck"),
        ("yarn.lock", "", "yarn-typecheck"),
        ("bun.lock", "", "bun-typecheck"),
        ("package-lock.json", r#""packageManager":"pnpm@9.0.0","#, "pnpm-typecheck"),
        ("none", "", "npm-typecheck"),
    ] {
        let room = Sandbox::new();
        room.write("package.json", &format!("{{{named}{scripts}}}"));
        room.write(lock, "");
        assert_eq!(proposed(&room)[0].0, begin, "{lock} {named}");
    }
}

#[test]
fn hostile_files_propose_no_more_than_fixed_words() {
    let evil = "$(touch /tmp/x)`\"'\n";
    proposes(
        &[("Makefile", &format!("test {evil}: x\n{evil}:\n")), ("package.json", "[[["), ("Cargo.toml", "= =")],
        &[],
    );
    let room = Sandbox::new();
    std::os::unix::fs::symlink("/dev/zero", room.repo().join("package.json")).unwrap();
    assert!(room.run("mkfifo", &["Makefile"]).code == 0 && proposed(&room).is_empty());
    room.run("git-validate", &["init"]).succeeds().prints("").warns("nothing was found");
}

#[test]
fn it_writes_if_asked_and_says_that_trust_is_needed() {
    let room = Room::new();
    room.write("Makefile", "test:\n\ttrue\n");
    room.write(".codex-agent/config.toml", "# mine\n[validate]\njobs = 1");
    let file = room.repo().join(".codex-agent/config.toml");
    room.validate(&["init", "--write", "-n"]).succeeds().says("make-test").warns("would be written");
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine\n[validate]\njobs = 1");
    room.validate(&["init", "--write"]).succeeds().says("make-test").warns("git task trust");
    let written = "# mine\n[validate]\njobs = 1\n\n# Makefile\n[[checks]]\nname = \"make-test\"\ncommand = [\"make\", \"test\"]\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
    room.commit("settings");
    // Never active by itself.
    room.validate(&[]).exits(128).warns("counts only in a trusted repository");
    room.validate(&["init", "--write"]).exits(128).warns("has checks of these names already: make-test");
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
    room.run("git-task", &["trust", "--yes"]).succeeds();
    room.validate(&["--dry-run", "--json"]).succeeds();
}

#[test]
fn what_cannot_be_added_to_stays_as_it_is() {
    let room = Room::new();
    room.write("Makefile", "test:\n");
    for broken in ["[[checks", "checks = []\n"] {
        room.write(".codex-agent/config.toml", broken);
        room.validate(&["init", "--write"]).exits(128);
        assert_eq!(fs::read_to_string(room.repo().join(".codex-agent/config.toml")).unwrap(), broken);
    }
    let bare = room.path().join("bare.git");
    room.git(&["init", "-q", "--bare", bare.to_str().unwrap()]);
    room.run_in(&bare, "git-validate", &["init"]).exits(128).warns("a bare repository");
    let fresh = Room::new();
    fresh.write("Makefile", "check:\n");
    fresh.validate(&["init", "--write"]).succeeds();
    assert!(fresh.repo().join(".codex-agent/config.toml").exists());
}
