//! Paths that a change does not touch without leave.

use serde::Serialize;
use shared::output::path_text;

use super::super::change::{FileChange, LINK};
use super::paths::{self, Why};

/// A path that is touched, and why that matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Touch {
    /// As text.
    pub(crate) path: String,
    pub(crate) why: Why,
}

/// Returns what of a change that was read is protected, by path.
pub(crate) fn among(files: &[FileChange]) -> Vec<Touch> {
    let all = files.iter().flat_map(of);
    let mut touches: Vec<Touch> = all.map(|(path, why)| Touch { path: path_text(&path), why }).collect();
    touches.sort_by(|a, b| (&a.path, a.why).cmp(&(&b.path, b.why)));
    touches
}

/// Returns why a file counts as protected, in its old place and in its new one.
pub(super) fn of(file: &FileChange) -> Vec<(Vec<u8>, Why)> {
    let mut found = Vec::new();
    let places = file.old_path.iter().chain([&file.path]);
    for path in places {
        found.extend(paths::listener(path).map(|why| (path.clone(), why)));
        found.extend(paths::is_lockfile(path).then(|| (path.clone(), Why::Lockfile)));
    }
    let modes = [file.old_mode, file.new_mode];
    let mut add = |is_so: bool, why: Why| found.extend(is_so.then(|| (file.path.clone(), why)));
    add(modes.contains(&LINK), Why::Symlink);
    add(file.is_module(), Why::Submodule);
    add(file.was_there() && file.is_there() && modes[0] != modes[1], Why::ModeChange);
    add(file.is_binary(), Why::Binary);
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn each_reason_is_named_for_each_place() {
        let files = [
            FileChange { old_path: Some(b".gitmodules".to_vec()), ..file("x", Some("a"), Some("a")) },
            FileChange { new_mode: LINK, ..file("Cargo.lock", Some("a"), Some("b")) },
            file("src/a.rs", Some("a"), Some("b")),
        ];
        let found: Vec<(String, Why)> = among(&files).into_iter().map(|touch| (touch.path, touch.why)).collect();
        let lock = |why| ("Cargo.lock".to_owned(), why);
        let wanted =
            [(".gitmodules".to_owned(), Why::Git), lock(Why::Lockfile), lock(Why::Symlink), lock(Why::ModeChange)];
        assert_eq!(found.len(), 4);
        assert!(wanted.iter().all(|one| found.contains(one)), "{found:?}");
    }
}
