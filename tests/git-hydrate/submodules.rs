use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use suite_tests::Sandbox;

use crate::room::{Content, age, bare_worktree, commit_aged, contents, hydrate, is_complete};

/// A repository with the submodule `lib/one`, which has a submodule of its own.
fn nested() -> Sandbox {
    let room = Sandbox::new();
    let make = |name: &str| {
        let path = room.path().join(name);
        room.git(&["init", "-q", path.to_str().unwrap()]);
        room.write_in(&path, "file", &format!("{name}\n").repeat(100));
        commit_aged(&room, &path);
        path
    };
    let (outer, inner) = (make("outer"), make("inner"));
    let allow = ["-c", "protocol.file.allow=always"];
    let add = |folder: &Path, from: &Path, path: &str| {
        room.git_in(folder, &[&allow[..], &["submodule", "--quiet", "add", from.to_str().unwrap(), path]].concat());
        room.commit_in(folder, "a submodule");
    };
    add(&outer, &inner, "deep");
    add(&room.repo(), &outer, "lib/one");
    room.git(&[&allow[..], &["submodule", "--quiet", "update", "--init", "--recursive"]].concat());
    age(&room, &room.repo().join("lib/one"));
    room.git(&["submodule", "--quiet", "foreach", "--recursive", "git status --porcelain"]);
    room
}

/// All files but the pointers to repositories.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u32, Content)> {
    contents(folder).into_iter().filter(|(path, _)| !path.ends_with(".git")).collect()
}

#[test]
fn a_clone_gets_the_submodules_of_the_donor_that_is_named() {
    let room = nested();
    let clone = room.path().join("clone");
    room.git(&["clone", "-q", "--no-checkout", room.repo().to_str().unwrap(), clone.to_str().unwrap()]);
    hydrate(&room, &clone, &["--from", room.repo().to_str().unwrap()]).succeeds();
    is_complete(&room, &clone);
    assert_eq!(files(&clone), files(&room.repo()));
    let status = room.git_in(&clone, &["submodule", "status", "--recursive"]);
    assert_eq!(status, room.git(&["submodule", "status", "--recursive"]));
}

#[test]
fn submodules_are_filled_from_those_of_the_donor_however_deep() {
    let room = nested();
    // Nothing may be fetched: the places that they came from are gone.
    for name in ["outer", "inner"] {
        fs::rename(room.path().join(name), room.path().join(format!("{name}-gone"))).unwrap();
    }
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["submodules"][0]["path"], "lib/one");
    assert_eq!(answer["submodules"][0]["answer"]["submodules"][0]["path"], "deep");
    for path in ["lib/one/file", "lib/one/deep/file"] {
        assert_eq!(fs::read(worktree.join(path)).unwrap(), fs::read(room.repo().join(path)).unwrap(), "{path}");
    }
    is_complete(&room, &worktree);
    let status = room.git_in(&worktree, &["submodule", "status", "--recursive"]);
    assert_eq!(status, room.git(&["submodule", "status", "--recursive"]));
    let inside = worktree.join("lib/one");
    assert_eq!(
        room.git_in(&inside, &["config", "remote.origin.url"]),
        room.path().join("outer").canonicalize().unwrap_or(room.path().join("outer")).to_str().unwrap()
    );
    assert_eq!(room.git_in(&inside, &["rev-parse", "--show-superproject-working-tree"]), worktree.to_str().unwrap());
    room.git_in(&inside, &["fsck"]);
    // A commit there is the worktree's own.
    room.write_in(&inside, "file", "changed\n");
    room.git_in(&inside, &["commit", "-qam", "mine"]);
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), " M lib/one");
}

#[test]
fn they_stay_empty_on_request_and_where_the_donor_has_none() {
    let room = nested();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &["--no-recurse-submodules"]).succeeds();
    assert_eq!(fs::read_dir(worktree.join("lib/one")).unwrap().count(), 0);
    is_complete(&room, &worktree);
    room.git(&["submodule", "--quiet", "deinit", "-f", "--all"]);
    let second = bare_worktree(&room, "second", "HEAD");
    let answer = hydrate(&room, &second, &["--json"]).succeeds().json();
    assert_eq!((answer["submodules"].as_array().unwrap().len(), answer["skipped"].as_array().unwrap().len()), (0, 0));
    assert_eq!(fs::read_dir(second.join("lib/one")).unwrap().count(), 0);
}

#[test]
fn a_commit_that_the_donor_lacks_leaves_it_empty_and_is_named() {
    let room = nested();
    let unknown = "1234567890123456789012345678901234567890";
    room.git(&["update-index", "--cacheinfo", &format!("160000,{unknown},lib/one")]);
    room.git(&["commit", "-qm", "another commit"]);
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds().warns("lib/one").warns("git submodule update --init");
    assert_eq!(fs::read_dir(worktree.join("lib/one")).unwrap().count(), 0);
}

#[test]
fn a_pointer_that_leads_out_of_the_donor_is_not_followed() {
    let room = nested();
    let private = room.path().join("private");
    room.git(&["clone", "-q", room.path().join("outer").to_str().unwrap(), private.to_str().unwrap()]);
    let pointer = format!("gitdir: {}\n", private.join(".git").display());
    fs::write(room.repo().join("lib/one/.git"), pointer).unwrap();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds().warns("leads out of");
    assert_eq!(fs::read_dir(worktree.join("lib/one")).unwrap().count(), 0);
}

#[test]
fn changes_in_the_submodule_of_the_donor_stay_there() {
    let room = nested();
    let before = files(&room.repo().join("lib/one"));
    room.write("lib/one/file", "changed\n");
    room.write("lib/one/new", "new\n");
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(files(&worktree.join("lib/one")), before);
    is_complete(&room, &worktree);
}

#[test]
fn a_run_that_was_interrupted_at_a_submodule_is_completed() {
    let room = nested();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    let whole = files(&worktree);
    let git_dir = room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]);
    // The repository is there, the pointer and the files are not, and the marker says that tracked files are.
    fs::remove_dir_all(worktree.join("lib/one")).unwrap();
    fs::create_dir(worktree.join("lib/one")).unwrap();
    fs::remove_file(Path::new(&git_dir).join("modules/lib/one/index")).unwrap();
    let marker = r#"{"schema":1,"tree":"","donor":null,"started":"2026-01-01T00:00:00Z","index":null}"#;
    fs::write(Path::new(&git_dir).join("hydrate.json"), marker).unwrap();
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(files(&worktree), whole);
    is_complete(&room, &worktree);
}
