//! Sessions that are not there.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::agent::{Agent, each_agent};
use crate::room::{Room, text};

each_agent!(a_session_that_is_not_there_is_an_error_and_no_new_one);

/// Puts another session into the record of a job that has ended.
fn forge(job: &Value, session: &str) {
    let path = Path::new(text(job, "folder")).join("job.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["session"] = Value::from(session);
    fs::write(&path, serde_json::to_vec_pretty(&record).unwrap()).unwrap();
}

fn a_session_that_is_not_there_is_an_error_and_no_new_one(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    let job = room.ends(&room.launch("asks", &[]), "completed");
    for session in ["00000000-0000-4000-8000-000000000000", "ses_00000000000000000000000000", "no session at all"] {
        forge(&job, session);
        let resume = ["resume", "--share", "--force", "--prompt", "[scenario:sample] Go on.", text(&job, "id")];
        let ran = room.worker(&resume);
        if ran.code != 0 {
            // Refused before the start is as good.
            assert_eq!(ran.code, 128, "{}", ran.stderr);
            assert!(ran.stderr.contains("session"), "{}", ran.stderr);
            continue;
        }
        let new = room.ends(ran.text(), "failed");
        let reason = text(&new, "reason");
        assert!(reason.to_lowercase().contains("session") || reason.contains(session), "{}: {reason}", agent.name());
        assert_eq!(new["session_asked"], session);
        assert!(!room.repo().join("hello.txt").exists(), "{} worked in a new session", agent.name());
    }
}
