//! Filling gives what `git worktree add` gives, whatever the repository is like.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use suite_tests::{Ran, Sandbox};

use crate::room::{Mount, bare_worktree, commit_aged, contents, hydrate, is_complete, varied, vary};

/// Fills a worktree and has git make another one; both must be the same in all that git tells of them.
#[track_caller]
pub(crate) fn equals_worktree_add(room: &Sandbox, revision: &str) -> Value {
    equals_worktree_add_beside(room, &room.repo(), revision)
}

/// The same for a repository that lies elsewhere.
#[track_caller]
fn equals_worktree_add_beside(room: &Sandbox, repo: &Path, revision: &str) -> Value {
    let (plain, filled, answer) = both(room, repo, revision);
    assert_eq!(contents(&filled), contents(&plain));
    tell_the_same(room, &filled, &plain);
    is_complete(room, &filled);
    answer
}

/// Makes both worktrees.
#[track_caller]
fn both(room: &Sandbox, repo: &Path, revision: &str) -> (PathBuf, PathBuf, Value) {
    let (plain, filled) = (repo.with_file_name("plain"), repo.with_file_name("filled"));
    room.git_in(repo, &["worktree", "add", "-q", "--detach", plain.to_str().unwrap(), revision]);
    room.git_in(repo, &["worktree", "add", "-q", "--detach", "--no-checkout", filled.to_str().unwrap(), revision]);
    let answer = hydrate(room, &filled, &["--json", "--from", repo.to_str().unwrap()]).succeeds().json();
    (plain, filled, answer)
}

/// Git says the same about both.
#[track_caller]
fn tell_the_same(room: &Sandbox, filled: &Path, plain: &Path) {
    let questions: [&[&str]; 6] = [
        &["status", "--porcelain=v2", "-z", "--untracked-files=all"],
        &["ls-files", "-s", "-z"],
        &["ls-files", "-v", "-z"],
        &["diff-files", "--name-only", "-z"],
        &["sparse-checkout", "list"],
        &["update-index", "--show-index-version"],
    ];
    for question in questions {
        let ask = |folder| {
            let Ran { code, stdout, .. } = room.run_in(folder, "git", question);
            (code, stdout)
        };
        assert_eq!(ask(filled), ask(plain), "git {question:?}");
    }
    let flags = |folder| -> Vec<String> {
        let all = room.git_in(folder, &["-c", "core.quotePath=true", "ls-files", "--debug", "--", ":!vendor/library"]);
        let telling = |line: &&str| !line.contains("time: ") && !line.contains("dev: ") && !line.contains("uid: ");
        all.lines().filter(telling).map(str::to_owned).collect()
    };
    // Of a submodule git compares nothing but its commit.
    assert_eq!(flags(filled), flags(plain), "sizes and flags in the index");
}

/// Files that line ends, keywords and encodings concern.
fn texts(room: &Sandbox, folder: &Path) {
    room.write_in(folder, "lf.txt", "one\ntwo\n");
    room.write_in(folder, "deep/crlf.txt", "one\r\ntwo\r\n");
    room.write_in(folder, "deep/mixed.txt", "one\r\ntwo\nthree\r");
    room.write_in(folder, "no-end.txt", "one\ntwo");
    room.write_in(folder, "id.c", "/* $Id$ */\n/* $Id: old $ */\n");
    room.write_in(folder, "data.bin", "a\0b\n\r\n");
    fs::write(folder.join("wide.u16"), b"w\0i\0d\0e\0\n\0").unwrap();
}

/// A repository with files of all kinds and these attributes.
fn with_attributes(attributes: &str) -> Sandbox {
    let room = Sandbox::new();
    vary(&room, &room.repo());
    texts(&room, &room.repo());
    room.write(".gitattributes", attributes);
    commit_aged(&room, &room.repo());
    room
}

