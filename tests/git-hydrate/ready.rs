//! A worktree is ready to work: builds of the donor go on in it where they were.

use std::fs;
use std::path::Path;

use suite_tests::{Ran, Sandbox, skip};

use crate::room::{bare_worktree, hydrate, is_complete};

/// Light libraries of which this suite is built, so that their sources are there without a network.
const LIBRARIES: [&str; 62] = [
    "aho-corasick",
    "anstyle",
    "anstyle-parse",
    "anstyle-query",
    "anyhow",
    "bitflags",
    "bumpalo",
    "byteorder",
    "bytes",
    "cfg-if",
    "clap_lex",
    "colorchoice",
    "const-oid",
    "crc32fast",
    "crossbeam-utils",
    "crypto-common",
    "dirs-sys",
    "dunce",
    "either",
    "encode_unicode",
    "equivalent",
    "errno",
    "fastrand",
    "fnv",
    "foldhash",
    "futures-core",
    "futures-task",
    "gix-trace",
    "gix-utils",
    "heck",
    "is_terminal_polyfill",
    "itoa",
    "libc",
    "lock_api",
    "log",
    "memchr",
    "nonempty",
    "once_cell",
    "option-ext",
    "percent-encoding",
    "pin-project-lite",
    "proc-macro2",
    "quote",
    "rustversion",
    "same-file",
    "scopeguard",
    "shlex",
    "simdutf8",
    "slab",
    "smallvec",
    "stable_deref_trait",
    "strsim",
    "tinyvec",
    "toml_writer",
    "typenum",
    "unicode-bom",
    "unicode-ident",
    "unicode-normalization",
    "unicode-width",
    "unit-prefix",
    "utf8parse",
    "walkdir",
];

/// Writes a crate that depends on as many of them as the suite still uses, in the suite's versions.
fn write_crate(room: &Sandbox) {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap();
    let mut manifest =
        "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n".to_owned();
    for name in LIBRARIES {
        let start = format!("name = \"{name}\"\nversion = \"");
        let versions: Vec<&str> =
            lock.split(&start).skip(1).map(|rest| rest.split(['"', '+']).next().unwrap()).collect();
        if let Some(version) = versions.last() {
            manifest.push_str(&format!("{name} = \"={version}\"\n"));
        }
    }
    room.write("Cargo.toml", &manifest);
    room.write("Cargo.lock", &lock);
    room.write("src/main.rs", "fn main() {\n    println!(\"{}\", itoa::Buffer::new().format(42));\n}\n");
    room.write(".gitignore", "/target\n");
    room.write(".worktreeinclude", "/target\n");
}

fn cargo_build(room: &Sandbox, folder: &Path) -> Ran {
    room.run_in(folder, "cargo", &["build", "--offline", "-v", "--color", "never"])
}

/// Lists what cargo says of libraries from the registry: those have a version and no folder.
fn libraries<'r>(ran: &'r Ran, word: &str) -> Vec<&'r str> {
    let lines = ran.stderr.lines().filter(|line| line.trim_start().starts_with(word) && !line.contains("(/"));
    lines.collect()
}

#[test]
fn cargo_builds_no_library_again() {
    let room = Sandbox::new();
    write_crate(&room);
    let first = cargo_build(&room, &room.repo());
    if first.code != 0 && first.stderr.contains("--offline") {
        return skip("a build of the donor that goes on", "the sources of the libraries are not here");
    }
    let first = first.succeeds();
    // As anybody commits: right after the build, with all times as they are.
    room.commit("a crate");
    let compiled = libraries(&first, "Compiling");
    assert!(compiled.len() >= 50, "only {} libraries", compiled.len());
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    let ran = cargo_build(&room, &worktree).succeeds();
    for word in ["Compiling", "Dirty", "Downloading", "Updating"] {
        assert_eq!(libraries(&ran, word), Vec::<&str>::new(), "{}", ran.stderr);
    }
    assert_eq!(libraries(&ran, "Fresh").len(), compiled.len());
    room.run_in(&worktree, "target/debug/app", &[]).succeeds().prints("42\n");
    // And nothing at all the next time, nor in the donor.
    for folder in [&worktree, &room.repo()] {
        let ran = cargo_build(&room, folder).succeeds();
        assert!(!ran.stderr.contains("Compiling"), "{}", ran.stderr);
    }
    is_complete(&room, &worktree);
}

