use std::fs;
use std::path::{Path, PathBuf};

use suite_tests::Sandbox;

use crate::room::{age, commit_aged, contents, hydrate, is_complete, snapshot, varied};

fn clone(room: &Sandbox, name: &str, how: &[&str]) -> PathBuf {
    let path = room.path().join(name);
    let repo = room.repo();
    let arguments = [&["clone", "-q", "--no-checkout"], how, &[repo.to_str().unwrap(), path.to_str().unwrap()]];
    room.git(&arguments.concat());
    path
}

#[test]
fn a_clone_takes_the_files_of_the_repository_that_it_came_from() {
    let room = varied();
    for (name, how) in [("shared", ["--shared"].as_slice()), ("local", &[]), ("url", &["--no-local"])] {
        let clone = clone(&room, name, how);
        let answer = hydrate(&room, &clone, &["--json"]).succeeds().json();
        assert_eq!(answer["donor"], room.repo().canonicalize().unwrap().to_str().unwrap(), "{name}");
        assert_eq!(answer["tracked"]["checked_out"], 0, "{name}: {answer}");
        assert_eq!(snapshot(&clone), snapshot(&room.repo()), "{name}");
        is_complete(&room, &clone);
    }
}

#[test]
fn a_clone_that_borrows_objects_finds_the_lender_without_a_remote() {
    let room = varied();
    let clone = clone(&room, "clone", &["--shared"]);
    room.git_in(&clone, &["remote", "remove", "origin"]);
    let answer = hydrate(&room, &clone, &["--json"]).succeeds().json();
    assert_eq!((answer["method"].as_str(), answer["tracked"]["checked_out"].as_u64()), (Some("donor"), Some(0)));
    is_complete(&room, &clone);
}

#[test]
fn what_the_index_of_another_repository_says_is_not_believed() {
    let room = varied();
    let before = contents(&room.repo());
    // The index keeps its facts, and the file gets other bytes under the same facts.
    let index = room.repo().join(".git/index");
    let old = fs::read(&index).unwrap();
    fs::write(room.repo().join("big"), "fedcba9876543210".repeat(20_000)).unwrap();
    age(&room, &room.repo());
    room.git(&["config", "core.trustctime", "false"]);
    let touch = "touch -d '2024-01-02 03:04:05.123456789' big && git update-index --assume-unchanged big && \
                 git update-index --no-assume-unchanged big";
    room.run("sh", &["-c", touch]).succeeds();
    fs::write(&index, old).unwrap();
    let clone = clone(&room, "clone", &["--shared"]);
    room.git_in(&clone, &["config", "core.trustctime", "false"]);
    let answer = hydrate(&room, &clone, &["--json"]).succeeds().json();
    assert_eq!(answer["tracked"]["checked_out_because"]["modified"], 1, "{answer}");
    assert_eq!(contents(&clone), before);
    is_complete(&room, &clone);
}

#[test]
fn files_that_another_repository_converts_are_not_taken_as_they_are() {
    let room = varied();
    let before = contents(&room.repo());
    // Same size, other bytes: only the hash tells.
    room.git(&["config", "filter.rot.smudge", "tr a-z n-za-m"]);
    room.git(&["config", "filter.rot.clean", "tr a-z n-za-m"]);
    fs::write(room.repo().join(".git/info/attributes"), "src/** filter=rot\n").unwrap();
    fs::remove_dir_all(room.repo().join("src")).unwrap();
    room.git(&["checkout", "-q", "--", "src"]);
    age(&room, &room.repo());
    room.git(&["status", "--porcelain"]);
    assert_ne!(contents(&room.repo()), before);
    let clone = clone(&room, "clone", &["--shared"]);
    hydrate(&room, &clone, &[]).succeeds();
    assert_eq!(contents(&clone), before);
    is_complete(&room, &clone);
}

#[test]
fn ignored_files_of_another_repository_come_only_if_it_is_named() {
    let room = varied();
    room.write(".gitignore", "secret\n");
    room.write(".worktreeinclude", "secret\n");
    commit_aged(&room, &room.repo());
    room.write("secret", "mine\n");
    let unnamed = clone(&room, "unnamed", &["--shared"]);
    hydrate(&room, &unnamed, &[]).succeeds();
    assert!(!unnamed.join("secret").exists() && unnamed.join("big").exists());
    let named = clone(&room, "named", &[]);
    hydrate(&room, &named, &["--from", room.repo().to_str().unwrap()]).succeeds();
    assert_eq!(fs::read_to_string(named.join("secret")).unwrap(), "mine\n");
    is_complete(&room, &named);
}

#[test]
fn a_donor_that_cannot_be_one_is_named() {
    let room = varied();
    let clone = clone(&room, "clone", &[]);
    let other = room.path().join("sha256");
    room.git(&["init", "-q", "--object-format=sha256", other.to_str().unwrap()]);
    hydrate(&room, &clone, &["--from", other.to_str().unwrap()]).exits(128).warns("another object format");
    hydrate(&room, &clone, &["--from", room.path().to_str().unwrap()]).exits(128).warns("is not another worktree");
    hydrate(&room, &clone, &["--from", "src"]).exits(128).warns("cannot look at");
    assert_eq!(fs::read_dir(Path::new(&clone)).unwrap().count(), 1);
}
