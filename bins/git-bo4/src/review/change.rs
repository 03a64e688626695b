//! What a commit changes in its base, file by file, with both versions as far as they are worth reading.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result, bail, ensure};
use gix::ObjectId;
use shared::process::Git;

/// A version that is larger is not read.
const LARGE: u64 = 2 << 20;
/// So much of one change is read; what comes after it counts as too large.
const ALL: u64 = 32 << 20;
/// Where a NUL makes a file binary, as git looks for it.
const HEAD: usize = 8000;

pub(crate) const LINK: u32 = 0o120_000;
pub(crate) const MODULE: u32 = 0o160_000;

/// One file that is not as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileChange {
    /// Where it is, or where it was if it is gone.
    pub(crate) path: Vec<u8>,
    /// Where it was, if it was renamed.
    pub(crate) old_path: Option<Vec<u8>>,
    /// As in a tree; 0 where there is no file.
    pub(crate) old_mode: u32,
    pub(crate) new_mode: u32,
    pub(crate) old_id: String,
    pub(crate) new_id: String,
    pub(crate) old: Content,
    pub(crate) new: Content,
    pub(crate) added: usize,
    pub(crate) removed: usize,
    /// Whether the base's .gitattributes call it generated.
    pub(crate) marked_generated: bool,
}

/// One version of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Content {
    /// There is none.
    #[default]
    Absent,
    /// What it holds; of a symlink, where it points.
    Bytes(Vec<u8>),
    /// So many bytes, which were not read.
    TooLarge(u64),
    /// The commit of a submodule.
    Module(String),
}

impl Content {
    /// Returns what was read; nothing if nothing was.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Content::Bytes(bytes) => bytes,
            Content::Absent | Content::TooLarge(_) | Content::Module(_) => &[],
        }
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.bytes().iter().take(HEAD).any(|byte| *byte == 0)
    }
}

impl FileChange {
    /// Returns the path before the change.
    pub(crate) fn old_name(&self) -> &[u8] {
        self.old_path.as_deref().unwrap_or(&self.path)
    }

    pub(crate) fn was_there(&self) -> bool {
        self.old_mode != 0
    }

    pub(crate) fn is_there(&self) -> bool {
        self.new_mode != 0
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.old.is_binary() || self.new.is_binary()
    }

    pub(crate) fn is_module(&self) -> bool {
        self.old_mode == MODULE || self.new_mode == MODULE
    }

    /// Returns the lines that only the new version has, and those that only the old one had.
    ///
    /// A line that only moved is in neither.
    pub(crate) fn lines(&self) -> (Vec<&[u8]>, Vec<&[u8]>) {
        if self.is_binary() { (Vec::new(), Vec::new()) } else { differing(self.old.bytes(), self.new.bytes()) }
    }
}

/// Returns the lines that only `new` has, and those that only `old` has, each as often as there are more of it.
pub(crate) fn differing<'a>(old: &'a [u8], new: &'a [u8]) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    (without(new, old), without(old, new))
}

fn without<'a>(all: &'a [u8], others: &[u8]) -> Vec<&'a [u8]> {
    let mut left: HashMap<&[u8], usize> = HashMap::new();
    lines(others).for_each(|line| *left.entry(line).or_default() += 1);
    let is_new = |line: &&[u8]| match left.get_mut(*line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        Some(_) | None => true,
    };
    lines(all).filter(is_new).collect()
}

/// Returns the lines of a text without their ends.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").map_or((!text.is_empty()).then_some(text), Some);
    text.into_iter().flat_map(|text| text.split(|byte| *byte == b'\n'))
}

/// Reads what a commit or tree changes in another.
///
/// # Errors
/// When git cannot compare them, or has not all of their files.
pub(crate) fn load(git: &Git, base: ObjectId, commit: ObjectId) -> Result<Vec<FileChange>> {
    let git = git.clone().reading().setting("core.bigFileThreshold=16m");
    let (base, commit) = (base.to_string(), commit.to_string());
    let arguments = [
        "diff-tree",
        "-r",
        "-z",
        "--raw",
        "--numstat",
        "--full-index",
        "--abbrev=64",
        "--no-ext-diff",
        "--no-textconv",
    ];
    let how = ["--find-renames", "-l400", "--ignore-submodules=none", "--end-of-options", &base, &commit];
    let mut files = parse(&git.run(arguments.iter().chain(&how))?.stdout)?;
    fill(&git, &mut files)?;
    mark_generated(&git, &base, &mut files);
    for file in &mut files {
        // An attribute can hide a text from git's own count.
        if file.added + file.removed == 0 && file.old_id != file.new_id {
            let (added, removed) = file.lines();
            (file.added, file.removed) = (added.len(), removed.len());
        }
    }
    Ok(files)
}

