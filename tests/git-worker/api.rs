//! Agents named `api:<model>`: models that are asked over HTTP, against a server of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use suite_tests::Ran;

use crate::room::{Room, text};

const KEY: &str = "fake-key-0123456789-of-nobody";

/// A request: its path, headers and body.
#[derive(Clone)]
struct Request {
    path: String,
    headers: String,
    body: Value,
}

/// A server that answers the n-th request with the n-th of its answers, and further ones with the last.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn new(answers: Vec<String>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<Request>>> = Arc::default();
        let known = Arc::clone(&heard);
        // Left waiting for a request when the test is over; it ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = hear(&stream) else { continue };
                let n = known.lock().unwrap().len();
                known.lock().unwrap().push(request);
                let answer = &answers[n.min(answers.len() - 1)];
                let _ = (&stream).write_all(answer.as_bytes());
            }
        });
        Server { port, heard }
    }

    fn heard(&self) -> Vec<Request> {
        self.heard.lock().unwrap().clone()
    }
}

fn hear(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut headers = String::new();
    while !headers.ends_with("\r\n\r\n") {
        if reader.read_line(&mut headers).ok()? == 0 {
            return None;
        }
    }
    let lower = headers.to_lowercase();
    let length = lower.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = headers.split(' ').nth(1)?.to_owned();
    Some(Request { path, headers: lower, body: serde_json::from_slice(&body).unwrap_or_default() })
}

fn http(status: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{more}content-length: {length}\r\n\r\n{body}")
}

fn stream(events: &[Value]) -> String {
    let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    http("200 OK", "content-type: text/event-stream\r\n", &body)
}

fn chat_events(words: &str) -> Vec<Value> {
    let (one, two) = words.split_at(words.len() / 2);
    let delta = |text: &str| json!({ "choices": [{ "delta": { "content": text } }] });
    let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
    let tokens =
        json!({ "prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": { "cached_tokens": 200 } });
    vec![delta(one), delta(two), end, json!({ "choices": [], "usage": tokens })]
}

fn chat(words: &str) -> String {
    stream(&chat_events(words))
}

fn responses(words: &str) -> String {
    let tokens = json!({ "input_tokens": 1000, "output_tokens": 50, "input_tokens_details": { "cached_tokens": 200 } });
    stream(&[
        json!({ "type": "response.created", "response": { "id": "r" } }),
        json!({ "type": "response.output_text.delta", "delta": words }),
        json!({ "type": "response.completed", "response": { "usage": tokens, "error": null } }),
    ])
}

fn anthropic(answer: &str) -> String {
    let tokens = json!({ "input_tokens": 800, "cache_read_input_tokens": 200, "output_tokens": 1 });
    stream(&[
        json!({ "type": "message_start", "message": { "usage": tokens } }),
        json!({ "type": "content_block_delta", "delta": { "type": "input_json_delta", "partial_json": answer } }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 50 } }),
        json!({ "type": "message_stop" }),
    ])
}

fn settings(room: &Room, server: &Server, kind: &str, more: &str) {
    let port = server.port;
    room.user_config(&format!(
        "[api]\nurl = \"http://127.0.0.1:{port}/v1\"\nkind = \"{kind}\"\nkey-command = [\"cat\", \"{}/key\"]\nretries = 1\n\
        {more}[worker]\nprices = [\"gpt-* 1.5 1.5 6\"]\n",
        room.home().display()
    ));
    room.write_in(&room.home(), "key", &format!("{KEY}\n"));
    room.write_in(&room.home(), "schema.json", SCHEMA);
}

const SCHEMA: &str = r#"{ "type": "object", "required": ["verdict"], "additionalProperties": false,
    "properties": { "verdict": { "enum": ["pass", "fail"] } } }"#;

fn ask(room: &Room, more: &[&str]) -> Ran {
    let ran = room.worker(&[&["ask", "--agent", "api:gpt-5.1", "--prompt", "Is it good?", "--json"], more].concat());
    no_key_anywhere(room, &ran);
    ran
}

/// Neither in what was said nor in anything that was kept.
#[track_caller]
fn no_key_anywhere(room: &Room, ran: &Ran) {
    assert!(!ran.stdout.contains(KEY) && !ran.stderr.contains(KEY), "{}{}", ran.stdout, ran.stderr);
    let found = room.run("grep", &["-rlF", KEY, room.state().to_str().unwrap()]);
    assert_eq!((found.stdout.as_str(), found.code), ("", 1));
}

