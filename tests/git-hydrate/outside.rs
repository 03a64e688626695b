//! Nothing leads out of a worktree, and nothing from outside comes in: links, patterns, pointers, swapped folders.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use suite_tests::{Sandbox, can_kill, program_folder};

use crate::room::{bare_worktree, commit_aged, contents, hydrate, is_complete, vary};

/// A room with a folder outside of the repository that nobody may touch.
fn guarded() -> (Sandbox, PathBuf) {
    let room = Sandbox::new();
    let outside = room.path().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("secret"), "outside\n").unwrap();
    fs::write(outside.join("deep/secret"), "outside\n").unwrap();
    (room, outside)
}

/// Nothing came to the folder outside, and nothing of it came along.
#[track_caller]
fn is_untouched(outside: &Path, worktree: &Path) {
    let expected = [("deep/secret", "outside\n"), ("secret", "outside\n")];
    let found = contents(outside);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (path, text) in expected {
        assert_eq!(fs::read_to_string(outside.join(path)).unwrap(), text);
    }
    let leaked: Vec<_> = contents(worktree).into_iter().filter(|(_, (_, bytes))| bytes.0 == b"outside\n").collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

fn skipped(answer: &Value) -> Vec<&str> {
    answer["skipped"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect()
}

#[test]
fn patterns_that_point_everywhere_bring_nothing_from_elsewhere() {
    let (room, outside) = guarded();
    let wild = "/\n/*\n**\n*\n.\n..\n../\n../outside/\n/../outside\n.git\n.git/\n/.git/**\n**/.git/config\n.GIT/\n\
                //\n!\n\\\n[\n***\n/etc/passwd\n{a,b}\n\u{fffd}\n";
    room.write(".worktreeinclude", wild);
    room.write(".gitignore", "cache/\nnested*\n*.sock\nlink*\n.git-copy\n");
    commit_aged(&room, &room.repo());
    room.write("cache/a/b", "artefact\n");
    room.git(&["init", "-q", "nested"]);
    room.write("nested/file", "of another repository\n");
    room.git(&["worktree", "add", "-q", "--detach", "nested-worktree"]);
    for (folder, entry) in [("cache/upper", ".GIT"), ("cache/mixed", ".gIt")] {
        room.write(&format!("{folder}/{entry}/config"), "[core]\n");
        room.write(&format!("{folder}/file"), "of another repository\n");
    }
    fs::create_dir_all(room.repo().join("cache/linked")).unwrap();
    symlink(room.repo().join(".git"), room.repo().join("cache/linked/.git")).unwrap();
    symlink("../outside", room.repo().join("link-out")).unwrap();
    symlink("../outside/secret", room.repo().join("cache/link-to-file")).unwrap();
    symlink(&outside, room.repo().join("cache/link-absolute")).unwrap();
    symlink("../.git", room.repo().join("cache/link-to-git")).unwrap();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    let named = skipped(&answer);
    for path in ["nested", "nested-worktree", "cache/upper", "cache/mixed", "cache/linked"] {
        assert!(named.contains(&path), "'{path}' is not named: {named:?}");
        assert!(!worktree.join(path).join("file").exists(), "{path}");
    }
    assert_eq!(fs::read_to_string(worktree.join("cache/a/b")).unwrap(), "artefact\n");
    for link in ["link-out", "cache/link-to-file", "cache/link-absolute", "cache/link-to-git"] {
        assert_eq!(fs::read_link(worktree.join(link)).unwrap(), fs::read_link(room.repo().join(link)).unwrap());
    }
    is_untouched(&outside, &worktree);
    is_complete(&room, &worktree);
}

#[test]
fn a_donor_that_became_another_worktree_gives_nothing() {
    let (room, _) = guarded();
    vary(&room, &room.repo());
    commit_aged(&room, &room.repo());
    let donor = bare_worktree(&room, "donor", "HEAD");
    hydrate(&room, &donor, &[]).succeeds();
    let other = room.path().join("other");
    room.git(&["clone", "-q", ".", other.to_str().unwrap()]);
    let commit = room.git(&["rev-parse", "HEAD"]);
    let pointer = fs::read(donor.join(".git")).unwrap();
    let lies: [(&str, String); 4] = [
        ("another repository", format!("gitdir: {}\n", other.join(".git").display())),
        ("the main worktree", format!("gitdir: {}\n", room.repo().join(".git").display())),
        ("nothing", "gitdir: /nowhere\n".into()),
        ("no pointer", "\u{0}\n".into()),
    ];
    // Its files are as its index remembers them, so that only the pointer can tell.
    for (n, (what, lie)) in lies.iter().enumerate() {
        fs::write(donor.join(".git"), lie).unwrap();
        let worktree = bare_worktree(&room, &format!("w{n}"), &commit);
        let ran = hydrate(&room, &worktree, &["--from", donor.to_str().unwrap()]).exits(128);
        assert!(ran.stderr.contains("donor"), "{what}: {}", ran.stderr);
        let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
        assert_eq!(answer["donor"], room.repo().to_str().unwrap(), "{what}");
        is_complete(&room, &worktree);
    }
    fs::write(donor.join(".git"), pointer).unwrap();
    let worktree = bare_worktree(&room, "right", &commit);
    hydrate(&room, &worktree, &["--from", donor.to_str().unwrap()]).succeeds();
}

/// How many folders are swapped.
const FOLDERS: usize = 20;

/// Swaps the folders of a root for links to the outside and back, until it is told to stop; `beside` is free for that.
///
/// All of them go before the first comes back, so that each is a link half of the time.
fn swap(root: &Path, outside: &Path, beside: &Path, stop: &AtomicBool) {
    fs::create_dir(beside).unwrap();
    let of = |n: usize| (root.join(n.to_string()), beside.join(format!("aside{n}")), beside.join(format!("link{n}")));
    (0..FOLDERS).for_each(|n| symlink(outside, of(n).2).unwrap());
    while !stop.load(Ordering::Relaxed) {
        // One may not be there yet, or be made once more while it is away.
        let swapped: Vec<usize> = (0..FOLDERS)
            .filter(|n| {
                let (folder, aside, link) = of(*n);
                let went = fs::rename(&folder, aside).is_ok();
                if went {
                    let _ = fs::rename(link, folder);
                }
                went
            })
            .collect();
        for n in swapped {
            let (folder, aside, link) = of(n);
            if fs::read_link(&folder).is_ok() {
                fs::rename(&folder, link).unwrap();
            }
            // Made anew meanwhile, it is filled while it goes.
            while fs::rename(&aside, &folder).is_err() {
                let _ = fs::remove_dir_all(&folder);
            }
        }
    }
}

/// Lets each opening of a folder take its time.
const SLOW: [&str; 8] =
    ["-f", "-qqq", "-o", "/dev/null", "-e", "trace=openat2", "-e", "inject=openat2:delay_enter=1500"];

/// Fills worktrees while somebody swaps folders, below a root that `of` chooses, for a link to the outside.
fn withstands_swapping(of: impl Fn(&Path, &Path) -> PathBuf) {
    let (room, outside) = guarded();
    room.write(".gitignore", "cache/\n");
    room.write(".worktreeinclude", "cache/\n");
    let fill = |root: &str| {
        for n in 0..FOLDERS * 15 {
            room.write(&format!("{root}/{}/{n}", n % FOLDERS), &format!("{n}\n"));
        }
        (0..FOLDERS).for_each(|n| room.write(&format!("{root}/{n}/secret"), "inside\n"));
    };
    fill("src");
    commit_aged(&room, &room.repo());
    fill("cache");
    let slows = can_kill(&room, "holding a run up where folders are swapped");
    for round in 0..8 {
        let worktree = bare_worktree(&room, &format!("w{round}"), "HEAD");
        let root = of(&room.repo(), &worktree).join(if round % 2 == 0 { "src" } else { "cache" });
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let beside = room.path().join(format!("swap{round}"));
            let (root, outside, stop) = (&root, outside.join("deep"), &stop);
            scope.spawn(move || swap(root, &outside, &beside, stop));
            // It may fail, since its folders go; what it must not do is leave the worktree.
            let program = program_folder().join("git-hydrate");
            let donor = room.repo();
            let words = [program.to_str().unwrap(), "-q", "--from", donor.to_str().unwrap()];
            let ran = match round % 3 {
                // Each time it opens a folder it is held up, between having looked and going in.
                0 if slows => room.run_in(&worktree, "strace", &[&SLOW[..], &words].concat()),
                _ => room.run_in(&worktree, words[0], &words[1..]),
            };
            stop.store(true, Ordering::Relaxed);
            assert!([0, 128].contains(&ran.code), "{}", ran.stderr);
        });
        is_untouched(&outside, &worktree);
    }
}

