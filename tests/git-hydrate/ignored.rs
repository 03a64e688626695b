use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use suite_tests::Sandbox;

use crate::room::{age, bare_worktree, hydrate, is_complete, snapshot};

/// A repository with artefacts of all kinds, ignored and aged.
fn artefacts() -> Sandbox {
    let room = Sandbox::new();
    room.write(".gitignore", "node_modules/\n*.env\n/build\nvendor/\n");
    room.write(".worktreeinclude", "# what an agent needs\nnode_modules/\n/local.env\r\n");
    age(&room, &room.repo());
    room.commit("rules");
    room.write("node_modules/left-pad/index.js", "module.exports = 1;\n");
    room.write("node_modules/left-pad/big.bin", &"x".repeat(200_000));
    room.write("node_modules/.bin/tool", "#!/bin/sh\n");
    room.run("chmod", &["750", "node_modules/.bin/tool"]).succeeds();
    room.write("web/node_modules/dep/a.js", "1\n");
    room.write("local.env", "SECRET=1\n");
    room.write("other.env", "SECRET=2\n");
    room.write("build/out", "not asked for\n");
    age(&room, &room.repo());
    room
}

#[test]
fn what_is_listed_comes_along_with_mode_and_time() {
    let room = artefacts();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    let mut wanted = snapshot(&room.repo());
    wanted.remove(std::path::Path::new("other.env"));
    wanted.remove(std::path::Path::new("build/out"));
    assert_eq!(snapshot(&worktree), wanted);
    assert_eq!(answer["ignored"]["files"], 5);
    assert_eq!(answer["skipped"], serde_json::json!([]));
    for folder in ["node_modules", "node_modules/left-pad", "web/node_modules/dep"] {
        let time =
            |root: &std::path::Path| fs::metadata(root.join(folder)).map(|f| (f.mtime(), f.mtime_nsec())).unwrap();
        assert_eq!(time(&worktree), time(&room.repo()), "{folder}");
    }
    is_complete(&room, &worktree);
}

#[test]
fn no_ignored_leaves_them_out() {
    let room = artefacts();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &["--no-ignored"]).succeeds();
    assert!(!worktree.join("node_modules").exists() && !worktree.join("local.env").exists());
}

#[test]
fn settings_add_and_take_away() {
    let room = artefacts();
    room.user_config("[hydrate]\ninclude = [\"build\"]\nexclude = [\"big.bin\", \"web/\"]\n");
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert!(worktree.join("build/out").exists() && worktree.join("node_modules/left-pad/index.js").exists());
    assert!(!worktree.join("node_modules/left-pad/big.bin").exists() && !worktree.join("web").exists());
}

#[test]
fn a_path_reaches_into_a_folder_that_stays() {
    let room = artefacts();
    room.write("vendor/cache/x", "1\n");
    room.write("vendor/other/x.env", "1\n");
    room.write(".worktreeinclude", "vendor/cache/\n*.env\n");
    room.commit("other rules");
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert!(worktree.join("vendor/cache/x").exists() && worktree.join("local.env").exists());
    assert!(!worktree.join("vendor/other").exists() && !worktree.join("node_modules").exists());
    is_complete(&room, &worktree);
}

#[test]
fn links_stay_links_and_lead_wherever_they_led() {
    let room = artefacts();
    fs::create_dir(room.path().join("outside")).unwrap();
    fs::write(room.path().join("outside/file"), "outside\n").unwrap();
    for (link, to) in [("out", "../../outside"), ("absolute", "/etc/hostname"), ("loop", "loop"), ("gone", "nowhere")] {
        std::os::unix::fs::symlink(to, room.repo().join("node_modules").join(link)).unwrap();
    }
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["skipped"], serde_json::json!([]));
    for link in ["out", "absolute", "loop", "gone"] {
        let read = |root: &std::path::Path| fs::read_link(root.join("node_modules").join(link)).unwrap();
        assert_eq!(read(&worktree), read(&room.repo()));
    }
}

#[test]
fn pipes_sockets_and_repositories_are_named_and_stay() {
    let room = artefacts();
    room.run("mkfifo", &["node_modules/pipe"]).succeeds();
    let _socket = std::os::unix::net::UnixListener::bind(room.repo().join("node_modules/socket")).unwrap();
    room.git(&["init", "-q", "node_modules/nested"]);
    room.git(&["worktree", "add", "-q", "--detach", "node_modules/inner"]);
    let worktree = room.repo().join("node_modules/deep/new");
    room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap()]);
    assert!(fs::symlink_metadata(room.repo().join("node_modules/pipe")).unwrap().file_type().is_fifo());
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    let mut named: Vec<&str> =
        answer["skipped"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
    named.retain(|path| *path != "node_modules/deep/new");
    assert_eq!(named, ["node_modules/inner", "node_modules/nested", "node_modules/pipe", "node_modules/socket"]);
    assert!(worktree.join("node_modules/left-pad/index.js").exists());
    for left in ["inner", "nested", "pipe", "socket", "deep/new"] {
        assert!(!worktree.join("node_modules").join(left).exists(), "{left}");
    }
}

#[test]
fn what_the_target_tracks_or_does_not_ignore_is_left_alone() {
    let room = artefacts();
    // Here 'build/out' is tracked, and '*.env' is not ignored.
    let other = bare_worktree(&room, "other", "HEAD");
    room.write_in(&other, ".gitignore", "node_modules/\n/build\n");
    room.write_in(&other, ".worktreeinclude", "build/\nlocal.env\n");
    room.write_in(&other, "build/out", "tracked\n");
    room.git_in(&other, &["add", "-f", "build/out", ".gitignore", ".worktreeinclude"]);
    room.git_in(&other, &["commit", "-qm", "other"]);
    let commit = room.git_in(&other, &["rev-parse", "HEAD"]);
    room.write("build/more", "ignored in both\n");
    let worktree = bare_worktree(&room, "new", &commit);
    let from = room.repo();
    let answer = hydrate(&room, &worktree, &["--json", "--from", from.to_str().unwrap()]).succeeds().json();
    assert_eq!(fs::read_to_string(worktree.join("build/out")).unwrap(), "tracked\n");
    assert!(worktree.join("build/more").exists() && !worktree.join("local.env").exists());
    let skipped = answer["skipped"].to_string();
    assert!(skipped.contains("build/out") && skipped.contains("local.env"), "{skipped}");
    is_complete(&room, &worktree);
}

#[test]
fn a_read_only_folder_comes_along() {
    let room = artefacts();
    room.run("chmod", &["555", "node_modules/left-pad"]).succeeds();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(fs::metadata(worktree.join("node_modules/left-pad")).unwrap().mode() & 0o777, 0o555);
    assert!(worktree.join("node_modules/left-pad/index.js").exists());
    // So that the room can be removed by any user.
    room.run_in(room.path(), "chmod", &["-R", "u+w", "repo", "new"]).succeeds();
}
