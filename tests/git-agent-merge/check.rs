use suite_tests::Sandbox;

/// Branches `one` and `two` change the same line of README, `three` adds a file.
pub(crate) fn room() -> Sandbox {
    let room = Sandbox::new();
    for (branch, file, content) in
        [("one", "README", "one\nONE\nthree\n"), ("two", "README", "one\nTWO\nthree\n"), ("three", "new", "x\n")]
    {
        room.git(&["checkout", "-q", "-b", branch, "main"]);
        room.write(file, content);
        room.commit(branch);
    }
    room.git(&["checkout", "-q", "main"]);
    room
}

#[test]
fn pairs_that_conflict_are_found_before_anyone_merges() {
    let room = room();
    let ran = room.run("git-agent-merge", &["check", "one", "two", "three"]).exits(1);
    for words in [
        "one    into main  clean",
        "one with two  conflict",
        "README  content",
        "| two",
        "< ONE",
        "> TWO",
        "2 of 3 pairs",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let json = room.run("git-agent-merge", &["check", "one", "two", "--json"]).exits(1).json();
    let hunk = &json["pairs"][0]["conflicts"][0]["hunks"][0];
    assert_eq!(
        (&hunk["line"], &hunk["base"], &hunk["ours"], &hunk["theirs"]),
        (&2.into(), &"two\n".into(), &"ONE\n".into(), &"TWO\n".into())
    );
    room.run("git-agent-merge", &["check", "one", "three"]).succeeds();
    room.run("git-agent-merge", &["check", "one", "--onto", "two", "-z"]).exits(1).prints("README\0");
}

#[test]
fn a_branch_that_conflicts_with_the_base_is_named_once_and_pairs_with_nobody() {
    let room = room();
    room.write("README", "one\nMAIN\nthree\n");
    room.commit("the base moves");
    let json = room.run("git-agent-merge", &["check", "one", "two", "three", "--json"]).exits(1).json();
    let verdicts = |list: &str| -> Vec<String> {
        json[list].as_array().unwrap().iter().map(|row| row["verdict"].as_str().unwrap().to_owned()).collect()
    };
    // In the order of their names: one, three, two.
    assert_eq!(verdicts("branches"), ["conflict", "clean", "conflict"]);
    assert_eq!(verdicts("pairs"), ["skipped", "skipped", "skipped"]);
}

#[test]
fn tasks_are_checked_against_their_base_and_each_other() {
    let room = Sandbox::new();
    for (task, content) in [("one", "one\nONE\nthree\n"), ("two", "one\nTWO\nthree\n")] {
        room.run("git-task", &["add", task]).succeeds();
        let path = room.run("git-task", &["worktree", "add", task]).succeeds().text().to_owned();
        room.write_in(std::path::Path::new(&path), "README", content);
        room.commit_in(std::path::Path::new(&path), task);
    }
    room.run("git-task", &["add", "three"]).succeeds();
    let json = room.run("git-agent-merge", &["check", "--all", "--json"]).exits(1).json();
    assert_eq!(json["branches"][0]["task"], "one");
    assert_eq!(json["pairs"][0]["verdict"], "conflict");
    room.run("git-agent-merge", &["check", "one"]).succeeds();
    room.run("git-agent-merge", &["check", "three"]).exits(128).warns("has no branch yet");
    let worktree = room.path().join("repo.worktrees/one");
    room.run_in(&worktree, "git-agent-merge", &["check"]).succeeds().says("one  into main  clean");
}

#[test]
fn what_names_no_commit_is_an_error_and_no_conflict() {
    let room = room();
    for name in ["nonsense", "README", "main:README", "@{9}", "", "a b", "HEAD~99", "\u{3000}"] {
        room.run("git-agent-merge", &["check", name]).exits(128).warns("names no commit").prints("");
    }
    for name in ["--help=x", "-rf"] {
        room.run("git-agent-merge", &["check", "--", name]).exits(128).warns("names no commit").prints("");
        room.run("git-agent-merge", &["check", &format!("--onto={name}"), "one"]).exits(128).prints("");
    }
}

#[test]
fn what_git_refuses_to_merge_could_not_be_told_and_costs_that_pair_only() {
    let room = room();
    room.git(&["checkout", "-q", "--orphan", "stranger"]);
    room.commit("no common history");
    room.git(&["checkout", "-q", "-f", "main"]);
    let json = room.run("git-agent-merge", &["check", "one", "stranger", "two", "three", "--json"]).exits(128).json();
    let verdict = |at: usize| json["branches"][at]["verdict"].as_str().unwrap().to_owned();
    assert_eq!([verdict(0), verdict(1), verdict(2), verdict(3)], ["clean", "could-not-tell", "clean", "clean"]);
    assert!(json["branches"][1]["reason"].as_str().unwrap().contains("unrelated histories"), "{json}");
    assert_eq!(json["pairs"].as_array().unwrap().iter().filter(|pair| pair["verdict"] == "conflict").count(), 1);
}

#[test]
fn a_broken_repository_is_an_error_and_never_clean() {
    let room = room();
    let remove = |name: &str| {
        let id = room.git(&["rev-parse", name]);
        std::fs::remove_file(room.repo().join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
    };
    remove("one:README");
    let json = room.run("git-agent-merge", &["check", "one", "two", "--json"]).exits(128).json();
    assert_eq!(json["pairs"][0]["verdict"], "could-not-tell");
    remove("two^{tree}");
    let ran = room.run("git-agent-merge", &["check", "two"]).exits(128);
    assert!(!ran.stdout.contains("clean"), "{}", ran.stdout);
}

#[test]
fn the_answer_is_the_same_from_every_worktree() {
    let room = Sandbox::new();
    room.write("log", "start\n");
    room.write(".gitattributes", "log merge=union\n");
    room.commit("union");
    for branch in ["one", "two"] {
        room.git(&["checkout", "-q", "-b", branch, "main"]);
        room.write("log", &format!("start\n{branch}\n"));
        room.commit(branch);
    }
    room.git(&["checkout", "-q", "main"]);
    let other = room.path().join("other");
    room.git(&["worktree", "add", "-q", "--detach", other.to_str().unwrap(), "main~1"]);
    room.run("git-agent-merge", &["check", "one", "two", "--onto", "main"]).succeeds();
    room.run_in(&other, "git-agent-merge", &["check", "one", "two", "--onto", "main"]).succeeds();
    room.write(".gitattributes", "");
    room.run("git-agent-merge", &["check", "one", "two", "--onto", "main"]).succeeds();
}

#[test]
fn binary_files_and_strange_names_are_named() {
    let room = Sandbox::new();
    std::fs::write(room.repo().join("bin"), [0, 1, 2]).unwrap();
    let strange = "tab\there \"quoted\"\nnewline 🎉";
    room.write(strange, "a\n");
    use std::os::unix::ffi::OsStrExt;
    let bytes = std::ffi::OsStr::from_bytes(b"latin\xe9");
    std::fs::write(room.repo().join(bytes), "a\n").unwrap();
    room.commit("files");
    for (branch, content) in [("one", "1\n"), ("two", "2\n")] {
        room.git(&["checkout", "-q", "-b", branch, "main"]);
        std::fs::write(room.repo().join("bin"), [0, content.as_bytes()[0]]).unwrap();
        room.write(strange, content);
        std::fs::write(room.repo().join(bytes), content).unwrap();
        room.commit(branch);
    }
    let json = room.run("git-agent-merge", &["check", "two", "--onto", "one", "--json"]).exits(1).json();
    let conflicts = json["branches"][0]["conflicts"].as_array().unwrap();
    let of = |path: &str| conflicts.iter().find(|conflict| conflict["path"] == path).unwrap();
    assert_eq!((&of("bin")["kind"], of("bin")["hunks"].as_array().unwrap().len()), (&"binary".into(), 0));
    assert_eq!(of(strange)["kind"], "content");
    assert_eq!(of("latin\u{fffd}")["path_bytes"], "6c6174696ee9");
    let shown = room.run("git-agent-merge", &["check", "two", "--onto", "one"]).exits(1).stdout;
    assert!(!shown.contains('\t'), "{shown:?}");
}

#[test]
fn an_old_git_is_named_as_too_old() {
    let room = room();
    let old = ["/usr/bin/git", "/opt/git/bin/git"].into_iter().find(|path| {
        let version = room.run(path, &["--version"]);
        version.code == 0 && (0..45).any(|n| version.stdout.contains(&format!("version 2.{n}.")))
    });
    let Some(old) = old else { return suite_tests::skip("an old git", "there is no git before 2.45") };
    let bin = room.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(old, bin.join("git")).unwrap();
    let output = room
        .command(suite_tests::program_folder().join("git-agent-merge"))
        .env("PATH", &bin)
        .args(["check", "one"])
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(128));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is too old for this"));
}

#[test]
fn a_pattern_stands_for_all_branches_that_match_but_not_for_the_base() {
    let room = room();
    room.git(&["update-ref", "refs/remotes/origin/four", "two"]);
    room.git(&["update-ref", "refs/pull/7/head", "three"]);
    let names = |arguments: &[&str], code| -> Vec<String> {
        let json = room.run("git-agent-merge", &[&["check", "--json"], arguments].concat()).exits(code).json();
        json["branches"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["*"], 1), ["one", "three", "two"]);
    assert_eq!(names(&["t*"], 0), ["three", "two"]);
    assert_eq!(names(&["*", "main"], 1), ["main", "one", "three", "two"]);
    assert_eq!(names(&["origin/*"], 0), ["origin/four"]);
    assert_eq!(names(&["refs/pull/*"], 0), ["refs/pull/7/head"]);
    room.run("git-agent-merge", &["check", "nothing*"]).exits(128).warns("no branch matches 'nothing*'").prints("");
}

#[test]
fn the_answer_is_the_same_in_whatever_order_they_are_asked_for() {
    let room = room();
    let first = room.run("git-agent-merge", &["check", "--json", "one", "two", "three"]).exits(1).stdout;
    for names in [["three", "two", "one"], ["two", "one", "three"]] {
        for more in ["--json", "--no-cache"] {
            let ran = room.run("git-agent-merge", &[&["check", "--json", more][..], &names[..]].concat());
            assert!(ran.code == 129 || ran.stdout == first);
        }
    }
}

#[test]
fn the_table_shows_who_conflicts_with_whom_and_where() {
    let room = room();
    let ran = room.run("git-agent-merge", &["check", "--matrix", "*"]).exits(1);
    let table =
        "          base  1  2  3\n  1 one      .  \\  .  x\n  2 three    .  .  \\  .\n  3 two      .  x  .  \\\n";
    ran.prints(&format!("{table}  1 x 3     README\n"));
}

#[test]
fn the_page_shows_everything_and_runs_nothing() {
    let room = room();
    for branch in ["one", "two"] {
        room.git(&["checkout", "-q", branch]);
        room.write("<script>alert(1)</script>/&\"'", &format!("<b>{branch}</b>\u{1b}[2J\n"));
        room.commit("hostile");
    }
    room.git(&["branch", "<i>one", "one"]);
    room.git(&["checkout", "-q", "main"]);
    let page = room.run("git-agent-merge", &["check", "--html", "*"]).exits(1).stdout;
    for there in ["&lt;script&gt;", "&lt;b&gt;one&lt;/b&gt;", "&amp;&quot;&#39;", "class=\"ours\"", "TWO"] {
        assert!(page.contains(there), "{there}: {page}");
    }
    for never in ["<script", "<b>", "<i>", "\u{1b}", "http://", "https://", "src="] {
        assert!(!page.contains(never), "{never}: {page}");
    }
    // Each link leads somewhere, and everything that is opened is closed.
    for link in page.split("href=\"#").skip(1) {
        let name = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{name}\"")), "{name}");
    }
    room.run("git-agent-merge", &["check", "--html", "--json", "one"]).exits(129);
    let file = room.path().join("page.html");
    std::fs::write(&file, &page).unwrap();
    if room.run("sh", &["-c", "command -v xmllint"]).code != 0 {
        return suite_tests::skip("the form of the page", "there is no xmllint");
    }
    let said = room.run("xmllint", &["--html", "--noout", file.to_str().unwrap()]).stderr;
    assert!(said.lines().all(|line| !line.contains("error") || line.contains("Tag section invalid")), "{said}");
}

