//! The story of git-bo4: a run on this machine and one in a cloud, from the question to the end of all that is left.

use std::path::Path;

use serde_json::{Value, json};

use super::Story;

/// What the attempts do, by the number of the variant: in two ways good, without its tests, broken, idle, failing.
const MAKER: &str = r#"cat > /dev/null
event() { printf '{"event":%s}\n' "$1"; }
event '"started","session":"s"'
case $PWD in
    *-var1) echo small >> README; echo 7 > score ;;
    *-var2) printf 'large\nlarge\n' >> README; echo large > more ;;
    *-var3) rm -r tests; mkdir .github; echo x > .github/x ;;
    *-var4) echo broken > more ;;
    *-var6) exit 1 ;;
esac
event '"message","text":"I did 🍎 \u202e it"'
event '"usage","scope":"run","input":9,"output":2'
event '"ended","good":true'"#;

/// Prefers what adds the small line, in whichever place it stands.
const JUDGE: &str = r#"asked=$(cat)
winner=B
printf '%s\n' "$asked" | sed -n '/^# Attempt A/,/^# Attempt B/p' | grep -q '^+small' && winner=A
echo '{"event":"started","session":"s"}'
printf '{"event":"message","text":"{\\"winner\\":\\"%s\\",\\"why\\":\\"it is small\\"}"}\n' $winner
echo '{"event":"ended","good":true}'"#;

/// A cloud in the published dialect: of three attempts one is good, one does not apply, and of one nothing comes.
const CODEX: &str = r#"diff() {
    printf 'diff --git a/%s b/%s\n--- a/%s\n+++ b/%s\n@@ -1 +1,2 @@\n %s\n+cloud\n' "$1" "$1" "$1" "$1" "$2"
}
case "$2 $3 $4 $5" in
    --help*) printf 'Commands:\n  exec    Submit\n' ;;
    exec*) [ ! -e "$HOME/no" ] || { cat "$HOME/no" >&2; exit 1; }; echo https://cloud.invalid/t_1 ;;
    list*) echo '{"tasks":[{"id":"t_1","title":"T","status":"ready","attempt_total":3}]}' ;;
    *"--attempt 1") diff list first ;;
    *"--attempt 2") diff list nowhere ;;
    *) echo 'Error: Attempt 3 not available; only 2 attempt(s) found' >&2; exit 1 ;;
esac"#;

/// A cloud whose beginning is uncertain, and that is seen to its end; the next round of it.
fn cloud(story: &mut Story) {
    story.room.script("bin/codex", CODEX);
    let ask = ["--backend", "codex-cloud", "--env", "e", "--best-of", "3", "--prompt", "ask the cloud"];
    story.room.write_in(&story.room.home(), "no", "Error: environment 'e' not found\n");
    assert_eq!(story.asks(128, &[&["new"], &ask[..]].concat())["error"]["kind"], "refused");
    assert_eq!(story.asks(0, &["report"])["phase"], "error");
    story.room.write_in(&story.room.home(), "no", "Error: the line is dead\n");
    let failed = story.asks(128, &[&["new"], &ask[..]].concat());
    assert_eq!(failed["error"]["details"]["candidates"][0]["id"], "t_1", "{failed}");
    let run = failed["error"]["details"]["run"].as_str().unwrap().to_owned();
    std::fs::remove_file(story.room.home().join("no")).unwrap();
    assert_eq!(story.asks(0, &["status", &run])["kickoff"], "begun");
    story.asks(128, &["watch", &run, "--interval", "1ms"]);
    let told = story.asks(0, &["run", &run, "--adopt", "t_1", "--interval", "1ms"]);
    assert_eq!(told["variants"][1]["verdict"], "nothing", "{told}");
    let told = story.asks(0, &["watch", &run]);
    assert_eq!(told["variants"][0]["label"], "diff 1 of 2", "{told}");
    assert!(told["variants"][1]["problem"].is_string(), "{told}");
    let place = story.room.path().display().to_string();
    let told = story.asks(0, &["export", &run, "--dir", &place]);
    assert_eq!((&told["exported"][1]["applies"], &told["skipped"][0]["variant"]), (&json!(false), &json!(3)), "{told}");
    story.asks(1, &["export", &run, "--variant", "3"]);
    story.asks(1, &["branch", &run]);
    story.asks(0, &["show", &run]);
    story.asks(128, &["apply", &run, "--variant", "2"]);
    story.asks(0, &["retry", &run, "-n"]);
    let told = story.asks(0, &["retry", &run, "--prompt", "ask it again"]);
    assert_eq!((&told["previous"], &told["round"]), (&json!(run), &json!(1)), "{told}");
    story.asks(0, &["watch", "--interval", "1ms"]);
    story.asks(0, &["report"]);
    story.asks(128, &["pick"]);
    story.asks(129, &["new", "--backend", "codex-cloud", "--prompt", "x"]);
}