#[test]
fn each_dialect_gives_an_answer_by_a_schema() {
    let answer = "{\"verdict\":\"pass\"}";
    let kinds = [
        ("openai-chat", chat(answer), "/v1/chat/completions", "/response_format/json_schema/schema/required"),
        ("openai-responses", responses(answer), "/v1/responses", "/text/format/schema/required"),
        ("anthropic", anthropic(answer), "/v1/messages", "/tools/0/input_schema/required"),
    ];
    for (kind, reply, path, schema) in kinds {
        let (room, server) = (Room::new(), Server::new(vec![reply]));
        settings(&room, &server, kind, "");
        let file = room.home().join("schema.json");
        let answer = ask(&room, &["--schema", file.to_str().unwrap()]).succeeds().json();
        assert_eq!((&answer["answer"]["verdict"], &answer["repaired"]), (&json!("pass"), &json!(false)), "{kind}");
        assert_eq!(answer["usage"], json!({ "input": 1000, "cached": 200, "output": 50, "cost": 0.0018 }), "{kind}");
        let heard = server.heard();
        assert_eq!((heard.len(), heard[0].path.as_str(), &heard[0].body["model"]), (1, path, &json!("gpt-5.1")));
        assert_eq!(heard[0].body.pointer(schema), Some(&json!(["verdict"])), "{}", heard[0].body);
        let header =
            if kind == "anthropic" { format!("x-api-key: {KEY}") } else { format!("authorization: bearer {KEY}") };
        assert!(heard[0].headers.contains(&header), "{}", heard[0].headers);
        let job = room.job("main-ask");
        assert_eq!((&job["model"], &job["unparsed"]), (&json!("gpt-5.1"), &json!(0)));
    }
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let cut = stream(&chat_events("half of it")[..1]);
    let broken = http("200 OK", "", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ngarbage data: {}\n\n");
    let error = r#"{"error":{"message":"no","code":"x"}}"#;
    let spent = r#"{"error":{"message":"pay","code":"insufficient_quota"}}"#;
    let wrong_key = format!("{{\"error\":{{\"message\":\"Incorrect API key provided: {KEY}\"}}}}");
    let cases = [
        (http("500 X", "", error), "model", 2),
        (http("503 X", "", "<html>"), "model", 2),
        (http("429 X", "retry-after: 0\r\n", error), "quota", 2),
        (http("429 X", "retry-after: 9999\r\n", error), "quota", 1),
        (http("429 X", "", spent), "quota", 1),
        (http("400 X", "", error), "model", 1),
        (http("401 X", "", &wrong_key), "auth", 1),
        (http("302 X", "location: http://127.0.0.1:1/\r\n", ""), "other", 1),
        (http("200 OK", "", ""), "model", 2),
        (http("200 OK", "", "<html>hello</html>"), "model", 2),
        (http("200 OK", "", "data: {\"cut\n\n"), "model", 2),
        (stream(&[json!({ "error": { "message": "overloaded" } })]), "model", 2),
        (stream(&[json!({ "choices": [{ "delta": { "content": "x" }, "finish_reason": "length" }] })]), "model", 1),
        (cut, "network", 2),
        (broken, "model", 2),
        (String::new(), "network", 2),
        ("\u{1}\u{2}garbage".to_owned(), "network", 2),
    ];
    for (reply, kind, tries) in cases {
        let (room, server) = (Room::new(), Server::new(vec![reply.clone()]));
        settings(&room, &server, "openai-chat", "");
        let ran = ask(&room, &[]).exits(1);
        assert_eq!((&ran.json()["answer"], &ran.json()["error"]["kind"]), (&Value::Null, &json!("no-answer")));
        let job = room.job("main-ask");
        let told = (job["state"].as_str(), job["error_kind"].as_str(), server.heard().len());
        assert_eq!(told, (Some("failed"), Some(kind), tries), "{reply}\n{}", ran.stdout);
    }
    for first in [http("500 X", "", ""), stream(&chat_events("half of it")[..1]), String::new()] {
        let (room, server) = (Room::new(), Server::new(vec![first, chat("It is good.")]));
        settings(&room, &server, "openai-chat", "");
        assert_eq!(ask(&room, &[]).succeeds().json()["answer"], "It is good.");
        assert_eq!(server.heard().len(), 2);
    }
}

#[test]
fn who_does_not_answer_in_time_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server { port: silent.local_addr().unwrap().port(), heard: Arc::default() };
    let room = Room::new();
    settings(&room, &server, "openai-chat", "timeout = \"300ms\"\n");
    ask(&room, &[]).exits(1);
    assert_eq!(room.job("main-ask")["error_kind"], "network");
}

