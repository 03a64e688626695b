use std::collections::BTreeSet;
use std::fs;

use suite_tests::{Ran, Sandbox, skip};

use super::{files, programs, top};

/// Returns the flags and subcommands of a help text.
pub(super) fn offered(help: &str) -> (BTreeSet<String>, Vec<String>) {
    let mut flags = BTreeSet::new();
    let mut commands = Vec::new();
    let mut part = "";
    for line in help.lines() {
        if !line.starts_with(' ') {
            part = line;
        }
        let line = line.trim_start();
        if part.starts_with("Commands") && line != part {
            let name = line.split_whitespace().next().unwrap_or_default();
            // A line that goes on from the one above starts far to the right.
            if help.contains(&format!("\n  {name} ")) && name != "help" {
                commands.push(name.to_owned());
            }
        } else if line.starts_with('-') {
            for word in line.split([' ', ',']).take(4).filter(|word| word.starts_with('-')) {
                let end = word.find(['[', '=', '<']).unwrap_or(word.len());
                flags.insert(word[..end].to_owned());
            }
        }
    }
    (flags, commands)
}

fn walk(room: &Sandbox, program: &str, verbs: &[String], all: &mut BTreeSet<String>) {
    let mut arguments: Vec<&str> = verbs.iter().map(String::as_str).collect();
    arguments.push("-h");
    let help = room.run(program, &arguments).succeeds().stdout;
    let (flags, commands) = offered(&help);
    all.extend(flags);
    for command in commands {
        all.insert(command.clone());
        let deeper: Vec<String> = verbs.iter().cloned().chain([command]).collect();
        walk(room, program, &deeper, all);
    }
}

#[test]
fn every_flag_and_command_is_in_the_page() {
    let room = Sandbox::new();
    for program in programs() {
        let page = fs::read_to_string(top().join(format!("man/{program}.1")))
            .unwrap_or_else(|_| panic!("no page for {program}"));
        // mdoc writes `Fl -json` for --json and `Fl n` for -n; man(7) writes \-\-json.
        let plain = page.replace("\\-", "-");
        let mut all = BTreeSet::new();
        walk(&room, &program, &[], &mut all);
        assert!(all.len() > 6, "{program}: {all:?}");
        for name in all {
            let bare = name.strip_prefix('-').unwrap_or(&name);
            let words: Vec<&str> = plain.split([' ', '\n', ',', '|', '"', '[', ']', '=']).collect();
            let mdoc = plain.lines().any(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.contains(&bare) && (line.contains("Fl") || !name.starts_with('-'))
            });
            assert!(mdoc || words.contains(&name.as_str()), "man/{program}.1 does not know '{name}'");
        }
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
            assert!(
                page.contains(&format!(".Sh {section}"))
                    || page.contains(&format!(".SH {section}"))
                    || page.contains(&format!(".SH \"{section}\"")),
                "man/{program}.1 has no {section}"
            );
        }
    }
}

#[test]
fn the_pages_are_well_formed() {
    let room = Sandbox::new();
    if room.run("sh", &["-c", "command -v mandoc"]).code != 0 {
        return skip("the form of the pages", "there is no mandoc");
    }
    for page in files(&top().join("man"), ".1") {
        let ran: Ran = room.run("mandoc", &["-T", "lint", "-W", "warning", page.to_str().unwrap()]);
        assert_eq!(ran.stdout, "", "{}", page.display());
    }
}

#[test]
fn every_program_answers_help_and_version_and_refuses_nonsense() {
    let room = Sandbox::empty();
    for program in programs() {
        room.run(&program, &["--version"]).succeeds().prints(&format!("{program} {}\n", env!("CARGO_PKG_VERSION")));
        let help = room.run(&program, &["--help"]).succeeds();
        assert!(help.stdout.contains("Usage:") && !help.stdout.contains('\u{1b}'), "{program}");
        room.run(&program, &["--no-such-flag"]).exits(129);
        for name in ["-C", "--json", "--quiet", "--color"] {
            assert!(help.stdout.contains(name), "{program} --help does not name {name}");
        }
    }
}

#[test]
fn the_readme_starts_with_the_two_commands() {
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    let screen: Vec<&str> = readme.lines().take(30).collect();
    for command in ["./install.sh --demo", "tests/run"] {
        assert!(screen.iter().any(|line| line.contains(command)), "'{command}' is not on the first screen");
    }
    for program in programs() {
        assert!(readme.contains(&program.replacen('-', " ", 1)), "README.md does not name {program}");
    }
}

#[test]
fn the_scripts_are_clean() {
    let room = Sandbox::new();
    if room.run("sh", &["-c", "command -v shellcheck"]).code != 0 {
        return skip("shellcheck of the scripts", "there is no shellcheck");
    }
    for script in ["install.sh", "tests/run", ".ci/run"] {
        let path = top().join(script);
        room.run("shellcheck", &[path.to_str().unwrap()]).succeeds();
    }
}
