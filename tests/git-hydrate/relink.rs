use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use suite_tests::{CHANGING_CALLS, Reach, Sandbox, can_kill, run_killed, skip};

use crate::links::cached;
use crate::room::{age, bare_worktree, hydrate, is_complete};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn absolute_links_into_the_donor_lead_into_the_worktree() {
    let room = cached();
    let (repo, cache) = (room.repo(), room.repo().join("cache"));
    let detour = room.path().join("detour");
    symlink(&repo, &detour).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let links = [
        ("inside", text(&repo.join("cache/x")), "cache/x"),
        ("root", text(&repo), ""),
        ("by-another-name", text(&detour.join("src")), "src"),
        ("beside", format!("{}2/x", text(&repo)), "-"),
        ("climbs", format!("{}/a/../../x", text(&repo)), "-"),
        ("git", text(&repo.join(".git/config")), "-"),
        ("outside", "/etc/hostname".into(), "-"),
        ("relative", "../README".into(), "-"),
    ];
    for (name, to, _) in &links {
        symlink(to, cache.join(name)).unwrap();
    }
    age(&room, &repo);
    let worktree = bare_worktree(&room, "new", "HEAD");
    let dry = hydrate(&room, &worktree, &["--json", "-n", "--relink"]).succeeds().json();
    let answer = hydrate(&room, &worktree, &["--json", "--relink"]).succeeds().json();
    for (name, to, wanted) in &links {
        let found = fs::read_link(worktree.join("cache").join(name)).unwrap();
        match *wanted {
            "-" => assert_eq!(&text(&found), to, "{name}"),
            "" => assert_eq!(found, worktree),
            inside => assert_eq!(found, worktree.join(inside), "{name}"),
        }
        let time = |root: &Path| fs::symlink_metadata(root.join("cache").join(name)).unwrap().mtime();
        assert_eq!(time(&worktree), time(&repo));
    }
    assert_eq!((&dry["ignored"]["relinked"], &answer["ignored"]["relinked"]), (&3.into(), &3.into()));
    // Without being asked, all of them stay; a setting asks too.
    let plain = bare_worktree(&room, "plain", "HEAD");
    hydrate(&room, &plain, &[]).succeeds();
    assert_eq!(fs::read_link(plain.join("cache/root")).unwrap(), repo);
    room.git(&["config", "codex-agents.hydrate.relink", "true"]);
    let set = bare_worktree(&room, "set", "HEAD");
    hydrate(&room, &set, &[]).succeeds();
    assert_eq!(fs::read_link(set.join("cache/root")).unwrap(), set);
}

/// An environment as Python's tools lay it out, written by hand; `path` is the one in its texts.
fn environment(room: &Sandbox, path: &str) {
    let venv = "cache/venv";
    let packages = format!("{venv}/lib/python3.11/site-packages");
    let files = [
        (format!("{venv}/pyvenv.cfg"), format!("home = /usr/bin\ncommand = /usr/bin/python3 -m venv {path}/{venv}\n")),
        (format!("{venv}/bin/activate"), format!("VIRTUAL_ENV=\"{path}/{venv}\"\nOTHER={path}2/x\n")),
        (format!("{venv}/bin/tool"), format!("#!{path}/{venv}/bin/python3\nprint(1)\n")),
        (
            format!("{venv}/bin/long"),
            format!("#!/bin/sh\n'''exec' \"{path}/{venv}/bin/python3\" \"$0\" \"$@\"\n' '''\n"),
        ),
        (format!("{venv}/bin/binary"), format!("\0{path}/{venv}\n")),
        (format!("{packages}/own.pth"), format!("{path}/src\n")),
        (format!("{packages}/own.egg-link"), format!("{path}/src\n.")),
        (format!("{packages}/own-1.dist-info/direct_url.json"), format!("{{\"url\": \"file://{path}\"}}")),
        (format!("{packages}/own/data.txt"), format!("{path}\n")),
    ];
    for (name, content) in &files {
        room.write(name, content);
    }
    room.write("cache/bin/tool", &format!("#!{path}/no/environment\n"));
    fs::set_permissions(room.repo().join(venv).join("bin/tool"), fs::Permissions::from_mode(0o751)).unwrap();
    // Of several names, one of them outside.
    fs::hard_link(room.repo().join(venv).join("bin/tool"), room.path().join("store")).unwrap();
    fs::hard_link(room.repo().join(venv).join("bin/tool"), room.repo().join("cache/tool")).unwrap();
    age(room, &room.repo());
}

