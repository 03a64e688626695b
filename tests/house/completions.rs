//! Real TABs in real shells.

use std::path::{Path, PathBuf};

use suite_tests::{Ran, Sandbox, skip};

use super::{install::install, programs};

struct Shell {
    name: &'static str,
    start: &'static str,
    prepare: &'static str,
}

const SHELLS: &[Shell] = &[
    Shell {
        name: "bash",
        start: "bash --norc --noprofile -i",
        prepare: "PS1='READY> '; source /usr/share/bash-completion/bash_completion",
    },
    Shell {
        name: "zsh",
        start: "zsh -f -i",
        prepare: "PROMPT='READY> '; fpath=(PREFIX/share/zsh/site-functions $fpath); autoload -U compinit; compinit -u",
    },
    Shell { name: "fish", start: "fish -i", prepare: "function fish_prompt; echo 'READY> '; end" },
];

/// Types `line` and TAB in a shell and expects `words` to appear.
fn types(room: &Sandbox, shell: &Shell, prefix: &Path, line: &str, words: &str) -> Ran {
    let prepare = shell.prepare.replace("PREFIX", prefix.to_str().unwrap());
    let script = format!(
        // A shell that does not go with its terminal would keep the test waiting.
        "proc over {{code}} {{ catch {{exec kill -9 [exp_pid]}}; exit $code }}\nset timeout 20\nset stty_init \"rows 50 cols 200\"\nspawn -noecho {}\nafter 300\nsend -- {{{prepare}}}\nsend -- \"\\r\"\n\
         expect \"READY> \"\nafter 300\nsend -- \"{line}\\t\"\nafter 100\nsend -- \"\\t\"\n\
         expect {{\n  -re {{{words}}} {{ over 0 }}\n  timeout {{ puts \"\\nNOT SEEN: {words}\"; over 1 }}\n}}\n",
        shell.start
    );
    room.write_in(room.path(), "type.exp", &script);
    let path = format!("{}:{}", prefix.join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = room.command("expect");
    command.arg(room.path().join("type.exp")).env("PATH", path).env("TERM", "xterm");
    Ran::new(format!("{}: {line}<TAB>", shell.name), command.output().unwrap())
}

#[test]
fn both_spellings_complete_in_each_shell() {
    let room = Sandbox::new();
    if room.run("sh", &["-c", "command -v expect"]).code != 0 {
        return skip("completion by real TABs", "there is no expect");
    }
    let prefix: PathBuf = room.home().join(".local");
    install(&room, &[]).succeeds();
    room.run("git-task", &["add", "zebra crossing"]).succeeds();
    for shell in SHELLS {
        if room.run("sh", &["-c", &format!("command -v {}", shell.name)]).code != 0 {
            skip(&format!("completion in {}", shell.name), "it is not installed");
            continue;
        }
        if shell.name == "bash" && !Path::new("/usr/share/bash-completion/completions/git").exists() {
            skip("completion in bash", "bash-completion or git's part of it is not installed");
            continue;
        }
        for (line, words) in [
            ("git-task worktree a", "add"),
            ("git task worktree a", "add"),
            ("git task show ze", "zebra-crossing"),
            ("git-task --js", "--json"),
        ] {
            types(&room, shell, &prefix, line, words).succeeds();
        }
        for program in programs() {
            let (verb, flag) = (program.replacen('-', " ", 1), "--vers");
            types(&room, shell, &prefix, &format!("{program} {flag}"), "--version").succeeds();
            types(&room, shell, &prefix, &format!("{verb} {flag}"), "--version").succeeds();
        }
    }
}

#[test]
fn outside_a_repository_completion_is_silent() {
    let room = Sandbox::empty();
    let mut command = room.command("git-task");
    command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").args(["--", "git-task", "show", ""]);
    let ran = Ran::new("completion".into(), command.output().unwrap()).succeeds();
    assert_eq!((ran.stderr.as_str(), ran.stdout.contains("error")), ("", false));
}