#[test]
fn a_worker_answers_in_an_envelope_that_is_applied() {
    let room = Room::new();
    let reply = "Done.\n<<<FILE src/new file.txt>>>\nhello\n<<<END>>>\n<<<DELETE old>>>\n<<<PATCH>>>\n\
        --- a/README\n+++ b/README\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n<<<END>>>\n";
    let server = Server::new(vec![chat(reply)]);
    settings(&room, &server, "openai-chat", "");
    room.write("old", "x\n");
    room.commit("old");
    let ran = room.worker(&["run", "--agent", "api:m", "--prompt", "Mend the README"]).succeeds();
    no_key_anywhere(&room, &ran);
    assert_eq!(text(&room.repo().join("README")), "one\nTWO\nthree\n");
    assert_eq!(text(&room.repo().join("src/new file.txt")), "hello\n");
    assert!(!room.repo().join("old").exists());
    let events = room.worker(&["logs", "--jsonl", "main"]).succeeds().stdout;
    assert_eq!(events.matches("\"event\":\"file\"").count(), 3, "{events}");
    assert_eq!(text(&room.folder("main").join("message.md")), "Done.");
    let sent = server.heard()[0].body["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(sent.contains("<<<FILE README>>>\none\ntwo\nthree\n<<<END>>>") && sent.contains("\nold\n"), "{sent}");
}

#[test]
fn what_an_envelope_may_not_touch_leaves_all_as_it_was() {
    let file = |path: &str| format!("<<<FILE {path}>>>\nx\n<<<END>>>\n");
    let patch = |text: &str| format!("<<<PATCH>>>\n{text}<<<END>>>\n");
    let bad = [
        file("../out"),
        file("/tmp/git-worker-test-out"),
        file(".git/hooks/post-checkout"),
        file("sub/.GIT/config"),
        file(".codex-agent/config.toml"),
        file("link/out"),
        file("leads"),
        file("README/x"),
        "<<<FILE a>>>\nnot ended\n".to_owned(),
        "<<<DELETE nothing>>>\n".to_owned(),
        patch("--- a/README\n+++ b/README\n@@ -1 +1 @@\n-not there\n+x\n"),
        patch("--- a/../out\n+++ b/../out\n@@ -0,0 +1 @@\n+x\n"),
        patch(
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n",
        ),
        patch("diff --git a/README b/R2\nsimilarity index 100%\nrename from README\nrename to R2\n"),
        patch("--- a/README\n+++ b/README\n@@ -1,3 +1,3 @@\n one\n-two\n+x\n three\n") + &file("README"),
    ];
    for block in bad {
        let room = Room::new();
        let server = Server::new(vec![chat(&format!("{}{block}", file("first")))]);
        settings(&room, &server, "openai-chat", "");
        std::fs::create_dir(room.path().join("outside")).unwrap();
        std::os::unix::fs::symlink(room.path().join("outside"), room.repo().join("link")).unwrap();
        std::os::unix::fs::symlink(room.path().join("outside/new"), room.repo().join("leads")).unwrap();
        room.commit("links");
        room.worker(&["run", "--agent", "api:m", "--prompt", "x"]).exits(1).warns("model: nothing of the reply");
        assert_eq!(room.git(&["status", "--porcelain", "--ignored"]).replace("!! .codex-worker/", ""), "", "{block}");
        assert_eq!(std::fs::read_dir(room.path().join("outside")).unwrap().count(), 0, "{block}");
        assert!(!room.path().join("out").exists() && !room.repo().join(".git/hooks/post-checkout").exists());
    }
}

#[test]
fn a_repository_leads_no_key_elsewhere() {
    let room = Room::new();
    let server = Server::new(vec![chat("x")]);
    room.write(".codex-agent/config.toml", &format!("[api]\nurl = \"http://127.0.0.1:{}/v1\"\n", server.port));
    room.commit("settings");
    let ask = ["ask", "--agent", "api:m", "--prompt", "x"];
    room.worker(&ask).exits(128).warns("task trust");
    for url in ["http://example.com/v1", "https://user:pass@example.com/v1", "ftp://127.0.0.1/", "nonsense"] {
        room.user_config(&format!("[api]\nurl = \"{url}\"\n"));
        room.worker(&ask).exits(128).warns("'api.url'");
    }
    assert_eq!(server.heard().len(), 0);
}

#[test]
fn without_a_key_nothing_is_sent_but_to_this_machine() {
    let room = Room::new();
    let server = Server::new(vec![chat("Yes.")]);
    let url = format!("[api]\nurl = \"http://127.0.0.1:{}/v1\"\n", server.port);
    room.user_config(&url);
    room.worker(&["ask", "--agent", "api:m", "--prompt", "x"]).succeeds().prints("Yes.\n");
    assert!(!server.heard()[0].headers.contains("authorization"));
    room.user_config(&format!("{url}key-env = \"MY_KEY\"\n"));
    room.worker(&["ask", "--agent", "api:m", "--prompt", "x"]).exits(1).warns("'MY_KEY' is not set");
    room.user_config(&format!("{url}key-command = [\"false\"]\n"));
    room.worker(&["ask", "--force", "--agent", "api:m", "--prompt", "x"]).exits(1).warns("api.key-command");
    room.user_config("");
    room.worker(&["ask", "--force", "--agent", "api:m", "--prompt", "x"]).exits(1).warns("OPENAI_API_KEY");
    assert_eq!(server.heard().len(), 1);
}

#[test]
fn a_key_of_any_name_stays_out_of_sight() {
    let (room, server) = (Room::new(), Server::new(vec![chat(&format!("Your key is {KEY}."))]));
    settings(&room, &server, "openai-chat", "key-env = \"PLAIN\"\n");
    let mut command = room.command("git-worker");
    command.args(["ask", "--agent", "api:m", "--prompt", &format!("Is {KEY} it?")]).env("PLAIN", KEY);
    let ran = Ran::new("ask".into(), command.output().unwrap()).succeeds().prints("Your key is [redacted].\n");
    no_key_anywhere(&room, &ran);
    assert!(server.heard()[0].headers.contains(KEY));
}

#[test]
fn without_a_network_only_this_machine_is_asked() {
    let (room, server) = (Room::new(), Server::new(vec![chat("Yes.")]));
    settings(&room, &server, "openai-chat", "[network]\nmode = \"none\"\n");
    let ask = |agent: &str| room.worker(&["--json", "ask", "--agent", agent, "--prompt", "x"]);
    ask("api:m").succeeds();
    let closed = "[network]\nmode = \"none\"\n[agents.claude]\nenv = [\"FAKE\"]\n";
    room.user_config(closed);
    for (agent, host) in [("api:m", "api.openai.com"), ("claude", "api.anthropic.com")] {
        let ran = ask(agent).exits(128).warns("\"air-gap\"").warns(host);
        assert_eq!(ran.stdout, "");
    }
    room.user_config(&format!("{closed}[api]\nurl = \"https://127.0.0.2:1/v1\"\nretries = 0\n"));
    ask("api:m").exits(1).warns("no-answer");
    room.user_config(
        "[network]\nmode = \"none\"\nallow = [\"models.invalid\"]\n[api]\nurl = \"https://models.invalid\"\n",
    );
    ask("api:m").exits(1).warns("no key for 'models.invalid'");
    // A repository cannot open it.
    room.user_config("[network]\nmode = \"none\"\n");
    room.write(".codex-agent/config.toml", "[network]\nmode = \"open\"\n");
    ask("api:other").exits(128).warns("air-gap");
}

#[test]
fn a_key_is_kept_in_the_keychain_and_nowhere_else() {
    let room = Room::new();
    let auth = |words: &[&str], input: &str| {
        let path = std::env::join_paths([room.path().join("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
        let mut own = room.command(suite_tests::program_folder().join("git-worker"));
        own.args([&["--json", "auth"], words].concat()).env("PATH", path);
        own.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = own.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::new(format!("auth {words:?}"), child.wait_with_output().unwrap())
    };
    if room.run("sh", &["-c", "command -v secret-tool"]).code == 0 {
        suite_tests::skip("auth without a keychain", "there is one here");
    } else {
        auth(&["set"], KEY).exits(128).warns("no-keychain");
        assert_eq!(auth(&["status"], "").exits(1).json()["keychain"], Value::Null);
    }
    // The words of the real one, with a file for its memory.
    room.script(
        "bin/secret-tool",
        "echo \"$@\" >> \"$HOME/called\"\ncase $1 in\nstore) cat > \"$HOME/.kept\" ;;\nlookup) [ \"$5\" = api.openai.com ] && cat \"$HOME/.kept\" ;;\nclear) rm \"$HOME/.kept\" ;;\nesac",
    );
    assert_eq!(auth(&["status"], "").exits(1).json()["source"], Value::Null);
    let kept = auth(&["set"], &format!("{KEY}\n")).succeeds();
    assert_eq!((&kept.json()["source"], &kept.json()["name"]), (&json!("keychain"), &json!("api.openai.com")));
    assert_eq!(auth(&["status"], "").succeeds().json()["kept"], true);
    assert_eq!(auth(&["status", "--name", "other.example"], "").exits(1).json()["kept"], false);
    assert_eq!(auth(&["remove"], "").succeeds().json()["kept"], false);
    auth(&["set"], "two words\n").exits(129);
    auth(&["set", "--name", "-x y"], KEY).exits(129);
    assert!(!kept.stdout.contains(KEY) && !text(&room.home().join("called")).contains(KEY));
}
