//! Runs that would never end by themselves: each ends at its limit, and nothing of it is left.

use std::time::{Duration, Instant};

use crate::agent::{Agent, each_agent};
use crate::room::{Room, marked, text};

each_agent!(
    a_stalled_stream_ends_at_the_limit,
    a_silent_agent_is_seen_to_be_silent,
    without_a_login_it_ends_or_does_not_begin,
);

/// On top of the limit.
const LATE: Duration = Duration::from_secs(5);

fn a_stalled_stream_ends_at_the_limit(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    // Long enough for the slowest to have begun; then nothing moves any more.
    let limit = match agent {
        Agent::Codex | Agent::Claude => 8,
        Agent::Gemini => 14,
        Agent::Opencode => 24,
    };
    let began = Instant::now();
    let id = room.launch("stall", &["--timeout", &format!("{limit}s")]);
    let job = room.ends(&id, "timed-out");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(limit) + LATE, "{}: {took:?}", agent.name());
    assert_eq!((text(&job, "by"), text(&job, "reason")), ("timeout", "timeout"));
    assert!(!text(&job, "session").is_empty(), "it had not begun: {job:#}");
    assert!(marked(&job).is_empty(), "{:?}", marked(&job));
}

fn a_silent_agent_is_seen_to_be_silent(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    room.user_config("[worker]\nstall-interrupt = \"1s\"\nstall-stop = \"1s\"\n");
    let began = Instant::now();
    // opencode is never quite still: what it does not do is to come further.
    let (limit, state, reason) = match agent {
        Agent::Opencode => (["--step-timeout", "24s"], "timed-out", "no milestone for 24s after the start"),
        Agent::Codex | Agent::Claude | Agent::Gemini => (["--stall", "4s"], "stalled", "no sign of life for 4s"),
    };
    let job = room.ends(&room.launch("stall", &limit), state);
    assert_eq!(text(&job, "reason"), reason);
    // With what it takes the slowest to begin.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6 + 24) + LATE, "{}: {took:?}", agent.name());
    assert!(marked(&job).is_empty(), "{:?}", marked(&job));
}

fn without_a_login_it_ends_or_does_not_begin(agent: Agent) {
    let Some(mut room) = Room::new(agent) else { return };
    let key = |name: &str| name.ends_with("_API_KEY") || name.ends_with("BASE_URL");
    room.environment.retain(|(name, _)| !key(name));
    for file in [".codex/config.toml", ".config/opencode/opencode.json"] {
        let _ = std::fs::remove_file(room.home().join(file));
    }
    let base = ["run", "--policy", "full-access", "--timeout", "20s", "--prompt", "Do the task.", "--json", "--agent"];
    let began = Instant::now();
    let ran = room.worker(&[&base[..], &[agent.name()]].concat());
    assert!(began.elapsed() < Duration::from_secs(20) + LATE, "{}: {:?}", agent.name(), began.elapsed());
    if matches!(agent, Agent::Codex | Agent::Opencode) {
        // The one asks without an end, the other sends the task elsewhere.
        assert_eq!(ran.code, 128, "{} {}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("agent-not-ready"), "{}", ran.stderr);
        return;
    }
    let job = ran.exits(1).json()["jobs"][0].clone();
    let told = (text(&job, "state"), text(&job, "error_kind"));
    assert_eq!(told, ("failed", "auth"), "{}\n{}", job["reason"], room.tale(text(&job, "id")));
    assert!(marked(&job).is_empty());
}
