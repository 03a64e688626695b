//! Which ignored artefacts come along: `.worktreeinclude`, `hydrate.include`, `hydrate.exclude`.

use std::path::Path;

use gix::bstr::ByteSlice;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use shared::app::Context;
use shared::failure::Failure;

/// The file at the root of a worktree that lists artefacts, as `.gitignore` lists what is ignored.
pub(crate) const FILE: &str = ".worktreeinclude";

/// A list may not be larger, in bytes.
pub(crate) const MAX_SIZE: u64 = 1 << 20;

/// The patterns.
#[derive(Debug)]
pub(crate) struct Patterns {
    include: Gitignore,
    /// Those of `include` that hold a path: they alone reach into a folder that is not included itself.
    reaching: Gitignore,
    exclude: Gitignore,
}

/// What happens to an ignored path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It comes along, a folder with all that is in it.
    Take,
    /// It is a folder that stays, but something in it may come along.
    Search,
    /// It stays.
    Leave,
}

impl Patterns {
    /// Reads the patterns for a tree; `None` if there are none.
    pub(crate) fn load(cx: &Context, base: &gix::index::State) -> Result<Option<Patterns>, Failure> {
        let repo = &cx.repository()?.gix;
        let mut lines: Vec<String> = Vec::new();
        let entry = base.entry_by_path(FILE.into()).filter(|e| e.mode != gix::index::entry::Mode::SYMLINK);
        if let Some(entry) = entry {
            let broken = |why: String| Failure::could_not("broken-file", format!("cannot read '{FILE}': {why}"));
            let size = repo.find_header(entry.id).map_err(|e| broken(format!("{e:#}")))?.size();
            if size > MAX_SIZE {
                return Err(broken("it is larger than 1 MiB".into()));
            }
            let blob = repo.find_blob(entry.id).map_err(|e| broken(format!("{e:#}")))?;
            lines.extend(blob.data.lines().map(|line| line.to_str_lossy().into_owned()));
        }
        Patterns::of_lines(cx, lines)
    }

    /// Makes the patterns of some lines and the settings; `None` if there are none.
    pub(crate) fn of_lines(cx: &Context, mut lines: Vec<String>) -> Result<Option<Patterns>, Failure> {
        let config = cx.config()?;
        lines.extend(config.list("hydrate.include")?);
        if lines.iter().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            return Ok(None);
        }
        let reaching: Vec<String> = lines.iter().filter(|line| holds_path(line)).cloned().collect();
        Ok(Some(Patterns {
            include: matcher(cx, &lines),
            reaching: matcher(cx, &reaching),
            exclude: matcher(cx, &config.list("hydrate.exclude")?),
        }))
    }

    /// Chooses for a path that git lists as ignored.
    pub(crate) fn choose(&self, path: &Path, is_folder: bool) -> Choice {
        if self.exclude.matched_path_or_any_parents(path, is_folder).is_ignore() {
            return Choice::Leave;
        }
        match self.include.matched_path_or_any_parents(path, is_folder) {
            Match::Ignore(_) => Choice::Take,
            Match::None | Match::Whitelist(_) => self.search(is_folder),
        }
    }

    /// Chooses for a path in a folder for which `above` was chosen.
    pub(crate) fn choose_below(&self, path: &Path, is_folder: bool, above: Choice) -> Choice {
        if self.exclude.matched(path, is_folder).is_ignore() {
            return Choice::Leave;
        }
        let patterns = if above == Choice::Take { &self.include } else { &self.reaching };
        match patterns.matched(path, is_folder) {
            Match::Ignore(_) => Choice::Take,
            Match::Whitelist(_) => self.search(is_folder),
            Match::None if above == Choice::Take => Choice::Take,
            Match::None => self.search(is_folder),
        }
    }

    fn search(&self, is_folder: bool) -> Choice {
        if is_folder && !self.reaching.is_empty() { Choice::Search } else { Choice::Leave }
    }
}

/// Says whether a pattern has a slash before its end, as in `node_modules/.cache/`.
fn holds_path(line: &str) -> bool {
    line.trim_start_matches(['!', '/']).trim_end().trim_end_matches('/').contains('/')
}

fn matcher(cx: &Context, lines: &[String]) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in lines {
        if let Err(error) = builder.add_line(None, line.trim_end_matches('\r')) {
            cx.output.warn(format!("a pattern of what to copy is left out: {error}"));
        }
    }
    builder.build().unwrap_or_else(|error| {
        cx.output.warn(format!("the patterns of what to copy are left out: {error}"));
        Gitignore::empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str]) -> Patterns {
        let build = |lines: &mut dyn Iterator<Item = &&str>| {
            let mut builder = GitignoreBuilder::new("");
            for line in lines {
                builder.add_line(None, line).unwrap();
            }
            builder.build().unwrap()
        };
        Patterns {
            include: build(&mut include.iter()),
            reaching: build(&mut include.iter().filter(|line| holds_path(line))),
            exclude: build(&mut exclude.iter()),
        }
    }

    #[test]
    fn a_folder_comes_along_but_for_what_is_excluded() {
        let patterns = patterns(&["node_modules/", ".env"], &["*.log"]);
        assert_eq!(patterns.choose(Path::new("web/node_modules"), true), Choice::Take);
        assert_eq!(patterns.choose(Path::new("node_modules"), false), Choice::Leave);
        assert_eq!(patterns.choose_below(Path::new("node_modules/a"), true, Choice::Take), Choice::Take);
        assert_eq!(patterns.choose_below(Path::new("node_modules/a.log"), false, Choice::Take), Choice::Leave);
    }

    #[test]
    fn only_a_pattern_with_a_path_reaches_into_a_folder_that_stays() {
        let name_only = patterns(&[".env"], &[]);
        assert_eq!(name_only.choose(Path::new("vendor"), true), Choice::Leave);
        let path = patterns(&["node_modules/.cache/", ".env"], &[]);
        assert_eq!(path.choose(Path::new("node_modules"), true), Choice::Search);
        assert_eq!(path.choose_below(Path::new("node_modules/.cache"), true, Choice::Search), Choice::Take);
        assert_eq!(path.choose_below(Path::new("node_modules/.env"), false, Choice::Search), Choice::Leave);
    }
}
