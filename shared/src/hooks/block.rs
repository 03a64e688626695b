//! The lines that we put into a hook that is a shell script, and their taking out again.

use super::{Call, Missing, PRE_PUSH, Program};

/// What our lines start with.
pub(super) fn begin(program: &Program) -> String {
    format!("# >>> {} >>>", program.name)
}

/// What our lines end with.
pub(super) fn end(program: &Program) -> String {
    format!("# <<< {} <<<", program.name)
}

/// What a hook was before and is to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was only ours.
    All,
    /// The rest, byte for byte.
    Rest(Vec<u8>),
    /// There is nothing of ours in it.
    Nothing,
}

/// Says whether our lines are in it.
pub(super) fn is_in(script: &[u8], program: &Program) -> bool {
    find(script, begin(program).as_bytes()).is_some()
}

/// Says whether it is a script for a shell that reads our lines.
pub(super) fn is_shell_script(script: &[u8]) -> bool {
    let first = script.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let Some(words) = first.strip_prefix("#!") else { return false };
    let mut words = words.split_whitespace();
    let program = words.next().unwrap_or_default();
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let shell = match name(program).as_str() {
        "env" => words.find(|word| !word.starts_with('-')).map(name).unwrap_or_default(),
        other => other.to_owned(),
    };
    matches!(shell.as_str(), "sh" | "bash" | "dash" | "ash" | "ksh" | "zsh")
}

/// Says whether exactly the lines of a call are in it.
pub(super) fn calls(script: &[u8], program: &Program, call: &Call) -> bool {
    find(script, lines(program, call).trim_end().as_bytes()).is_some()
}

/// Returns the script with our lines after its first one; without a newline at the end if it had none there.
pub(super) fn put_in(script: &[u8], program: &Program, call: &Call) -> Vec<u8> {
    let lines = lines(program, call);
    match script.iter().position(|byte| *byte == b'\n') {
        Some(at) => [&script[..=at], lines.as_bytes(), &script[at + 1..]].concat(),
        None => [script, b"\n", lines.trim_end().as_bytes()].concat(),
    }
}

/// Returns the script with the lines of another call of the same hook; nothing if they are not there as we write them.
pub(super) fn turn(script: &[u8], program: &Program, call: &Call) -> Option<Vec<u8>> {
    program.calls_of(call.event).find_map(|other| {
        let old = lines(program, other);
        let old = old.trim_end().as_bytes();
        let at = find(script, old)?;
        Some([&script[..at], lines(program, call).trim_end().as_bytes(), &script[at + old.len()..]].concat())
    })
}

/// Returns a hook of our own, which then runs the one that was there, if that may be run.
pub(super) fn alone(program: &Program, call: &Call, kept: Option<&str>) -> Vec<u8> {
    let rest = match kept {
        Some(kept) => chain(kept),
        None => "# There was no hook before.\n".to_owned(),
    };
    format!("{FIRST}{}{rest}", lines(program, call)).into_bytes()
}

const FIRST: &str = "#!/bin/sh\n";

/// What runs the hook that was kept.
fn chain(kept: &str) -> String {
    format!("kept=$(dirname \"$0\")/{kept}\n[ ! -x \"$kept\" ] || exec \"$kept\" \"$@\"\n")
}

/// Returns the name of the kept hook if the script does nothing but run it.
///
/// Another program of ours may have kept it and may have gone before.
pub(super) fn kept(script: &[u8]) -> Option<&str> {
    let rest = std::str::from_utf8(script).ok()?.strip_prefix(FIRST)?;
    let kept = rest.strip_prefix("kept=$(dirname \"$0\")/")?.lines().next()?;
    (rest == chain(kept) && kept.ends_with(super::KEPT) && !kept.contains('/')).then_some(kept)
}

/// Says whether it is our own hook, which runs the one that was kept.
pub(super) fn is_chain(script: &[u8], program: &Program, event: &str) -> bool {
    program.calls_of(event).any(|call| script == alone(program, call, Some(&program.kept(event))))
}

/// Takes our lines out.
pub(super) fn take_out(script: &[u8], program: &Program, event: &str) -> Taken {
    let taken = program.calls_of(event).map(|call| take_out_call(script, program, call));
    taken.into_iter().find(|taken| *taken != Taken::Nothing).unwrap_or(Taken::Nothing)
}

