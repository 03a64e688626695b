//! What goes wrong around a run: it is killed, the disk is full, the donor is read-only, files run out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use suite_tests::{Sandbox, program_folder, skip};

use crate::room::{Mount, age, bare_worktree, commit_aged, contents, hydrate, is_complete, snapshot, varied, vary};

/// Fills a repository with some thousand files, for the donor and for git, and with artefacts.
fn large(room: &Sandbox, repo: &Path) {
    vary(room, repo);
    for n in 0..1200 {
        let folder = repo.join(format!("code/{}/{}", n % 9, n % 50));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(n.to_string()), format!("a line of {n}\n").repeat(n % 200)).unwrap();
    }
    room.write_in(repo, ".gitattributes", "*.txt text eol=crlf\n");
    for n in 0..60 {
        room.write_in(repo, &format!("text/{n}.txt"), "a\nb\n");
    }
    room.write_in(repo, ".gitignore", "cache/\n");
    room.write_in(repo, ".worktreeinclude", "cache/\n");
    commit_aged(room, repo);
    for n in 0..300 {
        room.write_in(repo, &format!("cache/{}/{n}", n % 20), &format!("artefact {n}\n").repeat(n % 50 * n));
    }
    age(room, repo);
}

/// A repository with some thousand files on a disk of its own: where it is, and what keeps it mounted.
fn large_elsewhere(room: &Sandbox, what: &str) -> (PathBuf, Option<Mount>) {
    let mount = Mount::new(room, &format!("{what} on xfs"), "xfs", 1000);
    let repo = mount.as_ref().map_or(room.path(), Mount::path).join("large");
    room.git(&["init", "-q", repo.to_str().unwrap()]);
    large(room, &repo);
    (repo, mount)
}

/// Makes a worktree without files beside a repository.
fn beside(room: &Sandbox, repo: &Path, name: &str) -> PathBuf {
    let path = repo.with_file_name(name);
    room.git_in(repo, &["worktree", "add", "-q", "--detach", "--no-checkout", path.to_str().unwrap()]);
    path
}

/// The times of all folders below one, but for `.git`.
fn folder_times(root: &Path) -> BTreeMap<PathBuf, (i64, i64)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(next) = folders.pop() {
        let facts = fs::metadata(&next).unwrap();
        all.insert(next.strip_prefix(root).unwrap().to_owned(), (facts.mtime(), facts.mtime_nsec()));
        folders
            .extend(fs::read_dir(&next).unwrap().map(|e| e.unwrap()).filter(|e| e.path().is_dir()).map(|e| e.path()));
    }
    all
}

fn start(room: &Sandbox, repo: &Path, folder: &Path) -> Command {
    let mut command = room.command(program_folder().join("git-hydrate"));
    command.args(["-q", "--from", repo.to_str().unwrap()]).current_dir(folder);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    /// Returns the next one, from 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[test]
fn killed_at_thirty_moments_the_next_run_completes_it() {
    let room = Sandbox::new();
    let (repo, _mount) = large_elsewhere(&room, "killing at thirty moments");
    let donor = snapshot(&repo);
    let whole = beside(&room, &repo, "whole");
    let begin = Instant::now();
    assert!(start(&room, &repo, &whole).status().unwrap().success());
    let mut took = begin.elapsed();
    let wanted = contents(&whole);
    let mut numbers = Numbers(7);
    let (mut killed, mut unfinished) = (0, 0);
    for n in 0..30 {
        let worktree = beside(&room, &repo, &format!("w{n}"));
        let moment = took.mul_f64(numbers.next() * 1.05);
        // In turn the program alone, whose git lives on for a moment, and all of it.
        let mut child = start(&room, &repo, &worktree).process_group(0).spawn().unwrap();
        thread::sleep(moment);
        let pid = Pid::from_child(&child);
        let _ = if n % 2 == 0 { kill_process(pid, Signal::KILL) } else { kill_process_group(pid, Signal::KILL) };
        if child.wait().unwrap().success() {
            // Faster than thought: the first was slow, or the machine was.
            took = took.min(moment);
        } else {
            killed += 1;
        }
        let git_dir = PathBuf::from(room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]));
        unfinished += u32::from(git_dir.join("hydrate.json").exists());
        hydrate(&room, &worktree, &["--from", repo.to_str().unwrap()]).succeeds();
        is_complete(&room, &worktree);
        let mut found = snapshot(&worktree);
        assert_eq!(contents(&worktree), wanted, "{n}, killed after {moment:?} of {took:?}");
        // Times are the donor's, or builds would begin anew; git makes those with line ends of its own.
        let mut from_donor = donor.clone();
        for all in [&mut found, &mut from_donor] {
            all.retain(|path, _| !path.starts_with("text"));
        }
        assert_eq!(found, from_donor, "{n}, killed after {moment:?} of {took:?}");
        let (cache, donors) = (folder_times(&worktree.join("cache")), folder_times(&repo.join("cache")));
        assert_eq!(cache, donors, "{n}, killed after {moment:?} of {took:?}");
        room.git_in(&repo, &["worktree", "remove", "--force", worktree.to_str().unwrap()]);
    }
    assert!(killed >= 15 && unfinished >= 8, "only {killed} were killed, {unfinished} in the middle");
    assert_eq!(snapshot(&repo), donor);
}