#[test]
fn make_makes_nothing_again() {
    let room = Sandbox::new();
    if room.run("make", &["--version"]).code != 0 {
        return skip("a make that goes on", "there is no make");
    }
    let rules = "SOURCES := $(wildcard src/*/*.c)\nOBJECTS := $(SOURCES:src/%.c=build/%.o)\n\
                 all: build/all\nbuild/all: $(OBJECTS)\n\tcat $^ >$@\n\
                 build/%.o: src/%.c src/common.h Makefile\n\t@mkdir -p $(@D)\n\techo made $< && cat $< src/common.h >$@\n";
    room.write("Makefile", rules);
    room.write(".gitignore", "build/\n");
    room.write(".worktreeinclude", "build/\n");
    room.write("src/common.h", "int common;\n");
    for n in 0..60 {
        room.write(&format!("src/{}/f{n}.c", n % 6), &format!("int f{n};\n"));
    }
    room.run("make", &["-j2"]).succeeds().says("made src/0/f0.c");
    room.commit("sources");
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    let ran = room.run_in(&worktree, "make", &[]).succeeds();
    assert!(!ran.stdout.contains("made"), "{}", ran.stdout);
    room.run_in(&worktree, "make", &["-q"]).exits(0);
    // What is touched is made, and nothing else.
    room.write_in(&worktree, "src/3/f3.c", "int changed;\n");
    let ran = room.run_in(&worktree, "make", &["-j1"]).succeeds();
    assert_eq!(ran.stdout.lines().filter(|line| line.starts_with("made")).collect::<Vec<_>>(), ["made src/3/f3.c"]);
    is_complete_but(&room, &worktree, " M src/3/f3.c");
}

#[track_caller]
fn is_complete_but(room: &Sandbox, worktree: &Path, change: &str) {
    assert_eq!(room.git_in(worktree, &["status", "--porcelain"]), change);
}

#[test]
fn node_runs_from_the_modules_that_came_along() {
    let room = Sandbox::new();
    if room.run("node", &["--version"]).code != 0 {
        return skip("node with modules that came along", "there is no node");
    }
    room.write(".gitignore", "node_modules\n");
    room.write(".worktreeinclude", "node_modules\n");
    room.write("app.js", "const { pad } = require('left');\nconsole.log(pad('x'), __dirname);\n");
    room.write(
        "node_modules/left/package.json",
        "{\"name\":\"left\",\"version\":\"1.0.0\",\"main\":\"lib/index.js\"}\n",
    );
    room.write("node_modules/left/lib/index.js", "exports.pad = (s) => require('deep').twice(' ') + s;\n");
    let deep = "node_modules/left/node_modules/deep";
    room.write(&format!("{deep}/package.json"), "{\"name\":\"deep\",\"exports\":\"./index.js\"}\n");
    room.write(&format!("{deep}/index.js"), "exports.twice = (s) => s + s;\n");
    room.write("node_modules/left/cli.js", "#!/usr/bin/env node\nconsole.log(require('./lib').pad('cli'));\n");
    room.run("chmod", &["755", "node_modules/left/cli.js"]).succeeds();
    // As pnpm lays it out: a link to a folder, and npm's links to what can be started.
    fs::create_dir_all(room.repo().join("node_modules/.bin")).unwrap();
    std::os::unix::fs::symlink("../left/cli.js", room.repo().join("node_modules/.bin/left")).unwrap();
    std::os::unix::fs::symlink("left", room.repo().join("node_modules/also-left")).unwrap();
    room.commit("an app");
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &[]).succeeds();
    fs::rename(room.repo().join("node_modules"), room.repo().join("gone")).unwrap();
    let expected = format!("  x {}\n", worktree.display());
    room.run_in(&worktree, "node", &["app.js"]).succeeds().prints(&expected);
    room.run_in(&worktree, "node_modules/.bin/left", &[]).succeeds().prints("  cli\n");
    room.run_in(&worktree, "node", &["-e", "console.log(require('also-left').pad('y'))"]).succeeds().prints("  y\n");
    is_complete(&room, &worktree);
}
