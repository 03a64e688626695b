//! Python virtual environments: which of their files hold their path, and writing those anew.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use shared::refusal::Refusal;

use super::{Relink, read_small, text};
use crate::answer::Skipped;
use crate::beneath::{self, Cursor, Missing, Root};
use crate::copy;

/// What makes a folder a virtual environment.
const CONFIG: &[u8] = b"pyvenv.cfg";

/// A larger file is no text that holds the path, in bytes.
pub(super) const LARGEST: u64 = 1 << 20;

/// The new file until it is renamed.
const BESIDE: &CStr = c".hydrate-relink";

/// A file that may hold paths to rewrite.
#[derive(Debug)]
pub(crate) struct Text {
    /// The path, seen from the root.
    pub(crate) path: Vec<u8>,
    /// Whether it is as the donor's; if not, it may have been rewritten by an earlier run.
    pub(crate) is_ours: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    /// The files that were written anew.
    pub(crate) count: u64,
    /// Those that could not be.
    pub(crate) skipped: Vec<Skipped>,
}

/// Says whether a file can be one of a virtual environment that holds its path, as far as its own path tells.
pub(crate) fn may_hold_paths(path: &[u8], facts: &Stat) -> bool {
    let is_file = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
    is_file && copy::size(facts) <= LARGEST && part(path).is_some()
}

/// A part of a virtual environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Config,
    Script,
    List,
    /// A module that maps names to paths; what Python compiled from it goes by its time.
    Finder,
    Url,
}

/// Returns the virtual environment that a file would belong to, and as what.
fn part(path: &[u8]) -> Option<(&[u8], Part)> {
    let (folder, name) = beneath::split(path);
    let (above, last) = beneath::split(folder);
    let ends = |end: &[u8]| name.ends_with(end);
    if name == CONFIG {
        return Some((folder, Part::Config));
    }
    if last == b"bin" {
        return Some((above, Part::Script));
    }
    let (packages, part) = match name {
        b"direct_url.json" if last.ends_with(b".dist-info") => (above, Part::Url),
        _ if ends(b".pth") || ends(b".egg-link") => (folder, Part::List),
        _ if name.starts_with(b"__editable__") && ends(b".py") => (folder, Part::Finder),
        _ => return None,
    };
    // <root>/lib/python3.x/site-packages
    let (python, last) = beneath::split(packages);
    let (lib, _) = beneath::split(python);
    let (root, lib) = beneath::split(lib);
    (last == b"site-packages" && lib.starts_with(b"lib")).then_some((root, part))
}

/// Rewrites what belongs to a virtual environment among `texts`; counts only, if there is no `to`.
pub(crate) fn rewrite(relink: &Relink, from: &Root, to: Option<&Root>, texts: &[Text]) -> Result<Rewritten> {
    let mut done = Rewritten::default();
    let roots: BTreeSet<&[u8]> =
        texts.iter().filter_map(|text| part(&text.path)).filter(|(_, p)| *p == Part::Config).map(|(r, _)| r).collect();
    for root in roots {
        if !text::is_plain(&relink.to) {
            done.skipped.push(Skipped::new(root, "it is not relinked: the worktree's path cannot stand in scripts"));
            continue;
        }
        let spellings = spellings(relink, from, root);
        for text in texts {
            let Some((_, part)) = part(&text.path).filter(|(of, _)| *of == root) else { continue };
            let job = Job { relink, from, to, spellings: &spellings, text, part };
            match job.rewrite()? {
                Outcome::Written => done.count += 1,
                Outcome::Nothing => {}
                Outcome::Foreign => done.skipped.push(Skipped::new(&text.path, "it exists already")),
            }
        }
    }
    // A file that was held back because it may have been rewritten, and belongs to no environment after all.
    let loose = texts.iter().filter(|text| !text.is_ours);
    let loose = loose.filter(|text| part(&text.path).is_none_or(|(root, _)| !is_root(texts, root)));
    done.skipped.extend(loose.map(|text| Skipped::new(&text.path, "it exists already")));
    Ok(done)
}

fn is_root(texts: &[Text], root: &[u8]) -> bool {
    texts.iter().any(|text| part(&text.path) == Some((root, Part::Config)))
}

/// Returns the spellings of the donor's path, with the one that the environment itself was made under.
fn spellings(relink: &Relink, from: &Root, root: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut all = relink.from.clone();
    let mut recorded = Vec::new();
    let inside = |name: &str| [root, if root.is_empty() { b"" } else { b"/" }, name.as_bytes()].concat();
    for (file, key) in [("bin/activate", &b"VIRTUAL_ENV="[..]), ("pyvenv.cfg", b"command = ")] {
        for line in read_small(from, &inside(file)).unwrap_or_default().split(|b| *b == b'\n') {
            let line = line.trim_ascii().strip_prefix(b"export ").unwrap_or(line.trim_ascii());
            if let Some(value) = line.strip_prefix(key) {
                // The command's last word is the folder.
                let start = value.windows(2).rposition(|pair| pair == b" /").map_or(0, |at| at + 1);
                recorded.push(value[start..].trim_ascii().to_vec());
            }
        }
    }
    for path in recorded {
        let path = super::trimmed(path.as_slice().trim_ascii_start().strip_quotes());
        let above =
            if root.is_empty() { Some(path) } else { path.strip_suffix(root).and_then(|p| p.strip_suffix(b"/")) };
        if let Some(above) = above.filter(|above| above.starts_with(b"/") && relink.is_donor(above)) {
            all.insert(above.to_vec());
        }
    }
    all
}