/// Reads `diff-tree -z --raw --numstat`: first `:<modes> <ids> <status>`, then the counts, both with paths behind them.
fn parse(output: &[u8]) -> Result<Vec<FileChange>> {
    let mut files: Vec<FileChange> = Vec::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut parts = output.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        let mut path = || parts.next().map(<[u8]>::to_vec).context("'git diff-tree' named no path");
        if let Some(entry) = part.strip_prefix(b":") {
            let words: Vec<&str> = std::str::from_utf8(entry)?.split(' ').collect();
            let [old_mode, new_mode, old_id, new_id, status] = words[..] else {
                bail!("'git diff-tree' said too little")
            };
            let is_rename = status.starts_with(['R', 'C']);
            let first = path()?;
            let (path, old_path) = if is_rename { (path()?, Some(first)) } else { (first, None) };
            let (old_mode, new_mode) = (u32::from_str_radix(old_mode, 8)?, u32::from_str_radix(new_mode, 8)?);
            let (old_id, new_id) = (old_id.to_owned(), new_id.to_owned());
            places.insert(path.clone(), files.len());
            files.push(FileChange { path, old_path, old_mode, new_mode, old_id, new_id, ..FileChange::default() });
            continue;
        }
        let mut fields = part.splitn(3, |byte| *byte == b'\t');
        let mut count = || std::str::from_utf8(fields.next().unwrap_or_default()).ok()?.parse::<usize>().ok();
        let (added, removed) = (count().unwrap_or(0), count().unwrap_or(0));
        let name = match fields.next().context("'git diff-tree' counted no path")? {
            [] => {
                path()?;
                path()?
            }
            name => name.to_vec(),
        };
        if let Some(at) = places.get(&name) {
            (files[*at].added, files[*at].removed) = (added, removed);
        }
    }
    Ok(files)
}

/// Reads both versions of each file.
fn fill(git: &Git, files: &mut [FileChange]) -> Result<()> {
    let both = |file: &FileChange| [(file.old_mode, file.old_id.clone()), (file.new_mode, file.new_id.clone())];
    let wanted = files.iter().flat_map(both).filter(|(mode, _)| *mode != 0 && *mode != MODULE);
    let mut seen = BTreeSet::new();
    let ids: Vec<String> = wanted.map(|(_, id)| id).filter(|id| seen.insert(id.clone())).collect();
    let mut contents = sizes(git, &ids)?;
    let mut total = 0;
    let small: Vec<String> = ids
        .into_iter()
        .filter(|id| match contents.get(id) {
            Some(Content::TooLarge(size)) if *size <= LARGE && total + size <= ALL => {
                total += size;
                true
            }
            Some(_) | None => false,
        })
        .collect();
    read(git, &small, &mut contents)?;
    let of = |mode: u32, id: &String| match mode {
        0 => Content::Absent,
        MODULE => Content::Module(id.clone()),
        _ => contents.get(id).cloned().unwrap_or_default(),
    };
    for file in files {
        file.old = of(file.old_mode, &file.old_id);
        file.new = of(file.new_mode, &file.new_id);
    }
    Ok(())
}

/// Asks for the size of each object before any of it is read.
fn sizes(git: &Git, ids: &[String]) -> Result<HashMap<String, Content>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let answer =
        git.feed(["cat-file", "--batch-check=%(objectname) %(objectsize)"], (ids.join("\n") + "\n").as_bytes())?;
    let size = |line: &str| {
        let (id, size) = line.split_once(' ').context("'git cat-file' said too little")?;
        let size = size.parse().with_context(|| format!("the object {id} is missing"))?;
        Ok((id.to_owned(), Content::TooLarge(size)))
    };
    answer.text().lines().map(size).collect()
}

fn read(git: &Git, ids: &[String], contents: &mut HashMap<String, Content>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let answer = git.feed(["cat-file", "--batch=%(objectname) %(objectsize)"], (ids.join("\n") + "\n").as_bytes())?;
    let mut rest = answer.stdout.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (id, size) =
            std::str::from_utf8(&rest[..end])?.split_once(' ').context("'git cat-file' said too little")?;
        let size: usize = size.parse().with_context(|| format!("the object {id} is missing"))?;
        ensure!(rest.len() > end + 1 + size, "'git cat-file' ended early");
        contents.insert(id.to_owned(), Content::Bytes(rest[end + 1..=end + size].to_vec()));
        rest = &rest[end + size + 2..];
    }
    Ok(())
}

/// Asks the attributes of the base, so that no change can call itself generated; an old git knows no such question.
fn mark_generated(git: &Git, base: &str, files: &mut [FileChange]) {
    let paths: Vec<u8> = files.iter().flat_map(|file| [file.old_name(), b"\0"].concat()).collect();
    let arguments = ["check-attr", "-z", "--stdin", "--source", base, "linguist-generated"];
    let Ok(answer) = git.feed(arguments, &paths) else { return };
    let parts: Vec<&[u8]> = answer.stdout.split(|byte| *byte == 0).collect();
    for (file, answer) in files.iter_mut().zip(parts.chunks_exact(3)) {
        file.marked_generated = matches!(answer[2], b"set" | b"true") && file.was_there();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_moved_do_not_differ() {
        let (added, removed) = differing(b"a\nb\nc\nc\n", b"c\na\nnew\nc\n");
        assert_eq!((added, removed), (vec![&b"new"[..]], vec![&b"b"[..]]));
        assert_eq!(differing(b"", b"").0.len(), 0);
        assert_eq!(lines(b"one\n\ntwo").count(), 3);
    }

    #[test]
    fn what_git_says_of_renames_and_new_files_is_read() {
        let raw = b":100644 100755 aa bb R090\x00old name\x00new\tname\x00:000000 120000 00 cc A\x00link\x00\
            2\t1\t\x00old name\x00new\tname\x001\t0\tlink\x00";
        let files = parse(raw).unwrap();
        assert_eq!((files[0].path.as_slice(), files[0].old_name()), (&b"new\tname"[..], &b"old name"[..]));
        assert_eq!(
            (files[0].old_mode, files[0].new_mode, files[0].added, files[0].removed),
            (0o100_644, 0o100_755, 2, 1)
        );
        assert_eq!((files[1].new_mode, files[1].was_there(), files[1].added), (LINK, false, 1));
        assert!(parse(b":100644 100644 aa\0x\0").is_err());
    }
}
