//! A conflicted merge that an agent resolves.

use crate::agent::{Agent, each_agent};
use crate::room::Room;

each_agent!(a_conflict_is_resolved_and_proposed,);

fn a_conflict_is_resolved_and_proposed(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    room.worker(&["--version"]).succeeds();
    room.runs(&["git-task", "add", "[scenario:resolve] two", "--slug", "two"]).succeeds();
    let place = room.runs(&["git-task", "worktree", "add", "two"]).succeeds().text().to_owned();
    room.write_in(place.as_ref(), "README", "one\nTWO\nthree\n");
    room.commit_in(place.as_ref(), "two");
    room.write("README", "one\nDEUX\nthree\n");
    room.commit("deux");
    let words = ["git-agent-merge", "resolve", "two", "--json", "--attempts", "1", "--agent", agent.name()];
    let ran = room.runs(&words);
    let tale = room.tale("two-merge");
    assert_eq!(ran.code, 0, "{}: {}{}\n{tale}", agent.name(), ran.stdout, ran.stderr);
    let answer = ran.json();
    assert_eq!(answer["files"][0]["by"][0]["who"], "agent", "{answer:#}");
    assert!(answer["attempts"][0]["tokens"].as_u64() > Some(0), "{answer:#}");
    assert_eq!(room.git(&["show", "refs/agent-merge/two:README"]), "one\nTWO and DEUX\nthree");
    assert!(room.git(&["notes", "--ref=agent", "show", "refs/agent-merge/two"]).contains(agent.name()));
}