/// Every text of the environment names the worktree, and nothing else changed.
fn is_relinked(room: &Sandbox, worktree: &Path, path: &str) {
    let (venv, new) = (worktree.join("cache/venv"), worktree.to_str().unwrap());
    let packages = venv.join("lib/python3.11/site-packages");
    assert_eq!(
        read(&venv.join("pyvenv.cfg")),
        format!("home = /usr/bin\ncommand = /usr/bin/python3 -m venv {new}/cache/venv\n")
    );
    assert_eq!(read(&venv.join("bin/activate")), format!("VIRTUAL_ENV=\"{new}/cache/venv\"\nOTHER={path}2/x\n"));
    assert_eq!(read(&venv.join("bin/tool")), format!("#!{new}/cache/venv/bin/python3\nprint(1)\n"));
    assert!(read(&venv.join("bin/long")).contains(&format!("exec' \"{new}/cache/venv/bin/python3\" ")));
    assert_eq!(read(&packages.join("own.pth")), format!("{new}/src\n"));
    assert_eq!(read(&packages.join("own.egg-link")), format!("{new}/src\n."));
    assert_eq!(read(&packages.join("own-1.dist-info/direct_url.json")), format!("{{\"url\": \"file://{new}\"}}"));
    for same in ["venv/bin/binary", "venv/lib/python3.11/site-packages/own/data.txt", "bin/tool", "tool"] {
        assert_eq!(read(&worktree.join("cache").join(same)), read(&room.repo().join("cache").join(same)), "{same}");
    }
    let facts = |root: &Path, name: &str| {
        let facts = fs::metadata(root.join("cache/venv").join(name)).unwrap();
        (facts.mode(), facts.mtime(), facts.mtime_nsec())
    };
    for name in ["bin/tool", "bin", "pyvenv.cfg", "lib/python3.11/site-packages/own.pth"] {
        assert_eq!(facts(worktree, name), facts(&room.repo(), name), "{name}");
    }
    is_complete(room, worktree);
}

#[test]
fn an_environment_names_the_worktree_and_the_donors_stays_as_it_is() {
    let room = cached();
    let path = room.repo().to_str().unwrap().to_owned();
    environment(&room, &path);
    let before = crate::room::snapshot(&room.repo());
    let worktree = bare_worktree(&room, "new", "HEAD");
    let dry = hydrate(&room, &worktree, &["--json", "-n", "--relink"]).succeeds().json();
    let answer = hydrate(&room, &worktree, &["--json", "--relink"]).succeeds().json();
    is_relinked(&room, &worktree, &path);
    assert_eq!((&dry["ignored"]["relinked"], &answer["ignored"]["relinked"]), (&7.into(), &7.into()));
    assert_eq!(answer["skipped"], serde_json::json!([]));
    assert_eq!(crate::room::snapshot(&room.repo()), before);
    assert!(read(&room.path().join("store")).starts_with(&format!("#!{path}/")));
}

#[test]
fn an_environment_that_was_made_under_another_name_of_the_donor_is_relinked_too() {
    let room = cached();
    let detour = room.path().join("detour");
    symlink(room.repo(), &detour).unwrap();
    environment(&room, detour.to_str().unwrap());
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &["--relink"]).succeeds();
    is_relinked(&room, &worktree, detour.to_str().unwrap());
}

