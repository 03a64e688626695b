//! Answers in the forms that other programs read, checked by programs that are not ours.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};
use suite_tests::{Ran, skip};

use crate::room::Room;

/// Names of files that no form takes as they are.
const ODD: [&[u8]; 6] = [b"new\nline", b"not-\xff-utf8", "emoji 🍎 ä".as_bytes(), b"quote'\"`|", b"a:b,c%20[x]", b"-x"];

/// Reads the log and expects it to be as OASIS says.
#[track_caller]
fn sarif(text: &str) -> Value {
    let log: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let schema = serde_json::from_str(include_str!("sarif/sarif-schema-2.1.0.json")).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("mem:///sarif.json", schema).unwrap();
    let index = compiler.compile("mem:///sarif.json", &mut schemas).unwrap();
    assert!(schemas.validate(&json!({ "version": "2.1.0" }), index).is_err(), "the schema asks for nothing");
    if let Err(error) = schemas.validate(&log, index) {
        panic!("{error:#}\n{log:#}");
    }
    log
}

/// Reads the report with Python's parser, and expects libxml2 to take it as well.
#[track_caller]
fn junit(room: &Room, text: &str) -> Value {
    const SCRIPT: &str = "import json, sys, xml.etree.ElementTree as tree\n\
        def plain(e): return dict(e.attrib, tag=e.tag, text=e.text or '', inside=[plain(i) for i in e])\n\
        print(json.dumps(plain(tree.fromstring(sys.stdin.buffer.read()))))";
    assert!(!text.contains("<!"), "{text}");
    let fed = |program: &str, arguments: &[&str]| {
        let mut command = room.command(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().ok()?;
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Some(Ran::new(program.to_owned(), child.wait_with_output().unwrap()).succeeds())
    };
    match fed("xmllint", &["--noout", "--nonet", "-"]) {
        Some(ran) => assert_eq!(ran.stderr, ""),
        None => skip("JUnit XML by libxml2", "there is no xmllint"),
    }
    serde_json::from_str(&fed("python3", &["-c", SCRIPT]).unwrap().stdout).unwrap()
}

/// Finds what is inside an element by its tag.
fn inside<'a>(element: &'a Value, tag: &str) -> Vec<&'a Value> {
    element["inside"].as_array().unwrap().iter().filter(|inside| inside["tag"] == tag).collect()
}

