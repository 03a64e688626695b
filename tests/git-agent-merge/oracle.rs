//! The verdict and the conflicted paths against git's own, on generated histories.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use suite_tests::Sandbox;

/// A small generator of numbers (xorshift64*), so that a failure can be repeated by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }
}

const NAMES: &[&str] = &[
    "a.txt",
    "b.txt",
    "dir/c.txt",
    "dir/d.txt",
    "dir/sub/e.txt",
    "other/f.txt",
    "tab\tname",
    "new\nline",
    "\"quoted\"",
    "spaced name",
    "🎉.txt",
    "-dash",
    "run.sh",
    "link",
    "blob.bin",
];

fn lines(dice: &mut Dice, count: usize) -> String {
    (0..count).map(|n| format!("line {n} {}\n", dice.roll(4))).collect()
}

fn write(path: &Path, content: &[u8]) {
    if path.is_dir() {
        return;
    }
    if path.parent().is_some_and(|folder| fs::create_dir_all(folder).is_err()) {
        return;
    }
    let _ = fs::remove_file(path);
    fs::write(path, content).unwrap();
}

/// One random change of the worktree.
fn change(room: &Sandbox, dice: &mut Dice) {
    let top = room.repo();
    let name = NAMES[dice.roll(NAMES.len())];
    let path = top.join(name);
    match dice.roll(12) {
        0..=3 => {
            // Edit a line or two of what is there.
            let Ok(text) = fs::read_to_string(&path) else { return };
            let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
            for _ in 0..=dice.roll(2) {
                let at = dice.roll(all.len().max(1));
                if let Some(line) = all.get_mut(at) {
                    *line = format!("edited {}", dice.roll(50));
                }
            }
            write(&path, (all.join("\n") + "\n").as_bytes());
        }
        4 => write(&path, lines(dice, 12).as_bytes()),
        5 => {
            let _ = fs::remove_file(&path);
        }
        6 => {
            // A rename, often with an edit.
            let target = top.join(format!("moved/{}", NAMES[dice.roll(NAMES.len())]));
            if path.symlink_metadata().is_ok_and(|facts| facts.is_file())
                && fs::create_dir_all(target.parent().unwrap()).is_ok()
                && !target.is_dir()
            {
                fs::rename(&path, &target).unwrap();
            }
        }
        7 => {
            // A folder where a file was, or the other way round.
            if path.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
                fs::remove_dir_all(&path).unwrap();
                write(&path, b"now a file\n");
            } else {
                let _ = fs::remove_file(&path);
                write(&path.join("below"), lines(dice, 3).as_bytes());
            }
        }
        8 => {
            let _ = room
                .run("sh", &["-c", "for f in dir other moved; do [ -d $f ] && git mv -k $f renamed-$f; done; true"]);
        }
        9 => {
            let mode = [0o755, 0o644][dice.roll(2)];
            if path.symlink_metadata().is_ok_and(|facts| facts.is_file()) {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        10 => {
            if !path.is_dir() {
                let _ = fs::remove_file(&path);
                if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                    let _ = std::os::unix::fs::symlink(["a.txt", "dir", "/nowhere"][dice.roll(3)], &path);
                }
            }
        }
        _ => write(&top.join("blob.bin"), &[0, dice.roll(9) as u8, 255]),
    }
}

fn commit_changes(room: &Sandbox, dice: &mut Dice, count: usize) {
    for _ in 0..count {
        change(room, dice);
    }
    if dice.roll(5) == 0 {
        let id = format!("{:040x}", 1 + dice.roll(3));
        let _ = room.run("git", &["update-index", "--add", "--cacheinfo", &format!("160000,{id},module")]);
    }
    room.git(&["add", "-A", "--", ".", ":!module"]);
    room.git(&["commit", "-q", "--allow-empty", "-m", "change"]);
}

/// A repository that takes many commits: nothing is flushed to disk, nothing packed meanwhile.
fn busy_room() -> Sandbox {
    let room = Sandbox::new();
    for setting in ["core.fsync none", "gc.auto 0", "maintenance.auto false"] {
        let (key, value) = setting.split_once(' ').unwrap();
        room.git(&["config", "--global", key, value]);
    }
    room
}