#[test]
fn a_worktree_inside_the_donor_is_relinked_once() {
    let room = cached();
    let path = room.repo().to_str().unwrap().to_owned();
    room.git(&["config", "core.excludesFile", room.path().join("none").to_str().unwrap()]);
    environment(&room, &path);
    let worktree = room.repo().join("cache2/new");
    room.git(&["worktree", "add", "-q", "--detach", "--no-checkout", worktree.to_str().unwrap()]);
    hydrate(&room, &worktree, &["--relink"]).succeeds();
    is_relinked(&room, &worktree, &path);
}

#[test]
fn a_path_that_no_script_can_hold_is_named_and_not_written() {
    let room = cached();
    let path = room.repo().to_str().unwrap().to_owned();
    environment(&room, &path);
    let worktree = bare_worktree(&room, "a$(touch canary)", "HEAD");
    let answer = hydrate(&room, &worktree, &["--json", "--relink"]).succeeds().json();
    assert_eq!(answer["skipped"][0]["path"], "cache/venv");
    assert_eq!(read(&worktree.join("cache/venv/bin/tool")), read(&room.repo().join("cache/venv/bin/tool")));
}

#[test]
fn a_second_run_completes_what_a_killed_one_relinked() {
    let room = cached();
    let path = room.repo().to_str().unwrap().to_owned();
    environment(&room, &path);
    symlink(room.repo(), room.repo().join("cache/root")).unwrap();
    if !can_kill(&room, "killing a run while it relinks") {
        return;
    }
    let program = suite_tests::program_folder().join("git-hydrate");
    for call in
        CHANGING_CALLS.iter().filter(|call| ["rename", "symlink", "unlink", "write"].iter().any(|c| call.contains(c)))
    {
        for n in (1..40).step_by(if *call == "write" { 3 } else { 1 }) {
            let worktree = bare_worktree(&room, &format!("{}-{n}", call.split(',').next().unwrap()), "HEAD");
            let words = ["-f", program.to_str().unwrap(), "--relink"];
            let ran = run_killed(&room, &worktree, Reach::Alone, call, n, &words);
            if ran.code != 0 {
                let again = hydrate(&room, &worktree, &["--relink", "--json"]).succeeds().json();
                assert_eq!(again["skipped"], serde_json::json!([]), "{call} {n}");
            }
            is_relinked(&room, &worktree, &path);
            assert_eq!(fs::read_link(worktree.join("cache/root")).unwrap(), worktree);
            let left = crate::room::snapshot(&worktree).into_keys().find(|p| p.to_string_lossy().contains("hydrate-"));
            assert_eq!(left, None, "{call} {n}");
            if ran.code == 0 {
                break;
            }
        }
    }
}

#[test]
fn a_real_environments_script_runs_after_the_donors_is_gone() {
    let room = Sandbox::new();
    room.write(".gitignore", ".venv/\n");
    room.write(".worktreeinclude", ".venv/\n");
    room.commit("rules");
    let made = room.run("python3", &["-m", "venv", ".venv"]);
    if made.code != 0 || !room.repo().join(".venv/bin/pip").exists() {
        return skip("relinking a real environment", "python3 -m venv cannot make one with pip");
    }
    let worktree = bare_worktree(&room, "new", "HEAD");
    hydrate(&room, &worktree, &["--relink"]).succeeds();
    fs::rename(room.repo().join(".venv"), room.path().join("away")).unwrap();
    let pip = worktree.join(".venv/bin/pip");
    room.run_in(&worktree, pip.to_str().unwrap(), &["--version"]).succeeds().says(worktree.to_str().unwrap());
    let activated = ". .venv/bin/activate && python -c 'import sys; print(sys.prefix)'";
    room.run_in(&worktree, "sh", &["-c", activated]).succeeds().prints(&format!("{}/.venv\n", worktree.display()));
    is_complete(&room, &worktree);
}
