use std::fs;
use std::path::Path;

use crate::room::{bare_worktree, hydrate, varied};

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let git_dir = room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]);
    let list = || {
        let mut names: Vec<_> = fs::read_dir(&git_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = list();
    let dry = hydrate(&room, &worktree, &["--dry-run", "--json"]).succeeds().json();
    hydrate(&room, &worktree, &["-n"]).succeeds().says("would fill");
    assert_eq!(list(), before);
    assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1);
    let real = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!((dry["dry_run"].as_bool(), real["dry_run"].as_bool()), (Some(true), Some(false)));
    for field in ["files", "checked_out", "symlinks"] {
        assert_eq!(dry["tracked"][field], real["tracked"][field], "{field}");
    }
}

#[test]
fn the_answer_is_short() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let ran = hydrate(&room, &worktree, &[]).succeeds().says("filled").says(" files (");
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
}

#[test]
fn the_json_answer_has_what_its_schema_promises() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let ran = hydrate(&room, &worktree, &["--json"]).succeeds();
    assert!(ran.stdout.starts_with("{\"schema\":1,"));
    let answer = ran.json();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/schemas/git-hydrate.json");
    let schema: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let check = |schema: &serde_json::Value, value: &serde_json::Value| {
        for name in schema["required"].as_array().unwrap() {
            assert!(value.get(name.as_str().unwrap()).is_some(), "{name} is missing");
        }
        for name in value.as_object().unwrap().keys() {
            assert!(schema["properties"].get(name).is_some(), "the schema does not know {name}");
        }
    };
    check(&schema, &answer);
    check(&schema["properties"]["tracked"], &answer["tracked"]);
    check(&schema["properties"]["ignored"], &answer["ignored"]);
}

#[test]
fn a_failure_is_json_too() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    fs::write(worktree.join("big"), "mine").unwrap();
    let ran = hydrate(&room, &worktree, &["--json"]).exits(128).prints("");
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((error["error"]["kind"].as_str(), error["error"]["status"].as_u64()), (Some("not-empty"), Some(128)));
}