#[test]
fn many_merges_are_told_line_by_line() {
    let room = room();
    let ids = room.git(&["rev-parse", "one", "two"]);
    let ids: Vec<&str> = ids.lines().collect();
    room.write("lines", &format!("main one\none two\n{} {}\nnonsense one\none\ntwo three\n", ids[0], ids[1]));
    let ran = room.run("sh", &["-c", "git-agent-merge check --stdin <lines"]).exits(128);
    let rows: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<&str> = rows
        .iter()
        .map(|row| row["branches"][0]["verdict"].as_str().or(row["error"]["kind"].as_str()).unwrap())
        .collect();
    assert_eq!(verdicts, ["clean", "conflict", "conflict", "unknown-revision", "bad-line", "clean"]);
    let alone = room.run("git-agent-merge", &["check", "--json", "two", "--onto", "one"]).exits(1);
    assert_eq!(alone.json(), rows[1]);
}

/// The attributes of each line's own base count, though lines share a git.
#[test]
fn lines_with_other_attributes_are_not_mixed() {
    let room = room();
    room.git(&["checkout", "-q", "-b", "with", "one"]);
    room.write(".gitattributes", "README merge=union\n");
    room.commit("union");
    room.write("lines", "with two\none two\nwith two\none two\n");
    let ran = room.run("sh", &["-c", "git-agent-merge check --stdin <lines"]).exits(1);
    let clean: Vec<bool> = ran.stdout.lines().map(|line| line.contains("\"verdict\":\"clean\"")).collect();
    assert_eq!(clean, [true, false, true, false]);
}
