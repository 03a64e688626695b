use serde_json::Value;
use suite_tests::Ran;

use crate::room::Room;

/// What was found, as `path:line rule severity`.
pub(crate) fn found(ran: &Ran) -> Vec<String> {
    let answer = ran.json();
    let policies = answer["policies"].as_array().unwrap();
    let findings = policies.iter().flat_map(|policy| policy["findings"].as_array().unwrap());
    let text = |finding: &Value| {
        let path = finding["path"].as_str().unwrap_or("-").to_owned();
        let line = finding["line"].as_u64().map(|line| format!(":{line}")).unwrap_or_default();
        let (rule, severity) = (finding["rule"].as_str().unwrap(), finding["severity"].as_str().unwrap());
        format!("{path}{line} {rule} {severity}")
    };
    findings.map(text).collect()
}

/// Judges HEAD by the user's settings.
pub(crate) fn check(room: &Room, toml: &str, arguments: &[&str]) -> Ran {
    room.user_config(toml);
    room.validate(&[&["policy", "check", "--json"], arguments].concat())
}

#[test]
fn without_settings_only_the_settings_are_watched() {
    let room = Room::new();
    let ran = room.validate(&["policy", "check"]).succeeds().says("pass  HEAD").says("policy-change");
    assert!(!ran.stdout.contains("line-length"), "{}", ran.stdout);
}

#[test]
fn each_policy_about_contents_fails_and_passes() {
    for (rule, toml, bad, good, line) in [
        ("line-length", "max = 5", "äöüßx\nabcdef\n", "äöüßx\n\tabcd\n", ":2"),
        ("whitespace", "severity = \"error\"", "a\nb \n", "a\nb\n", ":2"),
        ("final-newline", "severity = \"error\"", "a\nb", "a\nb\n", ":2"),
        ("conflict-markers", "severity = \"error\"", "a\n<<<<<<< HEAD\n", "Title\n=======\n", ":2"),
        ("line-endings", "style = \"lf\"", "a\nb\r\n", "a\nb\n", ":2"),
        ("file-size", "max = \"10B\"", "12345678901", "1234567890", ""),
        ("todo", "severity = \"error\"", "x\nTODO: y\n", "TODO(#12): y\n", ":2"),
        ("licence", "text = \"MIT\"\npaths = [\"f\"]", "x\n", "// MIT\n", ":1"),
        (
            "secrets",
            "severity = \"error\"",
            "\npassword = 'aB3dE5gH7jK9mN1p'\n",
            "password = 'changeme-changeme1'\n",
            ":2",
        ),
    ] {
        let room = Room::new();
        let toml = format!("[policies.{rule}]\n{toml}\n");
        room.write("f", bad);
        room.commit("bad");
        let ran = check(&room, &toml, &[]).exits(1);
        assert_eq!(
            found(&ran).iter().filter(|f| f.starts_with('f')).collect::<Vec<_>>(),
            [&format!("f{line} {rule} error")]
        );
        let key = ran.json()["policies"][0]["key"].clone();
        // The second time it comes from what is kept.
        assert_eq!(check(&room, &toml, &[]).exits(1).json()["policies"], ran.json()["policies"]);
        room.write("f", good);
        room.commit("good");
        let ran = check(&room, &toml, &[]);
        assert!(!found(&ran).iter().any(|f| f.starts_with("f ") || f.starts_with("f:")), "{rule}: {:?}", found(&ran));
        assert_eq!(ran.json()["policies"][0]["key"], key, "the key of {rule} depends on more than its settings");
    }
}

#[test]
fn a_secret_is_never_told_whole() {
    let room = Room::new();
    let token = format!("ghp_{}", "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3gH5");
    room.write("f", &format!("x {token}\n"));
    room.commit("leak");
    let ran = check(&room, "[policies.secrets]\nseverity = \"error\"\n", &[]).exits(1);
    assert!(ran.stdout.contains("GitHub token 'ghp_…' of 40 characters") && !ran.stdout.contains(&token[5..20]));
    check(&room, &format!("[policies.secrets]\nallow = [\"^{token}$\"]\n"), &[]).succeeds();
}

