//! Whether a change keeps the tests that were there.

use shared::output::path_text;

use super::super::change::{FileChange, LINK, MODULE};
use super::super::findings::{Size, Weight};
use super::marks::{self, Cases};
use super::{Class, Found, class, paths};

/// So many cases are named, and so much of each name.
const NAMED: usize = 3;
const LETTERS: usize = 60;

/// Compares the test cases of both versions, over all files, so that what moved is neither added nor removed.
pub(super) fn look(files: &[FileChange], size: &mut Size, found: &mut Found) {
    let (mut before, mut after) = (Cases::default(), Cases::default());
    let (mut disabled_before, mut disabled_after) = (0, 0);
    for file in files.iter().filter(|file| class(file) != Class::Generated) {
        before.add(file.old_name(), file.old.bytes());
        disabled_before += marks::disabled(file.old_name(), file.old.bytes());
        if is_code(file) && !paths::is_generated(&file.path) {
            after.add(&file.path, file.new.bytes());
            disabled_after += marks::disabled(&file.path, file.new.bytes());
        }
    }
    let (gone, new) = (before.without(&after), after.without(&before));
    (size.tests_removed, size.tests_added) = (gone.len(), new.len());
    if after.count() < before.count() {
        let but = if new.is_empty() { String::new() } else { format!(" and adds {}", new.len()) };
        found.add(Weight::Bars, "tests-removed", None, format!("removes {}{but}", some(&gone)));
    } else if !gone.is_empty() {
        found.add(Weight::Serious, "tests-replaced", None, format!("puts others in the place of {}", some(&gone)));
    }
    if disabled_after > disabled_before {
        let text = format!("takes tests out of the run (marks: {disabled_before} before, {disabled_after} now)");
        found.add(Weight::Bars, "tests-disabled", None, text);
    }
    whole_files(files, &gone, found);
}

/// Looks at each file of tests: whether it is gone without an equal one, or has become shorter.
fn whole_files(files: &[FileChange], gone: &[String], found: &mut Found) {
    let tests: Vec<&FileChange> = files.iter().filter(|file| file.was_there() && class(file) == Class::Test).collect();
    let sum =
        |of: fn(&FileChange) -> usize| files.iter().filter(|file| class(file) == Class::Test).map(of).sum::<usize>();
    // Where cases only moved from one file to another, the first is shorter and nothing is lost.
    let only_moved = gone.is_empty() && sum(|file| file.added) >= sum(|file| file.removed);
    for file in tests {
        let name = path_text(file.old_name());
        let path = Some(file.old_name());
        if is_gone(file) {
            let has_equal = files.iter().any(|other| {
                other.new_id == file.old_id && is_code(other) && paths::is_test(&other.path) && other.path != file.path
            });
            let is_empty = file.old.bytes().trim_ascii().is_empty();
            if has_equal || is_empty || has_moved(file, gone) {
                continue;
            }
            if paths::is_test_data(file.old_name()) {
                found.add(Weight::Serious, "tests-shrunk", path, format!("deletes '{name}', which tests read"));
            } else {
                found.add(Weight::Bars, "tests-removed", path, format!("deletes the tests of '{name}'"));
            }
        } else if file.removed > file.added && !only_moved {
            let text = format!("'{name}' loses {} lines and gains {}", file.removed, file.added);
            found.add(Weight::Serious, "tests-shrunk", path, text);
        }
    }
}

/// Says whether nothing is left that a test could be in.
fn is_gone(file: &FileChange) -> bool {
    !is_code(file) || !paths::is_test(&file.path) || (file.new_mode != 0 && file.new.bytes().trim_ascii().is_empty())
}

fn is_code(file: &FileChange) -> bool {
    file.is_there() && file.new_mode != LINK && file.new_mode != MODULE
}

/// Says whether all cases of a file that is gone are elsewhere now.
fn has_moved(file: &FileChange, gone: &[String]) -> bool {
    let mut own = Cases::default();
    let count = own.add(file.old_name(), file.old.bytes());
    count > 0 && own.without(&Cases::default()).iter().all(|case| !gone.contains(case))
}

