//! The lines that we put into a hook that is a shell script, and their taking out again.

use super::{Call, Hook};

/// What our lines start and end with.
const BEGIN: &str = "# >>> git-validate >>>";
const END: &str = "# <<< git-validate <<<";

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
pub(super) fn is_in(script: &[u8]) -> bool {
    find(script, BEGIN.as_bytes()).is_some()
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
pub(super) fn calls(script: &[u8], call: Call) -> bool {
    find(script, lines(call).trim_end().as_bytes()).is_some()
}

/// Returns the script with our lines after its first one; without a newline at the end if it had none there.
pub(super) fn put_in(script: &[u8], call: Call) -> Vec<u8> {
    match script.iter().position(|byte| *byte == b'\n') {
        Some(at) => [&script[..=at], lines(call).as_bytes(), &script[at + 1..]].concat(),
        None => [script, b"\n", lines(call).trim_end().as_bytes()].concat(),
    }
}

/// Returns the script with the lines of another call of the same hook; nothing if they are not there as we write them.
pub(super) fn turn(script: &[u8], call: Call) -> Option<Vec<u8>> {
    call.hook.calls().into_iter().find_map(|other| {
        let old = lines(other);
        let old = old.trim_end().as_bytes();
        let at = find(script, old)?;
        Some([&script[..at], lines(call).trim_end().as_bytes(), &script[at + old.len()..]].concat())
    })
}

/// Returns a hook of our own, which then runs the one that was there, if that may be run.
pub(super) fn alone(call: Call, kept: Option<&str>) -> Vec<u8> {
    let rest = match kept {
        Some(kept) => format!("kept=$(dirname \"$0\")/{kept}\n[ ! -x \"$kept\" ] || exec \"$kept\" \"$@\"\n"),
        None => "# There was no hook before.\n".to_owned(),
    };
    format!("#!/bin/sh\n{}{rest}", lines(call)).into_bytes()
}

/// Says whether it is our own hook, which runs the one that was kept.
pub(super) fn is_chain(script: &[u8], hook: Hook) -> bool {
    hook.calls().into_iter().any(|call| script == alone(call, Some(&hook.kept())))
}

/// Takes our lines out.
pub(super) fn take_out(script: &[u8], hook: Hook) -> Taken {
    let taken = hook.calls().into_iter().map(|call| take_out_call(script, call));
    taken.into_iter().find(|taken| *taken != Taken::Nothing).unwrap_or(Taken::Nothing)
}

fn take_out_call(script: &[u8], call: Call) -> Taken {
    if script == alone(call, None) {
        return Taken::All;
    }
    let lines = lines(call);
    if let Some(head) = script.strip_suffix(lines.trim_end().as_bytes()) {
        return Taken::Rest(head.strip_suffix(b"\n").unwrap_or(head).to_vec());
    }
    let Some(at) = find(script, lines.as_bytes()) else { return Taken::Nothing };
    Taken::Rest([&script[..at], &script[at + lines.len()..]].concat())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Plain POSIX. What git writes to the hook is read once and given to both.
fn lines(call: Call) -> String {
    let (read, feed, again) = match call.hook {
        Hook::PrePush => (
            "git_validate_refs=$(cat)\n",
            "printf '%s\\n' \"$git_validate_refs\" | ",
            "if [ -n \"$git_validate_refs\" ]; then\nexec <<GIT_VALIDATE_END\n$git_validate_refs\nGIT_VALIDATE_END\nelse\nexec </dev/null\nfi\n",
        ),
        Hook::PreCommit | Hook::CommitMsg => ("", "", ""),
    };
    let call = call.in_script();
    format!(
        "{BEGIN}\n# 'git validate uninstall' takes these lines out again.\n\
         if ! command -v git-validate >/dev/null 2>&1; then\n\
         \techo \"git-validate is not on PATH, so nothing was validated: install it, or take its lines out of $0\" >&2\n\
         \texit 1\nfi\n{read}{feed}{call} || exit $?\n{again}{END}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_comes_back_byte_for_byte() {
        for call in Hook::ALL.into_iter().flat_map(Hook::calls) {
            for script in [
                "#!/bin/sh\necho hi\n",
                "#!/usr/bin/env bash\n\nx\n",
                "#!/bin/sh\nno newline at the end",
                "#!/bin/sh\n",
                "#!/bin/sh",
            ] {
                let with = put_in(script.as_bytes(), call);
                assert!(is_in(&with) && calls(&with, call));
                let Taken::Rest(rest) = take_out(&with, call.hook) else { panic!("{script:?}") };
                assert_eq!(String::from_utf8_lossy(&rest), script);
                for other in call.hook.calls() {
                    assert_eq!(turn(&with, other).unwrap(), put_in(script.as_bytes(), other));
                }
            }
            assert_eq!(take_out(&alone(call, None), call.hook), Taken::All);
            assert_eq!(take_out(b"#!/bin/sh\necho\n", call.hook), Taken::Nothing);
            assert!(is_chain(&alone(call, Some(&call.hook.kept())), call.hook));
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
