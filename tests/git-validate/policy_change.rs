use crate::policy::{check, found};
use crate::room::Room;

const FILE: &str = ".codex-agent/config.toml";

#[test]
fn a_weaker_setting_is_found_and_a_stricter_one_is_not() {
    let room = Room::new();
    room.write(FILE, "[policies.line-length]\nmax = 100\n[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n");
    room.commit("settings");
    let wanted = |line: &str| vec![format!("{FILE}{line} policy-change error")];
    for (toml, line) in [
        ("[policies.line-length]\nmax = 101\n[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n", ":2"),
        ("[policies.line-length]\nmax = 100\n", ""),
        (
            "[policies.line-length]\nmax = 100\nexclude = [\"x\"]\n[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n",
            ":3",
        ),
        ("[policies.line-length]\nseverity = \"off\"\n[[checks]]\nname = \"unit\"\ncommand = [\"true\"]\n", ":2"),
        ("[policies\n", ""),
    ] {
        room.write(FILE, toml);
        // What is judged is not what counts: the settings are those of HEAD.
        room.git(&["add", "-A"]);
        room.git(&["show", &format!("HEAD:{FILE}")]);
        let settings = std::fs::read(room.repo().join(FILE)).unwrap();
        room.git(&["checkout", "-q", "HEAD", "--", FILE]);
        let blob = room.path().join("blob");
        std::fs::write(&blob, settings).unwrap();
        let id = room.git(&["hash-object", "-w", blob.to_str().unwrap()]);
        room.git(&["update-index", "--cacheinfo", &format!("100644,{id},{FILE}")]);
        let ran = check(&room, "", &["--staged", "--rule", "policy-change"]).exits(1);
        assert_eq!(found(&ran), wanted(line), "{toml}");
        room.git(&["reset", "-q", "--hard"]);
    }
    room.write(FILE, "[policies.line-length]\nmax = 90\n[[checks]]\nname = \"unit\"\ncommand = [\"other\"]\n");
    room.commit("stricter, and another command");
    let ran = check(&room, "", &["--rule", "policy-change"]).succeeds();
    assert_eq!(found(&ran), [format!("{FILE}:5 policy-change warning")]);
    let ran = check(&room, "[policies.policy-change]\nseverity = \"note\"\n", &["--rule", "policy-change"]).succeeds();
    assert_eq!(found(&ran), [format!("{FILE}:5 policy-change note")]);
}

#[test]
fn a_repository_cannot_switch_it_off() {
    let room = Room::new();
    room.write(FILE, "[policies.policy-change]\nseverity = \"off\"\n");
    room.commit("settings");
    let ran = room.validate(&["policy", "list"]).succeeds().warns("may be set by the user only");
    assert!(ran.stdout.contains("policy-change     error"), "{}", ran.stdout);
}

#[test]
fn asked_for_alone_it_is_judged() {
    let room = Room::new();
    room.write(FILE, "[policies.line-length]\nmax = 100\n");
    room.commit("settings");
    let words = ["--check", "policy:policy-change", "--json"];
    let answer = room.validate(&words).succeeds().json();
    assert_eq!(Room::check(&answer, "policy:policy-change")["status"], "pass");
    room.write(FILE, "[policies.line-length]\nmax = 101\n");
    room.commit("weaker");
    for words in [&words[..], &["show", "--check", "policy:policy-change", "--json"]] {
        let answer = room.validate(words).exits(1).json();
        assert_eq!(answer["checks"].as_array().unwrap().len(), 1);
        assert_eq!(Room::check(&answer, "policy:policy-change")["status"], "fail");
    }
    assert_eq!(room.run("git", &["rev-parse", "-q", "--verify", "refs/notes/validate"]).code, 1, "it is not noted");
}
