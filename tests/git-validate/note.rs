use std::fs;
use std::process::Child;
use std::time::{Duration, SystemTime};

use suite_tests::{Ran, skip};

use crate::room::Room;

/// Makes trees that differ and returns their ids.
fn trees(room: &Room, count: usize) -> Vec<String> {
    let blob = room.git(&["rev-parse", "HEAD:README"]);
    let list: String = (0..count).map(|n| format!("100644 blob {blob}\tfile{n}\n\n")).collect();
    let path = room.path().join("trees");
    fs::write(&path, list).unwrap();
    let script = format!("git mktree --batch < '{}'", path.display());
    let ids = room.run("sh", &["-c", &script]).succeeds().stdout;
    ids.lines().map(str::to_owned).collect()
}

fn note(room: &Room, tree: &str) -> String {
    room.git(&["notes", "--ref=validate", "show", tree])
}

#[test]
fn writers_at_once_lose_nothing() {
    const WRITERS: usize = 8;
    const EACH: usize = 50;
    let room = Room::with(&[("a", "true")]);
    // Nothing concerns these trees, so that writing the note is what takes the time.
    room.trusted_config("[[checks]]\nname = \"a\"\ncommand = [\"true\"]\npaths = [\"none\"]\n");
    let trees = trees(&room, WRITERS * EACH);
    let program = suite_tests::program_folder().join("git-validate");
    let start = |own: &[String]| -> Child {
        let script = format!("for tree do '{}' -q $tree || exit 1; done", program.display());
        room.command("sh").args(["-c", &script, "sh"]).args(own).stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let children: Vec<Child> = trees.chunks(EACH).map(start).collect();
    for child in children {
        Ran::new("writer".into(), child.wait_with_output().unwrap()).succeeds();
    }
    let listed = room.git(&["notes", "--ref=validate", "list"]);
    assert_eq!(listed.lines().count(), WRITERS * EACH);
    let noted: Vec<&str> = listed.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert!(trees.iter().all(|tree| noted.contains(&tree.as_str())));
    assert!(note(&room, &trees[0]).contains("\"status\":\"skipped\""));
    room.git(&["fsck", "--strict"]);
}

#[test]
fn results_for_one_tree_by_many_writers_are_all_there() {
    let names: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    let checks: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "true")).collect();
    let room = Room::with(&checks);
    let children: Vec<Child> = names.iter().map(|name| room.start(&["--check", name])).collect();
    for child in children {
        room.end(child).succeeds();
    }
    assert_eq!(note(&room, &room.git(&["rev-parse", "HEAD^{tree}"])).lines().count(), 12);
    assert_eq!(room.verdict("HEAD"), "pass");
}

#[test]
fn notes_are_found_and_kept_where_git_has_put_them() {
    let room = Room::with(&[("a", "true")]);
    let tree = room.git(&["rev-parse", "HEAD^{tree}"]);
    let (one, two, three) = (&tree[..2], &tree[2..4], &tree[4..]);
    for path in [tree.clone(), format!("{one}/{two}{three}"), format!("{one}/{two}/{three}")] {
        room.validate(&["--force"]).succeeds();
        let blob = room.git(&["notes", "--ref=validate", "list", &tree]);
        let script = format!(
            "GIT_INDEX_FILE=../scratch; export GIT_INDEX_FILE; rm -f ../scratch; \
             git update-index --add --cacheinfo 100644,{blob},{path} && \
             git update-ref refs/notes/validate $(git commit-tree -m x $(git write-tree))"
        );
        room.run("sh", &["-c", &script]).succeeds();
        assert_eq!(room.verdict("HEAD"), "pass", "{path}");
        room.validate(&["--force"]).succeeds();
        let files = room.git(&["ls-tree", "-r", "--name-only", "refs/notes/validate"]);
        assert_eq!(files, path, "the layout stays");
        assert_eq!(note(&room, &tree).lines().count(), 1);
    }
    room.git(&["fsck", "--strict"]);
}

#[test]
fn foreign_lines_are_ignored_and_kept() {
    let room = Room::with(&[("a", "true")]);
    let tree = room.git(&["rev-parse", "HEAD^{tree}"]);
    let garbage = "not JSON\n{\"schema\":1}\n{\"schema\":2,\"check\":\"a\",\"status\":\"excellent\"}\n[]";
    room.git(&["notes", "--ref=validate", "add", "-m", garbage, &tree]);
    assert_eq!(room.verdict("HEAD"), "none");
    room.validate(&[]).succeeds();
    room.validate(&["--force"]).succeeds();
    let text = note(&room, &tree);
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.starts_with(garbage), "{text}");
    assert_eq!(room.verdict("HEAD"), "pass");
}

#[test]
fn a_line_has_the_fields_that_are_promised() {
    let room = Room::with(&[("a", "echo out; exit 7")]);
    room.validate(&[]).exits(1);
    let text = note(&room, &room.git(&["rev-parse", "HEAD^{tree}"]));
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((line["schema"].as_u64(), line["check"].as_str()), (Some(1), Some("a")));
    assert_eq!((line["status"].as_str(), line["tail"].as_str()), (Some("fail"), Some("out\n")));
    assert!(line["key"].is_string() && line["duration_ms"].is_u64() && line["time"].is_string());
}

