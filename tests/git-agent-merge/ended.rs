//! Attempts that are killed or raced: nothing of the user's changes, and the way on is open.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use suite_tests::{Sandbox, program_folder};

use crate::resolve::{agent, room, users};

const GOOD: &str = "sleep 0.2; printf 'fn one() {\\n    start();\\n    work(a, b, c);\\n    log(b);\\n    check(c);\\n    end();\\n}\\n' > code";

/// Starts a command and kills it after a while, it alone.
fn killed(room: &Sandbox, words: &[&str], after: Duration) {
    let mut command: Command = room.command(program_folder().join("git-agent-merge"));
    command.args(words).current_dir(room.repo()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn left_over(room: &Sandbox) -> (usize, String) {
    let worktrees = room.git(&["worktree", "list", "--porcelain"]).matches("worktree ").count();
    (worktrees, room.git(&["for-each-ref", "refs/agent-merge-attempts", "--format=%(refname)"]))
}

#[test]
fn a_resolution_that_is_killed_changes_nothing_and_can_be_given_up_or_gone_on_with() {
    for moment in 0..20 {
        let room = room();
        agent(&room, GOOD);
        let before = users(&room);
        killed(&room, &["resolve", "topic"], Duration::from_millis(5 + 35 * moment));
        assert_eq!(before, users(&room), "killed at moment {moment}");
        let words: &[&str] =
            if moment % 2 == 0 { &["resolve", "topic", "--abort"] } else { &["resolve", "topic", "--continue"] };
        let ran = room.run("git-agent-merge", words);
        let is_known = matches!(ran.code, 0 | 1)
            || ran.stderr.contains("nothing is half done")
            || ran.stderr.contains("is done and proposed");
        assert!(is_known, "moment {moment}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(before, users(&room), "went on at moment {moment}");
        if ran.code == 1 {
            room.run("git-agent-merge", &["resolve", "topic", "--abort"]).succeeds();
        }
        room.run("git-agent-merge", &["resolve", "topic"]).succeeds();
        assert_eq!(before, users(&room), "resolved after moment {moment}");
        room.run("git-agent-merge", &["accept", "topic"]).succeeds();
        assert_eq!(left_over(&room), (1, String::new()), "moment {moment}");
    }
}

#[test]
fn a_rebase_that_is_killed_changes_all_or_nothing() {
    for moment in 0..20 {
        let room = room();
        agent(&room, GOOD);
        let place = room.path().join("topic");
        room.git(&["worktree", "add", "-q", place.to_str().unwrap(), "topic"]);
        let old = room.git(&["rev-parse", "topic"]);
        killed(&room, &["rebase", "topic", "--resolve"], Duration::from_millis(5 + 45 * moment));
        let now = room.git(&["rev-parse", "topic"]);
        if now != old {
            assert_eq!(room.git(&["rev-parse", "topic~1"]), room.git(&["rev-parse", "main"]), "moment {moment}");
        }
        if moment % 2 == 0 {
            room.run("git-agent-merge", &["rebase", "topic", "--abort"]);
            assert_eq!(room.git_in(&place, &["status", "--porcelain"]), "", "moment {moment}");
        } else {
            room.run("git-agent-merge", &["rebase", "topic", "--continue", "--resolve"]);
            room.run("git-agent-merge", &["rebase", "topic", "--abort"]);
        }
        room.run("git-agent-merge", &["rebase", "topic", "--resolve"]).succeeds();
        assert!(room.git(&["show", "topic:code"]).contains("work(a, b, c)"), "moment {moment}");
        assert_eq!(room.git_in(&place, &["status", "--porcelain"]), "", "moment {moment}");
        let backups = room.git(&["for-each-ref", "refs/backup", "--format=%(objectname)"]);
        assert!(backups.contains(&old), "moment {moment}");
        assert_eq!(left_over(&room), (2, String::new()), "moment {moment}");
    }
}

/// Runs a rebase that is killed after the checkout has followed and before the branch has.
fn killed_between(room: &Sandbox) {
    let real = String::from_utf8(Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout).unwrap();
    let real = real.trim();
    let own = room.script(
        "between/git",
        &format!(
            "case \"$*\" in *'read-tree -m -u '[0-9a-f]*) {real} \"$@\"; kill -9 $PPID;; *) exec {real} \"$@\";; esac\n"
        ),
    );
    let mut command = room.command(program_folder().join("git-agent-merge"));
    let path = command.get_envs().find_map(|(name, value)| value.filter(|_| name == "PATH")).unwrap();
    let path = format!("{}:{}", own.parent().unwrap().display(), path.to_str().unwrap());
    command.env("PATH", path).args(["rebase", "topic"]).current_dir(room.repo());
    assert_eq!(command.output().unwrap().status.signal(), Some(9));
}

#[test]
fn a_checkout_that_was_about_to_follow_comes_back_or_goes_on() {
    for abort in [true, false] {
        let room = Sandbox::new();
        room.write("code", "one\n");
        room.write("mine", "one\n");
        room.commit("files");
        room.git(&["checkout", "-q", "-b", "topic"]);
        room.write("more", "of the topic\n");
        room.commit("topic");
        room.git(&["checkout", "-q", "main"]);
        room.write("code", "two\n");
        room.commit("main");
        let place = room.path().join("topic");
        room.git(&["worktree", "add", "-q", place.to_str().unwrap(), "topic"]);
        std::fs::write(place.join("mine"), "changed by hand\n").unwrap();
        let old = room.git(&["rev-parse", "topic"]);
        killed_between(&room);
        assert_eq!(room.git(&["rev-parse", "topic"]), old);
        assert_eq!(room.git_in(&place, &["status", "--porcelain"]), "M  code\n M mine");
        if abort {
            room.run("git-agent-merge", &["rebase", "topic", "--abort"])
                .succeeds()
                .says("is kept as refs/backup/topic/");
            assert_eq!(room.git(&["rev-parse", "topic"]), old);
        } else {
            room.run("git-agent-merge", &["rebase", "topic", "--continue"]).succeeds();
            assert_eq!(room.git(&["rev-parse", "topic~1"]), room.git(&["rev-parse", "main"]));
        }
        assert_eq!(room.git_in(&place, &["status", "--porcelain"]), " M mine");
    }
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let room = room();
    agent(&room, GOOD);
    let before = users(&room);
    let run = || room.run("git-agent-merge", &["resolve", "topic"]);
    let (one, two) = thread::scope(|scope| {
        let one = scope.spawn(run);
        let two = scope.spawn(run);
        (one.join().unwrap(), two.join().unwrap())
    });
    let mut codes = [one.code, two.code];
    codes.sort_unstable();
    assert!(codes == [0, 128] || codes == [0, 0], "{one:?} {two:?}");
    assert_eq!(before, users(&room));
}

#[test]
fn a_branch_that_moves_meanwhile_is_never_overwritten() {
    for words in [&["accept", "topic"][..], &["rebase", "topic", "--onto", "elsewhere"]] {
        for moment in 0..8 {
            let room = room();
            agent(&room, GOOD);
            room.run("git-agent-merge", &["resolve", "topic"]).succeeds();
            if words[0] == "rebase" {
                room.run("git-agent-merge", &["reject", "topic"]).succeeds();
                room.git(&["checkout", "-q", "-b", "elsewhere", "main~1"]);
                room.write("new", "new\n");
                room.commit("elsewhere");
                room.git(&["checkout", "-q", "main"]);
            }
            let old = room.git(&["rev-parse", "topic"]);
            let new = room.git(&["commit-tree", "-p", &old, "-m", "meanwhile", "topic^{tree}"]);
            let ran = thread::scope(|scope| {
                let mover = scope.spawn(|| {
                    thread::sleep(Duration::from_millis(moment * 6));
                    room.run("git", &["update-ref", "refs/heads/topic", &new, &old])
                });
                let ran = room.run("git-agent-merge", words);
                mover.join().unwrap();
                ran
            });
            let tip = room.git(&["rev-parse", "topic"]);
            if ran.code == 0 {
                let reached = room.run("git", &["merge-base", "--is-ancestor", &old, "refs/heads/topic"]);
                let kept = room.git(&["for-each-ref", "refs/backup", "--format=%(objectname)"]);
                assert!(reached.code == 0 || kept.contains(&old) || kept.contains(&new), "{words:?} at {moment}");
            } else {
                assert_eq!((tip, ran.code), (new, 128), "{words:?} at {moment}: {}", ran.stderr);
            }
        }
    }
}