/// Six attempts at a task on this machine, each of its own kind, compared by all means.
fn attempts(story: &mut Story) -> String {
    let lanes = ["--task", "eat", "--lane", "maker@m:3", "--lane", "maker:3"];
    story.asks(0, &[&["new", "-n"], &lanes[..]].concat());
    story.asks(0, &[&["run", "-n"], &lanes[..]].concat());
    let means = ["--metric", "cat score", "--judge=judge", "--interval", "100ms"];
    let told = story.asks(0, &[&["run"], &lanes[..], &means].concat());
    let run = told["run"].as_str().unwrap().to_owned();
    assert_eq!(told["ranking"][0]["variant"], 1, "{told:#}");
    assert_eq!(told["duels"][0]["winner"], 1, "{told:#}");
    story.asks(0, &["review", &run, "--metric", "cat score", "--metric-goal", "lower", "--judge=judge"]);
    let told = story.asks(0, &["review", &run, "--judge=mute", "--force"]);
    assert!(told["duels"][0]["problem"].is_string(), "{told:#}");
    story.asks(0, &["review", &run, "--unvalidated"]);
    story.asks(0, &["review", &run]);
    run
}

/// What is made of the attempts, and what keeps it from being made.
fn choices(story: &mut Story, run: &str) {
    story.asks(0, &["show", run]);
    story.asks(0, &["show", run, "--variant", "2"]);
    story.asks(128, &["show", run, "--variant", "7"]);
    story.asks(0, &["diff", run]);
    story.asks(0, &["diff", run, "--variant", "2", "--against", "1"]);
    story.asks(1, &["diff", run, "--variant", "5"]);
    story.asks(0, &["branch", run, "-n"]);
    story.asks(0, &["branch", run]);
    story.asks(0, &["export", run]);
    story.asks(1, &["apply", run, "--variant", "3", "--preflight"]);
    story.asks(0, &["apply", run, "--variant", "1", "--preflight"]);
    story.room.git(&["branch", "side"]);
    let side = story.room.path().join("side");
    story.room.git(&["worktree", "add", "-q", side.to_str().unwrap(), "side"]);
    story.room.write_in(&side, "README", "mine\n");
    let told = story.asks(0, &["apply", run, "--variant", "1", "--onto", "side"]);
    assert_eq!(told["checkout"]["followed"], false, "{told}");
    assert_eq!(story.asks(0, &["apply", run, "--variant", "1", "--onto", "side"])["outcome"], "nothing-to-do");
    assert_eq!(story.asks(1, &["apply", run, "--variant", "2", "--onto", "side"])["outcome"], "conflicts");
    story.asks(0, &["pick", run, "-n"]);
    let told = story.asks(0, &["status", run]);
    let place = |number: usize| told["variants"][number - 1]["worktree"].as_str().unwrap().to_owned();
    story.room.write_in(Path::new(&place(2)), "left", "x\n");
    story.room.git(&["worktree", "lock", &place(3)]);
    let told = story.asks(0, &["pick", run]);
    assert!(told["worktrees"][1]["backup"].is_string() && told["worktrees"][2]["why"].is_string(), "{told:#}");
    assert_eq!((&told["branch"], &told["checkout"]["followed"]), (&json!("task/eat"), &json!(true)), "{told:#}");
    story.asks(0, &["status", run]);
    story.asks(0, &["report", run]);
    story.asks(1, &["graft", run, "--from", "2", "--paths", "README"]);
    story.asks(1, &["graft", run, "--from", "3", "--paths", ".github"]);
    story.asks(0, &["graft", run, "--from", "2", "-n", "--paths", "more"]);
    let told = story.asks(0, &["graft", run, "--from", "2", "--paths", "more"]);
    assert!(told["commit"].is_string() && told["checkout"].is_object(), "{told}");
    story.asks(1, &["graft", run, "--from", "2", "--paths", "score"]);
}

#[test]
fn git_bo4_answers_as_its_schemas_say() {
    let mut story = Story::of("git-bo4");
    let room = &story.room;
    let agent = |name: &str, body: &str| {
        let path = room.script(&format!("bin/{name}"), body).display().to_string();
        format!("[agents.{name}]\ncommand = [\"{path}\", \"{{model}}\"]\nprompt = \"stdin\"\nformat = \"events\"\n")
    };
    let agents = [agent("maker", MAKER), agent("judge", JUDGE), agent("mute", "cat > /dev/null")].concat();
    let check = "[[checks]]\nname = \"test\"\nshell = \"if grep broken more; then exit 1; fi\"\n";
    room.user_config(&format!("[bo4]\nsettle = \"0s\"\n[worker]\nagent = \"maker\"\n{check}{agents}"));
    room.write("list", "first\n");
    room.write("tests/t.sh", "true\n");
    room.commit("what there is");
    room.run("git-task", &["add", "Eat", "--goal", "x"]).succeeds();
    room.run("git-task", &["worktree", "add", "eat"]).succeeds();
    story.asks(128, &["status"]);
    cloud(&mut story);
    let run = attempts(&mut story);
    choices(&mut story, &run);
    story.asks(0, &["run", "--background", "--prompt", "behind", "--lane", "maker"]);
    story.asks(0, &["watch", "--interval", "100ms", "--timeout", "60s"]);
    let log = story.room.repo().join(".codex/bo4_runs.jsonl");
    let lines = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{lines}torn\n")).unwrap();
    story.asks(0, &["list"]);
    story.asks(0, &["gc", "--older-than", "0s", "-n"]);
    let told = story.asks(0, &["gc", "--older-than", "0s", "--undecided"]);
    assert_eq!(told["kept"][0]["run"], json!(run), "{told}");
    let told = story.asks(0, &["list", "--max-count", "9"]);
    assert!(told["runs"].as_array().unwrap().iter().any(|run| run["phase"] == Value::Null), "{told}");
    story.ends(&[]);
}
