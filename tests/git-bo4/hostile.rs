//! Diffs of a backend that means harm: refused or flagged, nothing is written outside, and memory stays bounded.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use suite_tests::Sandbox;

use crate::attempts::{asked, backend, bo4, listed, status, variant};

/// A diff that adds a file of one line.
fn adds(path: &str) -> String {
    adds_as(path, "100644")
}

fn adds_as(path: &str, mode: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+harm\n\\ No newline at end of file\n"
    )
}

fn renames(from: &str, to: &str, word: &str) -> String {
    format!("diff --git a/{from} b/{to}\nsimilarity index 100%\n{word} from {from}\n{word} to {to}\n")
}

/// What git refuses, or we before it.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: String| text.into_bytes();
    let good = adds("fine");
    let id = "1".repeat(40);
    vec![
        ("a hook", text(adds(".git/hooks/post-checkout"))),
        ("a path that leads out", text(adds("../outside"))),
        ("a path that leads out further on", text(adds("a/../../outside"))),
        ("an absolute path", text(adds("/tmp/suite-absolute"))),
        ("a link and a file below it", text(adds_as("way", "120000").replace("harm", "../..") + &adds("way/outside"))),
        ("a link of the base and a file below it", text(adds("leads-out/outside"))),
        ("another case", text(adds(".GIT/config"))),
        ("the short name of another system", text(adds("git~1/config"))),
        ("a letter that nobody sees", text(adds(".g\u{200c}it/config"))),
        ("a dot behind it", text(adds(".git./config"))),
        ("a stream of another system", text(adds(".git::$INDEX_ALLOCATION/config"))),
        ("a backslash", text(adds("\"a\\\\..\\\\.git\\\\config\""))),
        ("inside a folder", text(adds("README.d/.git/config"))),
        ("a claim of 1 GB", text("diff --git a/x b/x\nnew file mode 100644\nindex 000..111\nGIT binary patch\nliteral 1073741824\nzcmZ\n\n".to_owned())),
        ("a claim that is no number", text("diff --git a/x b/x\nGIT binary patch\nliteral 1073741824x\nzcmZ\n\n".to_owned())),
        ("cut short", good.as_bytes()[..good.len() - 40].to_vec()),
        ("NUL bytes", good.replace("@@ -0,0", "@@\0 -0,0").into_bytes()),
        ("only heads", text("diff --git a/README b/README\n--- a/README\n+++ b/README\n".to_owned())),
        ("a copy from outside", text(renames("../outside", "inside", "copy"))),
        ("a rename of the settings", text(renames(".git/config", "config", "rename"))),
        ("a file that is there", text(adds("README"))),
        ("a repository that is none", text(format!("diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..1111111\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n-Subproject commit {id}\n"))),
        ("a mode without a kind", text(adds_as("no-kind", "4755"))),
        ("nothing of a diff", b"all is well".to_vec()),
        ("control bytes", b"\x1b]0;harm\x07\x1b[2J\n".to_vec()),
        ("a hunk of the largest numbers", text("--- a/README\n+++ b/README\n@@ -1,18446744073709551615 +1,18446744073709551615 @@\n one\n".to_owned())),
    ]
}

/// What is a good diff, and touches what a person has to look at.
fn flagged() -> Vec<(&'static str, String)> {
    let id = "1".repeat(40);
    let sub = |path: &str| {
        format!(
            "diff --git a/{path} b/{path}\nnew file mode 160000\nindex 0000000..1111111\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+Subproject commit {id}\n"
        )
    };
    vec![
        (".gitmodules", adds(".gitmodules")),
        (".gitattributes", adds("deep/.gitattributes")),
        ("a link", adds_as("way", "120000").replace("harm", "../../..")),
        ("a link by another mode", adds_as("way", "120777").replace("harm", "../../..")),
        ("a repository", sub("sub")),
        ("a mode", "diff --git a/README b/README\nold mode 100644\nnew mode 100755\n".to_owned()),
        ("CI", adds(".github/workflows/ci.yml")),
        ("a hook of a tool", adds(".husky/pre-commit")),
        ("a lockfile", adds("Cargo.lock")),
    ]
}

fn room() -> Sandbox {
    let room = Sandbox::new();
    std::os::unix::fs::symlink("..", room.repo().join("leads-out")).unwrap();
    room.commit("a link");
    room
}

/// What must stay as it is: all of the room but the records of the programs and the objects and refs of git.
fn around(room: &Sandbox) -> Vec<String> {
    let own = ["/.local", "/.git/objects", "/.git/refs", "/.git/logs", "/.codex", "/backend", "codex-agents"];
    let is_other = |line: &String| !own.iter().any(|part| line.contains(part)) && !line.contains("/.git/info");
    let lines = listed(room.path()).into_iter().filter(is_other);
    // The folder itself is as old as the newest entry in it.
    lines.filter(|line| !line.ends_with("/.git")).collect()
}

