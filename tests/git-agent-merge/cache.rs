//! What is asked of git again, and what is not.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use suite_tests::{Ran, Sandbox};

use crate::check::room;

/// Puts a git first on PATH that notes what it is asked, and how many lines it is fed.
struct Counted {
    room: Sandbox,
    log: PathBuf,
}

impl Counted {
    fn new(room: Sandbox) -> Counted {
        let git = room.run("sh", &["-c", "command -v git"]).succeeds().text().to_owned();
        let log = room.path().join("asked");
        let body = format!(
            "for word; do case $word in --stdin) tee -a {log}.fed | {git} \"$@\"; code=$?; echo \"$*\" >>{log}; exit $code;; \
             esac; done\necho \"$*\" >>{log}\nexec {git} \"$@\"",
            log = log.display()
        );
        room.script("wrapped/git", &body);
        Counted { room, log }
    }

    fn check(&self, arguments: &[&str]) -> (Ran, Vec<String>) {
        let _ = fs::remove_file(&self.log);
        let fed = self.log.with_extension("fed");
        let _ = fs::remove_file(&fed);
        let program = suite_tests::program_folder().join("git-agent-merge");
        let mut command = self.room.command(program);
        let path = format!("{}:{}", self.room.path().join("wrapped").display(), std::env::var("PATH").unwrap());
        let ran = Ran::new(format!("{arguments:?}"), command.env("PATH", path).args(arguments).output().unwrap());
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let verbs = ["merge-tree", "diff-tree", "merge-file", "config", "add", "write-tree"];
        let asked = said.lines().filter_map(|line| verbs.iter().find(|verb| line.contains(&format!(" {verb} "))));
        let mut asked: Vec<String> = asked.map(|verb| (*verb).to_owned()).collect();
        asked.extend(fs::read_to_string(fed).unwrap_or_default().lines().map(str::to_owned));
        (ran, asked)
    }
}

/// Eight branches on an older base, so that each really has to be merged.
fn many() -> Sandbox {
    let room = Sandbox::new();
    for n in 0..8 {
        room.git(&["checkout", "-q", "-b", &format!("b{n}"), "main"]);
        room.write(&format!("own{n}"), "x\n");
        // Two of them change the same line.
        if n < 2 {
            room.write("README", &format!("one\n{n}\nthree\n"));
        }
        room.commit("work");
    }
    room.git(&["checkout", "-q", "main"]);
    room.write("later", "the base moved\n");
    room.commit("later");
    room
}

#[test]
fn a_second_check_asks_git_nothing_and_says_the_same() {
    let counted = Counted::new(many());
    let names = ["check", "--json", "b*"];
    let (first, asked) = counted.check(&names);
    assert!(asked.iter().any(|word| word == "merge-tree"), "{asked:?}");
    let (second, asked) = counted.check(&names);
    assert_eq!((asked.len(), &second.stdout, second.code), (0, &first.stdout, 1), "{asked:?}");
    let (third, asked) = counted.check(&["check", "--json", "b*", "--no-cache"]);
    assert!(asked.contains(&"merge-tree".to_owned()));
    assert_eq!(third.stdout, first.stdout);
}

#[test]
fn when_one_moves_only_its_pairs_are_asked_again() {
    let counted = Counted::new(many());
    counted.check(&["check", "b*"]).0.exits(1);
    let room = &counted.room;
    room.git(&["checkout", "-q", "b7"]);
    room.write("README", "one\n7\nthree\n");
    room.commit("more");
    room.git(&["checkout", "-q", "main"]);
    let (ran, asked) = counted.check(&["check", "--json", "b*"]);
    let lines: Vec<&String> = asked.iter().filter(|line| line.contains(" -- ")).collect();
    assert_eq!(lines.len(), 2, "{asked:?}");
    let conflicts = |json: &Value| -> Vec<String> {
        let pairs = json["pairs"].as_array().unwrap().iter().filter(|pair| pair["verdict"] == "conflict");
        pairs.map(|pair| format!("{} {}", pair["a"], pair["b"]).replace('"', "")).collect()
    };
    assert_eq!(conflicts(&ran.json()), ["b0 b1", "b0 b7", "b1 b7"]);
    assert_eq!(counted.check(&["check", "--json", "b*", "--no-cache"]).0.stdout, ran.stdout);
}

