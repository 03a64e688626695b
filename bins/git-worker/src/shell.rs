//! Command lines: what a shell would run of a text, and what a command line runs in the end.
//!
//! No shell is fully understood here, and none need be: what is only read is only noted.

/// What runs the rest of its command line.
const WRAPPERS: &[&str] = &[
    "sudo", "doas", "env", "nice", "ionice", "nohup", "setsid", "timeout", "time", "stdbuf", "command", "exec",
    "builtin", "xargs", "busybox", "if", "then", "else", "elif", "do", "while", "until", "!", "{", "(",
];
/// Whose first argument is a program.
const INTERPRETERS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ash", "node", "nodejs", "bun", "ruby", "perl"];
const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ash", "fish"];
/// Scripts within scripts are read to this depth.
const DEPTH: usize = 4;
/// What is not longer is read.
const LONGEST: usize = 16 * 1024;

/// Returns the plain commands that a text may run, word by word, without what only runs them.
pub(crate) fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    read(text, DEPTH, &mut found);
    found
}

fn read(text: &str, depth: usize, found: &mut Vec<Vec<String>>) {
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    for words in split(&text[..end]) {
        let words = plain(&words);
        if depth > 0
            && let Some(script) = script(words)
        {
            read(&script, depth - 1, found);
        } else if !words.is_empty() {
            found.push(words.to_vec());
        }
    }
}

/// Returns the script that a command line has in one of its words.
pub(crate) fn script(words: &[String]) -> Option<String> {
    let (first, rest) = words.split_first()?;
    let name = base(first);
    if name == "eval" {
        return Some(rest.join(" "));
    }
    if !SHELLS.contains(&name) {
        return None;
    }
    let mut wanted = false;
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match word.strip_prefix(['-', '+']) {
            Some(option) if !option.starts_with('-') => {
                wanted |= option.contains('c');
                if option.ends_with(['o', 'O']) {
                    rest.next();
                }
            }
            Some(_) => {}
            None => return wanted.then(|| word.clone()),
        }
    }
    None
}

/// Returns a command line without settings, and without programs before it that only run it.
pub(crate) fn plain(words: &[String]) -> &[String] {
    let mut words = words;
    while let Some((first, rest)) = words.split_first() {
        let name = base(first);
        let next = rest.first().map_or("", String::as_str);
        if is_setting(first) {
            words = rest;
        } else if WRAPPERS.contains(&name) {
            words = rest;
            while words.first().is_some_and(|word| word.starts_with('-')) {
                words = skip(words);
            }
            if name == "timeout" && words.len() > 1 {
                words = &words[1..];
            }
        } else if name.starts_with("python") && next == "-m" {
            words = &rest[1..];
        } else if (INTERPRETERS.contains(&name) || name.starts_with("python")) && is_path(next) {
            words = rest;
        } else {
            break;
        }
    }
    words
}

/// Skips an option, and its value where it is one that has a value.
fn skip(words: &[String]) -> &[String] {
    let valued =
        matches!(words[0].as_str(), "-n" | "-u" | "-g" | "-k" | "-s" | "-I" | "-P" | "-L" | "-C" | "-a" | "-c");
    &words[if valued { 2 } else { 1 }.min(words.len())..]
}

fn is_path(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-')
}

fn is_setting(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Returns the name of a program, without folder, the dash of a login shell and the ending of a script.
pub(crate) fn base(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word).trim_start_matches('-');
    let ends = [".js", ".cjs", ".mjs", ".py", ".rb", "-cli"];
    ends.iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name))
}

/// Splits a text into its commands and these into their words, with the quotes taken off.
fn split(text: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => quoted(&mut letters, letter, word.get_or_insert_default()),
            '\\' => match letters.next() {
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            '#' if word.is_none() => while letters.next_if(|next| *next != '\n').is_some() {},
            ' ' | '\t' | '\r' | '<' | '>' => words.extend(word.take()),
            '$' if letters.next_if_eq(&'(').is_some() => end(&mut all, &mut words, &mut word),
            ';' | '&' | '|' | '\n' | '(' | ')' | '`' => end(&mut all, &mut words, &mut word),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    end(&mut all, &mut words, &mut word);
    all
}

fn quoted(letters: &mut impl Iterator<Item = char>, quote: char, word: &mut String) {
    while let Some(letter) = letters.next().filter(|letter| *letter != quote) {
        match letter {
            '\\' if quote == '"' => word.extend(letters.next()),
            _ => word.push(letter),
        }
    }
}

fn end(all: &mut Vec<Vec<String>>, words: &mut Vec<String>, word: &mut Option<String>) {
    words.extend(word.take());
    if !words.is_empty() {
        all.push(std::mem::take(words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_into_its_commands() {
        let lines = |text: &str| commands(text).iter().map(|words| words.join("|")).collect::<Vec<_>>();
        assert_eq!(lines("cd a && rm -rf 'b c'; echo \"rm -rf /\" # rm x"), ["cd|a", "rm|-rf|b c", "echo|rm -rf /"]);
        assert_eq!(lines("bash -lc \"git push \\\"-f\\\"\""), ["git|push|-f"]);
        assert_eq!(lines("A=1 sudo -u me timeout 5 nice -n 3 rm -r x"), ["rm|-r|x"]);
        assert_eq!(lines("if true; then eval 'rm -r x'; fi"), ["true", "rm|-r|x", "fi"]);
        assert_eq!(lines("cat < ~/.netrc $(gh auth token)"), ["cat|~/.netrc", "gh|auth|token"]);
        assert_eq!(lines("python3 -m twine upload x"), ["twine|upload|x"]);
    }

    #[test]
    fn a_program_is_known_behind_its_interpreter() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(base(&plain(&words("node /usr/lib/npm-cli.js publish"))[0]), "npm");
        assert_eq!(base(&plain(&words("/bin/sh /x/rm -rf y"))[0]), "rm");
        assert_eq!(script(&words("sh -c x")).as_deref(), Some("x"));
        assert_eq!(script(&words("bash -o pipefail -c x")).as_deref(), Some("x"));
        assert_eq!(script(&words("sh x -c y")), None);
    }
}
