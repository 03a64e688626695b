use std::fs;
use std::path::Path;

use suite_tests::Sandbox;

use crate::room::{age, bare_worktree, hydrate, is_complete, snapshot};

/// A repository with a file under a filter that does what Git LFS does; it notes each smudge in a log.
fn with_lfs() -> Sandbox {
    let room = Sandbox::new();
    let store = room.path().join("store");
    fs::create_dir(&store).unwrap();
    let filter = room.script(
        "lfs",
        &format!(
            "S='{store}'\nif [ \"$1\" = clean ]; then\n  cat >\"$S/in.$$\"; oid=$(sha256sum <\"$S/in.$$\" | cut -d' ' -f1)\n  \
             size=$(wc -c <\"$S/in.$$\"); mv \"$S/in.$$\" \"$S/$oid\"\n  \
             printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize %s\\n' \"$oid\" \"$size\"\n\
             else\n  echo smudge >>\"$S/log\"; oid=$(sed -n 's/^oid sha256://p'); cat \"$S/$oid\"\nfi",
            store = store.display()
        ),
    );
    for side in ["clean", "smudge"] {
        let command = format!("{} {side}", filter.display());
        room.git(&["config", "--global", &format!("filter.lfs.{side}"), &command]);
    }
    room.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    room.write("large.bin", &"large content ".repeat(20_000));
    age(&room, &room.repo());
    room.commit("large");
    assert!(room.git(&["cat-file", "blob", "HEAD:large.bin"]).contains("oid sha256:"));
    room
}

fn smudges(room: &Sandbox) -> usize {
    fs::read_to_string(room.path().join("store/log")).unwrap_or_default().lines().count()
}

#[test]
fn a_file_of_git_lfs_is_taken_without_its_filter() {
    let room = with_lfs();
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!((answer["tracked"]["checked_out"].as_u64(), smudges(&room)), (Some(0), 0), "{answer}");
    assert_eq!(snapshot(&worktree), snapshot(&room.repo()));
    is_complete(&room, &worktree);
    same_as_git(&room, &worktree);
}

/// What git itself would make.
fn same_as_git(room: &Sandbox, worktree: &Path) {
    let plain = room.path().join("plain");
    room.git(&["worktree", "add", "-q", "--detach", plain.to_str().unwrap()]);
    assert_eq!(fs::read(plain.join("large.bin")).unwrap(), fs::read(worktree.join("large.bin")).unwrap());
    assert_eq!(smudges(room), 1);
}

#[test]
fn a_pointer_that_the_donor_never_fetched_is_left_to_the_filter() {
    let room = with_lfs();
    let content = fs::read(room.repo().join("large.bin")).unwrap();
    // As GIT_LFS_SKIP_SMUDGE leaves it.
    fs::remove_file(room.repo().join("large.bin")).unwrap();
    room.git(&["-c", "filter.lfs.smudge=cat", "checkout", "-q", "--", "large.bin"]);
    age(&room, &room.repo());
    room.git(&["-c", "filter.lfs.clean=cat", "status", "--porcelain"]);
    assert!(fs::read_to_string(room.repo().join("large.bin")).unwrap().contains("oid sha256:"));
    let worktree = bare_worktree(&room, "new", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json"]).succeeds().json();
    assert_eq!(answer["tracked"]["checked_out_because"]["converted"], 1, "{answer}");
    assert_eq!(fs::read(worktree.join("large.bin")).unwrap(), content);
    is_complete(&room, &worktree);
}

#[test]
fn without_git_lfs_set_up_the_pointer_comes_as_git_brings_it() {
    let room = with_lfs();
    for side in ["clean", "smudge"] {
        room.git(&["config", "--global", "--unset", &format!("filter.lfs.{side}")]);
    }
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    assert!(fs::read_to_string(worktree.join("large.bin")).unwrap().contains("oid sha256:"));
}