#[test]
fn a_folder_of_the_donor_that_is_swapped_for_a_link_meanwhile_leads_nowhere() {
    withstands_swapping(|donor, _| donor.to_owned());
}

#[test]
fn a_folder_of_the_worktree_that_is_swapped_for_a_link_meanwhile_leads_nowhere() {
    withstands_swapping(|_, worktree| worktree.to_owned());
}

#[test]
fn links_on_the_way_to_artefacts_lead_nowhere() {
    let (room, outside) = guarded();
    room.write(".gitignore", "/cache\n/deep/*\n");
    room.write(".worktreeinclude", "/cache\n/deep/er/\n");
    room.write("deep/.keep", "");
    room.git(&["add", "-f", "deep/.keep"]);
    commit_aged(&room, &room.repo());
    // In the donor, ignored folders that are links to the outside.
    symlink(&outside, room.repo().join("cache")).unwrap();
    symlink(outside.join("deep"), room.repo().join("deep/er")).unwrap();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    is_untouched(&outside, &worktree);
    // In the worktree, where a killed run has been, a link in the place of a folder that is to come.
    fs::remove_file(room.repo().join("cache")).unwrap();
    room.write("cache/file", "artefact\n");
    let worktree = bare_worktree(&room, "again", "HEAD");
    let git_dir = room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]);
    let marker = "{\"schema\":1,\"tree\":\"\",\"donor\":null,\"started\":\"\",\"index\":null}";
    fs::write(Path::new(&git_dir).join("hydrate.json"), marker).unwrap();
    symlink(&outside, worktree.join("cache")).unwrap();
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert!(skipped(&answer).contains(&"cache"), "{answer}");
    assert!(fs::symlink_metadata(worktree.join("cache")).unwrap().is_symlink());
    is_untouched(&outside, &worktree);
}

