use std::time::Duration;

use serde_json::json;

use super::*;

const TASK: Task = Task { id: "t_1", env: None, best_of: 4, settle: Duration::ZERO };

fn parse(value: &Value) -> Result<Shown, String> {
    Shown::parse("t_1", value.to_string().as_bytes())
}

fn look(value: &Value) -> Look {
    parse(value).unwrap().judge(&TASK, &mut Memory::default())
}

/// As the headless dialect prints it.
fn shown(status: &str, variants: &[Value]) -> Value {
    let summary = json!({ "id": "t_1", "title": "Say hello", "status": status, "environment_id": null });
    json!({ "task_id": "t_1", "summary": summary, "task": null, "attempt_total": 4, "variants": variants })
}

fn variant(number: usize, status: &str, diff: Option<&str>) -> Value {
    json!({
        "variant_index": number, "is_base": number == 1, "attempt_placement": number - 1, "status": status,
        "diff": diff, "messages": ["first", format!("last of {number}")], "prompt": "greet", "turn_id": "t_1~1",
    })
}

#[test]
fn variants_have_their_own_numbers_states_and_words() {
    let mut failed = variant(3, "failed", None);
    failed["error"] = json!({ "code": "SETUP_FAILED", "message": "no setup" });
    let all =
        [variant(1, "completed", Some("a")), variant(2, "completed", Some("b")), failed, variant(4, "cancelled", None)];
    let look = look(&shown("ready", &all));
    assert_eq!((look.phase, look.is_whole, look.title.as_deref()), (Phase::Ready, true, Some("Say hello")));
    let states: Vec<State> = look.variants.iter().map(|seen| seen.state).collect();
    assert_eq!(states, [State::Completed, State::Completed, State::Failed, State::Cancelled]);
    assert_eq!(look.variants[1].diff.as_deref(), Some(&b"b"[..]));
    assert_eq!(look.variants[1].message.as_deref(), Some("last of 2"));
    assert_eq!(look.variants[2].reason.as_deref(), Some("SETUP_FAILED: no setup"));
}

#[test]
fn a_task_goes_on_until_its_last_variant() {
    let all = ["pending"; 4].iter().zip(1..).map(|(status, number)| variant(number, status, None)).collect::<Vec<_>>();
    assert_eq!((look(&shown("pending", &all)).phase, look(&shown("pending", &all)).is_whole), (Phase::Pending, false));
    let mut all: Vec<Value> = (1..=4).map(|number| variant(number, "completed", Some("d"))).collect();
    all[3] = variant(4, "in_progress", Some("half"));
    let on = look(&shown("ready", &all));
    assert_eq!((on.phase, on.is_whole, on.variants[3].diff.as_ref()), (Phase::InProgress, false, None));
    all[3] = variant(4, "of_a_newer_kind", None);
    let on = look(&shown("ready", &all));
    assert_eq!((on.is_whole, on.variants[3].reason.as_deref()), (false, Some("it is 'of_a_newer_kind'")));
}

#[test]
fn a_variant_that_is_not_shown_is_waited_for_and_then_failed() {
    let value = shown("ready", &[variant(2, "completed", Some("b"))]);
    let mut memory = Memory::default();
    let first = parse(&value).unwrap().judge(&TASK, &mut memory);
    assert_eq!((first.is_whole, first.variants.len(), first.variants[0].state), (false, 4, State::Pending));
    let second = parse(&value).unwrap().judge(&TASK, &mut memory);
    assert_eq!((second.phase, second.is_whole), (Phase::Ready, true));
    assert_eq!((second.variants[0].state, second.variants[0].reason.is_some()), (State::Failed, true));
}

#[test]
fn nothing_to_show_is_an_error() {
    let all: Vec<Value> = (1..=4).map(|number| variant(number, "completed", Some(""))).collect();
    let look = look(&shown("ready", &all));
    assert_eq!((look.phase, look.is_whole, look.variants[0].diff.as_ref()), (Phase::Error, true, None));
}

#[test]
fn a_command_may_be_short() {
    let value = json!({ "status": "ready", "variants": [
        { "status": "completed", "diff": "a", "messages": "one" },
        { "number": 2, "diff": "b", "message": "two" },
        { "number": 3, "status": "failed", "reason": "why" },
        { "number": 4, "status": "error", "error": "told" },
    ] });
    let look = look(&value);
    assert!(look.is_whole);
    let words = |place: usize| (look.variants[place].message.as_deref(), look.variants[place].reason.as_deref());
    assert_eq!([words(0), words(1)], [(Some("one"), None), (Some("two"), None)]);
    assert_eq!([words(2), words(3)], [(None, Some("why")), (None, Some("told"))]);
    assert_eq!(parse(&json!({ "status": "pending" })).unwrap().variants, []);
}

#[test]
fn what_is_no_task_is_said_to_be_none() {
    let good = shown("ready", &[variant(1, "completed", None)]);
    assert!(parse(&good).is_ok());
    let mut with = Vec::new();
    for (pointer, value) in [
        ("/task_id", json!("another")),
        ("/attempt_total", json!(1_000_000_000_000_u64)),
        ("/attempt_total", json!(-1)),
        ("/attempt_total", json!("4")),
        ("/variants", json!({})),
        ("/variants", json!(vec![variant(1, "completed", None); 2])),
        ("/variants", json!(vec![Value::Null; 65])),
        ("/variants/0", json!("x")),
        ("/variants/0/variant_index", json!(0)),
        ("/variants/0/variant_index", json!(1e300)),
        ("/variants/0/diff", json!(["a"])),
        ("/variants/0/status", json!(null)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        with.push(bad);
    }
    for bad in [with, vec![json!(null), json!([]), json!("x"), json!({}), json!({ "status": "ready" })]].concat() {
        assert!(parse(&bad).is_err(), "{bad}");
    }
    for garbage in [&b""[..], b"\xff\xfe", b"<html>", b"{\"task_id\":"] {
        assert!(Shown::parse("t_1", garbage).is_err());
    }
}

#[test]
fn words_of_any_length_are_cut_and_kept_as_data() {
    let mut long = variant(1, "failed", None);
    long["messages"] = json!([{ "text": "\u{1b}]0;x\u{7}".repeat(100_000) }]);
    long["error"] = json!({ "message": "e".repeat(100_000) });
    let look = look(&shown("ready", &[long]));
    let seen = &look.variants[0];
    assert!(seen.message.as_ref().is_some_and(|text| text.starts_with('\u{1b}') && text.len() < 17_000));
    assert!(seen.reason.as_ref().is_some_and(|text| text.len() < 500));
}