/// A room with a check of each end, one of which names odd files.
fn with_all_ends() -> Room {
    let room = Room::new();
    let mut results = Vec::new();
    for (n, name) in ODD.iter().enumerate() {
        fs::write(room.repo().join(OsStr::from_bytes(name)), "x\n").unwrap();
        let uri: String = name.iter().map(|byte| format!("%{byte:02X}")).collect();
        let level = ["error", "warning", "note"][n % 3];
        results.push(
            json!({"ruleId": "odd/name", "level": level, "message": {"text": "a\u{1b}[31m ``` @you </x> ]]> [l](u)"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": n + 1}}}]}),
        );
    }
    let log = json!({"version": "2.1.0", "runs": [{"results": results}]});
    fs::write(room.home().join("log"), log.to_string()).unwrap();
    room.trusted_config(
        "[[checks]]\nname = \"lint\"\ncommand = [\"sh\", \"-c\", \"cp \\\"$HOME/log\\\" out.sarif\"]\noutputs = [\"sarif:out.sarif\"]\n\
         [[checks]]\nname = \"bad ::error::x | `\"\ncommand = [\"sh\", \"-c\", \"printf 'end\\\\n::set-output name=a::b\\\\n\\\\033[2J\\\\000\\\\377````\\\\n'; exit 3\"]\n\
         [[checks]]\nname = \"slow\"\ncommand = [\"sleep\", \"60\"]\ntimeout = \"50ms\"\n\
         [[checks]]\nname = \"broken\"\ncommand = [\"no-such-program\"]\n\
         [[checks]]\nname = \"skipped\"\ncommand = [\"false\"]\npaths = [\"*.none\"]\n\
         [[checks]]\nname = \"ok\"\ncommand = [\"true\"]\n",
    );
    room.write(".gitignore", "out.sarif\n");
    room.commit("all");
    room
}

#[test]
fn sarif_is_as_oasis_says() {
    let room = with_all_ends();
    let log = sarif(&room.validate(&["--sarif"]).exits(1).stdout);
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let levels: Vec<&str> = results.iter().map(|result| result["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["error", "error", "warning", "warning", "note", "note", "error", "error", "error"]);
    let uris: Vec<&str> = results
        .iter()
        .map(|result| result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap())
        .collect();
    assert_eq!(uris[..3], ["new%0Aline", "quote%27%22%60%7C", "not-%FF-utf8"]);
    assert_eq!(uris[3..6], ["a%3Ab%2Cc%2520%5Bx%5D", "emoji%20%F0%9F%8D%8E%20%C3%A4", "-x"]);
    assert_eq!(results[1]["locations"][0]["physicalLocation"]["region"]["startLine"], 4);
    let failed = results[6]["message"]["text"].as_str().unwrap();
    assert!(failed.starts_with("fail: exit code 3\n") && failed.contains("end\n"), "{failed:?}");
    let properties = &run["invocations"][0]["properties"];
    assert_eq!(properties["tree"], room.git(&["rev-parse", "HEAD^{tree}"]).as_str());
    assert_eq!(
        (&properties["verdict"], &run["invocations"][0]["executionSuccessful"]),
        (&json!("fail"), &json!(false))
    );
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 4);
    sarif(&room.validate(&["show", "--sarif"]).exits(1).stdout);
}

#[test]
fn junit_is_read_by_strict_parsers() {
    let room = with_all_ends();
    let suites = junit(&room, &room.validate(&["--junit"]).exits(1).stdout);
    assert_eq!((suites["tag"].as_str(), suites["tests"].as_str()), (Some("testsuites"), Some("6")));
    let suite = inside(&suites, "testsuite")[0];
    let cases = inside(suite, "testcase");
    let ends: Vec<&str> = cases
        .iter()
        .map(|case| case["inside"].as_array().unwrap().first().map_or("", |end| end["tag"].as_str().unwrap()))
        .collect();
    assert_eq!(ends, ["failure", "failure", "error", "error", "skipped", ""]);
    assert_eq!(cases[1]["name"], "bad ::error::x | `");
    assert!(cases.iter().all(|case| case["time"].as_str().unwrap().parse::<f64>().is_ok()));
    let printed = inside(cases[1], "system-out")[0]["text"].as_str().unwrap().to_owned();
    assert!(printed.starts_with("end\n") && printed.contains("\u{fffd}[2J\u{fffd}\u{fffd}````"), "{printed:?}");
    let findings = inside(cases[0], "failure")[0]["text"].as_str().unwrap().to_owned();
    assert!(findings.contains("quote'\"`|:4: error: ") && findings.contains("]]>"), "{findings}");
}

#[test]
fn markdown_keeps_foreign_words_in_code() {
    let room = with_all_ends();
    let text = room.validate(&["--markdown"]).exits(1).stdout;
    assert!(text.starts_with("# fail: `HEAD (commit "), "{text}");
    assert!(
        text.contains("\n| check | verdict | seconds | reason |\n") && text.contains("\n| `ok` | pass | 0."),
        "{text}"
    );
    assert!(text.contains("<code>bad &#58;&#58;error&#58;&#58;x &#124; &#96;</code>"), "{text}");
    assert!(
        text.contains("- error ``quote'\"`|:4`` ````a\\u{1b}[31m ``` @you </x> ]]> [l](u)```` (`lint`, `odd/name`)"),
        "{text}"
    );
    assert!(text.contains("`````text\nend\n::set-output name=a::b\n"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\0'));
}

#[test]
fn an_annotation_is_a_command_and_what_a_check_prints_is_none() {
    let room = with_all_ends();
    let text = room.validate(&["--github"]).exits(1).stdout;
    assert!(text.contains("::error file=new%0Aline,line=1,title=lint%3A odd/name::a"), "{text}");
    assert!(text.contains("::warning file=a%3Ab%2Cc%2520[x],line=5,title="), "{text}");
    assert!(
        text.contains("::error title=bad %3A%3Aerror%3A%3Ax | `::fail: exit code 3%0Aend%0A::set-output"),
        "{text}"
    );
    for line in text.lines() {
        let own = ["::error ", "::warning ", "::notice ", "git-validate: "];
        assert!(own.iter().any(|begin| line.starts_with(begin)), "{line}");
    }
    assert!(text.lines().last().unwrap().starts_with("git-validate: fail  HEAD (commit "), "{text}");
}

#[test]
fn a_range_and_nothing_are_told_in_every_form() {
    let room = Room::with(&[("a", "! test -e bad")]);
    room.write("bad", "bad\n");
    room.commit("bad");
    room.write("more", "more\n");
    room.commit("more");
    let log = sarif(&room.validate(&["--sarif", "HEAD~2..HEAD"]).exits(1).stdout);
    let run = &log["runs"][0];
    assert_eq!((run["invocations"].as_array().unwrap().len(), run["results"].as_array().unwrap().len()), (2, 2));
    assert_eq!(run["results"][1]["provenance"]["invocationIndex"], 1);
    let suites = junit(&room, &room.validate(&["show", "--junit", "HEAD~2..HEAD"]).exits(1).stdout);
    assert_eq!(inside(&suites, "testsuite").len(), 2);
    assert_eq!(room.validate(&["--markdown", "HEAD~2..HEAD"]).exits(1).stdout.matches("# fail: ").count(), 2);
    let empty = Room::new();
    sarif(&empty.validate(&["show", "--sarif"]).exits(1).stdout);
    let suites = junit(&empty, &empty.validate(&["show", "--junit"]).exits(1).stdout);
    assert_eq!((&suites["tests"], &suites["errors"]), (&json!("1"), &json!("1")), "nothing is no pass");
    empty.validate(&["show", "--github"]).exits(1).says("git-validate: no-checks  HEAD");
    empty.validate(&["show", "--markdown"]).exits(1).says("# no-checks: ");
    room.validate(&["--sarif", "--junit"]).exits(129);
}