fn some(names: &[String]) -> String {
    let short = |name: &String| name.chars().take(LETTERS).collect::<String>();
    let shown: Vec<String> = names.iter().filter(|name| !name.is_empty()).take(NAMED).map(short).collect();
    let count = if names.len() == 1 { "1 test".to_owned() } else { format!("{} tests", names.len()) };
    match (shown.is_empty(), names.len() > shown.len()) {
        (true, _) => count,
        (false, true) => format!("{count} ({}, …)", shown.join(", ")),
        (false, false) => format!("{count} ({})", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::study;
    use super::super::tests::{file, kinds};
    use super::*;

    const TWO: &str = "#[test]\nfn one() {}\n#[test]\nfn two() {}\n";
    const ONE: &str = "#[test]\nfn one() {}\n";

    fn barred(files: &[FileChange]) -> Vec<String> {
        let (_, risks) = study(files);
        risks.into_iter().filter(|risk| risk.weight == Weight::Bars).map(|risk| risk.text).collect()
    }

    #[test]
    fn a_test_that_is_removed_bars() {
        assert_eq!(barred(&[file("src/a.rs", Some(TWO), Some(ONE))]), ["removes 1 test (two)"]);
        let deleted = barred(&[file("tests/a.rs", Some(TWO), None)]);
        assert_eq!(deleted, ["removes 2 tests (one, two)", "deletes the tests of 'tests/a.rs'"]);
        assert_eq!(barred(&[file("tests/run.sh", Some("x\n"), None)]), ["deletes the tests of 'tests/run.sh'"]);
        assert_eq!(barred(&[file("tests/run.sh", Some("x\n"), Some("\n"))]), ["deletes the tests of 'tests/run.sh'"]);
        assert_eq!(barred(&[file("tests/a.rs", Some(ONE), Some("// #[test]\n// fn one() {}\n"))]).len(), 1);
        let link = FileChange { new_mode: LINK, ..file("tests/a.sh", Some("x"), Some("/bin/true")) };
        assert_eq!(barred(&[link]).len(), 1);
    }

    #[test]
    fn a_test_that_moves_is_neither_added_nor_removed() {
        let (size, risks) = study(&[
            file("tests/a.rs", Some(TWO), Some(ONE)),
            file("tests/b.rs", None, Some("#[test]\nfn two() {}\n")),
            file("tests/c.sh", Some("same\n"), None),
            file("tests/d.sh", None, Some("same\n")),
        ]);
        assert_eq!((size.tests_added, size.tests_removed), (0, 0));
        assert_eq!(risks, []);
        let renamed =
            FileChange { old_path: Some(b"tests/a.sh".to_vec()), ..file("tests/b.sh", Some("a\n"), Some("a\n")) };
        assert_eq!(barred(&[renamed]).len(), 0);
        let hidden =
            FileChange { old_path: Some(b"tests/a.sh".to_vec()), ..file("old/a.bak", Some("a\n"), Some("a\n")) };
        assert_eq!(barred(&[hidden]), ["deletes the tests of 'tests/a.sh'"]);
    }

    #[test]
    fn tests_that_do_not_run_any_more_bar() {
        let ignored = "#[test]\n#[ignore]\nfn one() {}\n";
        assert_eq!(
            barred(&[file("a.rs", Some(ONE), Some(ignored))]),
            ["takes tests out of the run (marks: 0 before, 1 now)"]
        );
        assert_eq!(barred(&[file("a.rs", Some(ignored), Some(ONE))]), [] as [&str; 0]);
        let generated = format!("// @generated\n{ONE}");
        assert_eq!(barred(&[file("tests/a.rs", Some(ONE), Some(&generated))]), [] as [&str; 0]);
    }

    #[test]
    fn a_test_that_is_replaced_or_shorter_is_serious() {
        let other = "#[test]\nfn other() {}\n";
        let (_, risks) = study(&[file("src/a.rs", Some(ONE), Some(other))]);
        assert_eq!(kinds(&risks, Weight::Serious), ["tests-replaced"]);
        let (_, risks) = study(&[file("tests/a.sh", Some("a\nb\n"), Some("a\n"))]);
        assert_eq!((kinds(&risks, Weight::Serious), kinds(&risks, Weight::Bars)), (vec!["tests-shrunk"], vec![]));
        let (_, risks) = study(&[file("tests/data/a.json", Some("a\n"), None)]);
        assert_eq!(kinds(&risks, Weight::Serious), ["tests-shrunk"]);
    }
}