#[test]
fn paths_exceptions_and_severities_hold_where_they_match() {
    let room = Room::new();
    for path in ["a.rs", "b.md", "gen/c.rs", "docs/d.rs", "docs/deep/e.rs", "long/f.rs"] {
        room.write(path, "1234567\n");
    }
    room.commit("files");
    let toml = "[policies.line-length]\nmax = 5\npaths = [\"*.rs\", \"*.md\"]\nexclude = [\"gen/\"]\n\
        overrides = [\"*.md off\", \"docs/** warning\", \"long/** 7\", \"docs/deep/ note\"]\n";
    let ran = check(&room, toml, &[]).exits(1);
    let wanted = ["a.rs:1 line-length error", "docs/d.rs:1 line-length warning", "docs/deep/e.rs:1 line-length note"];
    assert_eq!(found(&ran), wanted);
    let ran = check(&room, &format!("{toml}severity = \"warning\"\n"), &[]).succeeds();
    assert_eq!(found(&ran)[0], "a.rs:1 line-length warning");
    check(&room, &format!("{toml}severity = \"off\"\n"), &["--rule", "line-length"]).exits(128);
    room.validate(&["policy", "check", "--rule", "none"]).exits(129).warns("there is no policy 'none'");
}

#[test]
fn another_threshold_changes_the_key_of_its_policy_alone() {
    let room = Room::new();
    let keys = |max: &str| {
        let toml = format!("[policies.line-length]\nmax = {max}\n[policies.todo]\nseverity = \"note\"\n");
        let ran = check(&room, &toml, &[]);
        let answer = ran.json();
        [0, 1].map(|at| answer["policies"][at]["key"].as_str().unwrap().to_owned())
    };
    let (one, two) = (keys("80"), keys("81"));
    assert!(one[0] != two[0] && one[1] == two[1] && one[0].len() == 32, "{one:?} {two:?}");
}

#[test]
fn paths_that_are_forbidden_and_paths_that_are_protected() {
    let room = Room::new();
    room.write("ci/run", "x\n");
    room.write("keys/a.pem", "x\n");
    room.commit("one");
    room.write("ci/run", "y\n");
    room.write("ci/new", "y\n");
    room.git(&["rm", "-q", "README"]);
    room.commit("two");
    let toml = "[policies.forbidden-paths]\npatterns = [\"*.pem\"]\noverrides = [\"keys/ warning\"]\n\
        [policies.protected-paths]\npatterns = [\"ci/\", \"/README\"]\nexclude = [\"ci/new\"]\n";
    let ran = check(&room, toml, &[]).exits(1);
    let wanted = ["keys/a.pem forbidden-paths warning", "README protected-paths error", "ci/run protected-paths error"];
    assert_eq!(found(&ran), wanted);
    check(&room, toml, &["--base", "HEAD"]).succeeds();
    let ran = check(&room, toml, &["HEAD^{tree}"]).succeeds();
    assert_eq!(ran.json()["policies"][1]["status"], "skipped");
}

#[test]
fn the_size_of_a_change_leaves_out_what_nobody_wrote() {
    let room = Room::new();
    room.write("old", "1\n2\n3\n4\n");
    room.commit("one");
    room.write(".gitattributes", "gen/* linguist-generated\n");
    room.write("gen/.gitattributes", "mine -linguist-generated\n");
    for path in ["gen/a", "gen/mine", "Cargo.lock", "made/b"] {
        room.write(path, "1\n2\n3\n");
    }
    room.git(&["mv", "old", "new"]);
    room.write("README", "one\nTWO\nthree\n");
    room.commit("two");
    let toml = |max: u32| format!("[policies.diff-size]\nmax-lines = {max}\ngenerated = [\"made/\"]\n");
    let ran = check(&room, &toml(5), &[]).exits(1);
    let counts = ran.json()["policies"][0]["counts"].clone();
    // .gitattributes (1), gen/mine (3), README (1 and 1); gen/.gitattributes is generated as well.
    assert_eq!((&counts["lines-added"], &counts["lines-removed"]), (&5.into(), &1.into()), "{counts}");
    assert_eq!(counts["generated-files"], 4, "{counts}");
    check(&room, &toml(6), &[]).succeeds();
    check(&room, "[policies.diff-size]\nmax-files = 2\n", &[]).exits(1);
}

