//! Golden samples of each agent, and what no agent should print.

use super::said::{ToolEnd, ToolKind};
use super::*;

/// Reads a whole stream in pieces of a size.
fn read(format: Format, bytes: &[u8], size: usize) -> (Stream, Ledger, Vec<Said>, Vec<String>) {
    let (mut stream, mut ledger) = (Stream::new(format), Ledger::new(Usage::default()));
    let (mut all, mut unparsed) = (Vec::new(), Vec::new());
    let mut hear = |heard| match heard {
        Heard::Said(said) => {
            ledger.take(&said);
            all.push(said);
        }
        Heard::Unparsed(text) => unparsed.push(text),
    };
    bytes.chunks(size).for_each(|piece| stream.feed(piece, &mut hear));
    stream.end(&mut hear);
    (stream, ledger, all, unparsed)
}

fn commands(said: &[Said]) -> Vec<&str> {
    let begun = said.iter().filter_map(|said| match said {
        Said::Tool { kind: ToolKind::Command, text, .. } => Some(text.as_str()),
        _ => None,
    });
    let mut commands: Vec<&str> = begun.collect();
    commands.dedup();
    commands
}

struct Golden {
    format: Format,
    stream: &'static str,
    session: &'static str,
    usage: Usage,
    /// The paths that it says it changed.
    files: &'static [(&'static str, &'static str)],
    failed_exit: Option<i64>,
}

const GOLDEN: [Golden; 4] = [
    Golden {
        format: Format::Codex,
        stream: include_str!("../../../../tests/agents/samples/codex-0.169.0.jsonl"),
        session: "01a1fbef-7251-7763-b33a-aa0f664494ee",
        usage: Usage { input: 5000, cached: 1000, output: 250, cost: None },
        files: &[("/R/repo/second.txt", "add"), ("/R/repo/second.txt", "update")],
        failed_exit: Some(3),
    },
    Golden {
        format: Format::Claude,
        stream: include_str!("../../../../tests/agents/samples/claude-2.1.197.jsonl"),
        session: "336801e7-f204-4161-9fcc-72e1f4cf8f1c",
        usage: Usage { input: 5000, cached: 1000, output: 250, cost: Some(0.026750000000000003) },
        files: &[("/R/repo/second.txt", "add"), ("/R/repo/second.txt", "update")],
        failed_exit: Some(3),
    },
    Golden {
        format: Format::Gemini,
        stream: include_str!("../../../../tests/agents/samples/gemini-0.61.0.jsonl"),
        session: "adc66707-cf99-4daa-85e5-f8301f549ec2",
        // Its router asks a model of its own.
        usage: Usage { input: 5020, cached: 1000, output: 255, cost: None },
        files: &[("/R/repo/second.txt", "add"), ("/R/repo/second.txt", "update")],
        failed_exit: None,
    },
    Golden {
        format: Format::Opencode,
        stream: include_str!("../../../../tests/agents/samples/opencode-1.18.33.jsonl"),
        session: "ses_e04107545ffeSAlb802u76t8gg",
        usage: Usage { input: 5000, cached: 1000, output: 250, cost: None },
        files: &[("/R/repo/second.txt", "add"), ("/R/repo/second.txt", "update")],
        failed_exit: Some(3),
    },
];

#[test]
fn each_agent_is_understood_to_the_last_line() {
    for golden in GOLDEN {
        for size in [1, 7, 4096, usize::MAX >> 1] {
            let (stream, ledger, said, unparsed) = read(golden.format, golden.stream.as_bytes(), size);
            let format = golden.format;
            assert_eq!(unparsed, Vec::<String>::new(), "{format:?}");
            assert_eq!(stream.counts(), (golden.stream.lines().count() as u64, 0), "{format:?}");
            assert_eq!(ledger.session.as_deref(), Some(golden.session), "{format:?}");
            assert_eq!(ledger.usage(), Some(golden.usage), "{format:?}");
            assert_eq!(ledger.message.as_deref(), Some("All done: hello.txt and second.txt."), "{format:?}");
            assert_eq!(ledger.verdict(), Verdict::Good, "{format:?}");
            let files = said.iter().filter_map(|said| match said {
                Said::File { path, change } => Some((path.as_str(), *change)),
                _ => None,
            });
            assert_eq!(files.collect::<Vec<_>>(), golden.files, "{format:?}");
            assert_eq!(commands(&said).len(), 2, "{format:?}: {:?}", commands(&said));
            let mut exits = said.iter().filter_map(|said| match said {
                Said::Tool { end: Some(ToolEnd { exit, .. }), .. } => *exit,
                _ => None,
            });
            assert_eq!(exits.rfind(|exit| *exit != 0), golden.failed_exit, "{format:?}");
        }
    }
}

