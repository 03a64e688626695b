//! Attempts of a best-of-N run that real agents make.

use crate::agent::{Agent, each_agent};
use crate::room::Room;

each_agent!(attempts_become_variants_with_their_tokens_and_words,);

fn attempts_become_variants_with_their_tokens_and_words(agent: Agent) {
    let Some(room) = Room::new(agent) else { return };
    room.user_config("[worker]\npolicy = \"full-access\"\n");
    let lane = format!("{}:2", agent.name());
    let prompt = "[scenario:sample] make two files";
    let words = ["git-bo4", "run", "--json", "--prompt", prompt, "--lane", &lane, "--attempt-timeout", "3m"];
    let ran = room.runs(&words);
    assert_eq!(ran.code, 0, "{}: {}{}", agent.name(), ran.stdout, ran.stderr);
    let report = ran.json();
    for row in report["variants"].as_array().unwrap() {
        assert_eq!((&row["state"], &row["agent"]), (&"completed".into(), &agent.name().into()), "{report:#}");
        assert_eq!(row["message"], "All done: hello.txt and second.txt.", "{row:#}");
        assert!(row["tokens"].as_u64() > Some(0), "{row:#}");
    }
    // The script is the same for both, and so is what they made of it.
    assert_eq!((&report["similar"][0]["same"], report["ranking"].as_array().unwrap().len()), (&true.into(), 2));
    let run = report["run"].as_str().unwrap();
    let names = room.git(&["ls-tree", "-r", "--name-only", &format!("bo4/{run}/var2")]);
    assert!(names.contains("hello.txt") && names.contains("second.txt"), "{names}");
    assert!(room.git(&["notes", "--ref=agent", "show", &format!("bo4/{run}/var1")]).contains(agent.name()));
}
