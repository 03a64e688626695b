//! Trees and caches that somebody made to be a nuisance.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::policy::{check, found};
use crate::room::Room;

const ALL: &str = "[policies.line-length]\nmax = 100\n[policies.whitespace]\nseverity = \"error\"\n\
    [policies.final-newline]\nseverity = \"note\"\n[policies.conflict-markers]\nseverity = \"error\"\n\
    [policies.line-endings]\nstyle = \"lf\"\n[policies.file-size]\nmax = \"100MiB\"\n[policies.diff-size]\nmax-lines = 5\n\
    [policies.documentation]\nmin = 1\nnew-items = true\nmax-drop = 1\n[policies.tests]\nseverity = \"error\"\n\
    [policies.secrets]\nseverity = \"error\"\n[policies.todo]\nseverity = \"note\"\n[policies.licence]\nseverity = \"note\"\n\
    [policies.commit-message]\nbody-max = 80\n[policies.forbidden-paths]\npatterns = [\"*.pem\"]\n\
    [policies.protected-paths]\npatterns = [\"ci/\"]\n";

fn facts(room: &Room) -> PathBuf {
    let pools = room.home().join(".cache/codex-agents/validate");
    fs::read_dir(pools).unwrap().next().unwrap().unwrap().path().join("facts/facts")
}

#[test]
fn binary_files_links_and_submodules_have_no_lines() {
    let room = Room::new();
    room.write("binary", "\0 \n");
    std::os::unix::fs::symlink("a target with a blank at its end ", room.repo().join("link")).unwrap();
    room.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},module.py", "1".repeat(40))]);
    room.git(&["add", "binary", "link"]);
    room.git(&["commit", "-q", "-m", "odd"]);
    let ran = check(&room, "[policies.whitespace]\nseverity = \"error\"\n[policies.documentation]\nmin = 50\n", &[]);
    assert_eq!(found(&ran.succeeds()), Vec::<String>::new());
    let ran = check(&room, "[policies.forbidden-paths]\npatterns = [\"link\", \"module.py\"]\n", &[]).exits(1);
    assert_eq!(found(&ran).len(), 2);
}

#[test]
fn odd_names_are_told_so_that_no_two_read_the_same() {
    let room = Room::new();
    for name in [&b"not-\xff.txt"[..], b"new\nline.txt", b"\x1b[2J.txt", "ä.txt".as_bytes()] {
        fs::write(room.repo().join(OsStr::from_bytes(name)), "x \n").unwrap();
    }
    room.commit("odd names");
    let toml = "[policies.whitespace]\npaths = [\"*.txt\"]\n";
    let mut paths = found(&check(&room, toml, &[]).exits(1));
    paths.sort();
    assert_eq!(paths.len(), 4, "{paths:?}");
    assert!(paths.iter().any(|path| path.starts_with("not-\\xff.txt:1")), "{paths:?}");
    let ran = room.validate(&["policy", "check"]).exits(1);
    assert!(!ran.stdout.contains('\u{1b}') && ran.stdout.lines().all(|line| !line.starts_with("line.txt")));
}

#[test]
fn huge_and_deep_files_cost_little_time() {
    let room = Room::new();
    fs::write(room.repo().join("line"), vec![b'x'; 200 << 20]).unwrap();
    fs::write(room.repo().join("large"), vec![b'x'; 60 << 20]).unwrap();
    room.write("deep.py", &format!("x = {}1{}\n", "(".repeat(100_000), ")".repeat(100_000)));
    room.write("deep.rs", &"pub mod a { ".repeat(20_000));
    room.commit("huge");
    let start = Instant::now();
    let ran = check(&room, ALL, &[]).exits(1);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(found(&ran).contains(&"line line-length note".to_owned()), "{:?}", found(&ran));
    assert!(found(&ran).contains(&"large:1 line-length error".to_owned()), "{:?}", found(&ran));
    assert!(found(&ran).contains(&"line file-size error".to_owned()), "{:?}", found(&ran));
}

#[test]
fn sixty_thousand_changes_are_judged_in_time_and_told_in_part() {
    let room = Room::new();
    let mut stream = String::new();
    for at in 0..60_000 {
        stream.push_str(&format!("blob\nmark :{}\ndata 30\ndef test_{at:05}(): pass #TODO \n\n", at + 1));
    }
    stream.push_str("commit refs/heads/many\ncommitter A <a@b> 0 +0000\ndata 4\nmany\nfrom refs/heads/main^0\n");
    (0..60_000).for_each(|at| stream.push_str(&format!("M 100644 :{} d{}/f{at}.py\n", at + 1, at % 300)));
    fs::write(room.path().join("stream"), stream).unwrap();
    room.run("sh", &["-c", "git fast-import --quiet < ../stream"]).succeeds();
    let start = Instant::now();
    let ran = check(&room, ALL, &["many"]).exits(1);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let answer = ran.json();
    let policy =
        |rule: &str| answer["policies"].as_array().unwrap().iter().find(|p| p["rule"] == rule).unwrap().clone();
    let blanks = policy("whitespace");
    assert_eq!((&blanks["counts"]["findings"], blanks["findings"].as_array().unwrap().len()), (&60_000.into(), 1000));
    assert_eq!(policy("tests")["counts"]["tests-after"], 60_000);
    assert_eq!(policy("diff-size")["counts"]["files"], 60_000);
    // Backwards, and with all of it known.
    check(&room, ALL, &["main", "--base", "many"]).exits(1);
}

#[test]
fn a_broken_cache_is_passed_over_and_made_anew() {
    let room = Room::new();
    room.write("f", "a \n");
    room.commit("blank");
    let toml = "[policies.whitespace]\nseverity = \"error\"\n";
    let first = check(&room, toml, &[]).exits(1).json()["policies"].clone();
    let path = facts(&room);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let good = fs::read(&path).unwrap();
    let half = good[..good.len() / 2].to_vec();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [half, flipped, b"nonsense".to_vec(), vec![0; 5000], Vec::new()] {
        fs::write(&path, bad).unwrap();
        assert_eq!(check(&room, toml, &[]).exits(1).json()["policies"], first);
        assert_eq!(fs::read(&path).unwrap().len(), good.len());
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(check(&room, toml, &[]).exits(1).json()["policies"], first);
}

#[test]
fn many_at_once_lose_nothing() {
    let room = Room::new();
    (0..200).for_each(|at| room.write(&format!("f{at}"), "a \n"));
    room.commit("blanks");
    room.user_config("[policies.whitespace]\nseverity = \"error\"\n");
    let started: Vec<_> = (0..8).map(|_| room.start(&["policy", "check", "--json"])).collect();
    for child in started {
        assert_eq!(room.end(child).exits(1).json()["policies"][0]["counts"]["findings"], 200);
    }
    assert_eq!(room.validate(&["policy", "check", "--json"]).exits(1).json()["policies"][0]["counts"]["findings"], 200);
}

#[test]
fn a_missing_object_is_said_and_is_no_pass() {
    let room = Room::new();
    room.write("f", "something\n");
    room.commit("file");
    let id = room.git(&["rev-parse", "HEAD:f"]);
    fs::remove_file(room.repo().join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
    check(&room, "[policies.whitespace]\nseverity = \"error\"\n", &[]).exits(128).warns("is missing");
}