#[test]
fn a_message_is_judged_with_its_commit() {
    let room = Room::new();
    let toml = "[policies.commit-message]\nsubject-max = 10\npattern = \"^[A-Z]\"\ntrailers = [\"Signed-off-by\"]\n";
    room.commit("wip: something long");
    let ran = check(&room, toml, &[]).exits(1);
    assert_eq!(ran.json()["policies"][0]["counts"]["findings"], 4);
    room.commit("Fix it\n\nSigned-off-by: A <a@b>");
    check(&room, toml, &[]).succeeds();
    assert_eq!(check(&room, toml, &["--staged"]).succeeds().json()["policies"][0]["status"], "skipped");
}

#[test]
fn a_setting_that_cannot_be_understood_is_named() {
    let room = Room::new();
    for (toml, words) in [
        ("[policies.todo]\nreference = \"(\"\n", "policies.todo.reference"),
        ("[policies.secrets]\nallow = [\"[\"]\n", "policies.secrets.allow"),
        ("[policies.line-length]\noverrides = [\"*.md\"]\n", "policies.line-length.overrides"),
        ("[policies.line-length]\noverrides = [\"*.md much\"]\n", "or a number"),
        ("[policies.documentation]\nlanguages = [\"cobol\"]\n", "'cobol' is none of rust"),
        ("[policies.documentation]\nmin = 101\n", "more than 100 per cent"),
        ("[policies.commit-message]\ntrailers = [\"a b\"]\n", "policies.commit-message.trailers"),
        ("[policies.todo]\nwords = []\n", "no word"),
    ] {
        let ran = check(&room, toml, &[]).exits(128).warns(words);
        assert!(ran.stderr.contains("\"kind\":\"broken-config\""), "{}", ran.stderr);
    }
}

#[test]
fn a_repository_sets_what_the_user_has_not() {
    let room = Room::new();
    room.write("f", "1234567\n");
    room.write(".codex-agent/config.toml", "[policies.line-length]\nmax = 5\n");
    room.commit("settings");
    room.validate(&["policy", "check"]).exits(1).says("f:1: error: 7 characters, at most 5 are allowed [line-length]");
    room.user_config("[policies.line-length]\nmax = 40\n");
    room.validate(&["policy", "check"]).succeeds().warns("may only be made stricter");
}

#[test]
fn list_and_explain_tell_what_is_on_and_why() {
    let room = Room::new();
    room.user_config("[policies.line-length]\nmax = 99\nseverity = \"note\"\n");
    room.validate(&["policy", "list"]).succeeds().says("line-length       note").says("whitespace        off");
    let list = room.validate(&["policy", "list", "--json"]).succeeds().json();
    assert_eq!((&list["policies"][0]["on"], &list["policies"][1]["severity"]), (&true.into(), &Value::Null));
    room.validate(&["policy", "explain", "line-length"])
        .succeeds()
        .says("policies.line-length.max  (number)")
        .says("default: 120")
        .says("value:   99")
        .says("config.toml:2");
    let told = room.validate(&["policy", "explain", "policy-change", "--json"]).succeeds().json();
    assert_eq!(told["on"], true);
    room.validate(&["policy", "explain", "none"]).exits(129).warns("there is no policy 'none'; there are line-length");
}