trait Quotes {
    fn strip_quotes(&self) -> &Self;
}

impl Quotes for [u8] {
    fn strip_quotes(&self) -> &[u8] {
        match self {
            [b'"', inside @ .., b'"'] | [b'\'', inside @ .., b'\''] => inside,
            plain => plain,
        }
    }
}

enum Outcome {
    Written,
    Nothing,
    Foreign,
}

/// One file to rewrite.
struct Job<'j> {
    relink: &'j Relink,
    from: &'j Root,
    to: Option<&'j Root>,
    spellings: &'j BTreeSet<Vec<u8>>,
    text: &'j Text,
    part: Part,
}

impl Job<'_> {
    fn rewrite(&self) -> Result<Outcome> {
        let path = &self.text.path;
        let Some(to) = self.to else {
            let donor = read_small(self.from, path);
            return Ok(match donor.and_then(|donor| self.rewritten(&donor)) {
                Some(_) => Outcome::Written,
                None => Outcome::Nothing,
            });
        };
        let Some(now) = read_small(to, path) else { return Ok(Outcome::Nothing) };
        if !self.text.is_ours {
            let wanted = read_small(self.from, path).and_then(|donor| self.rewritten(&donor));
            return Ok(if wanted.is_some_and(|wanted| wanted == now) { Outcome::Nothing } else { Outcome::Foreign });
        }
        let Some(new) = self.rewritten(&now) else { return Ok(Outcome::Nothing) };
        let mut cursor = Cursor::new(to, Missing::Fail);
        let written = cursor.enter(path).and_then(|(folder, name)| self.replace(folder, &name, &new));
        written.map_err(|e| failed(path, e))?;
        Ok(Outcome::Written)
    }

    /// Returns the new content; `None` if the file holds no such path.
    fn rewritten(&self, old: &[u8]) -> Option<Vec<u8>> {
        if old.contains(&0) {
            return None;
        }
        let to = &self.relink.to;
        let mut new = old.to_vec();
        // The longest first: one spelling may be the beginning of another.
        for from in self.spellings.iter().rev() {
            new = match self.part {
                Part::Url => text::replace(&new, &text::url_encoded(from), &text::url_encoded(to)),
                Part::Config | Part::Script | Part::List | Part::Finder => text::replace(&new, from, to),
            };
        }
        if self.part == Part::Script && new != old {
            new = text::mend_shebang(new, to);
        }
        (new != old).then_some(new)
    }

    /// Writes the new content beside and renames it over the file, with the file's mode and time.
    fn replace(&self, folder: BorrowedFd<'_>, name: &CStr, content: &[u8]) -> Result<(), Errno> {
        let before = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let made = create_beside(folder)?;
        let write = || -> Result<(), Errno> {
            let mut file = std::fs::File::from(made.try_clone().map_err(|e| errno(&e))?);
            file.write_all(content).map_err(|e| errno(&e))?;
            let changed = fstat(&made)?;
            fchmod(&made, Mode::from_raw_mode(before.st_mode & 0o777))?;
            // What was compiled from a module counts as long as size and time are those of the module.
            let time = if self.part == Part::Finder { &changed } else { &before };
            copy::set_open_time(made.as_fd(), copy::mtime(time))?;
            renameat(folder, BESIDE, folder, name)
        };
        let written = write();
        if written.is_err() {
            let _ = unlinkat(folder, BESIDE, AtFlags::empty());
        }
        written
    }
}

fn create_beside(folder: BorrowedFd<'_>) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(folder, BESIDE, flags, Mode::RUSR | Mode::WUSR);
    match open() {
        // A run that was killed left it.
        Err(Errno::EXIST) => {
            unlinkat(folder, BESIDE, AtFlags::empty())?;
            open()
        }
        result => result,
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn failed(path: &[u8], error: Errno) -> anyhow::Error {
    let name = String::from_utf8_lossy(path).escape_debug().to_string();
    Refusal::new("unfinished", format!("cannot relink '{name}': {error}"))
        .hint("once that is mended, 'git hydrate' completes what it began")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_place_in_the_environment() {
        let of = |path: &'static str| part(path.as_bytes()).map(|(root, part)| (str::from_utf8(root).unwrap(), part));
        assert_eq!(of("a/.venv/pyvenv.cfg"), Some(("a/.venv", Part::Config)));
        assert_eq!(of(".venv/bin/pip"), Some((".venv", Part::Script)));
        assert_eq!(of("v/lib/python3.11/site-packages/x.pth"), Some(("v", Part::List)));
        assert_eq!(of("v/lib64/python3.11/site-packages/x-1.dist-info/direct_url.json"), Some(("v", Part::Url)));
        assert_eq!(of("v/lib/python3.11/site-packages/__editable___x_finder.py"), Some(("v", Part::Finder)));
        assert_eq!(of("v/lib/python3.11/x.pth"), None);
        assert_eq!(of("v/lib/python3.11/site-packages/x/y.py"), None);
    }
}