#[test]
fn with_autocrlf() {
    let room = with_attributes("*.bin binary\n");
    room.git(&["config", "core.autocrlf", "true"]);
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn with_automatic_text_and_crlf() {
    let room = with_attributes("* text=auto eol=crlf\n*.bin binary\n");
    let answer = equals_worktree_add(&room, "HEAD");
    assert!(answer["tracked"]["checked_out"].as_u64() > Some(20), "{answer}");
}

#[test]
fn with_ident() {
    let room = with_attributes("*.c ident\n");
    equals_worktree_add(&room, "HEAD");
    assert!(fs::read_to_string(room.path().join("filled/id.c")).unwrap().starts_with("/* $Id: "));
}

#[test]
fn with_an_encoding_of_the_working_tree() {
    let room = with_attributes("*.u16 text working-tree-encoding=UTF-16LE eol=lf\n");
    assert_eq!(room.git(&["show", "HEAD:wide.u16"]), "wide");
    equals_worktree_add(&room, "HEAD");
}

#[test]
fn with_a_filter_of_the_repository_once_it_is_trusted() {
    let room = with_attributes("");
    for side in ["clean", "smudge"] {
        room.git(&["config", &format!("filter.rot.{side}"), "tr a-zA-Z n-za-mN-ZA-M"]);
    }
    room.git(&["config", "filter.rot.required", "true"]);
    room.write(".gitattributes", "*.rot filter=rot\n");
    room.write("deep/a.rot", "hello\n");
    commit_aged(&room, &room.repo());
    let worktree = bare_worktree(&room, "untrusted", "HEAD");
    hydrate(&room, &worktree, &[]).exits(128).warns("git task trust");
    room.run("git-task", &["trust", "--yes"]).succeeds();
    equals_worktree_add(&room, "HEAD");
    assert_eq!(room.git(&["show", "HEAD:deep/a.rot"]), "uryyb");
    assert_eq!(fs::read_to_string(room.path().join("filled/deep/a.rot")).unwrap(), "hello\n");
}

/// A program that speaks git's long-running filter protocol: blobs are pointers, the content is in a store.
const LARGE_FILES: &str = r#"
import hashlib, os, sys
store, log = sys.argv[1], sys.argv[2]
with open(log, "a") as out:
    out.write("started\n")
inp, out = sys.stdin.buffer, sys.stdout.buffer
def packet():
    size = inp.read(4)
    if len(size) < 4: sys.exit(0)
    size = int(size, 16)
    return None if size == 0 else inp.read(size - 4)
def until_flush():
    while (one := packet()) is not None: yield one
def say(*lines):
    for line in lines: out.write(b"%04x" % (len(line) + 4) + line)
    out.write(b"0000"); out.flush()
list(until_flush()); say(b"git-filter-server\n", b"version=2\n")
list(until_flush()); say(b"capability=clean\n", b"capability=smudge\n")
while True:
    head = dict(line.rstrip(b"\n").split(b"=", 1) for line in until_flush())
    data = b"".join(until_flush())
    if head[b"command"] == b"clean":
        name = hashlib.sha256(data).hexdigest()
        with open(os.path.join(store, name), "wb") as file: file.write(data)
        data = b"pointer " + name.encode() + b"\n"
    elif data.startswith(b"pointer "):
        with open(os.path.join(store, data[8:-1].decode()), "rb") as file: data = file.read()
    say(b"status=success\n")
    for at in range(0, len(data), 65000):
        piece = data[at:at + 65000]
        out.write(b"%04x" % (len(piece) + 4) + piece)
    out.write(b"0000"); say()
"#;

#[test]
fn with_large_files_behind_pointers_and_one_filter_process() {
    let room = Sandbox::new();
    if room.run("python3", &["--version"]).code != 0 {
        return suite_tests::skip("a filter process", "there is no python3");
    }
    room.write_in(room.path(), "large-files.py", LARGE_FILES);
    fs::create_dir(room.path().join("store")).unwrap();
    let log = room.path().join("started.log");
    let own = |name: &str| room.path().join(name).display().to_string();
    let process = format!("python3 '{}' '{}' '{}'", own("large-files.py"), own("store"), log.display());
    room.git(&["config", "--global", "filter.large.process", &process]);
    room.git(&["config", "--global", "filter.large.required", "true"]);
    room.write(".gitattributes", "*.big filter=large -text\n");
    vary(&room, &room.repo());
    for n in 0..12 {
        room.write(&format!("media/{n}.big"), &format!("{n} large ").repeat(n * 3000 + 1));
    }
    commit_aged(&room, &room.repo());
    assert!(room.git(&["show", "HEAD:media/3.big"]).starts_with("pointer "));
    fs::remove_file(&log).unwrap();
    let worktree = bare_worktree(&room, "once", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(fs::read_to_string(&log).unwrap(), "started\n", "one process for all files");
    equals_worktree_add(&room, "HEAD");
    assert_eq!(fs::read(room.path().join("filled/media/11.big")).unwrap().len(), "11 large ".len() * 33_001);
}

#[test]
fn with_a_sparse_checkout_by_folders() {
    let room = varied();
    room.git(&["sparse-checkout", "set", "--cone", "src/d1", "a b"]);
    equals_worktree_add(&room, "HEAD");
    assert!(!room.path().join("filled/src/d2").exists() && room.path().join("filled/src/d1/f1.c").exists());
}

#[test]
fn with_a_sparse_checkout_by_patterns() {
    let room = varied();
    room.git(&["sparse-checkout", "set", "--no-cone", "/*", "!*.c", "f1*.c", "!/big"]);
    equals_worktree_add(&room, "HEAD");
    assert!(!room.path().join("filled/src/d2/f2.c").exists() && room.path().join("filled/src/d1/f1.c").exists());
}

#[test]
fn with_submodules() {
    let room = varied();
    let library = room.path().join("library");
    room.git(&["init", "-q", library.to_str().unwrap()]);
    room.write_in(&library, "lib.c", "int lib;\n");
    room.commit_in(&library, "library");
    room.git(&["config", "--global", "protocol.file.allow", "always"]);
    room.git(&["submodule", "--quiet", "add", library.to_str().unwrap(), "vendor/library"]);
    commit_aged(&room, &room.repo());
    let (plain, filled, _) = both(&room, &room.repo(), "HEAD");
    let below = |path: &PathBuf| path.starts_with("vendor/library");
    let without = |folder: &Path| {
        let mut all = contents(folder);
        all.retain(|path, _| !below(path));
        all
    };
    assert_eq!(without(&filled), without(&plain));
    tell_the_same(&room, &filled, &plain);
    // Empty as git leaves it, or populated as git would populate it.
    assert!(filled.join("vendor/library").is_dir());
    if filled.join("vendor/library/lib.c").exists() {
        room.git_in(&plain, &["submodule", "--quiet", "update", "--init"]);
        assert_eq!(contents(&filled.join("vendor/library")), contents(&plain.join("vendor/library")));
        tell_the_same(&room, &filled, &plain);
    }
    is_complete(&room, &filled);
}

#[test]
fn with_sha256() {
    let room = Sandbox::empty();
    room.git(&["init", "-q", "--object-format=sha256"]);
    vary(&room, &room.repo());
    commit_aged(&room, &room.repo());
    let answer = equals_worktree_add(&room, "HEAD");
    assert_eq!(answer["tracked"]["checked_out"], 0);
}

/// The donor's index is written once more under these settings, which stay.
fn with_settings(settings: &[(&str, &str)]) -> Value {
    let room = varied();
    for (key, value) in settings {
        room.git(&["config", key, value]);
    }
    room.git(&["update-index", "--really-refresh"]);
    room.git(&["update-index", "--force-write-index"]);
    room.git(&["status"]);
    let answer = equals_worktree_add(&room, "HEAD");
    // What the settings mean goes on: an index that git rewrites says the same.
    let filled = room.path().join("filled");
    room.git_in(&filled, &["update-index", "--force-write-index"]);
    is_complete(&room, &filled);
    answer
}

#[test]
fn with_a_split_index() {
    let answer = with_settings(&[("core.splitIndex", "true")]);
    assert_eq!(answer["tracked"]["checked_out"], 0, "{answer}");
}

#[test]
fn with_an_untracked_cache() {
    let answer = with_settings(&[("core.untrackedCache", "true")]);
    assert_eq!(answer["tracked"]["checked_out"], 0, "{answer}");
}

#[test]
fn with_an_index_of_version_four() {
    let answer = with_settings(&[("index.version", "4")]);
    assert_eq!(answer["tracked"]["checked_out"], 0, "{answer}");
}

#[test]
fn with_settings_for_many_files() {
    let answer = with_settings(&[("feature.manyFiles", "true")]);
    assert_eq!(answer["tracked"]["checked_out"], 0, "{answer}");
}

#[test]
fn with_an_index_without_a_hash() {
    let answer = with_settings(&[("index.skipHash", "true")]);
    assert_eq!(answer["tracked"]["checked_out"], 0, "{answer}");
}

#[test]
fn with_ten_thousand_files_in_a_folder() {
    let room = Sandbox::new();
    // Quicker on a disk of its own, but not another matter elsewhere.
    let mount = Mount::new(&room, "ten thousand files on xfs", "xfs", 600);
    let repo = mount.as_ref().map_or(room.path(), Mount::path).join("large");
    room.git(&["init", "-q", repo.to_str().unwrap()]);
    fs::create_dir(repo.join("many")).unwrap();
    for n in 0..10_000 {
        fs::write(repo.join(format!("many/{n}")), format!("{n}\n")).unwrap();
    }
    commit_aged(&room, &repo);
    let answer = equals_worktree_add_beside(&room, &repo, "HEAD");
    assert_eq!(answer["tracked"]["copied"], 10_000, "{answer}");
}

#[test]
fn with_names_of_all_kinds() {
    let room = varied();
    let long = "n".repeat(255);
    let odd: [&[u8]; 16] = [
        b"new\nline\n",
        b"\n",
        b"tab\there",
        b"quote\"back\\slash",
        b" leading and trailing ",
        b"bell\x07\x1b[31m",
        b"\xff\xfe\x80",
        b"\xc0\xaf..\xc0\xaf",
        long.as_bytes(),
        b"--end-of-options",
        b"-",
        b"...",
        b"con.txt.",
        b"\xe2\x80\xae\xef\xbb\xbf",
        b":(glob)*",
        b"*?[a]!#",
    ];
    for (n, name) in odd.iter().enumerate() {
        let name = OsString::from_vec(name.to_vec());
        fs::write(room.repo().join(&name), format!("{n}\n")).unwrap();
        let folder = room.repo().join("folders").join(&name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(&name), format!("in {n}\n")).unwrap();
        std::os::unix::fs::symlink(&name, folder.join("link")).unwrap();
    }
    commit_aged(&room, &room.repo());
    let answer = equals_worktree_add(&room, "HEAD");
    assert_eq!(answer["tracked"]["checked_out"], 0, "{answer}");
}

#[test]
fn with_paths_as_long_as_git_can_have_them() {
    let room = Sandbox::new();
    // Some 4,080 bytes from the worktree's folder, more than 4,096 in full: only relative names reach it.
    let deep = format!("{}/{}", vec!["d".repeat(254); 15].join("/"), "e".repeat(250));
    let script = "import os, sys\nfor part in sys.argv[1].split('/'):\n    os.makedirs(part, exist_ok=True)\n    \
                  os.chdir(part)\nopen('f', 'w').write('deep\\n')";
    if room.run("python3", &["-c", script, &deep]).code != 0 {
        return suite_tests::skip("very long paths", "they cannot be made here");
    }
    commit_aged(&room, &room.repo());
    let (plain, filled, answer) = both(&room, &room.repo(), "HEAD");
    assert_eq!(answer["tracked"]["files"], 2, "{answer}");
    let list = |folder: &Path| {
        let all = "find . -path ./.git -prune -o -type f -printf '%m %s %p\\n' | sort";
        room.run_in(folder, "sh", &["-c", all]).succeeds().stdout
    };
    assert_eq!(list(&filled), list(&plain));
    assert!(list(&filled).lines().any(|line| line.len() > 4070));
    tell_the_same(&room, &filled, &plain);
    is_complete(&room, &filled);
}

#[test]
fn with_names_that_differ_in_case_and_case_ignored() {
    let room = varied();
    room.git(&["config", "core.ignoreCase", "true"]);
    room.git(&["config", "core.precomposeUnicode", "true"]);
    for name in ["Makefile", "src2/A/x", "src2/a/y", "\u{e9}", "e\u{301}"] {
        room.write(name, &format!("{name}\n"));
    }
    commit_aged(&room, &room.repo());
    equals_worktree_add(&room, "HEAD");
}
