//! What a change is made of, and what in it a person should look at.

mod marks;
mod paths;
mod tests_kept;
mod touch;

use std::collections::BTreeMap;

use anyhow::Result;
use gix::ObjectId;
use shared::output::path_text;
use shared::process::Git;

use super::change::{self, Content, FileChange, LINK};
use super::findings::{Risk, Size, Weight};

pub(crate) use paths::Why;
pub(crate) use touch::Touch;

/// So many risks of one kind are named; how many more there are is said.
const NAMED: usize = 10;
/// So many lines of code are a large change.
const LARGE: usize = 1000;

/// What a file is to the size of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Code,
    Test,
    Generated,
}

/// Returns what a change touches that is protected, by path.
///
/// # Errors
/// When git cannot compare the two.
pub(crate) fn protected(git: &Git, base: ObjectId, commit: ObjectId) -> Result<Vec<Touch>> {
    Ok(touch::among(&change::load(git, base, commit)?))
}

/// Says how large a change is and what in it is risky, the worst first.
pub(crate) fn study(files: &[FileChange]) -> (Size, Vec<Risk>) {
    let mut size = Size { files: files.len(), ..Size::default() };
    let mut found = Found::default();
    for file in files {
        size.added += file.added;
        size.removed += file.removed;
        match class(file) {
            Class::Code => size.code += code(file),
            Class::Test => size.test_files += 1,
            Class::Generated => size.generated_files += 1,
        }
        touches(file, &mut found);
        words(file, &mut found);
    }
    tests_kept::look(files, &mut size, &mut found);
    if size.code > LARGE {
        found.add(Weight::Note, "large", None, format!("changes {} lines of code", size.code));
    }
    (size, found.finish())
}

fn class(file: &FileChange) -> Class {
    // What was there before decides, so that no change can call itself something else.
    let (path, text) =
        if file.was_there() { (file.old_name(), file.old.bytes()) } else { (&file.path[..], file.new.bytes()) };
    if file.marked_generated || paths::is_generated(path) || marks::says_generated(text) {
        Class::Generated
    } else if paths::is_test(path) {
        Class::Test
    } else {
        Class::Code
    }
}

/// Counts the lines of a file that are code of the product.
fn code(file: &FileChange) -> usize {
    let all = file.added + file.removed;
    let old = marks::without_own_tests(file.old_name(), file.old.bytes());
    let new = marks::without_own_tests(&file.path, file.new.bytes());
    if old.len() == file.old.bytes().len() && new.len() == file.new.bytes().len() {
        return all;
    }
    let (added, removed) = change::differing(old, new);
    all.min(added.len() + removed.len())
}

/// What the file is and where it lies.
fn touches(file: &FileChange, found: &mut Found) {
    let name = path_text(&file.path);
    for (path, why) in touch::of(file) {
        let shown = path_text(&path);
        let (weight, kind, text) = match why {
            Why::Git | Why::Ci | Why::Hook | Why::AgentSettings => {
                (Weight::Serious, "protected", format!("touches '{shown}': {why}"))
            }
            Why::Lockfile => (Weight::Note, "lockfile", format!("changes the lockfile '{shown}'")),
            Why::Symlink if file.new_mode == LINK => {
                let target = path_text(file.new.bytes());
                (Weight::Serious, "symlink", format!("makes '{shown}' a symlink to '{target}'"))
            }
            Why::Symlink => (Weight::Note, "symlink", format!("removes the symlink '{shown}'")),
            Why::Submodule => (Weight::Serious, "submodule", format!("changes the submodule '{shown}'")),
            Why::ModeChange => {
                let text = format!("changes the mode of '{shown}' from {:o} to {:o}", file.old_mode, file.new_mode);
                (Weight::Note, "mode-change", text)
            }
            Why::Binary => (Weight::Note, "binary", format!("changes the binary file '{shown}'")),
        };
        found.add(weight, kind, Some(&path), text);
    }
    if paths::is_build(&file.path) || paths::is_build(file.old_name()) {
        found.add(Weight::Note, "build-files", Some(&file.path), format!("changes how it is built: '{name}'"));
    }
    if matches!(file.old, Content::TooLarge(_)) || matches!(file.new, Content::TooLarge(_)) {
        found.add(Weight::Note, "too-large", Some(&file.path), format!("'{name}' is too large to be looked into"));
    }
    if !file.was_there() && !paths::is_generated(&file.path) && class(file) == Class::Generated {
        found.add(Weight::Note, "generated", Some(&file.path), format!("adds '{name}', which calls itself generated"));
    }
}

