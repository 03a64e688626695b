//! Every exported patch makes the variant's tree of its base, whatever is in it and however git is set.

use std::fs;
use std::path::Path;

use suite_tests::{Ran, Sandbox};

use crate::attempts::{agent, bo4, ended, status, variant};

/// What a base holds that can be changed in odd ways.
const BASE: &str = r#"
printf 'a\0b\001c\377' > binary; seq 1 400 > moved; seq 1 300 > kept; printf '#!/bin/sh\n' > script
printf 'no end' > open; printf 'one\r\ntwo\r\nthree\r\n' > crlf; printf 'mixed\r\nlines\nhere \t\n' > mixed
printf 'latin\n' > "$(printf 'caf\351')"; echo s > 'with space'; echo n > "$(printf 'new\nline')"
echo d > ./-dash; echo q > 'quo"te\back'; echo e > 'snow☃🎉'; echo t > "$(printf 'tab\there')"
ln -s kept link; ln -s nowhere other; : > empty; echo f > file; mkdir folder; echo in > folder/in; echo b > folder/b
seq 1 60000 > large; printf '\n\n\ntrailing   \n\n' > blanks; echo attr > text.txt; mkdir 'a b'; echo x > 'a b/c d'
echo 'From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001' > mail; echo '-- a/x' > minus
"#;