fn take_out_call(script: &[u8], program: &Program, call: &Call) -> Taken {
    if script == alone(program, call, None) {
        return Taken::All;
    }
    let lines = lines(program, call);
    if let Some(head) = script.strip_suffix(lines.trim_end().as_bytes()) {
        return Taken::Rest(head.strip_suffix(b"\n").unwrap_or(head).to_vec());
    }
    let Some(at) = find(script, lines.as_bytes()) else { return Taken::Nothing };
    Taken::Rest([&script[..at], &script[at + lines.len()..]].concat())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Plain POSIX. What git writes to the hook is read once and given to all.
fn lines(program: &Program, call: &Call) -> String {
    let (name, verb) = (program.name, program.verb);
    let (begin, end) = (begin(program), end(program));
    let word = name.replace('-', "_");
    let (read, feed, again) = if call.event == PRE_PUSH {
        let upper = word.to_uppercase();
        (
            format!("{word}_refs=$(cat)\n"),
            format!("printf '%s\\n' \"${word}_refs\" | "),
            format!(
                "if [ -n \"${word}_refs\" ]; then\nexec <<{upper}_END\n${word}_refs\n{upper}_END\nelse\nexec </dev/null\nfi\n"
            ),
        )
    } else {
        (String::new(), String::new(), String::new())
    };
    let (missing, run) = (call.missing, &call.in_script);
    let said = format!("echo \"{name} is not on PATH, so {missing}: install it, or take its lines out of $0\" >&2");
    let body = match call.if_missing {
        Missing::Stops => format!("\t{said}\n\texit 1\nfi\n{read}{feed}{run} || exit $?\n{again}"),
        Missing::Passes => format!("\t{said}\nelse\n{read}{feed}{run} || :\n{again}fi\n"),
    };
    format!(
        "{begin}\n# '{verb} uninstall' takes these lines out again.\n\
         if ! command -v {name} >/dev/null 2>&1; then\n{body}{end}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &'static str) -> Program {
        let call = |event, in_script: &str, if_missing| Call {
            event,
            in_script: format!("{name} {in_script}"),
            in_settings: [String::new(), String::new()],
            missing: "nothing was done",
            if_missing,
        };
        Program {
            name,
            verb: name,
            by_hand: "",
            when_gone: "",
            calls: vec![
                call("pre-commit", "hook pre-commit", Missing::Stops),
                call(PRE_PUSH, "hook pre-push", Missing::Stops),
                call(PRE_PUSH, "hook --soft pre-push", Missing::Passes),
            ],
        }
    }

    const SCRIPTS: &[&str] = &[
        "#!/bin/sh\necho hi\n",
        "#!/usr/bin/env bash\n\nx\n",
        "#!/bin/sh\nno newline at the end",
        "#!/bin/sh\n",
        "#!/bin/sh",
    ];

    #[test]
    fn what_was_there_comes_back_byte_for_byte() {
        let one = program("one");
        for call in &one.calls {
            for script in SCRIPTS {
                let with = put_in(script.as_bytes(), &one, call);
                assert!(is_in(&with, &one) && calls(&with, &one, call));
                let Taken::Rest(rest) = take_out(&with, &one, call.event) else { panic!("{script:?}") };
                assert_eq!(String::from_utf8_lossy(&rest), *script);
                for other in one.calls_of(call.event) {
                    assert_eq!(turn(&with, &one, other).unwrap(), put_in(script.as_bytes(), &one, other));
                }
            }
            assert_eq!(take_out(&alone(&one, call, None), &one, call.event), Taken::All);
            assert_eq!(take_out(b"#!/bin/sh\necho\n", &one, call.event), Taken::Nothing);
            assert!(is_chain(&alone(&one, call, Some(&one.kept(call.event))), &one, call.event));
        }
    }

    #[test]
    fn two_programs_live_in_one_script_and_go_in_either_order() {
        let (one, other) = (program("one"), program("other"));
        let out = |script: &[u8], program: &Program| match take_out(script, program, PRE_PUSH) {
            Taken::Rest(rest) => rest,
            Taken::All => b"gone".to_vec(),
            Taken::Nothing => panic!("nothing of {} in it", program.name),
        };
        for call in one.calls_of(PRE_PUSH) {
            for beside in other.calls_of(PRE_PUSH) {
                for script in SCRIPTS {
                    let both = put_in(&put_in(script.as_bytes(), &one, call), &other, beside);
                    for [first, second] in [[&one, &other], [&other, &one]] {
                        let last = out(&out(&both, first), second);
                        assert_eq!(String::from_utf8_lossy(&last), *script);
                    }
                }
                let both = put_in(&alone(&one, call, None), &other, beside);
                assert_eq!(
                    (out(&out(&both, &one), &other), out(&out(&both, &other), &one)),
                    (b"gone".to_vec(), b"gone".to_vec())
                );
                let both = put_in(&alone(&one, call, Some(&one.kept(PRE_PUSH))), &other, beside);
                for [first, second] in [[&one, &other], [&other, &one]] {
                    assert_eq!(kept(&out(&out(&both, first), second)), Some("pre-push.one-kept"));
                }
            }
        }
    }

    #[test]
    fn only_shells_count() {
        for yes in ["#!/bin/sh\n", "#! /usr/bin/env bash", "#!/usr/bin/env -S zsh -f\n"] {
            assert!(is_shell_script(yes.as_bytes()), "{yes}");
        }
        for no in ["#!/usr/bin/python3\n", "\x7fELF", "", "echo\n"] {
            assert!(!is_shell_script(no.as_bytes()), "{no}");
        }
    }
}