/// What the added lines say.
fn words(file: &FileChange, found: &mut Found) {
    let name = path_text(&file.path);
    let (added, removed) = file.lines();
    let secret = |line: &&[u8]| marks::secret(line);
    // A secret that is only moved is none that is added.
    let before: Vec<_> = removed.iter().filter_map(secret).collect();
    if let Some(kind) = added.iter().filter_map(secret).find(|kind| !before.contains(kind)) {
        found.add(Weight::Serious, "secret", Some(&file.path), format!("adds what looks like {kind} to '{name}'"));
    }
    let has = |start: &[u8]| {
        added.iter().any(|line| line.starts_with(start) && matches!(line.get(7), None | Some(b' ' | b'\r')))
    };
    if has(b"<<<<<<<") && has(b">>>>>>>") {
        found.add(
            Weight::Serious,
            "conflict-markers",
            Some(&file.path),
            format!("leaves conflict markers in '{name}'"),
        );
    }
    if class(file) == Class::Generated {
        return;
    }
    let more = |is: fn(&[u8]) -> bool| {
        let count = |lines: &[&[u8]]| lines.iter().filter(|line| is(line)).count();
        count(&added).saturating_sub(count(&removed))
    };
    let unsafe_lines = if paths::extension(&file.path) == "rs" { more(marks::is_unsafe) } else { 0 };
    if unsafe_lines > 0 {
        found.add(Weight::Note, "unsafe", Some(&file.path), format!("adds unsafe code to '{name}'"));
    }
    if more(marks::is_todo) > 0 {
        found.add(Weight::Note, "todo", Some(&file.path), format!("leaves work for later in '{name}'"));
    }
}

/// Risks as they are found.
#[derive(Debug, Default)]
struct Found {
    risks: Vec<Risk>,
    /// How many of a kind were not named, and how much they weigh at most.
    more: BTreeMap<&'static str, (usize, Option<Weight>)>,
}

impl Found {
    fn add(&mut self, weight: Weight, kind: &'static str, path: Option<&[u8]>, text: String) {
        if self.risks.iter().filter(|risk| risk.kind == kind && risk.weight == weight).count() < NAMED {
            self.risks.push(Risk { weight, kind: kind.to_owned(), path: path.map(path_text), text });
            return;
        }
        let (count, heaviest) = self.more.entry(kind).or_default();
        *count += 1;
        *heaviest = (*heaviest).max(Some(weight));
    }