const CHANGES: &[(&str, &str)] = &[
    ("binaries", r#"printf 'z\0y\377\n' >> binary; head -c 100000 /dev/urandom > noise; printf '\0' > nul"#),
    (
        "renames",
        r#"mv moved 'to here'; sed -i 's/^7$/seven/' 'to here'; cp kept copied; echo more >> kept; mv 'a b' "$(printf 'b\nc')""#,
    ),
    ("modes", r#"chmod +x script; chmod +x kept; echo more >> kept; printf '#!/bin/sh' > new.sh; chmod +x new.sh"#),
    (
        "ends",
        r#"printf 'no end either' > open; printf 'four' >> crlf; printf 'x' > y; printf 'now\n' >> mixed; printf '\n' >> open"#,
    ),
    (
        "lines",
        r#"printf 'one\r\n2\r\nthree\r\n' > crlf; printf 'mixed\nlines\r\nhere\t \n' > mixed; printf '\n\n\n\n' > blanks; printf 'a\r' > lone"#,
    ),
    (
        "names",
        r#"for f in "$(printf 'caf\351')" 'with space' "$(printf 'new\nline')" ./-dash 'quo"te\back' 'snow☃🎉' "$(printf 'tab\there')" 'a b/c d'
do echo more >> "$f"; cp "$f" "$f.new"; done; rm ./-dash; echo x > "$(printf '\302\233\001\177')"; echo y > ' lead'; echo z > 'trail '"#,
    ),
    (
        "links",
        r#"ln -sf large link; rm other; echo now a file > other; ln -s "$(printf 'to\nthere')" newlink; rm kept; ln -s link kept"#,
    ),
    ("empties", r#"rm empty; : > void; mkdir deep; : > deep/void; : > script; echo full > y"#),
    (
        "folders",
        r#"rm file; mkdir file; echo in > file/in; rm -r folder; echo out > folder; rm 'a b/c d'; mkdir 'a b/c d'; : > 'a b/c d/e'"#,
    ),
    ("large", r#"sed -i 's/5/five/' large; seq 1 200000 > larger"#),
    (
        "words",
        r#"printf '%s\n' 'diff --git a/x b/x' '--- a/x' '+++ b/x' '@@ -1 +1 @@' 'GIT binary patch' 'literal 99999999999' >> kept
printf '%s\n' '-- ' '2.40.0' 'literal 99999999999' > mail; printf -- '- b/x\n+++ a\n' > minus; echo '*.txt -diff' > .gitattributes; echo c > text.txt"#,
    ),
    ("all gone", "git rm -rqf ."),
];

fn base(format: &str) -> (Sandbox, String) {
    let room = Sandbox::empty();
    room.git(&["init", "-q", &format!("--object-format={format}"), "-b", "main", "."]);
    room.run("sh", &["-c", BASE]).succeeds();
    let base = room.commit("base");
    (room, base)
}

/// Runs git in a clone of its own, with no settings but git's.
fn plain(room: &Sandbox, folder: &Path, words: &[&str]) -> Ran {
    let mut command = room.command("git");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").current_dir(folder).args(words);
    Ran::new(words.join(" "), command.output().unwrap())
}

/// Expects of every variant's exported patch that it makes the tree of the variant's ref of the base.
#[track_caller]
fn expect_exact(room: &Sandbox, run: &str, base: &str, count: usize) {
    let place = room.path().join("exported");
    let exported = bo4(room, &["export", run, "--json", "--dir", &place.display().to_string()]).succeeds().json();
    assert_eq!(exported["exported"].as_array().map(Vec::len), Some(count), "{exported:#}");
    for number in 1..=count {
        let patch = place.join(format!("variants/var{number}/patch.diff"));
        let clone = room.path().join(format!("clone{number}"));
        let (from, to) = (room.repo().display().to_string(), clone.display().to_string());
        plain(room, room.path(), &["clone", "-q", "--no-checkout", &from, &to]).succeeds();
        plain(room, &clone, &["checkout", "-q", "--detach", base]).succeeds();
        let patch = patch.display().to_string();
        plain(room, &clone, &["apply", "--check", &patch]).succeeds();
        plain(room, &clone, &["apply", "--index", "--whitespace=nowarn", &patch]).succeeds();
        let tree = plain(room, &clone, &["write-tree"]).succeeds().text().to_owned();
        let wanted = room.git(&["rev-parse", &format!("refs/bo4/{run}/{number}^{{tree}}")]);
        assert_eq!(tree, wanted, "variant {number}");
        assert_ne!(tree, room.git(&["rev-parse", &format!("{base}^{{tree}}")]), "variant {number} changed nothing");
        fs::remove_dir_all(clone).unwrap();
    }
}

fn attempts(room: &Sandbox) -> String {
    let scripts = CHANGES.iter().enumerate().map(|(at, (_, body))| agent(room, &format!("agent{at}"), body));
    let scripts: Vec<String> = scripts.collect();
    let run = ended(room, &scripts.iter().map(String::as_str).collect::<Vec<_>>());
    let state = status(room, &run);
    for (at, (what, _)) in CHANGES.iter().enumerate() {
        let row = variant(&state, at + 1);
        assert!(row["state"] == "completed" && row["commit"].is_string(), "{what}: {state:#}");
    }
    run
}

#[test]
fn a_patch_makes_the_tree_of_its_variant_exactly() {
    for format in ["sha1", "sha256"] {
        let (room, base) = base(format);
        let run = attempts(&room);
        expect_exact(&room, &run, &base, CHANGES.len());
    }
}

#[test]
fn settings_of_the_user_change_no_patch() {
    let (room, _) = base("sha1");
    room.write(".gitattributes", "*.txt diff=odd\nlarge diff=odd\nkept diff=odd\n");
    let base = room.commit("attributes");
    let ran = room.path().join("ran");
    let odd = room.script("odd", &format!("echo ran >> '{}'; echo nonsense", ran.display()));
    room.write_in(&room.home(), "order", "*.txt\nzz*\n*\n");
    let words = [
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.external", &odd.display().to_string()),
        ("diff.odd.textconv", &odd.display().to_string()),
        ("diff.odd.command", &odd.display().to_string()),
        ("diff.odd.xfuncname", "^.*5.*$"),
        ("color.ui", "always"),
        ("color.diff", "always"),
        ("core.autocrlf", "true"),
        ("core.quotePath", "false"),
        ("core.whitespace", "trailing-space,cr-at-eol"),
        ("core.pager", &odd.display().to_string()),
        ("diff.renames", "copies"),
        ("diff.renameLimit", "1"),
        ("diff.orderFile", &room.home().join("order").display().to_string()),
        ("diff.submodule", "log"),
        ("diff.ignoreSubmodules", "all"),
        ("diff.context", "0"),
        ("diff.interHunkContext", "30"),
        ("diff.suppressBlankEmpty", "true"),
        ("diff.algorithm", "histogram"),
        ("diff.relative", "true"),
        ("diff.wsErrorHighlight", "all"),
        ("diff.colorMoved", "zebra"),
        ("diff.srcPrefix", "from/"),
        ("diff.dstPrefix", "to/"),
        ("apply.whitespace", "fix"),
        ("apply.ignoreWhitespace", "change"),
    ];
    for (name, value) in words {
        room.git(&["config", "--global", name, value]);
    }
    let run = attempts(&room);
    // From a folder inside, too.
    let place = room.path().join("from inside");
    let words = ["export", &run, "--dir", &place.display().to_string()];
    room.run_in(&room.repo().join("folder"), "git-bo4", &words).succeeds();
    expect_exact(&room, &run, &base, CHANGES.len());
    let diff = bo4(&room, &["diff", &run, "--variant", "2"]).succeeds();
    assert!(diff.stdout.starts_with("diff --git a/") && !diff.stdout.contains('\u{1b}'), "{}", diff.stdout);
    let places = [room.path().join("exported"), place].map(|at| fs::read(at.join("variants/var2/patch.diff")).unwrap());
    assert_eq!(places[0], places[1]);
    assert!(!ran.exists(), "a program of the settings was run");
}

#[test]
fn a_submodule_and_a_link_are_patches_too() {
    let (room, base) = base("sha1");
    let commit = room.git(&["rev-parse", "HEAD"]);
    let agent = agent(&room, "agent", &format!("git update-index --add --cacheinfo 160000,{commit},sub; mkdir -p sub"));
    let run = ended(&room, &[&agent]);
    let state = status(&room, &run);
    // What is no file in the worktree is nothing: the tree is read from the files.
    assert!(variant(&state, 1)["commit"].is_string(), "{state:#}");
    bo4(&room, &["export", &run]).succeeds();
    assert_eq!(room.git(&["rev-parse", &format!("refs/bo4/{run}/1^")]), base);
}

#[test]
fn what_is_too_large_for_a_patch_keeps_no_other_variant_from_its_own() {
    let room = Sandbox::new();
    let fat = agent(&room, "fat", "head -c 70000000 /dev/urandom > fat");
    let good = agent(&room, "good", "echo good >> README");
    let words = ["run", "--prompt", "x", "--interval", "200ms", "--lane", &fat, "--lane", &good];
    bo4(&room, &words).succeeds();
    let run = bo4(&room, &["list", "--json"]).json()["runs"][0]["run"].as_str().unwrap().to_owned();
    bo4(&room, &["export", &run, "--variant", "2"]).succeeds();
    assert!(room.repo().join(format!(".codex/bo4/{run}/variants/var2/patch.diff")).exists());
}
