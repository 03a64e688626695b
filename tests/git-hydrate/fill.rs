use std::fs;
use std::path::Path;

use suite_tests::{Sandbox, skip};

use crate::room::{Mount, bare_worktree, commit_aged, hydrate, is_complete, opened_by_status, snapshot, varied, vary};

/// The claim: clean, no tracked file opened, sound, equal to the donor in content, mode and time.
fn fills_a_worktree_on(system: &str) {
    let room = Sandbox::new();
    let Some(mount) = Mount::new(&room, &format!("filling a worktree on {system}"), system, 400) else { return };
    let repo = mount.path().join("repo");
    room.git(&["init", "-q", repo.to_str().unwrap()]);
    vary(&room, &repo);
    commit_aged(&room, &repo);
    let worktree = mount.path().join("new");
    room.git_in(&repo, &["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap()]);

    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();

    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), "");
    match opened_by_status(&room, &worktree) {
        Some(opened) => assert_eq!(opened, Vec::<String>::new(), "the first status opens no tracked file"),
        None => skip("looking at what the first status opens", "there is no strace"),
    }
    assert_eq!(snapshot(&worktree), snapshot(&repo));
    assert_eq!(answer["method"], "donor");
    assert_eq!(answer["tracked"]["checked_out"], 0);
    let cloned = answer["tracked"]["cloned"].as_u64().unwrap();
    assert_eq!(cloned, u64::from(system != "ext4"), "the one large file is cloned where that is possible");
    is_complete(&room, &worktree);
}

#[test]
fn a_worktree_on_xfs_equals_the_donor_and_status_reads_no_file() {
    fills_a_worktree_on("xfs");
}

#[test]
fn a_worktree_on_btrfs_equals_the_donor_and_status_reads_no_file() {
    fills_a_worktree_on("btrfs");
}

#[test]
fn a_worktree_on_ext4_equals_the_donor_and_status_reads_no_file() {
    fills_a_worktree_on("ext4");
}

#[test]
fn the_first_status_reads_no_file_when_some_were_written_in_this_second() {
    // Git may read again what it checked out just now; what came from a donor is older than the index.
    let room = varied();
    room.write("late", "racy\n");
    room.commit("late");
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    match opened_by_status(&room, &worktree) {
        Some(mut opened) => {
            opened.retain(|path| path != "late");
            assert_eq!(opened, Vec::<String>::new());
        }
        None => skip("looking at what the first status opens", "there is no strace"),
    }
}

#[test]
fn a_file_taken_from_the_donor_is_another_file() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    fs::write(worktree.join("big"), "changed").unwrap();
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    assert_eq!(room.git_in(&worktree, &["status", "--porcelain"]), " M big");
}

#[test]
fn it_works_from_elsewhere_by_c_by_name_and_from_a_subfolder() {
    let room = varied();
    for (name, arguments) in [("a", ["-C", "../a"].as_slice()), ("b", &["../b"]), ("c", &["-C", "..", "c"])] {
        let worktree = bare_worktree(&room, name, "HEAD");
        hydrate(&room, &room.repo(), arguments).succeeds();
        is_complete(&room, &worktree);
    }
    let worktree = bare_worktree(&room, "d", "HEAD");
    fs::create_dir(room.path().join("plain")).unwrap();
    hydrate(&room, &room.path().join("plain"), &["../d", "--from", "../repo"]).succeeds();
    is_complete(&room, &worktree);
    hydrate(&room, &worktree.join("src/d1"), &[]).succeeds().says("nothing to do");
    let worktree = bare_worktree(&room, "e", "HEAD");
    room.git_in(&worktree, &["hydrate", "-q"]);
    is_complete(&room, &worktree);
}

#[test]
fn a_bare_repository_with_linked_worktrees_only_will_do() {
    let room = varied();
    let bare = room.path().join("bare.git");
    room.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let donor = room.path().join("donor");
    room.git_in(&bare, &["worktree", "add", "-q", "--detach", donor.to_str().unwrap()]);
    crate::room::age(&room, &donor);
    room.git_in(&donor, &["status"]);
    let worktree = room.path().join("new");
    room.git_in(&bare, &["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap()]);
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["donor"], donor.to_str().unwrap());
    assert_eq!(answer["tracked"]["checked_out"], 0);
    assert_eq!(snapshot(&worktree), snapshot(&donor));
    is_complete(&room, &worktree);
}

#[test]
fn a_sha256_repository_is_filled_too() {
    let room = Sandbox::empty();
    room.git(&["init", "-q", "--object-format=sha256"]);
    vary(&room, &room.repo());
    commit_aged(&room, &room.repo());
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["tracked"]["checked_out"], 0);
    assert_eq!(snapshot(&worktree), snapshot(&room.repo()));
    is_complete(&room, &worktree);
}

#[test]
fn a_clone_of_a_bare_repository_has_no_donor_and_is_checked_out_by_git() {
    let room = varied();
    let (bare, clone) = (room.path().join("bare.git"), room.path().join("clone"));
    room.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    room.git(&["clone", "-q", "--no-checkout", bare.to_str().unwrap(), clone.to_str().unwrap()]);
    let answer = hydrate(&room, &clone, &["--json"]).succeeds().json();
    assert_eq!((answer["method"].as_str(), answer["donor"].is_null()), (Some("checkout"), true));
    assert_eq!(answer["tracked"]["checked_out_because"]["no-donor"], answer["tracked"]["files"]);
    is_complete(&room, &clone);
}

#[test]
fn a_submodule_gets_its_empty_folder() {
    let room = varied();
    let head = room.git(&["rev-parse", "HEAD"]);
    room.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub/module")]);
    room.git(&["commit", "-qm", "a submodule"]);
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert!(worktree.join("sub/module").is_dir());
    is_complete(&room, &worktree);
}

#[test]
fn a_sparse_checkout_gets_only_its_part() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    room.git_in(&worktree, &["config", "extensions.worktreeConfig", "true"]);
    room.git_in(&worktree, &["config", "--worktree", "core.sparseCheckout", "true"]);
    room.git_in(&worktree, &["config", "--worktree", "core.sparseCheckoutCone", "true"]);
    let info = Path::new(&room.git_in(&worktree, &["rev-parse", "--absolute-git-dir"])).join("info");
    fs::create_dir_all(&info).unwrap();
    fs::write(info.join("sparse-checkout"), "/*\n!/*/\n/src/\n!/src/*/\n/src/d1/\n").unwrap();
    hydrate(&room, &worktree, &[]).succeeds();
    assert!(worktree.join("big").exists() && worktree.join("src/d1/f1.c").exists());
    assert!(!worktree.join("src/d2").exists() && !worktree.join("a b").exists());
    is_complete(&room, &worktree);
}

#[test]
fn an_index_without_files_as_reset_leaves_it_is_filled() {
    let room = varied();
    let worktree = bare_worktree(&room, "new", "HEAD");
    room.git_in(&worktree, &["reset", "-q"]);
    hydrate(&room, &worktree, &[]).succeeds();
    assert_eq!(snapshot(&worktree), snapshot(&room.repo()));
    is_complete(&room, &worktree);
}

#[test]
fn a_branch_without_a_commit_has_nothing_to_fill() {
    let room = Sandbox::new();
    let worktree = room.path().join("new");
    room.git(&["worktree", "add", "-q", "--orphan", "-b", "fresh", worktree.to_str().unwrap()]);
    hydrate(&room, &worktree, &[]).succeeds().says("nothing to do");
}