/// What each agent printed when something was wrong, and how its run ended in truth.
const FAULTS: [(Format, &str); 4] = [
    (Format::Codex, include_str!("../../../../tests/agents/samples/codex-0.169.0-faults.jsonl")),
    (Format::Claude, include_str!("../../../../tests/agents/samples/claude-2.1.197-faults.jsonl")),
    (Format::Gemini, include_str!("../../../../tests/agents/samples/gemini-0.61.0-faults.jsonl")),
    (Format::Opencode, include_str!("../../../../tests/agents/samples/opencode-1.18.33-faults.jsonl")),
];

/// The cases that end well, by agent where they differ.
fn ends_well(format: Format, case: &str) -> bool {
    match case {
        "failcmd" | "parallel" | "json" | "asks" | "ansi" | "secret" | "e500once" | "e429once" => true,
        // gemini stops in what it takes for a loop, and calls it a success.
        "huge" => format != Format::Gemini,
        "cutonce" => format != Format::Gemini,
        "badjson" => matches!(format, Format::Codex | Format::Claude),
        "errevent" => format == Format::Claude,
        _ => false,
    }
}

#[test]
fn no_failed_run_passes_for_a_good_one_and_the_other_way_round() {
    for (format, cases) in FAULTS {
        for case in cases.lines() {
            let case: Value = serde_json::from_str(case).unwrap();
            let name = case["case"].as_str().unwrap();
            let events = case["key_events"].as_array().unwrap();
            let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
            let (_, ledger, _, unparsed) = read(format, lines.as_bytes(), 4096);
            assert_eq!(unparsed, Vec::<String>::new(), "{format:?} {name}");
            let good = ledger.verdict() == Verdict::Good;
            assert_eq!(good, ends_well(format, name), "{format:?} {name}: {:?}", ledger.verdict());
        }
    }
}

/// Reads what an agent printed in a case.
fn verdict_of(format: Format, cases: &str, name: &str) -> Verdict {
    let mut cases = cases.lines().map(|case| serde_json::from_str::<Value>(case).unwrap());
    let case = cases.find(|case| case["case"] == name).unwrap();
    let lines: String = case["key_events"].as_array().unwrap().iter().map(|event| format!("{event}\n")).collect();
    read(format, lines.as_bytes(), 4096).1.verdict()
}

#[test]
fn the_kind_of_a_failure_is_told() {
    use ErrorKind::{Auth, Model, Network, Quota};
    let everywhere = [("e401", Auth), ("e429", Quota), ("e400", Model), ("e500", Model), ("reset", Network)];
    for (format, cases) in FAULTS {
        // Where the line breaks and where it brings nonsense, each has words of its own.
        let own: &[(&str, ErrorKind)] = match format {
            Format::Codex => &[("cut", Network), ("garbage", Model), ("errevent", Model), ("empty", Network)],
            Format::Claude => &[("cut", Network), ("garbage", Model), ("empty", Model)],
            Format::Gemini => &[("cut", Network), ("badjson", Model), ("errevent", Model), ("empty", Model)],
            Format::Opencode => &[("cut", Network), ("badjson", Model), ("errevent", Model)],
            Format::Events => &[],
        };
        for (name, kind) in everywhere.iter().chain(own) {
            let Verdict::Bad { kind: told, reason } = verdict_of(format, cases, name) else {
                panic!("{format:?} {name}")
            };
            assert_eq!(told, *kind, "{format:?} {name}: {reason}");
        }
    }
}

#[test]
fn claude_says_in_its_errors_what_is_wrong_before_the_first_turn() {
    let line =
        r#"{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation found"]}"#;
    let (_, ledger, _, _) = read(Format::Claude, line.as_bytes(), 100);
    let reason = "No conversation found".to_owned();
    assert_eq!(ledger.verdict(), Verdict::Bad { kind: ErrorKind::Other, reason });
}

