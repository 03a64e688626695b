//! Reports that checks write, and what they make of the verdict.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use suite_tests::Ran;

use crate::room::Room;

/// A room with one check, `t`, which runs a script and promises a report.
fn with_report(output: &str, script: &str) -> Room {
    let room = Room::new();
    room.write(".gitignore", "/build/\n");
    let check = |list: &[&str]| serde_json::to_string(list).unwrap();
    let (command, outputs) = (check(&["sh", "-c", script]), check(&[output]));
    room.trusted_config(&format!("[[checks]]\nname = \"t\"\ncommand = {command}\noutputs = {outputs}\n"));
    room.commit("settings");
    room
}

/// A room whose check copies a report from outside and exits 0.
fn copying(format: &str, content: &[u8]) -> Room {
    let room = with_report(&format!("{format}:build/report"), "mkdir -p build; cp \"$HOME/report\" build/report");
    fs::write(room.home().join("report"), content).unwrap();
    room
}

#[track_caller]
fn answers(room: &Room, code: i32) -> Value {
    Room::check(&room.validate(&["--json"]).exits(code).json(), "t")
}

/// Expects that a check which exits 0 has not passed, for this reason.
#[track_caller]
fn spoils(room: &Room, status: &str, reason: &str) -> Value {
    let check = answers(room, if status == "broken" { 128 } else { 1 });
    assert_eq!(check["status"], status, "{check}");
    assert!(check["reason"].as_str().unwrap().contains(reason), "{check}");
    check
}

#[test]
fn a_failing_report_fails_a_check_that_exits_0() {
    let room = with_report(
        "junit:build/report.xml",
        "mkdir -p build; printf '<testsuite><testcase name=\"one\"/><testcase name=\"two\" file=\"%s/src/a b.rs\" line=\"3\">\
         <failure type=\"T\">no &amp; no</failure></testcase></testsuite>' \"$PWD\" > build/report.xml",
    );
    let check = spoils(&room, "fail", "its report has errors, though it exited with 0");
    let finding =
        json!({"path": "src/a b.rs", "line": 3, "rule": "junit/T", "severity": "error", "message": "two: no & no"});
    assert_eq!(check["findings"], json!([finding]));
    assert_eq!(check["counts"], json!({"tests": 2, "failures": 1, "errors": 0, "skipped": 0}));
    let noted = answers(&room, 1);
    assert_eq!((&noted["findings"], &noted["cached"]), (&check["findings"], &json!(true)));
}

#[test]
fn good_reports_add_up_and_pass() {
    let room = copying("junit", b"<testsuites><testsuite><testcase name='a'/></testsuite></testsuites>");
    assert_eq!(answers(&room, 0)["counts"]["tests"], 1);
    let room = copying("lcov", b"TN:\nSF:a\nDA:1,1\nDA:2,0\nend_of_record\n");
    assert_eq!(answers(&room, 0)["counts"], json!({"lines": 2, "lines-covered": 1}));
    let room = copying("cobertura", b"<coverage lines-valid='9' lines-covered='4'/>");
    assert_eq!(answers(&room, 0)["counts"], json!({"lines": 9, "lines-covered": 4}));
    let sarif = br#"{"version":"2.1.0","runs":[{"results":[{"ruleId":"r","message":{"text":"look"},"locations":
        [{"physicalLocation":{"artifactLocation":{"uri":"a%20b.c"},"region":{"startLine":2}}}]}]}]}"#;
    let room = copying("sarif", sarif);
    let check = answers(&room, 0);
    let finding = json!({"path": "a b.c", "line": 2, "rule": "r", "severity": "warning", "message": "look"});
    assert_eq!((&check["status"], &check["findings"]), (&json!("pass"), &json!([finding])));
}

#[test]
fn no_test_is_no_pass() {
    spoils(&copying("junit", b"<testsuites tests='7'/>"), "fail", "has no test");
}

#[test]
fn a_missing_report_is_no_pass_nor_is_that_of_an_earlier_run() {
    let room = with_report("junit:build/report", "exit 0");
    spoils(&room, "broken", "there is no report 'build/report'");
    room.write_in(&room.slot(), "tree/build/report", "<testsuite><testcase name='old'/></testsuite>");
    spoils(&room, "broken", "there is no report 'build/report'");
}

#[test]
fn a_report_behind_a_link_is_not_read() {
    for script in [
        "mkdir -p build; ln -s \"$HOME/report\" build/report",
        "rm -rf build; ln -s \"$HOME\" build",
        "mkdir -p build; ln -s /dev/zero build/report",
    ] {
        let room = with_report("junit:build/report", script);
        fs::write(room.home().join("report"), "<testsuite><testcase name='a'/></testsuite>").unwrap();
        let check = answers(&room, 128);
        assert_eq!(check["status"], "broken", "{check}");
        assert!(check["reason"].as_str().unwrap().contains("link"), "{check}");
        assert!(room.home().join("report").exists());
    }
    // A link of the tree itself leads nowhere either.
    let room = with_report("junit:out/report", "echo '<testsuite><testcase name=\"a\"/></testsuite>' > out/report");
    symlink(room.home(), room.repo().join("out")).unwrap();
    room.commit("a link");
    let ran: Ran = room.validate(&["--json"]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
}

#[test]
fn a_report_that_is_too_large_is_not_read() {
    let room = with_report(
        "junit:build/report",
        "mkdir -p build; echo '<testsuite><testcase name=\"a\"/>' > build/report; head -c 67108864 /dev/zero | tr '\\0' ' ' >> build/report; echo '</testsuite>' >> build/report",
    );
    spoils(&room, "broken", "is larger than 64 MiB");
}

#[test]
fn a_bomb_does_not_go_off() {
    let mut bomb = String::from("<!DOCTYPE t [<!ENTITY a \"aaaaaaaaaa\">");
    for (name, before) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        bomb.push_str(&format!("<!ENTITY {name} \"{}\">", format!("&{before};").repeat(10)));
    }
    let in_text = format!("{bomb}]><testsuite><testcase name='a'><failure>&j;</failure></testcase></testsuite>");
    spoils(&copying("junit", in_text.as_bytes()), "broken", "cannot be read as junit");
    let in_attribute = format!("{bomb}]><testsuite><testcase name='&j;'/></testsuite>");
    spoils(&copying("junit", in_attribute.as_bytes()), "broken", "cannot be read as junit");
    let file = "<!DOCTYPE t [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><coverage lines-valid='&a;'/>";
    spoils(&copying("cobertura", file.as_bytes()), "broken", "cannot be read as cobertura");
    let deep = "<testsuite>".repeat(1 << 20);
    spoils(&copying("junit", deep.as_bytes()), "broken", "breaks off before its end");
    let deep = format!("{{\"version\":\"2.1.0\",\"runs\":{}", "[".repeat(1 << 20));
    spoils(&copying("sarif", deep.as_bytes()), "broken", "cannot be read as sarif");
}

#[test]
fn a_torn_report_is_no_pass() {
    for torn in
        ["<testsuite><testcase name='a'/>", "<testsuite><testcase name='a", "", "<testsuite><testcase></testsuite>"]
    {
        spoils(&copying("junit", torn.as_bytes()), "broken", "cannot be read as junit");
    }
    spoils(&copying("lcov", b"SF:a\nDA:1,1\n"), "broken", "cannot be read as lcov");
}
