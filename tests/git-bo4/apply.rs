//! A variant's changes onto a worktree or a branch: whole, or not at all.

use suite_tests::Sandbox;

use crate::room::{agent, bo4, number, room, whole};

/// A run of one agent; returns the run.
fn run_of(room: &Sandbox, script: &str) -> String {
    room.script("agents/one", script);
    let report = whole(room, &["one"], &["--unvalidated"]);
    assert_eq!(number(&report, "one"), 1);
    assert!(agent(room, "one").exists());
    report["run"].as_str().unwrap().to_owned()
}

const MENDS: &str = "sed -i 's/ - / + /' src/add.sh; echo new > new";

#[test]
fn into_this_worktree_staged_beside_what_is_there() {
    let room = room();
    run_of(&room, MENDS);
    room.write("tests/some.sh", "mine\n");
    let head = room.git(&["rev-parse", "HEAD"]);
    bo4(&room, &["apply", "--variant", "1", "--preflight"]).succeeds().says("would go");
    assert_eq!(room.git(&["status", "--porcelain"]), " M tests/some.sh");
    bo4(&room, &["apply", "--variant", "1"]).succeeds().says("staged and not committed");
    assert_eq!(room.git(&["status", "--porcelain"]), "A  new\nM  src/add.sh\n M tests/some.sh");
    assert_eq!(room.git(&["rev-parse", "HEAD"]), head);
    bo4(&room, &["apply", "--variant", "1"]).succeeds();
    assert_eq!(room.git(&["status", "--porcelain"]), "A  new\nM  src/add.sh\n M tests/some.sh");
    room.git(&["commit", "-qm", "taken"]);
    bo4(&room, &["apply", "--variant", "1"]).succeeds().says("already");
}

#[test]
fn changes_in_the_way_and_conflicts_leave_everything() {
    let room = room();
    run_of(&room, MENDS);
    room.write("src/add.sh", "mine\n");
    for words in [&["--preflight"][..], &[]] {
        bo4(&room, &[&["apply", "--variant", "1"], words].concat()).exits(128).warns("src/add.sh").warns("in the way");
    }
    assert_eq!(room.git(&["status", "--porcelain"]), " M src/add.sh");
    assert!(!room.repo().join("new").exists());
    room.commit("mine");
    for words in [&["--preflight"][..], &[], &["--onto", "main"]] {
        let ran = bo4(&room, &[&["apply", "--variant", "1", "--json"], words].concat()).exits(1).json();
        assert_eq!((&ran["outcome"], &ran["conflicts"]), (&"conflicts".into(), &serde_json::json!(["src/add.sh"])));
    }
    assert_eq!(room.git(&["status", "--porcelain"]), "");
}

#[test]
fn onto_a_branch_as_a_commit_and_its_checkout_follows() {
    let room = room();
    run_of(&room, MENDS);
    room.git(&["branch", "other"]);
    let place = room.path().join("other");
    room.git(&["worktree", "add", "-q", place.to_str().unwrap(), "other"]);
    bo4(&room, &["apply", "--variant", "1", "--onto", "other"]).succeeds().says("is on other as");
    assert_eq!(room.git(&["rev-parse", "other^"]), room.git(&["rev-parse", "main"]));
    assert_eq!(room.git_in(&place, &["status", "--porcelain"]), "");
    assert!(place.join("new").exists());
    assert_eq!(room.git(&["status", "--porcelain"]), "");
    bo4(&room, &["apply", "--variant", "1", "--onto", "no-such"]).exits(128).warns("no-such");
}

#[test]
fn protected_paths_are_named_and_need_a_word() {
    let room = room();
    run_of(
        &room,
        "mkdir -p .github/workflows; echo on > .github/workflows/ci.yml; echo '* text' > .gitattributes; \
         ln -s /etc/passwd link; chmod +x src/add.sh; echo x > Cargo.lock; printf 'a\\000b' > bin",
    );
    let before = room.git(&["rev-parse", "HEAD"]);
    for words in [&["--preflight"][..], &[]] {
        let answer = bo4(&room, &[&["apply", "--variant", "1", "--json"], words].concat()).exits(1).json();
        assert_eq!(answer["outcome"], "protected");
        let touched: Vec<&str> =
            answer["protected"].as_array().unwrap().iter().map(|touch| touch["path"].as_str().unwrap()).collect();
        for path in [".github/workflows/ci.yml", ".gitattributes", "link", "src/add.sh", "Cargo.lock", "bin"] {
            assert!(touched.contains(&path), "{path}: {touched:?}");
        }
    }
    assert_eq!((room.git(&["status", "--porcelain"]), room.git(&["rev-parse", "HEAD"])), (String::new(), before));
    bo4(&room, &["apply", "--variant", "1", "--allow-protected"]).succeeds();
    assert!(room.repo().join("link").is_symlink());
}
