use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::room::{Room, until};

/// Does to its repository and its files what it should not.
const RAMPAGE: &str = "\
    echo changed > README; rm -rf .gitignore; echo new > new; mkdir d; touch d/x; \
    git init -q x; git -C x commit -q --allow-empty -m x; \
    git config user.name Mallory; git config core.hooksPath /nowhere; \
    git add -A; git commit -qm evil; git branch evil; git tag evil; echo more >> README; git stash -q; \
    git update-ref refs/heads/main HEAD; git notes add -m evil HEAD; git gc -q; \
    git worktree add -q ../wt; git config --local core.bare true; touch .git/index.lock .git/HEAD.lock; true";

#[test]
fn whatever_a_check_does_with_git_reaches_nothing_of_the_users() {
    let room = Room::with(&[("rampage", RAMPAGE), ("second", "true")]);
    room.write("README", "dirty\n");
    room.write("untracked", "u\n");
    room.git(&["stash", "list"]);
    let before = room.users();
    room.validate(&["--check", "rampage"])
        .exits(1)
        .says("changed files of the tree, in its copy: '.gitignore' and 1 more");
    room.is_untouched(&before, "the user's");
    assert_eq!(room.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main\nrefs/notes/validate");
    room.git(&["fsck", "--strict"]);
    // Next time it is the tree again.
    room.validate(&["--force", "--check", "rampage"]).exits(1);
    let answer = room.validate(&["--force", "--json"]).exits(1).json();
    assert_eq!(Room::check(&answer, "rampage")["status"], "fail");
    assert_eq!(Room::check(&answer, "second")["status"], "pass", "it ran again on the tree as it is");
    room.is_untouched(&before, "the user's");
}

#[test]
fn a_slot_holds_the_tree_and_no_more_whatever_was_done_to_it() {
    let room = Room::with(&[(
        "equal",
        "test \"$(git write-tree)\" = $GIT_VALIDATE_TREE && git diff-files --quiet && test -z \"$(git status --porcelain)\" && test \"$(cat README)\" = \"$(printf 'one\\ntwo\\nthree')\" && test -z \"$(ls -A | grep -vxE '\\.git|\\.gitignore|\\.codex-agent|README')\"",
    )]);
    room.validate(&[]).succeeds();
    let slot = room.slot();
    let users = room.users();
    let git = room.repo().join(".git");
    let sh = |script: &str| {
        let script = format!("cd '{}/tree' && {script}", slot.display());
        room.run("sh", &["-c", &script]).succeeds();
    };
    for damage in [
        "echo changed > README",
        "printf 'ONE\\ntwo\\nthree\\n' > README.2 && touch -r README README.2 && cat README.2 > README && touch -r README.2 README && rm README.2",
        "rm README && mkdir README && touch README/x",
        "rm README && ln -s ../tree/.gitignore README",
        "chmod +x README",
        "mkdir -p a/b && touch a/b/c && chmod 0555 a/b a && chmod 0 a/b/c",
        "chmod 0555 . .codex-agent",
        "rm -rf .git && echo 'gitdir: /nowhere' > .git",
        "rm -rf .git",
        "rm .git/index && ln -s /dev/null .git/index",
        "touch .git/index.lock ../index.lock",
        "git update-index --assume-unchanged README && echo changed > README",
        "git update-index --skip-worktree README && rm README",
        "echo garbage > .git/index",
        "echo garbage > ../index",
        "rm ../index",
        "echo garbage > .git/config; echo garbage > .git/HEAD",
        "git init -q nested && git -C nested commit -q --allow-empty -m x",
        "mkdir -p .git/hooks && printf '#!/bin/sh\\nexit 1\\n' > .git/hooks/post-checkout && chmod +x .git/hooks/post-checkout",
        "cd .. && rm -rf tree",
        "cd .. && rm -rf tree && touch tree",
        "touch \"$(printf 'odd\\nname')\" -- -x && mkfifo pipe",
        "mkfifo .gitattributes d.gitignore && mkdir e && mkfifo e/.gitignore e/.gitattributes",
        "rm .gitignore && mkfifo .gitignore",
        "rm README && mkfifo README",
        "rm .codex-agent/config.toml && mkfifo .codex-agent/config.toml .codex-agent/.gitignore && echo x > README",
    ] {
        sh(damage);
        let ran = room.run("timeout", &["30", "git-validate", "--force"]);
        assert_eq!(ran.code, 0, "after {damage}: {}{}", ran.stdout, ran.stderr);
        room.is_untouched(&users, damage);
    }
    // Links to the user's own repository are the worst that can lie there.
    for link in [
        format!("rm -rf .git && ln -s '{}' .git", git.display()),
        format!("rm -f .git/config && ln -s '{}/config' .git/config", git.display()),
        format!("rm -f .git/index && ln -s '{}/index' .git/index", git.display()),
        format!("rm -f ../index && ln -s '{}/index' ../index", git.display()),
        format!("cd .. && rm -rf tree && ln -s '{}' tree", room.repo().display()),
    ] {
        sh(&link);
        let ran = room.validate(&["--force"]);
        room.is_untouched(&users, &link);
        assert_eq!(ran.code, 0, "after {link}: {}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn what_git_ignores_stays_and_the_rest_goes() {
    let room = Room::with(&[("warm", "ls build > ../saw 2>&1; mkdir -p build; touch build/object leftover")]);
    room.validate(&[]).succeeds();
    room.write("README", "other\n");
    room.commit("other");
    room.validate(&[]).succeeds();
    assert_eq!(fs::read_to_string(room.slot().join("saw")).unwrap(), "object\n");
}

#[test]
fn unchanged_files_keep_their_times() {
    let room = Room::with(&[("times", "stat -c '%n %y %i' README >> ../times")]);
    room.validate(&[]).succeeds();
    room.write("other", "other\n");
    room.commit("other");
    room.validate(&[]).succeeds();
    let times = fs::read_to_string(room.slot().join("times")).unwrap();
    let lines: Vec<&str> = times.lines().collect();
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn many_files_left_behind_are_removed() {
    let room = Room::with(&[("litter", "mkdir -p l && cd l && seq 1 20000 | xargs touch")]);
    room.validate(&[]).succeeds();
    room.validate(&["--force"]).succeeds();
    room.configure(&[("clean", "! test -e l")], "");
    room.validate(&[]).succeeds();
}

#[test]
fn two_trees_are_judged_at_once_in_two_worktrees() {
    let room = Room::new();
    let meet = room.path().join("meet");
    fs::create_dir(&meet).unwrap();
    let script = format!(
        "touch '{0}'/$(cat README); n=0; until [ -e '{0}/main' ] && [ -e '{0}/linked' ]; do sleep 0.02; n=$((n+1)); [ $n -lt 500 ] || exit 1; done",
        meet.display()
    );
    room.write("README", "main\n");
    room.configure(&[("meet", &script)], "");
    room.commit("settings");
    let linked = room.path().join("linked");
    room.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    room.write_in(&linked, "README", "linked\n");
    room.commit_in(&linked, "linked");
    let first = room.start(&[]);
    let second = room.start(&["-C", linked.to_str().unwrap()]);
    room.end(first).succeeds();
    room.end(second).succeeds();
    assert_eq!((room.verdict("main"), room.verdict("linked")), ("pass".into(), "pass".into()));
}

#[test]
fn a_slot_is_for_this_user_alone() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&[]).succeeds();
    let mode = fs::metadata(room.slot()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_git_that_survives_a_killed_run_keeps_the_slot() {
    let room = Room::new();
    room.write(".gitattributes", "slow filter=slow\n");
    room.write("slow", "content\n");
    let (gate, open) = (room.path().join("gate"), room.path().join("open"));
    room.configure(&[("a", "test \"$(cat slow)\" = content")], "");
    room.commit("settings");
    let smudge = format!("touch '{}'; until [ -e '{}' ]; do sleep 0.02; done; cat", gate.display(), open.display());
    room.git(&["config", "filter.slow.smudge", &smudge]);
    room.git(&["config", "filter.slow.clean", "cat"]);
    room.run("git-task", &["trust", "--yes"]).succeeds();
    let mut killed = room.start(&[]);
    until("the filter", || gate.exists());
    killed.kill().unwrap();
    killed.wait().unwrap();
    let second = room.start(&["--json"]);
    until("a second slot", || room.slot().parent().unwrap().join("1").exists());
    fs::write(&open, "").unwrap();
    assert_eq!(room.end(second).succeeds().json()["verdict"], "pass");
    room.validate(&["--force"]).succeeds();
}

/// Writes down all that it sees.
const SEE: &str = "hide='-path ./.git -prune -o -path ./build -type d -prune -o'; \
    (find . $hide -perm -600 -printf '%p %y\\n'; find . $hide -type f -exec sha1sum {} +) | sort > ../seen";

#[test]
fn what_git_passes_over_is_seen_by_no_other_run() {
    let room = Room::new();
    for file in ["src/deep/file", "src/file", "a/b/c/file", "docs/file"] {
        room.write(file, "one\n");
    }
    room.write(".gitignore", "build/\n*.o\n");
    room.configure(&[("see", SEE)], "");
    room.commit("settings");
    let head = room.git(&["rev-parse", "HEAD"]);
    room.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub")]);
    room.git(&["commit", "-qm", "first"]);
    room.git(&["tag", "first"]);
    room.git(&["rm", "-rq", "docs"]);
    room.write("src/more", "two\n");
    room.git(&["add", "src/more"]);
    room.git(&["commit", "-qm", "second"]);
    // Whoever reads a pipe that looks like a file waits for ever.
    let validate = |rev: &str| room.run("timeout", &["30", "git-validate", "--force", rev]);
    let see = |rev: &str| {
        validate(rev).succeeds();
        fs::read_to_string(room.slot().join("seen")).unwrap()
    };
    let (first, second) = (see("first"), see("main"));
    for damage in [
        "printf '*\\n' > src/.gitignore; touch src/extra",
        "mkdir src/.git && touch src/.git/HEAD",
        "echo 'gitdir: /nowhere' > src/deep/.git",
        "git init -q a",
        "mkfifo a/pipe a/b/c/pipe docs/x.o",
        "mkdir -p docs/q; mkfifo docs/q/.gitignore src/.gitignore",
        "mkfifo .gitattributes src/.gitattributes a/.git",
        "mkdir new && git init -q new && rm new/.git/HEAD && mkfifo new/.git/HEAD",
        "rm .gitignore && mkfifo .gitignore",
        "chmod 0444 src/file; chmod 0555 src",
        "chmod 0200 src/file; chmod 0 a",
        "rmdir sub",
        "rmdir sub && touch sub",
        "mkdir -p sub/build && touch sub/build/x sub/x.o",
        "rm -rf build && touch build",
        "mkdir -p tmp && touch tmp/x.o tmp/y",
        "echo '* text eol=crlf' > src/.gitattributes; echo '* text eol=crlf' > .gitattributes",
        "mv src/file src/File; cp docs/file docs/FILE",
    ] {
        // As a run leaves it that was killed.
        let begin = "touch ../running; mkdir -p build docs; touch build/x";
        let script = format!("cd '{}/tree'; {begin}; {damage}", room.slot().display());
        for (rev, expected) in [("main", &second), ("first", &first), ("main", &second)] {
            room.run("sh", &["-c", &script]);
            let seen = see(rev);
            assert_eq!(&seen, expected, "{rev} after {damage}");
        }
    }
}

#[test]
fn a_pipe_that_a_check_leaves_is_waited_for_by_nobody() {
    let leave = "mkdir -p new && mkfifo new/.gitignore; mkfifo src.gitattributes .gitattributes; true";
    let room = Room::with(&[("leave", leave)]);
    room.git(&["tag", "before"]);
    room.commit("next");
    for rev in ["main", "before", "main"] {
        room.run("timeout", &["30", "git-validate", "--force", rev]).succeeds();
    }
    let fix = "fix = [\"sh\", \"-c\", \"mkdir d; mkfifo d/.gitignore; echo x > README\"]";
    room.trusted_config(&format!("[[checks]]\nname = \"a\"\ncommand = [\"grep\", \"-q\", \"x\", \"README\"]\n{fix}\n"));
    room.run("timeout", &["30", "git-validate", "--fix"]).succeeds();
}

#[test]
fn a_check_that_takes_the_tree_away_has_not_judged_it() {
    for take in ["rm -rf \"$PWD\"", "rm -f ../index; true", "cd ..; mv tree gone; ln -s \"$REPO\" tree; mkfifo gone/p"]
    {
        let room = Room::new();
        let repo = room.repo();
        room.configure(&[("take", &format!("REPO='{}'; {take}", repo.display())), ("other", "sleep 0.2")], "");
        room.commit("settings");
        let pipe = repo.join("pipe");
        room.run("mkfifo", &["pipe"]).succeeds();
        let answer = room.validate(&["--json"]).exits(1).json();
        assert_eq!(Room::check(&answer, "take")["status"], "fail", "{take}");
        assert_eq!(Room::check(&answer, "other")["status"], "pass", "{take}");
        assert!(pipe.symlink_metadata().is_ok(), "what is the user's stays");
        room.validate(&["--check", "other", "--force"]).succeeds();
    }
}

#[test]
fn a_link_out_of_the_slot_leads_nobody_to_the_users_files() {
    let room = Room::new();
    room.write("src/deep/file", "one\n");
    let link = format!("rm -rf src; ln -s '{}/src' src", room.repo().display());
    room.configure(&[("link", &link)], "");
    room.commit("settings");
    room.run("mkfifo", &["src/deep/pipe"]).succeeds();
    room.write("src/deep/untracked", "u\n");
    for _ in 0..2 {
        room.validate(&["--force"]).exits(1);
        assert!(room.repo().join("src/deep/pipe").symlink_metadata().is_ok());
        assert!(room.repo().join("src/deep/untracked").exists());
    }
}

#[test]
fn what_git_ignores_stays_beside_folders_that_only_hold_what_it_ignores() {
    let room = Room::new();
    room.write(".gitignore", "/build/\n*.o\n");
    let script = "ls build .cache tmp > ../saw 2>&1; mkdir -p build .cache tmp; touch build/object tmp/x.o; \
        echo '*' > .cache/.gitignore; touch .cache/warm; touch tmp/$(ls -A tmp | wc -l)";
    room.configure(&[("warm", script)], "");
    room.commit("settings");
    room.validate(&[]).succeeds();
    for _ in 0..2 {
        room.validate(&["--force"]).succeeds();
        let saw = fs::read_to_string(room.slot().join("saw")).unwrap();
        assert!(saw.contains("build:\nobject\n") && saw.contains(".cache:\nwarm\n"), "{saw}");
        assert!(!saw.contains("tmp:"), "what is beside the ignored goes: {saw}");
    }
}

#[test]
fn files_are_written_anew_when_only_the_rules_change() {
    let room = Room::new();
    room.write("file.txt", "one\n");
    room.configure(&[("see", "cat file.txt > ../seen; mkdir -p build; touch build/object; ls build >> ../seen")], "");
    room.write(".gitignore", "/build/\n");
    room.commit("plain");
    let seen = |arguments: &[&str]| {
        room.validate(&[&["--force"], arguments].concat()).succeeds();
        fs::read_to_string(room.slot().join("seen")).unwrap()
    };
    assert_eq!(seen(&[]), "one\nobject\n");
    room.write(".gitattributes", "*.txt eol=crlf\n");
    room.commit("attributes");
    assert_eq!(seen(&[]), "one\r\nobject\n");
    assert_eq!(seen(&["HEAD~"]), "one\nobject\n");
    room.git(&["config", "core.autocrlf", "true"]);
    assert_eq!(seen(&["HEAD~"]), "one\r\nobject\n");
    room.git(&["config", "--unset", "core.autocrlf"]);
    fs::write(room.repo().join(".git/info/attributes"), "*.txt eol=crlf\n").unwrap();
    assert_eq!(seen(&["HEAD~"]), "one\r\nobject\n");
}

#[test]
fn line_ends_that_are_not_as_the_attributes_want_them_are_no_hindrance() {
    let room = Room::new();
    room.write("file.txt", "one\r\ntwo\r\n");
    room.commit("before");
    room.write(".gitattributes", "*.txt text\n");
    room.configure(&[("see", "od -c file.txt | grep -q '\\\\r'"), ("other", "true")], "");
    room.git(&["add", ".gitattributes", ".codex-agent"]);
    room.git(&["commit", "-qm", "attributes"]);
    room.validate(&[]).succeeds();
    room.validate(&["--force"]).succeeds();
    room.configure(&[("changes", "printf 'one\\ntwo\\n' > file.txt")], "");
    room.validate(&[]).exits(1).says("changed files of the tree, in its copy: 'file.txt'");
}

#[test]
fn whatever_a_check_puts_in_the_place_of_the_slots_own_files_the_users_stay_as_they_are() {
    let room = Room::new();
    room.write("README", "begin\n");
    let file = room.path().join("victim");
    let script = format!(
        "case $(cat README) in begin) exit 0;; esac; for f in $(ls -A ..) snapshot index.lock; do \
         case $f in tree) continue;; esac; rm -rf \"../$f\"; done; \
         for f in holds ignored index index.lock lock running snapshot written; do case $(cat README) in \
         link*) ln -s '{0}' ../$f;; hard*) ln '{0}' ../$f;; pipe*) mkfifo ../$f;; folder*) mkdir -p ../$f/x;; \
         repo*) ln -s '{1}' ../$f;; esac; done",
        file.display(),
        room.repo().join(".git/index").display()
    );
    room.configure(&[("put", &script), ("other", "true")], "");
    room.commit("begin");
    fs::write(&file, "precious\n").unwrap();
    room.validate(&[]).succeeds();
    let run = |words: &[&str]| room.run("timeout", &[&["60", "git-validate"], words].concat());
    for how in ["link", "hard", "pipe", "folder", "repo"] {
        room.write("README", &format!("{how}\n"));
        room.commit(how);
        let before = room.users();
        let first = run(&["--json"]);
        assert!(first.code == 1 || first.code == 0, "{how}: {}", first.stderr);
        for rev in ["HEAD", "HEAD~1", "HEAD"] {
            let ran = run(&["--force", "--check", "other", rev]);
            assert_eq!(ran.code, 0, "{how} {rev}: {}{}", ran.stdout, ran.stderr);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious\n", "{how}");
        room.is_untouched(&before, how);
    }
}