#[test]
fn whatever_the_answer_depends_on_makes_git_be_asked_again() {
    let counted = Counted::new(room());
    let room = &counted.room;
    let verdict = || {
        let (ran, asked) = counted.check(&["check", "--json", "one", "two"]);
        (ran.json()["pairs"][0]["verdict"].as_str().unwrap().to_owned(), asked.contains(&"merge-tree".to_owned()))
    };
    let conflict = |asked| ("conflict".to_owned(), asked);
    assert_eq!((verdict(), verdict()), (conflict(true), conflict(false)));
    room.git(&["config", "merge.conflictStyle", "zdiff3"]);
    assert_eq!((verdict(), verdict()), (conflict(true), conflict(false)));
    room.write(".git/info/attributes", "README merge=union\n");
    assert_eq!((verdict(), verdict()), (("clean".to_owned(), true), ("clean".to_owned(), false)));
    room.write(".git/info/attributes", "");
    assert_eq!(verdict(), conflict(true));
    room.write_in(&room.home(), ".config/git/attributes", "README merge=union\n");
    assert_eq!(verdict().0, "clean");
    room.git(&["config", "--global", "core.attributesFile", "/nowhere"]);
    assert_eq!(verdict().0, "conflict");
    // Of another section: of no account.
    room.git(&["config", "branch.one.description", "x"]);
    assert_eq!(verdict(), conflict(false));
    room.git(&["replace", "two", "three"]);
    assert_eq!(verdict().0, "clean");
}

#[test]
fn what_a_command_of_the_users_decides_is_never_kept() {
    let counted = Counted::new(room());
    let room = &counted.room;
    room.write(".git/info/attributes", "README merge=mine\n");
    let said = room.path().join("says");
    let driver = room.script("driver", &format!("exit $(cat {})", said.display()));
    room.git(&["config", "--global", "merge.mine.driver", driver.to_str().unwrap()]);
    for (code, verdict) in [("1", 1), ("0", 0), ("1", 1)] {
        fs::write(&said, code).unwrap();
        counted.check(&["check", "one", "two"]).0.exits(verdict);
    }
}

#[test]
fn a_cache_that_is_broken_or_somebody_elses_is_of_no_account() {
    let counted = Counted::new(room());
    let room = &counted.room;
    let first = counted.check(&["check", "--json", "one", "two"]).0.exits(1).stdout;
    let folder = room.home().join(".cache/codex-agents/merge");
    let folder = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let path = folder.join("answers");
    let whole = fs::read(&path).unwrap();
    for bytes in [&b"nonsense"[..], &whole[..whole.len() / 2], &[0; 4096], b""] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(counted.check(&["check", "--json", "one", "two"]).0.stdout, first);
        assert_eq!(counted.check(&["check", "--json", "one", "two"]).1.len(), 0);
    }
    let other = room.path().join("other");
    fs::write(&other, "not ours\n").unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    assert_eq!(counted.check(&["check", "--json", "one", "two"]).0.stdout, first);
    assert_eq!(fs::read_to_string(&other).unwrap(), "not ours\n");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "a file where the folder was").unwrap();
    assert_eq!(counted.check(&["check", "--json", "one", "two"]).0.stdout, first);
}

#[test]
fn checks_at_once_lose_no_answer() {
    let room = many();
    let expected = room.run("git-agent-merge", &["check", "--json", "--no-cache", "b*"]).exits(1).stdout;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for names in [&["b*"][..], &["b0", "b1"], &["b2", "b3", "b4"], &["b*"]] {
                    let ran = room.run("git-agent-merge", &[&["check", "--json"], names].concat());
                    assert!(ran.code < 2, "{}", ran.stderr);
                    assert!(names != ["b*"] || ran.stdout == expected);
                }
            });
        }
    });
}