    fn finish(mut self) -> Vec<Risk> {
        for (kind, (count, weight)) in self.more {
            let weight = weight.unwrap_or(Weight::Note);
            let text = format!("{count} more of the kind '{kind}'");
            self.risks.push(Risk { weight, kind: kind.to_owned(), path: None, text });
        }
        self.risks.sort_by_key(|risk| std::cmp::Reverse(risk.weight));
        self.risks
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A change of one file between two texts; an empty name of a version is a file that is not there.
    pub(crate) fn file(path: &str, old: Option<&str>, new: Option<&str>) -> FileChange {
        let content = |text: Option<&str>| text.map_or(Content::Absent, |text| Content::Bytes(text.into()));
        let mode = |text: Option<&str>| if text.is_some() { 0o100_644 } else { 0 };
        let mut file = FileChange {
            path: path.into(),
            old_mode: mode(old),
            new_mode: mode(new),
            old_id: old.unwrap_or_default().to_owned(),
            new_id: new.unwrap_or_default().to_owned(),
            old: content(old),
            new: content(new),
            ..FileChange::default()
        };
        let (added, removed) = file.lines();
        (file.added, file.removed) = (added.len(), removed.len());
        file
    }

    pub(crate) fn kinds(risks: &[Risk], weight: Weight) -> Vec<&str> {
        risks.iter().filter(|risk| risk.weight == weight).map(|risk| risk.kind.as_str()).collect()
    }

    #[test]
    fn the_size_counts_code_apart_from_tests_and_generated_files() {
        let (size, risks) = study(&[
            file("src/a.rs", Some("1\n2\n"), Some("1\n3\n4\n")),
            file(
                "src/b.rs",
                Some("x\n#[cfg(test)]\nmod tests {\n}\n"),
                Some("y\n#[cfg(test)]\nmod tests {\n    t\n}\n"),
            ),
            file("tests/a.rs", None, Some("#[test]\nfn a() {}\n")),
            file("Cargo.lock", Some("a\n"), Some("b\n")),
            file("src/made.go", Some("// Code generated by x\n"), Some("// y\n")),
        ]);
        let wanted =
            Size { files: 5, added: 8, removed: 4, code: 5, test_files: 1, generated_files: 2, tests_added: 1, ..size };
        assert_eq!(size, wanted);
        assert_eq!(kinds(&risks, Weight::Note), ["lockfile"]);
    }

    #[test]
    fn a_change_cannot_call_its_own_code_generated_without_a_word() {
        let (size, _) = study(&[file("a.go", Some("a\n"), Some("// DO NOT EDIT\na\n"))]);
        assert_eq!(size.code, 1);
        let (size, risks) = study(&[file("b.go", None, Some("// DO NOT EDIT\na\n"))]);
        assert_eq!((size.code, kinds(&risks, Weight::Note)), (0, vec!["generated"]));
    }

    #[test]
    fn what_lies_in_the_added_lines_is_found() {
        let key = format!("-----BEGIN {} KEY-----\n", "RSA PRIVATE");
        let marks = format!("{} a\nx\n{} b\n", "<".repeat(7), ">".repeat(7));
        let (_, risks) = study(&[
            file("key.pem", None, Some(&key)),
            file("src/a.rs", Some(""), Some("unsafe { x }\n// TODO x\n")),
            file("src/c.rs", Some(""), Some(&marks)),
        ]);
        assert_eq!(kinds(&risks, Weight::Serious), ["secret", "conflict-markers"]);
        assert_eq!(kinds(&risks, Weight::Note), ["unsafe", "todo"]);
        let (_, risks) =
            study(&[file("key.pem", Some(&key), None), file("src/a.rs", Some("// TODO x\n"), Some("\n// TODO  y\n"))]);
        assert_eq!(risks, []);
    }

    #[test]
    fn what_a_file_is_is_found() {
        let link = FileChange { new_mode: LINK, ..file("a", None, Some("/etc/passwd")) };
        let module =
            FileChange { new_mode: change::MODULE, new: Content::Module("a".to_owned()), ..file("m", None, Some("")) };
        let mode = FileChange { new_mode: 0o100_755, ..file("run.txt", Some("a"), Some("a")) };
        let (_, risks) = study(&[
            link,
            module,
            mode,
            file("x.bin", None, Some("a\0b")),
            file(".github/workflows/a.yml", Some("a"), None),
            file("package.json", Some("a"), Some("b")),
        ]);
        assert_eq!(kinds(&risks, Weight::Serious), ["symlink", "submodule", "protected"]);
        assert_eq!(kinds(&risks, Weight::Note), ["mode-change", "binary", "build-files"]);
        assert_eq!(risks[0].text, "makes 'a' a symlink to '/etc/passwd'");
    }

    #[test]
    fn many_risks_of_one_kind_are_counted() {
        let files: Vec<FileChange> = (0..30).map(|n| file(&format!("hooks/{n}"), None, Some("x\n"))).collect();
        let (_, risks) = study(&files);
        assert_eq!((risks.len(), risks[10].text.as_str()), (11, "20 more of the kind 'protected'"));
    }
}
