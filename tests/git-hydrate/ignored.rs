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

#[test]
fn a_socket_or_pipe_at_the_top_that_was_asked_for_is_named() {
    let room = artefacts();
    room.write(".worktreeinclude", "*.sock\n/pipe\nother.env\n");
    room.write(".gitignore", "*.env\n*.sock\n/pipe\n");
    room.commit("sockets");
    let _sockets = ["a.sock", "b"].map(|name| std::os::unix::net::UnixListener::bind(room.repo().join(name)).unwrap());
    room.run("mkfifo", &["pipe"]).succeeds();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    let skipped = serde_json::json!([
        { "path": "a.sock", "reason": "it is a socket" }, { "path": "pipe", "reason": "it is a pipe" },
    ]);
    assert_eq!(answer["skipped"], skipped);
    assert!(worktree.join("other.env").exists());
}

/// Writes whole versions of a file, each of one letter, in place, until it is told to stop.
fn writer(path: std::path::PathBuf, size: usize, stop: &std::sync::atomic::AtomicBool) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(&path).unwrap();
    for letter in (b'a'..=b'z').cycle() {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        file.write_all_at(&vec![letter; size], 0).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(u64::from(letter - b'a') * 40));
    }
}

#[test]
fn a_file_that_is_written_meanwhile_is_whole_or_named() {
    let room = artefacts();
    // One that comes and goes besides.
    let come_and_go = room.repo().join("node_modules/comes-and-goes");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sizes = [("small", 3000), ("middle", 60_000), ("large", 24 << 20)];
    std::thread::scope(|scope| {
        for (name, size) in sizes {
            let path = room.repo().join("node_modules").join(name);
            fs::write(&path, vec![b'0'; size]).unwrap();
            let stop = &stop;
            scope.spawn(move || writer(path, size, stop));
        }
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(&come_and_go, "here").unwrap();
                let _ = fs::remove_file(&come_and_go);
            }
        });
        for n in 0..12 {
            let worktree = bare_worktree(&room, &format!("new{n}"), "HEAD");
            let ran = hydrate(&room, &worktree, &["--json"]);
            // Before anything may fail: the writers would never end.
            if n == 11 || ran.code != 0 {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            let answer = ran.json();
            let named: Vec<&str> =
                answer["skipped"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
            for (name, size) in sizes {
                let found = fs::read(worktree.join("node_modules").join(name));
                let is_named = named.contains(&format!("node_modules/{name}").as_str());
                let is_whole = found.as_ref().is_ok_and(|f| f.len() == size && f.iter().all(|b| *b == f[0]));
                if is_whole == is_named {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("{name}: {is_whole} {is_named} {named:?}");
                }
            }
        }
    });
}

#[test]
fn few_descriptors_are_enough_for_a_deep_and_wide_tree() {
    let room = artefacts();
    let mut deep = room.repo().join("node_modules");
    for n in 0..100 {
        deep = deep.join(format!("level-{n}"));
        fs::create_dir_all(deep.join("side")).unwrap();
        fs::write(deep.join("side/file"), format!("{n}\n")).unwrap();
    }
    for n in 0..300 {
        room.write(&format!("node_modules/wide/{n}/file"), "wide\n");
        let twin = room.repo().join(format!("node_modules/wide/{n}/twin"));
        fs::hard_link(room.repo().join("node_modules/left-pad/index.js"), twin).unwrap();
    }
    age(&room, &room.repo());
    let worktree = bare_worktree(&room, "new", "HEAD");
    let program = suite_tests::program_folder().join("git-hydrate");
    let line = format!("ulimit -n 64 && '{}' --json --relink", program.display());
    let answer = room.run_in(&worktree, "sh", &["-c", &line]).succeeds().json();
    assert_eq!(answer["ignored"]["linked"], 300);
    let mut wanted = snapshot(&room.repo());
    wanted.retain(|path, _| !["other.env", "build/out"].map(std::path::Path::new).contains(&path.as_path()));
    assert_eq!(snapshot(&worktree), wanted);
    is_complete(&room, &worktree);
}

#[test]
fn a_path_longer_than_one_call_takes_comes_along() {
    let room = artefacts();
    // 40 folders of 200 letters: more than 4,096 bytes, made and compared step by step.
    let name = "x".repeat(200);
    let make = format!(
        "cd node_modules && for n in $(seq 40); do mkdir {name} && cd -P {name} || exit 1; done; echo deep > file"
    );
    room.run("sh", &["-c", &make]).succeeds();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["skipped"], serde_json::json!([]));
    let read = format!("cd node_modules && for n in $(seq 40); do cd -P {name} || exit 1; done; cat file");
    room.run_in(&worktree, "sh", &["-c", &read]).succeeds().prints("deep\n");
    // No path to it is short enough for what removes the room.
    for root in ["repo", "new"] {
        room.run_in(room.path(), "rm", &["-rf", &format!("{root}/node_modules")]).succeeds();
    }
}