#[test]
fn a_lock_left_by_a_killed_git_stops_nobody() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&[]).succeeds();
    let lock = room.repo().join(".git/refs/notes/validate.lock");
    let file = fs::File::create(&lock).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    room.validate(&["--force"]).succeeds();
    assert!(!lock.exists());
}

#[test]
fn a_broken_ref_is_said_and_never_taken_for_no_note() {
    let room = Room::with(&[("a", "true")]);
    let blob = room.git(&["rev-parse", "HEAD:README"]);
    room.git(&["update-ref", "refs/notes/validate", &blob]);
    room.validate(&[]).exits(128).warns("'refs/notes/validate' is broken");
    room.validate(&["show"]).exits(128).warns("'refs/notes/validate' is broken");
    assert_eq!(room.runs(), 0);
}

#[test]
fn nothing_is_written_through_a_symbolic_ref_or_onto_what_is_no_commit() {
    let room = Room::with(&[("a", "true")]);
    let head = room.git(&["rev-parse", "HEAD"]);
    room.git(&["symbolic-ref", "refs/notes/validate", "refs/heads/main"]);
    room.validate(&[]).exits(128).says("pass  HEAD").warns("is a symbolic ref to 'refs/heads/main'");
    assert_eq!(room.git(&["rev-parse", "main"]), head);
    room.git(&["symbolic-ref", "--delete", "refs/notes/validate"]);
    room.git(&["update-ref", "refs/notes/validate", "HEAD^{tree}"]);
    room.validate(&[]).exits(128).says("pass  HEAD").warns("are no commit");
    room.git(&["fsck", "--strict"]);
}

/// Runs a shell script as root of a mount namespace of its own; nothing if the system does not allow that.
fn apart(room: &Room, script: &str) -> Option<Ran> {
    let possible = room.run("unshare", &["-Urm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).code == 0;
    possible.then(|| room.run("unshare", &["-Urm", "sh", "-c", script]))
}

#[test]
fn a_read_only_store_is_said_and_the_answer_is_told() {
    let room = Room::with(&[("a", "true")]);
    let objects = room.repo().join(".git/objects");
    let script =
        format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}' && git-validate", objects.display());
    match apart(&room, &script) {
        Some(ran) => drop(ran.exits(128).says("pass  HEAD").warns("cannot write the verdict")),
        None => return skip("a read-only object store", "no mounts can be made here"),
    }
    assert_eq!(room.verdict("HEAD"), "none");
    room.validate(&[]).succeeds();
}

#[test]
fn a_full_disk_is_said_and_stops_nothing_later() {
    let room = Room::with(&[("a", "true")]);
    room.write("large", &"x".repeat(3 << 20));
    room.commit("large");
    let cache = room.home().join(".cache");
    fs::create_dir_all(&cache).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m,mode=700 tmpfs '{0}' && git-validate; code=$?; mount -o remount,size=100m '{0}' && git-validate && exit $code",
        cache.display()
    );
    match apart(&room, &script) {
        Some(ran) => drop(ran.exits(128).warns("cannot check out the tree").says("pass  HEAD")),
        None => skip("a full disk", "no mounts can be made here"),
    }
}

#[test]
fn broken_notes_are_named_in_plain_words() {
    let room = Room::with(&[("a", "true")]);
    room.validate(&[]).succeeds();
    let git = room.repo().join(".git");
    let path = git.join("refs/notes/validate");
    let good = fs::read_to_string(&path).unwrap();
    let object = |spec: &str| {
        let id = room.git(&["rev-parse", spec]);
        git.join("objects").join(&id[..2]).join(&id[2..])
    };
    let says = |broken: &str| {
        for words in [&[][..], &["show"], &["log"], &["gc"]] {
            if broken == "blob" && words == ["gc"] {
                continue;
            }
            let ran = room.validate(words);
            assert_eq!(ran.code, 128, "{broken}, {words:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("refs/notes/validate"), "{broken}, {words:?}: {}", ran.stderr);
            for debug in ["Message {", "class:", "Decode {", "Caused by", " src/"] {
                assert!(!ran.stderr.contains(debug), "{broken}, {words:?}: {}", ran.stderr);
            }
        }
    };
    let blob = format!("{}\n", room.git(&["rev-parse", "HEAD:README"]));
    for content in [blob.as_str(), "1234567890123456789012345678901234567890\n", "garbage\n", ""] {
        fs::write(&path, content).unwrap();
        says(content);
    }
    fs::write(&path, &good).unwrap();
    let folder = room.git(&["ls-tree", "-t", "-r", "--name-only", "refs/notes/validate"]);
    let names: Vec<&str> = folder.lines().collect();
    for (name, spec) in [
        ("tree", "refs/notes/validate^{tree}".to_owned()),
        ("folder", format!("refs/notes/validate:{}", names[0])),
        ("blob", format!("refs/notes/validate:{}", names[1])),
    ] {
        let path = object(&spec);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        says(name);
        fs::write(&path, "junk").unwrap();
        says(name);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    room.validate(&[]).succeeds().says("from its note");
}
