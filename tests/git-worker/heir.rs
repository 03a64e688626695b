//! Nothing of a job outlives its supervisor, however that ends.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::room::{Room, count, kill, parent, text, unique, until};
use crate::stop::stubborn;

fn supervisor(room: &Room, id: &str) -> Value {
    room.job(id)["supervisor"]["pid"].clone()
}

/// Says whether a process is there and not dead.
fn is_there(pid: &Value) -> bool {
    let stat = text(std::path::Path::new(&format!("/proc/{pid}/stat")));
    !stat.is_empty() && !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[test]
fn nothing_is_left_of_a_job_whose_supervisor_was_killed() {
    let room = Room::new();
    for n in 0..12 {
        let mark = unique();
        let id = room.sh("tree", &stubborn(&mark));
        let pid = supervisor(&room, &id);
        // While the tree grows, and when it has grown.
        let end = Instant::now() + Duration::from_millis(2 * n);
        while if n < 6 { Instant::now() < end } else { count(&format!("sleep\0{mark}")) < 5 } {
            std::thread::yield_now();
        }
        kill(&room, "-9", &pid);
        let begin = Instant::now();
        until("nothing of it is left", || count(&mark) == 0);
        assert!(begin.elapsed() < Duration::from_secs(3));
        let job = room.job(&id);
        assert_eq!((job["state"].as_str(), job["reason"].as_str()), (Some("lost"), Some("supervisor")), "{n}");
        room.worker(&["stop", &id]).succeeds().says("lost");
        assert_eq!(room.job(&id)["state"], "lost");
    }
}

#[test]
fn a_job_goes_on_without_its_heir_and_the_heir_ends_with_the_job() {
    let room = Room::new();
    let go = room.path().join("go");
    let script = format!("until [ -e '{}' ]; do sleep 0.01; done; exit 4", go.display());
    let (one, two) = (room.sh("one", &script), room.sh("two", &script));
    let heirs = [&one, &two].map(|id| parent(&supervisor(&room, id)));
    kill(&room, "-9", &heirs[0]);
    until("it is gone", || !is_there(&heirs[0]));
    // Whoever signals an heir does not end the job.
    assert!(is_there(&heirs[1]) && room.job(&one)["state"] == "running");
    room.write_in(room.path(), "go", "");
    for id in [&one, &two] {
        let job = room.ended(id);
        assert_eq!((job["state"].as_str(), job["exit"]["code"].as_u64()), (Some("failed"), Some(4)), "{job}");
    }
    until("no process is left", || !heirs.iter().any(is_there));
}

#[test]
fn a_job_that_a_job_launched_is_its_own() {
    for killed in [true, false] {
        let room = Room::new();
        let (mark, other) = (unique(), unique());
        let launch = format!("git-worker launch --share --name inner -- sleep {mark}");
        let id = room.sh("outer", &format!("{launch}; sleep {other}"));
        until("both run", || count(&format!("sleep\0{mark}")) + count(&format!("sleep\0{other}")) == 2);
        let inner = supervisor(&room, "inner");
        let heir = parent(&inner);
        if killed {
            kill(&room, "-9", &supervisor(&room, &id));
        } else {
            room.worker(&["stop", "--grace", "0", &id]).succeeds();
        }
        until("the outer one is gone", || count(&other) == 0);
        assert_eq!((room.job("inner")["state"].as_str(), count(&format!("sleep\0{mark}"))), (Some("running"), 1));
        assert!(is_there(&heir) && room.job(&id)["left_over"] == 0);
        kill(&room, "-9", &inner);
        until("the inner one is gone", || count(&mark) == 0 && !is_there(&heir));
        assert_eq!(room.job("inner")["state"], "lost");
    }
}
