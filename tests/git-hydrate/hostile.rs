use std::fs;
use std::process::Stdio;

use suite_tests::Sandbox;

use crate::room::{bare_worktree, contents, hydrate};

/// Makes a commit of a tree that is written by hand, past all of git's checks.
fn hand_made(room: &Sandbox, entries: &[(&str, &[u8], &str)]) -> String {
    let mut tree = Vec::new();
    for (mode, name, id) in entries {
        tree.extend_from_slice(mode.as_bytes());
        tree.push(b' ');
        tree.extend_from_slice(name);
        tree.push(0);
        for at in (0..id.len()).step_by(2) {
            tree.push(u8::from_str_radix(&id[at..at + 2], 16).unwrap());
        }
    }
    let mut child = room
        .command("git")
        .args(["hash-object", "-t", "tree", "-w", "--stdin", "--literally"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &tree).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

fn blob(room: &Sandbox, text: &str) -> String {
    room.write("../blob", text);
    room.git(&["hash-object", "-w", "../blob"])
}

/// Says whether a message names one of the entries; an empty name has no words of its own.
fn names_one(message: &str, entries: &[(&str, &[u8], &str)]) -> bool {
    entries.iter().any(|(_, name, _)| message.contains(&*String::from_utf8_lossy(name)))
}

/// Every hostile tree is refused or harmless: nothing outside the worktree is written, whatever it holds.
#[test]
fn nothing_outside_is_written_whatever_the_tree_holds() {
    let room = Sandbox::new();
    let evil = blob(&room, "#!/bin/sh\ntouch canary\n");
    let out = blob(&room, "../outside");
    let dot_git = blob(&room, ".git");
    let file = ("100755", b"x".as_slice(), evil.as_str());
    let inner = hand_made(&room, &[file]);
    let hooks = hand_made(&room, &[("40000", b"hooks", &inner)]);
    let trees: Vec<Vec<(&str, &[u8], &str)>> = vec![
        vec![("40000", b".git", &hooks)],
        vec![("40000", b".GIT", &hooks)],
        vec![("40000", b".gIt", &hooks)],
        vec![("100644", b".git", &evil)],
        vec![("120000", b".git", &out)],
        vec![("40000", b"..", &inner)],
        vec![("100644", b"..", &evil)],
        vec![("40000", b".", &inner)],
        vec![("100644", b"../outside/x", &evil)],
        vec![("100644", b"/tmp/git-hydrate-hostile-x", &evil)],
        vec![("100644", b"a/../../outside/x", &evil)],
        vec![("100644", b".git/hooks/x", &evil)],
        vec![("100644", b"", &evil)],
        vec![("120000", b"a", &out), ("40000", b"a", &inner)],
        vec![("40000", b"a", &inner), ("120000", b"a", &out)],
        vec![("100644", b"a", &evil), ("100644", b"a", &out)],
        vec![("120000", b"a", &dot_git), ("40000", b"a", &hooks)],
        vec![("120000", b"a", &out), ("100644", b"a/x", &evil)],
        vec![("40000", b"GIT~1", &hooks), ("40000", b"git~1", &hooks)],
        vec![("160000", b"..", &evil)],
        vec![("160000", b".git", &evil)],
    ];
    let outside = room.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for (n, entries) in trees.iter().enumerate() {
        let tree = hand_made(&room, entries);
        let commit = room.git(&["commit-tree", "-m", "hostile", &tree]);
        let worktree = room.path().join(format!("w{n}"));
        room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap(), &commit]);
        let ran = hydrate(&room, &worktree, &[]);
        // Of two entries of one name git keeps one; everything else is refused before the first file.
        if ran.code != 0 || !(13..18).contains(&n) {
            assert!(ran.code == 128 && ran.stderr.starts_with("error: "), "{n}: {}", ran.stderr);
            assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1, "{n}: {}", ran.stderr);
            assert!(names_one(&ran.stderr, entries), "{n} names no path: {}", ran.stderr);
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{n}");
        assert!(fs::read_to_string(worktree.join(".git")).unwrap().starts_with("gitdir: "), "{n}");
        assert!(!room.repo().join(".git/hooks/x").exists(), "{n}");
    }
    assert!(!fs::exists("/tmp/git-hydrate-hostile-x").unwrap());
}