fn reasons(state: &Value) -> Vec<(u64, String)> {
    let rows = state["variants"].as_array().unwrap().iter();
    rows.map(|row| (row["number"].as_u64().unwrap(), row["problem"].as_str().unwrap_or_default().to_owned())).collect()
}

#[test]
fn a_diff_that_means_harm_is_refused_and_writes_nothing() {
    for part in refused().chunks(14) {
        let room = room();
        let diffs: Vec<&[u8]> = part
            .iter()
            .map(|(_, diff)| &diff[..])
            .chain([&b"--- a/README\n+++ b/README\n@@ -1,2 +1,2 @@\n-one\n+good\n two\n"[..]])
            .collect();
        backend(&room, &diffs);
        let before = around(&room);
        let run = asked(&room, diffs.len());
        let state = status(&room, &run);
        let why = reasons(&state);
        for (at, (what, _)) in part.iter().enumerate() {
            let row = variant(&state, at + 1);
            assert!(row["commit"].is_null() && row["problem"].is_string(), "{what} went in: {row:#}");
        }
        let good = variant(&state, diffs.len());
        assert!(good["commit"].is_string() && good["problem"].is_null(), "{good:#}");
        bo4(&room, &["branch", &run]).exits(1);
        bo4(&room, &["export", &run]);
        bo4(&room, &["show", &run, "--json"]).succeeds().json();
        bo4(&room, &["status", &run]).succeeds();
        bo4(&room, &["report", &run]);
        assert_eq!(around(&room), before, "{why:#?}");
        assert!(!fs::exists("/tmp/suite-absolute").unwrap());
        assert_eq!(room.git(&["status", "--porcelain"]), "");
    }
}

#[test]
fn what_touches_more_than_code_is_flagged_and_not_applied() {
    let room = room();
    let all = flagged();
    let diffs: Vec<&[u8]> = all.iter().map(|(_, diff)| diff.as_bytes()).collect();
    backend(&room, &diffs);
    let before = around(&room);
    let run = asked(&room, diffs.len());
    let state = status(&room, &run);
    let review = bo4(&room, &["review", &run, "--unvalidated", "--json"]).json();
    for (at, (what, _)) in all.iter().enumerate() {
        let number = (at + 1).to_string();
        assert!(variant(&state, at + 1)["commit"].is_string(), "{what}: {state:#}");
        let said = bo4(&room, &["apply", &run, "--variant", &number, "--preflight", "--json"]).exits(1).json();
        assert_eq!(said["outcome"], "protected", "{what}: {said:#}");
        bo4(&room, &["apply", &run, "--variant", &number]).exits(1);
        let risks = review["rows"][at]["risks"].as_array().unwrap();
        assert!(!risks.is_empty(), "{what}: {review:#}");
    }
    assert_eq!(around(&room), before);
    assert_eq!(room.git(&["status", "--porcelain"]), "");
}

#[test]
fn odd_names_are_files_and_no_options() {
    let room = room();
    let names = ["-rf", "--help", "a b", "-", "tmp/suite-absolute", "twice", "rights"];
    let mut diffs: Vec<String> = names.iter().map(|name| adds(name)).collect();
    // git takes the first slash for the prefix.
    diffs[4] = diffs[4].replace("b/tmp", "/tmp");
    // The last one counts, in the tree that is looked at as well.
    diffs[5] = diffs[5].replace("harm", "first") + &diffs[5];
    diffs[6] = adds_as("rights", "104755");
    backend(&room, &diffs.iter().map(String::as_bytes).collect::<Vec<_>>());
    let run = asked(&room, names.len());
    let state = status(&room, &run);
    let tree = room.git(&["ls-tree", "-r", &format!("refs/bo4/{run}/7")]);
    assert!(tree.contains("100755 blob"), "a tree knows no other rights: {tree}");
    for (at, name) in names.iter().enumerate() {
        assert!(variant(&state, at + 1)["commit"].is_string(), "{name}: {state:#}");
        let number = (at + 1).to_string();
        bo4(&room, &["apply", &run, "--variant", &number]).succeeds();
        assert_eq!(fs::read_to_string(room.repo().join(name)).unwrap(), "harm");
    }
    assert!(!fs::exists("/tmp/suite-absolute").unwrap());
}