/// A history with two branches from one base, sometimes criss-cross.
fn history(room: &Sandbox, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    room.git(&["checkout", "-q", "--orphan", &format!("base{seed}")]);
    room.run("sh", &["-c", "git rm -rfq . ; rm -rf -- *"]);
    for name in NAMES {
        write(&room.repo().join(name), lines(&mut dice, 12).as_bytes());
    }
    if dice.roll(3) == 0 {
        write(&room.repo().join(".gitattributes"), b"*.sh merge=binary\ndir/* merge=union\n");
    }
    room.git(&["add", "-A"]);
    room.git(&["commit", "-q", "-m", "base"]);
    for side in ["x", "y"] {
        room.git(&["checkout", "-q", "-f", "-B", &format!("{side}{seed}"), &format!("base{seed}")]);
        let count = 1 + dice.roll(4);
        commit_changes(room, &mut dice, count);
    }
    if dice.roll(4) == 0 {
        // Each merges the other's first commit, keeping its own content: two merge bases from then on.
        let (x, y) = (room.git(&["rev-parse", &format!("x{seed}")]), room.git(&["rev-parse", &format!("y{seed}")]));
        for (side, other) in [("x", &y), ("y", &x)] {
            room.git(&["checkout", "-q", "-f", &format!("{side}{seed}")]);
            let kept = ["-s", "ours"];
            room.git(&[&["merge", "-q", "--no-edit"], &kept[..], &[other.as_str()]].concat());
            commit_changes(room, &mut dice, 2);
        }
    }
}

// Two halves, so that they run side by side.
#[test]
fn verdict_and_paths_are_gits_own() {
    agrees_with_git(1..=120);
}

#[test]
fn verdict_and_paths_are_gits_own_in_other_histories() {
    agrees_with_git(121..=240);
}

fn agrees_with_git(seeds: RangeInclusive<u64>) {
    let room = busy_room();
    let (mut clean, mut conflicted, mut crossed) = (0, 0, 0);
    for seed in seeds {
        history(&room, seed);
        let (x, y) = (format!("x{seed}"), format!("y{seed}"));
        crossed += usize::from(room.git(&["merge-base", "--all", &x, &y]).lines().count() > 1);
        // The base's attributes decide, as they do when git merges with the base checked out.
        room.git(&["checkout", "-q", "-f", &x]);
        let oracle = room.run("git", &["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", &x, &y]);
        let ran = room.run("git-agent-merge", &["check", &y, "--onto", &x, "-z"]);
        assert_eq!(ran.code, oracle.code, "seed {seed}: {}{}{}", ran.stdout, ran.stderr, oracle.stderr);
        let aside = format!("~{x}");
        let aside2 = format!("~{y}");
        let expected: BTreeSet<String> = oracle
            .stdout
            .split('\0')
            .skip(1)
            .filter(|path| !path.is_empty())
            .map(|path| path.split(&aside).next().unwrap().split(&aside2).next().unwrap().to_owned())
            .collect();
        let found: BTreeSet<String> =
            ran.stdout.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        assert_eq!(found, expected, "seed {seed}");
        match ran.code {
            0 => clean += 1,
            _ => conflicted += 1,
        }
        if seed % 8 == 0 {
            let merge = room.run("git", &["merge", "-q", "--no-edit", &y]);
            assert_eq!(merge.code == 0, ran.code == 0, "seed {seed}: git merge says {}", merge.stderr);
            room.run("git", &["merge", "--abort"]);
        }
    }
    assert!(
        clean > 15 && conflicted > 30 && crossed > 10,
        "{clean} clean, {conflicted} conflicts, {crossed} criss-cross"
    );
}

/// The pairs that are not asked of git against what git says when it is asked.
#[test]
fn no_pair_is_dropped_that_conflicts() {
    let room = busy_room();
    for group in 0..6_u64 {
        let mut dice = Dice(group.wrapping_mul(77_777) | 1);
        let base = format!("base-{group}");
        room.git(&["checkout", "-q", "--orphan", &base]);
        room.run("sh", &["-c", "git rm -rfq . ; rm -rf -- *"]);
        for name in NAMES {
            write(&room.repo().join(name), lines(&mut dice, 12).as_bytes());
        }
        room.git(&["add", "-A"]);
        room.git(&["commit", "-q", "-m", "base"]);
        let names: Vec<String> = (0..8).map(|n| format!("g{group}-{n}")).collect();
        for name in &names {
            room.git(&["checkout", "-q", "-f", "-B", name, &base]);
            let count = 1 + dice.roll(2);
            commit_changes(&room, &mut dice, count);
        }
        room.git(&["checkout", "-q", "-f", &base]);
        let mut arguments = vec!["check", "--json", "--onto", &base];
        arguments.extend(names.iter().map(String::as_str));
        let json = room.run("git-agent-merge", &arguments).json();
        let pairs = json["pairs"].as_array().unwrap();
        assert_eq!(pairs.len(), 28);
        for pair in pairs {
            let (a, b) = (pair["a"].as_str().unwrap(), pair["b"].as_str().unwrap());
            let oracle = room.run("git", &["merge-tree", "--write-tree", "--name-only", a, b]);
            assert_eq!(
                pair["verdict"] == "conflict",
                oracle.code == 1,
                "group {group}: {a} {b}: {pair} {}",
                oracle.stdout
            );
        }
    }
}
