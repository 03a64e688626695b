//! The end of a job in the middle of its work, and how it goes on.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::agent::{Agent, each_agent};
use crate::room::{Room, marked, message, text, until};

each_agent!(a_stopped_job_leaves_no_process_and_can_go_on, after_the_death_of_everything_the_session_goes_on);

/// For the end of everything that a job started.
const STOP: Duration = Duration::from_secs(10);

fn rounds() -> u32 {
    std::env::var("SUITE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Launches a job that is in the middle of a command, which has children.
fn in_a_command(room: &Room) -> String {
    for file in ["longcmd.pid", "child.pid"] {
        let _ = std::fs::remove_file(room.repo().join(file));
    }
    let id = room.launch("longcmd", &[]);
    until("the command runs", || {
        let read = std::fs::read_to_string(room.repo().join("child.pid")).unwrap_or_default();
        !read.trim().is_empty()
    });
    assert!(marked(&room.job(&id)).len() > 2, "{:?}", marked(&room.job(&id)));
    id
}

#[track_caller]
fn nothing_is_left(job: &Value) {
    assert!(marked(job).is_empty(), "{:?} of {} live", marked(job), job["id"]);
}

/// Goes on with the session of a job, and expects that it ends well.
#[track_caller]
fn goes_on(room: &Room, old: &Value) {
    let prompt = "[scenario:asks] Go on.";
    let ran = room.worker(&["resume", "--share", "--force", "--prompt", prompt, text(old, "id")]).succeeds();
    let new = room.ends(ran.text(), "completed");
    assert_eq!(new["session"], old["session"], "{new:#}");
    assert_eq!(message(&new), "Which database should I use? Please tell me before I go on.");
}

fn a_stopped_job_leaves_no_process_and_can_go_on(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    for round in 0..rounds() {
        let id = in_a_command(&room);
        let began = Instant::now();
        room.worker(&["stop", &id]).succeeds();
        let took = began.elapsed();
        let job = room.job(&id);
        assert_eq!((text(&job, "state"), text(&job, "by")), ("stopped", "user"), "{job:#}");
        assert!(took < STOP, "{}: round {round} took {took:?}", agent.name());
        nothing_is_left(&job);
        println!("{} stopped in {took:?}, {} left over", agent.name(), job["left_over"]);
        goes_on(&room, &job);
    }
    // Its daemon outlives the run, and is ended with it.
    let job = room.ends(&room.launch("daemon", &[]), "completed");
    nothing_is_left(&job);
    assert!(job["left_over"].as_u64() >= Some(1), "{job:#}");
}

fn after_the_death_of_everything_the_session_goes_on(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    let id = in_a_command(&room);
    let job = room.job(&id);
    let supervisor = job["supervisor"]["pid"].to_string();
    let all = marked(&job);
    let pids = all.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
    let words: Vec<&str> = ["kill", "-9", &supervisor].into_iter().chain(pids).collect();
    // Some may be gone before their turn: a parent's death, or the heir, was faster.
    room.runs(&words);
    until("the job is lost", || text(&room.job(&id), "state") == "lost");
    goes_on(&room, &room.job(&id));
    // The supervisor alone: what is left would work on beside the new run.
    let id = in_a_command(&room);
    let job = room.job(&id);
    room.runs(&["kill", "-9", &job["supervisor"]["pid"].to_string()]).succeeds();
    until("the job is lost", || text(&room.job(&id), "state") == "lost");
    goes_on(&room, &job);
    nothing_is_left(&job);
}