#[test]
fn a_link_in_the_tree_is_made_and_not_followed() {
    let room = Sandbox::new();
    fs::create_dir(room.path().join("outside")).unwrap();
    std::os::unix::fs::symlink("../outside", room.repo().join("escape")).unwrap();
    room.write(".gitignore", "escape2/\n");
    room.write(".worktreeinclude", "escape2/\n");
    room.commit("a link");
    // Ignored in the donor as a folder, a link in the target's tree.
    room.write("escape2/file", "artefact\n");
    let other = room.path().join("other");
    room.git(&["worktree", "add", "-q", "--detach", other.to_str().unwrap()]);
    std::os::unix::fs::symlink("../outside", other.join("escape2")).unwrap();
    room.git_in(&other, &["add", "-f", "escape2"]);
    let commit = room.commit_in(&other, "a link in place of an artefact");
    let worktree = room.path().join("new");
    room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap(), &commit]);
    let from = room.repo();
    hydrate(&room, &worktree, &["--from", from.to_str().unwrap()]).succeeds();
    assert_eq!(fs::read_dir(room.path().join("outside")).unwrap().count(), 0);
    assert!(fs::symlink_metadata(worktree.join("escape2")).unwrap().is_symlink());
}

/// Names that are `.git` to a file system of Windows or macOS, and links that git reads as its own files.
const LOOK_ALIKES: [(&str, &[u8]); 18] = [
    ("40000", b"git~1"),
    ("40000", b"GIT~1"),
    ("40000", b".git "),
    ("40000", b".git."),
    ("40000", b".git. ."),
    ("40000", b".git::$INDEX_ALLOCATION"),
    ("100644", b".git:stream"),
    ("40000", b".git\\hooks"),
    ("40000", b".g\xe2\x80\x8cit"),
    ("40000", b".\xe2\x80\x8egit"),
    ("40000", b".gi\xef\xbb\xbft"),
    ("40000", b"\xe2\x81\xaf.git"),
    ("120000", b".gitmodules"),
    ("120000", b".GITMODULES"),
    ("120000", b"gitmod~1"),
    ("120000", b".gitmodules "),
    ("120000", b".gitattributes"),
    ("120000", b".gitignore"),
];

#[test]
fn look_alikes_of_git_are_refused_as_git_refuses_them() {
    let room = Sandbox::new();
    let evil = blob(&room, "../outside");
    let inner = hand_made(&room, &[("100644", b"x", &evil)]);
    let hooks = hand_made(&room, &[("40000", b"hooks", &inner)]);
    let (mut refused, mut equal) = (0, 0);
    for (which, settings) in ["protectHFS=true", "protectHFS=false", "protectNTFS=false"].iter().enumerate() {
        let (key, value) = settings.split_once('=').unwrap();
        room.git(&["config", &format!("core.{key}"), value]);
        for (n, (mode, name)) in LOOK_ALIKES.iter().enumerate() {
            let id = if *mode == "40000" { &hooks } else { &evil };
            let tree = hand_made(&room, &[(mode, name, id)]);
            let commit = room.git(&["commit-tree", "-m", "hostile", &tree]);
            let index = format!("GIT_INDEX_FILE={}", room.path().join("try").display());
            let git_takes_it = room.run("env", &[&index, "git", "read-tree", &tree]).code == 0;
            let worktree = bare_worktree(&room, &format!("w{which}-{n}"), &commit);
            let ran = hydrate(&room, &worktree, &[]);
            let shown = String::from_utf8_lossy(name).into_owned();
            if git_takes_it {
                equal += 1;
                assert_eq!(ran.code, 0, "{shown:?}: {}", ran.stderr);
                let plain = room.path().join(format!("p{which}-{n}"));
                room.git(&["worktree", "add", "-q", "--detach", plain.to_str().unwrap(), &commit]);
                assert_eq!(contents(&worktree), contents(&plain), "{shown:?}");
            } else {
                refused += 1;
                assert_eq!(ran.code, 128, "{shown:?} with {settings}: {}", ran.stdout);
                assert_eq!(fs::read_dir(&worktree).unwrap().count(), 1, "{shown:?}");
                let harmless = |c: char| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() };
                let named: String = shown.chars().map(harmless).collect();
                assert!(ran.stderr.contains(&named), "{shown:?} is not named: {}", ran.stderr);
            }
            assert!(!room.repo().join(".git/hooks/x").exists());
        }
    }
    assert!(refused > 15 && equal > 15, "{refused} refused, {equal} taken: the names show nothing");
}