#[test]
fn a_link_in_the_place_of_tracked_files_is_not_written_through() {
    let (room, outside) = guarded();
    for path in ["deep/secret", "secret", "other/file"] {
        room.write(path, "tracked\n");
    }
    commit_aged(&room, &room.repo());
    for (link, to) in
        [("deep", outside.join("deep")), ("secret", outside.join("secret")), ("other", "../outside".into())]
    {
        let worktree = bare_worktree(&room, &format!("w-{link}"), "HEAD");
        let git_dir = room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]);
        let marker = "{\"schema\":1,\"tree\":\"\",\"donor\":null,\"started\":\"\",\"index\":null}";
        fs::write(Path::new(&git_dir).join("hydrate.json"), marker).unwrap();
        symlink(to, worktree.join(link)).unwrap();
        let ran = hydrate(&room, &worktree, &[]);
        assert!(ran.stderr.contains(link), "'{link}' is not named: {}{}", ran.stdout, ran.stderr);
        is_untouched(&outside, &worktree);
    }
}

#[test]
fn a_submodule_with_a_hostile_name_or_place_leads_nowhere() {
    let (room, outside) = guarded();
    let head = room.git(&["rev-parse", "HEAD"]);
    let hostile = |name: &str, path: &str| {
        format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = {}\n", room.repo().display())
    };
    let modules: [(&str, String); 5] = [
        ("sub", hostile("../../outside/deep", "sub")),
        ("sub", hostile("sub", "../outside")),
        ("sub", hostile("..", "sub")),
        ("sub", hostile("sub", ".git/hooks")),
        ("sub", hostile("/etc", "/etc") + &hostile("-u./evil", "sub")),
    ];
    for (n, (place, text)) in modules.iter().enumerate() {
        room.write(".gitmodules", text);
        room.git(&["add", ".gitmodules"]);
        room.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},{place}")]);
        room.git(&["commit", "-qm", "a submodule"]);
        // In the donor something lies there.
        room.git(&["clone", "-q", ".", place]);
        let worktree = bare_worktree(&room, &format!("w{n}"), "HEAD");
        let ran = hydrate(&room, &worktree, &[]);
        assert!([0, 128].contains(&ran.code), "{n}: {}", ran.stderr);
        is_untouched(&outside, &worktree);
        assert!(!room.repo().join(".git/hooks/x").exists());
        fs::remove_dir_all(room.repo().join(place)).unwrap();
    }
}