#[test]
fn what_is_no_line_of_json_is_counted_and_disturbs_nothing() {
    let good = GOLDEN[0].stream.as_bytes();
    let odd: [&[u8]; 6] = [
        b"plain words\n",
        b"{\"type\":\"turn.comp\n",
        b"\x1b[31m{\"type\":\"turn.completed\"}\x1b[0m\n",
        b"[1, 2]\n\n\xff\xfe\x00\n",
        b"{\"type\":\"turn.of-tomorrow\"}\n",
        b"{\"type\":7}\n",
    ];
    let mut stream = Vec::new();
    for (line, odd) in good.split_inclusive(|byte| *byte == b'\n').zip(odd.into_iter().cycle().take(6)) {
        stream.extend_from_slice(odd);
        stream.extend_from_slice(line);
    }
    let (counts, _, _, unparsed) = read(Format::Codex, &stream, 3);
    assert_eq!(counts.counts(), (6, 7));
    assert_eq!(unparsed.len(), 7);
    assert!(unparsed.iter().all(|text| text.len() <= 300));
}

#[test]
fn an_endless_line_is_read_over_and_the_next_one_read() {
    let (mut stream, mut heard) = (Stream::new(Format::Codex), Vec::new());
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..100 {
        stream.feed(&piece, &mut |one| heard.push(one));
        assert!(stream.line.capacity() <= 2 * LONGEST);
    }
    stream.feed(b"\n{\"type\":\"turn.completed\"}\n", &mut |one| heard.push(one));
    assert!(matches!(&heard[0], Heard::Unparsed(text) if text == "a line of 104857600 bytes"), "{:?}", heard[0]);
    assert!(matches!(&heard[1], Heard::Said(Said::Ended { good: true, .. })));
    assert!(stream.line.capacity() <= KEPT);
}

#[test]
fn words_that_are_not_quite_utf_8_are_words() {
    let line = b"{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"caf\xe9\"}}\n";
    let (_, ledger, _, _) = read(Format::Codex, line, 10);
    assert_eq!(ledger.message.as_deref(), Some("caf\u{fffd}"));
}

#[test]
fn what_an_agent_says_in_words_is_no_event() {
    let words = "{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":1}}\n{\"type\":\"thread.started\"}";
    let item = serde_json::json!({ "type": "agent_message", "text": words });
    let line = serde_json::json!({ "type": "item.completed", "item": item }).to_string();
    let (_, ledger, said, _) = read(Format::Codex, line.as_bytes(), 10);
    assert_eq!(said.len(), 1);
    assert_eq!((ledger.verdict(), ledger.usage()), (Verdict::Silent, None));
}

#[test]
fn a_resumed_thread_counts_only_its_own_tokens() {
    let before = Usage { input: 5000, cached: 1000, output: 250, cost: None };
    let mut ledger = Ledger::new(before);
    let whole = Usage { input: 7000, cached: 1400, output: 350, cost: None };
    ledger.take(&Said::Usage { scope: said::Scope::Session, usage: whole });
    assert_eq!(ledger.usage(), Some(Usage { input: 2000, cached: 400, output: 100, cost: None }));
    assert_eq!(ledger.session_usage(), Some(whole));
}

#[test]
fn an_agent_that_asks_and_asks_without_an_answer_is_without_hope() {
    let step = r#"{"type":"step_finish","sessionID":"s","part":{"reason":"unknown","tokens":{"input":0,"output":0}}}"#;
    let (_, ledger, _, _) = read(Format::Opencode, format!("{step}\n").repeat(9).as_bytes(), 100);
    assert!(ledger.hopeless().is_none());
    let (_, ledger, _, _) = read(Format::Opencode, format!("{step}\n").repeat(10).as_bytes(), 100);
    assert!(ledger.hopeless().is_some());
}

#[test]
fn an_error_that_no_second_try_helps_against_is_without_hope() {
    for (format, name, hopeless) in
        [(0, "e401", true), (0, "e500", false), (0, "e429", false), (1, "e401", true), (1, "e429", false)]
    {
        let (format, cases) = FAULTS[format];
        let case = cases.lines().map(|case| serde_json::from_str::<Value>(case).unwrap());
        let case = case.into_iter().find(|case| case["case"] == name).unwrap();
        let first = format!("{}\n", case["key_events"][0]);
        let (_, ledger, _, _) = read(format, first.as_bytes(), 4096);
        assert_eq!(ledger.hopeless().is_some(), hopeless, "{format:?} {name}");
    }
}
