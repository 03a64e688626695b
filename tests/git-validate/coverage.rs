//! The policy about what the reports of checks say of coverage.

use crate::room::Room;

/// A room whose check reports that so many of ten lines are reached, as the file `reached` says.
fn room(policy: &str) -> Room {
    let room = Room::new();
    room.trusted_config(&format!(
        "[policies.coverage]\n{policy}\n[[checks]]\nname = \"tests\"\noutputs = [\"lcov:out/lcov.info\"]\n\
         shell = 'mkdir -p out; printf \"SF:a\\nLF:10\\nLH:%s\\nend_of_record\\n\" \"$(cat reached)\" > out/lcov.info'\n"
    ));
    room.write(".gitignore", "/out/\n");
    room.write("reached", "8");
    room.commit("settings");
    room
}

#[test]
fn too_little_of_the_lines_closes_the_gate() {
    let room = room("min = 75");
    room.validate(&["show"]).exits(1);
    let answer = room.validate(&["--json"]).succeeds().json();
    let coverage = Room::check(&answer, "policy:coverage");
    assert_eq!(
        (coverage["counts"]["lines"].as_u64(), coverage["counts"]["lines-covered"].as_u64()),
        (Some(10), Some(8))
    );
    assert_eq!(room.validate(&["--json"]).succeeds().json()["cached"], true);
    room.validate(&["show"]).succeeds();
    room.write("reached", "7");
    room.commit("less");
    room.validate(&[]).exits(1).says("70.00 % of the lines are reached, at least 75 % have to be");
    room.validate(&["show"]).exits(1);
}

#[test]
fn a_fall_against_the_base_closes_it_if_the_base_is_known() {
    let room = room("max-drop = 5");
    room.write("reached", "5");
    room.commit("less");
    room.validate(&[]).succeeds();
    room.validate(&["HEAD~1"]).succeeds();
    room.validate(&[]).exits(1).says("50.00 % of the lines are reached, in the base it was 80.00 %");
    room.write("reached", "9");
    room.commit("more");
    room.validate(&[]).succeeds();
}

#[test]
fn what_was_not_measured_is_not_good() {
    let room = Room::new();
    room.trusted_config("[policies.coverage]\nmin = 1\n[[checks]]\nname = \"a\"\ncommand = [\"true\"]\n");
    room.commit("settings");
    room.validate(&[]).exits(1).says("no check has reported coverage");
    room.user_config("[policies.coverage]\nmin = 101\n");
    room.validate(&[]).exits(128).warns("more than 100 per cent");
}

#[test]
fn it_is_judged_where_those_who_report_are_asked() {
    let room = room("min = 75");
    let config = std::fs::read_to_string(room.repo().join(".codex-agent/config.toml")).unwrap();
    room.trusted_config(&format!(
        "{config}stage = [\"pre-push\"]\n[[checks]]\nname = \"quick\"\ncommand = [\"true\"]\n"
    ));
    room.write("reached", "7");
    room.commit("less");
    let answer = room.validate(&["--stage", "pre-commit", "--json"]).succeeds().json();
    assert_eq!(answer["checks"].as_array().unwrap().len(), 1, "{answer}");
    room.validate(&["--stage", "pre-push"]).exits(1).says("70.00 % of the lines are reached");
    let answer = room.validate(&["--check", "policy:coverage", "--json"]).exits(1).json();
    assert_eq!(answer["checks"].as_array().unwrap().len(), 2, "with whom it needs: {answer}");
    room.trusted_config(&format!("{config}stage = [\"pre-push\"]\n"));
    room.validate(&["hook", "pre-commit"]).succeeds().prints("");
}

#[test]
fn the_newest_result_of_the_base_counts_wherever_it_stands() {
    let room = Room::new();
    let measured = |lines: u32| {
        room.user_config(&format!(
            "[policies.coverage]\nmax-drop = 5\n[[checks]]\nname = \"tests\"\noutputs = [\"lcov:out/lcov.info\"]\n\
             shell = 'mkdir -p out; printf \"SF:a\\nLF:10\\nLH:{lines}\\nend_of_record\\n\" > out/lcov.info'\n"
        ));
    };
    room.write(".gitignore", "/out/\n");
    room.commit("begin");
    measured(9);
    room.validate(&[]).succeeds();
    measured(5);
    room.validate(&[]).succeeds();
    let noted = room.git(&["notes", "--ref=validate", "show", "HEAD^{tree}"]);
    let turned: Vec<&str> = noted.lines().rev().collect();
    assert_eq!(turned.len(), 2, "{noted}");
    let file = room.path().join("turned");
    std::fs::write(&file, turned.join("\n") + "\n").unwrap();
    // As bytes: git would strip them otherwise.
    let blob = room.git(&["hash-object", "-w", file.to_str().unwrap()]);
    room.git(&["notes", "--ref=validate", "add", "-f", "-C", &blob, "HEAD^{tree}"]);
    room.write("more", "x\n");
    room.commit("more");
    room.validate(&[]).succeeds();
}