/// Takes all but this much of a mounted file system.
fn fill_disk(room: &Sandbox, mount: &Mount, leave: u64) -> PathBuf {
    let filler = mount.path().join("filler");
    let sync = |folder: &Path| room.run_in(folder, "sync", &["-f", "."]).succeeds();
    sync(mount.path());
    let free = room.run_in(mount.path(), "df", &["--output=avail", "-B1", "."]).succeeds().stdout;
    let free: u64 = free.lines().last().unwrap().trim().parse().unwrap();
    let size = free.saturating_sub(leave).to_string();
    room.run_in(mount.path(), "fallocate", &["-l", &size, "filler"]).succeeds();
    sync(mount.path());
    filler
}

fn survives_a_full_disk(system: &str) {
    let room = Sandbox::new();
    let Some(mount) = Mount::new(&room, &format!("a full {system}"), system, 320) else { return };
    let repo = mount.path().join("repo");
    room.git(&["init", "-q", repo.to_str().unwrap()]);
    let mut numbers = Numbers(11);
    for n in 0..900 {
        // Nothing that could be compressed.
        let bytes: Vec<u8> = (0..40_000).map(|_| (numbers.next() * 256.0) as u8).collect();
        let folder = repo.join(format!("{}", n % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(n.to_string()), bytes).unwrap();
    }
    commit_aged(&room, &repo);
    let (removed, completed) = (beside(&room, &repo, "removed"), beside(&room, &repo, "completed"));
    let filler = fill_disk(&room, &mount, 16 << 20);
    hydrate(&room, &removed, &["--mode", "copy"]).exits(128).warns("No space left").warns("hint: ");
    // Full as it is, the worktree can go, and so can the next one fail.
    room.git_in(&repo, &["worktree", "remove", "--force", removed.to_str().unwrap()]);
    assert!(!removed.exists());
    for _ in 0..2 {
        // In git's own words, should it be git that meets the end of the disk.
        let ran = hydrate(&room, &completed, &["--mode", "copy"]).exits(128);
        assert!(ran.stderr.contains("No space left") || ran.stderr.contains("Out of diskspace"), "{}", ran.stderr);
    }
    fs::remove_file(filler).unwrap();
    hydrate(&room, &completed, &[]).succeeds();
    assert_eq!(snapshot(&completed), snapshot(&repo));
    is_complete(&room, &completed);
}

#[test]
fn a_full_xfs_is_a_failure_that_a_second_run_mends() {
    survives_a_full_disk("xfs");
}

#[test]
fn a_full_btrfs_is_a_failure_that_a_second_run_mends() {
    survives_a_full_disk("btrfs");
}

#[test]
fn a_full_ext4_is_a_failure_that_a_second_run_mends() {
    survives_a_full_disk("ext4");
}

/// A repository on the room's own disk, with a filled worktree on another one as its only good donor.
fn donor_elsewhere(room: &Sandbox, mount: &Mount) -> PathBuf {
    large(room, &room.repo());
    let donor = mount.path().join("donor");
    room.git(&["worktree", "add", "-q", "--detach", donor.to_str().unwrap()]);
    age(room, &donor);
    room.git_in(&donor, &["update-index", "-q", "--refresh"]);
    room.write_in(&donor, "cache/1/artefact", "x\n");
    donor
}

#[test]
fn a_donor_on_another_disk_that_is_read_only_gives_all_the_same() {
    let room = Sandbox::new();
    let Some(mount) = Mount::new(&room, "a donor on another disk", "xfs", 320) else { return };
    let donor = donor_elsewhere(&room, &mount);
    let before = snapshot(&donor);
    room.run_in(room.path(), "mount", &["-o", "remount,ro", mount.path().to_str().unwrap()]).succeeds();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json", "--from", donor.to_str().unwrap()]).succeeds().json();
    assert_eq!(answer["donor"], donor.to_str().unwrap());
    let tracked = &answer["tracked"];
    // All but what git converts comes from there, copied: no extents are shared between disks.
    assert_eq!((tracked["checked_out"].as_u64(), tracked["cloned"].as_u64()), (Some(60), Some(0)), "{answer}");
    assert_eq!((answer["ignored"]["files"].as_u64(), answer["ignored"]["cloned"].as_u64()), (Some(1), Some(0)));
    assert_eq!(contents(&worktree), contents(&donor));
    assert_eq!(snapshot(&donor), before);
    is_complete(&room, &worktree);
}

/// A program without the capabilities of root, which file modes bind like any other.
const BOUND: [&str; 3] = ["--bounding-set=-all", "--inh-caps=-all", "--"];

fn can_be_bound(room: &Sandbox, what: &str) -> bool {
    room.write_in(room.path(), "closed/file", "");
    room.run_in(room.path(), "chmod", &["000", "closed/file"]).succeeds();
    let ran = room.run_in(room.path(), "setpriv", &[&BOUND[..], &["cat", "closed/file"]].concat());
    let bound = ran.stderr.contains("Permission denied");
    if !bound {
        skip(what, "no capabilities can be dropped");
    }
    bound
}

#[test]
fn a_donor_that_nobody_may_write_gives_all_the_same() {
    let room = Sandbox::new();
    if !can_be_bound(&room, "a donor that nobody may write") {
        return;
    }
    let (repo, _mount) = large_elsewhere(&room, "a donor that nobody may write");
    let worktree = beside(&room, &repo, "new");
    // Only what belongs to the new worktree may be written; the index is new, since git overlooks nanoseconds.
    let close = "find . -path ./.git -prune -o ! -type l -exec chmod a-w {} + && rm .git/index && git reset -q \
                 && chmod -R a-w .git && chmod -R u+w .git/worktrees/new";
    room.run_in(&repo, "sh", &["-c", close]).succeeds();
    let program = program_folder().join("git-hydrate");
    let words = [&BOUND[..], &[program.to_str().unwrap(), "--json"]].concat();
    let answer = room.run_in(&worktree, "setpriv", &words).succeeds().json();
    assert_eq!(answer["tracked"]["checked_out"], 60, "{answer}");
    room.run_in(&worktree, "chmod", &["-R", "u+w", ".", repo.to_str().unwrap()]).succeeds();
    // Modes come along as they are; git knows but one of them.
    is_complete(&room, &worktree);
    assert_eq!(snapshot(&worktree).len(), snapshot(&repo).len());
}

#[test]
fn a_file_of_the_donor_that_may_not_be_read_comes_from_git() {
    let room = Sandbox::new();
    if !can_be_bound(&room, "a donor's file that may not be read") {
        return;
    }
    let (repo, _mount) = large_elsewhere(&room, "a donor's file that may not be read");
    let wanted = contents(&repo);
    let secret = "chmod 000 big cache/1/21 && chmod 000 src/d1 && git update-index -q --refresh";
    room.run_in(&repo, "sh", &["-c", secret]);
    let worktree = beside(&room, &repo, "new");
    let program = program_folder().join("git-hydrate");
    let words = [&BOUND[..], &[program.to_str().unwrap(), "--json"]].concat();
    let ran = room.run_in(&worktree, "setpriv", &words).succeeds();
    let answer = ran.json();
    assert_eq!(answer["tracked"]["checked_out"], 60 + 1 + 10, "{answer}");
    assert_eq!(answer["skipped"][0]["path"], "cache/1/21", "{answer}");
    let found = contents(&worktree);
    let wrong: Vec<_> = wanted
        .iter()
        .filter(|(path, content)| !path.starts_with("text") && found.get(*path) != Some(content))
        .collect();
    assert_eq!(wrong.iter().map(|(path, _)| path.to_str().unwrap()).collect::<Vec<_>>(), ["cache/1/21"]);
    room.run_in(&repo, "chmod", &["755", "src/d1"]).succeeds();
    is_complete(&room, &worktree);
}

#[test]
fn sixty_four_open_files_are_enough() {
    let room = Sandbox::new();
    if room.run("prlimit", &["--version"]).code != 0 {
        return skip("few open files", "there is no prlimit");
    }
    let (repo, _mount) = large_elsewhere(&room, "few open files");
    // Deep and wide, tracked and not.
    for root in ["deep", "cache/deep"] {
        let path = (0..200).map(|n| format!("{root}/{}", vec!["d"; n + 1].join("/")));
        path.for_each(|path| room.write_in(&repo, &format!("{path}/file"), "x\n"));
    }
    commit_aged(&room, &repo);
    let worktree = beside(&room, &repo, "new");
    let program = program_folder().join("git-hydrate");
    let words = ["--nofile=64", program.to_str().unwrap(), "--json"];
    let answer = room.run_in(&worktree, "prlimit", &words).succeeds().json();
    assert_eq!(answer["skipped"], serde_json::json!([]));
    assert_eq!((answer["tracked"]["checked_out"].as_u64(), answer["ignored"]["files"].as_u64()), (Some(60), Some(500)));
    is_complete(&room, &worktree);
    assert_eq!(snapshot(&worktree).len(), snapshot(&repo).len());
    let words = ["--nofile=64", program.to_str().unwrap(), "--stats", "--json"];
    let answer = room.run_in(&worktree, "prlimit", &words).succeeds().json();
    assert_eq!(answer["worktrees"][1]["files"], snapshot(&worktree).len());
}

#[test]
fn too_few_open_files_are_a_failure_that_a_second_run_mends() {
    let room = Sandbox::new();
    if room.run("prlimit", &["--version"]).code != 0 {
        return skip("too few open files", "there is no prlimit");
    }
    let (repo, _mount) = large_elsewhere(&room, "few open files");
    let program = program_folder().join("git-hydrate");
    let mut failed = 0;
    for limit in (5..16).step_by(2) {
        let worktree = beside(&room, &repo, &format!("w{limit}"));
        let ran = room.run_in(&worktree, "prlimit", &[&format!("--nofile={limit}"), program.to_str().unwrap()]);
        assert!([0, 127, 128].contains(&ran.code), "{limit}: exit {}: {}", ran.code, ran.stderr);
        if ran.code != 0 {
            failed += 1;
            hydrate(&room, &worktree, &[]).succeeds();
        }
        is_complete(&room, &worktree);
        assert_eq!(snapshot(&worktree).len(), snapshot(&repo).len(), "{limit}");
    }
    assert!(failed > 0, "no run was short of open files");
}

#[test]
fn eight_at_once_from_one_donor_are_all_right() {
    let room = Sandbox::new();
    let (repo, _mount) = large_elsewhere(&room, "few open files");
    let expected = beside(&room, &repo, "expected");
    hydrate(&room, &expected, &[]).succeeds();
    let worktrees: Vec<PathBuf> = (0..8).map(|n| beside(&room, &repo, &format!("w{n}"))).collect();
    let children: Vec<_> = worktrees.iter().map(|worktree| start(&room, &repo, worktree).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let wanted = contents(&expected);
    for worktree in worktrees {
        assert_eq!(contents(&worktree), wanted);
        is_complete(&room, &worktree);
    }
}

#[test]
fn one_waits_while_another_is_filled() {
    let room = varied();
    let worktree = bare_worktree(&room, "waits", "HEAD");
    let turn = fs::File::create(room.repo().join(".git/hydrate-turn.lock")).unwrap();
    turn.lock().unwrap();
    let mut child = start(&room, &room.repo(), &worktree).spawn().unwrap();
    // Long enough for a run that does not wait.
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        assert!(child.try_wait().unwrap().is_none() && !worktree.join("src").exists());
        thread::sleep(Duration::from_millis(20));
    }
    turn.unlock().unwrap();
    assert!(child.wait().unwrap().success());
    is_complete(&room, &worktree);
}
