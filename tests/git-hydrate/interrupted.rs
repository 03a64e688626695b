use std::fs;
use std::path::{Path, PathBuf};

use suite_tests::{CHANGING_CALLS, Reach, Sandbox, can_kill, run_killed};

use crate::room::{Mount, age, bare_worktree, commit_aged, contents, hydrate, is_complete, snapshot, vary};

/// A repository with files for the donor, files for git, and artefacts.
fn mixed() -> Sandbox {
    let room = Sandbox::new();
    vary(&room, &room.repo());
    room.write(".gitattributes", "*.txt text eol=crlf\n");
    for n in 0..5 {
        room.write(&format!("text/{n}.txt"), "a\nb\n");
    }
    room.write(".gitignore", "cache/\n");
    room.write(".worktreeinclude", "cache/\n");
    commit_aged(&room, &room.repo());
    for n in 0..10 {
        room.write(&format!("cache/{}/{n}", n % 3), &"artefact\n".repeat(n * 1000));
    }
    age(&room, &room.repo());
    room
}

#[test]
fn a_second_run_completes_what_a_killed_one_began() {
    let room = mixed();
    if !can_kill(&room, "killing a run at its calls") {
        return;
    }
    let wanted = contents(&expected(&room));
    let donor = snapshot(&room.repo());
    let program = suite_tests::program_folder().join("git-hydrate");
    let mut killed = 0;
    for call in CHANGING_CALLS {
        // Most files are opened one like the other; the rest is met at each call, in each thread and in git.
        let step = if *call == "openat" { 11 } else { 1 };
        for n in (1..).step_by(step) {
            let name = format!("{}-{n}", call.split(',').next().unwrap());
            let worktree = bare_worktree(&room, &name, "HEAD");
            let ran = run_killed(&room, &worktree, Reach::All, call, n, &[program.to_str().unwrap()]);
            if ran.code != 0 {
                killed += 1;
                hydrate(&room, &worktree, &[]).succeeds();
            }
            assert_eq!(contents(&worktree), wanted, "{name}");
            is_complete(&room, &worktree);
            if ran.code == 0 {
                break;
            }
        }
    }
    assert_eq!(snapshot(&room.repo()), donor);
    assert!(killed >= 40, "only {killed} runs were killed");
}

/// What a whole run makes.
fn expected(room: &Sandbox) -> PathBuf {
    let worktree = bare_worktree(room, "expected", "HEAD");
    hydrate(room, &worktree, &[]).succeeds();
    worktree
}

/// Makes a worktree whose run was interrupted before it had all tracked files.
fn interrupted(room: &Sandbox) -> (PathBuf, PathBuf) {
    let worktree = bare_worktree(room, "new", "HEAD");
    let git_dir = PathBuf::from(room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]));
    fs::write(
        git_dir.join("hydrate.json"),
        "{\"schema\":1,\"tree\":\"\",\"donor\":null,\"started\":\"\",\"index\":null}",
    )
    .unwrap();
    (worktree, git_dir)
}

#[test]
fn a_torn_file_is_replaced_and_an_edited_one_is_kept_aside() {
    let room = mixed();
    let (worktree, _) = interrupted(&room);
    let whole = fs::read(room.repo().join("big")).unwrap();
    fs::write(worktree.join("big"), &whole[..100_000]).unwrap();
    fs::write(worktree.join("tool"), "").unwrap();
    fs::write(worktree.join("README"), "edited by somebody\n").unwrap();
    fs::create_dir_all(worktree.join("cache/1")).unwrap();
    fs::write(worktree.join("cache/1/4"), "artefact\narte").unwrap();
    fs::write(worktree.join("cache/1/7"), "somebody's\n").unwrap();
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();

    let skipped = answer["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert_eq!((skipped[0]["path"].as_str(), skipped[1]["path"].as_str()), (Some("README"), Some("cache/1/7")));
    let aside = room.repo().join(".git/hydrate-kept/new/README");
    assert!(skipped[0]["reason"].as_str().unwrap().contains(aside.to_str().unwrap()));
    assert_eq!(fs::read_to_string(aside).unwrap(), "edited by somebody\n");
    assert_eq!(fs::read_to_string(worktree.join("cache/1/7")).unwrap(), "somebody's\n");
    let mut wanted = contents(&room.repo());
    let mut found = contents(&worktree);
    for own in ["cache/1/7"].map(Path::new) {
        wanted.remove(own);
        found.remove(own);
    }
    for n in 0..5 {
        let (_, text) = wanted.get_mut(Path::new(&format!("text/{n}.txt"))).unwrap();
        *text = crate::room::Content(b"a\r\nb\r\n".to_vec());
    }
    assert_eq!(found, wanted);
    is_complete(&room, &worktree);
}

#[test]
fn a_file_that_is_kept_gets_the_time_of_the_donors() {
    let room = mixed();
    let (worktree, _) = interrupted(&room);
    fs::copy(room.repo().join("big"), worktree.join("big")).unwrap();
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["tracked"]["kept"], 1);
    assert_eq!(snapshot(&worktree)[Path::new("big")], snapshot(&room.repo())[Path::new("big")]);
    is_complete(&room, &worktree);
}

#[test]
fn a_lock_of_a_dead_run_does_not_block_the_next() {
    let room = mixed();
    let (worktree, git_dir) = interrupted(&room);
    // As a kill between the link and the rename leaves it.
    let draft = git_dir.join("hydrate-tmp-abc");
    fs::create_dir(&draft).unwrap();
    fs::write(draft.join("index"), "the draft").unwrap();
    fs::hard_link(draft.join("index"), git_dir.join("index.lock")).unwrap();
    hydrate(&room, &worktree, &[]).succeeds();
    is_complete(&room, &worktree);
}

#[test]
fn work_after_an_interrupted_copy_of_artefacts_is_left_alone() {
    let room = mixed();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &["--no-ignored"]).succeeds();
    let git_dir = PathBuf::from(room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"]));
    fs::write(
        git_dir.join("hydrate.json"),
        "{\"schema\":1,\"tree\":\"\",\"donor\":null,\"started\":\"\",\"index\":null}",
    )
    .unwrap();
    fs::write(worktree.join("README"), "my work\n").unwrap();
    fs::write(worktree.join("staged"), "my work\n").unwrap();
    room.git_in(&worktree, &["add", "staged"]);
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(fs::read_to_string(worktree.join("README")).unwrap(), "my work\n");
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), " M README\nA  staged");
    assert!(worktree.join("cache/1/4").exists());
}

#[test]
fn a_full_disk_is_a_failure_that_a_second_run_mends() {
    let room = mixed();
    let Some(mount) = Mount::new(&room, "filling a full disk", "tmpfs", 2) else { return };
    let filler = mount.path().join("filler");
    fs::write(&filler, vec![0; 1_700_000]).unwrap();
    let worktree = mount.path().join("new");
    room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap()]);
    hydrate(&room, &worktree, &[]).exits(128).warns("No space left").warns("hint: ");
    hydrate(&room, &worktree, &[]).exits(128).warns("No space left");
    fs::remove_file(&filler).unwrap();
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(contents(&worktree), contents(&expected(&room)));
    is_complete(&room, &worktree);
}

#[test]
fn two_runs_at_once_fill_it_once() {
    let room = mixed();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let program = suite_tests::program_folder().join("git-hydrate");
    let start =
        || room.command(&program).arg("-q").stdout(std::process::Stdio::null()).current_dir(&worktree).spawn().unwrap();
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    is_complete(&room, &worktree);
}