/// Compresses with git's own means: the binary patch of a file of zeros, and of a delta that repeats a base.
fn bombs(room: &Sandbox) -> Vec<Vec<u8>> {
    let program = r#"
import hashlib, sys, zlib
A = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
def b85(data):
    out = b""
    for at in range(0, len(data), 52):
        part = data[at:at + 52]
        n = len(part)
        out += bytes([64 + n if n <= 26 else 96 + n - 26])
        part += b"\0" * (-n % 4)
        for i in range(0, len(part), 4):
            v = int.from_bytes(part[i:i + 4], "big")
            c = []
            for _ in range(5):
                c.append(A[v % 85]); v //= 85
            out += bytes(reversed(c))
        out += b"\n"
    return out + b"\n"
def size(n):
    out = b""
    while True:
        out += bytes([(n & 127) | (128 if n > 127 else 0)]); n >>= 7
        if not n: return out
def blob(size):
    return hashlib.sha1(b"blob %d\0" % size + b"\0" * size).hexdigest()
def head(path, new):
    kind = "new file mode 100644\n" if new else ""
    return f"diff --git a/{path} b/{path}\n{kind}index {'0'*40 if new else sys.argv[2]}..{made}".encode() + (b"\n" if new else b" 100644\n")
made, what, zeros = blob(60 << 20), sys.argv[1], zlib.compress(b"\0" * (60 << 20), 9)
if what == "literals":
    for n in range(60):
        sys.stdout.buffer.write(head(f"z{n}", True) + b"GIT binary patch\nliteral 62914560\n" + b85(zeros) + b"literal 0\n" + b85(zlib.compress(b"")))
elif what == "lie":
    sys.stdout.buffer.write(head("z", True) + b"GIT binary patch\nliteral \t+1073741824x\n" + b85(zlib.compress(b"\0" * (1 << 30), 9)) + b"literal 0\n" + b85(zlib.compress(b"")))
else:
    base = 4 << 20
    times = 1000 if what == "delta" else 15
    # Copy 4 MiB from the beginning: offset none, size three bytes.
    copy = bytes([0x80 | 0x40]) + bytes([base >> 16])
    made = "1" * 40 if what == "delta" else blob(base * times)
    delta = size(base) + size(base * times) + copy * times
    for n in range(1 if what == "delta" else 40):
        name = "big" if n == 0 else f"big{n}"
        sys.stdout.buffer.write(head(name, False) + b"GIT binary patch\ndelta %d\n" % len(delta) + b85(zlib.compress(delta, 9)) + b"delta 0\n" + b85(zlib.compress(b"")))
"#;
    let blob = room.git(&["rev-parse", "HEAD:big"]);
    let make = |what: &str| {
        let mut child = Command::new("python3")
            .args(["-", what, &blob])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is python3");
        child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
        child.wait_with_output().unwrap().stdout
    };
    let copies: String = (0..2000).map(|n| renames("big", &format!("copy{n}"), "copy")).collect();
    let line = [b"--- /dev/null\n+++ b/long\n@@ -0,0 +1 @@\n+".to_vec(), vec![b'x'; 20 << 20], b"\n".to_vec()].concat();
    let edit = "--- a/big\n+++ b/big\n@@ -0,0 +1 @@\n+x\n".repeat(2000);
    vec![make("literals"), make("lie"), make("delta"), make("deltas"), copies.into_bytes(), edit.into_bytes(), line]
}

#[test]
fn a_small_diff_that_grows_takes_no_more_memory_than_is_good() {
    /// In KiB: what one program of all may have at its highest.
    const MOST: u64 = 400 << 10;
    let room = room();
    for n in 0..40 {
        let name = if n == 0 { "big".to_owned() } else { format!("big{n}") };
        fs::write(room.repo().join(name), vec![0; 4 << 20]).unwrap();
    }
    room.commit("large files");
    for (at, bomb) in bombs(&room).iter().enumerate() {
        backend(&room, &[bomb]);
        let begun =
            bo4(&room, &["new", "--backend", "command", "--prompt", "x", "--best-of", "1", "--json"]).succeeds();
        let run = begun.json()["run"].as_str().unwrap().to_owned();
        let program = "import resource, subprocess, sys\nsubprocess.run(sys.argv[1:], timeout=400)\n\
            print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
        let own = suite_tests::program_folder().join("git-bo4").display().to_string();
        let watched =
            room.run("python3", &["-c", program, &own, "watch", &run, "--quiet", "--timeout", "300s"]).succeeds();
        let most: u64 = watched.text().lines().last().unwrap().parse().unwrap();
        let state = status(&room, &run);
        println!("diff {at}: {} bytes, {most} KiB, {}", bomb.len(), variant(&state, 1)["problem"]);
        assert!(most < MOST, "diff {at} took {most} KiB: {state:#}");
        assert!(state["phase"] == "ready" || variant(&state, 1)["problem"].is_string(), "{at}: {state:#}");
    }
}
