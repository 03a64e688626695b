//! The note on a tree under `refs/notes/validate`: a line of JSON for each check and configuration.
//!
//! Written as git's notes are (`notes.c`), but with a compare-and-swap of the ref, which `git notes
//! add` lacks: two writers at once lose nothing. Our own writers queue, so that they need not race.
//! Lines that are not ours stay as they are.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use gix::ObjectId;
use gix::object::tree::EntryKind;
use rustix::rand::{GetRandomFlags, getrandom};
use shared::app::Context;
use shared::durable::{self, Lock};
use shared::failure::Failure;
use shared::folders;
use shared::repository::{Repository, in_words};

use crate::journal::{self, Journal};
use crate::verdict::{Line, Source};
use crate::{sign, tree};

/// The ref of the notes.
pub(crate) const REF: &str = "refs/notes/validate";

/// A race is lost at most this often; each loss means that somebody else has written.
const TRIES: u32 = 200;

/// A lock of the ref that is older than this belongs to nobody; shorter than the tries take together.
const STALE: Duration = Duration::from_secs(10);

/// A line of a note, and whose word it is.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    pub(crate) line: Line,
    pub(crate) source: Source,
}

/// Reads the lines of a tree's note that this version understands.
///
/// # Errors
/// When the notes or the journal cannot be read.
pub(crate) fn read(cx: &Context, tree: ObjectId) -> Result<Vec<Noted>, Failure> {
    let repository = cx.repository()?;
    let Some(tip) = repository.tip(REF)? else { return Ok(Vec::new()) };
    let Some(found) = find(repository, tip, tree)? else { return Ok(Vec::new()) };
    let vouched = Journal::of(repository)?.vouched(tree)?;
    let mut noted = Vec::new();
    let mut doubtful = Vec::new();
    for bytes in found.content.split(|byte| *byte == b'\n') {
        let Some(line) = parse_line(bytes) else { continue };
        let is_own = vouched.contains(&journal::digest(bytes));
        if !is_own {
            doubtful.push((noted.len(), journal::digest(bytes)));
        }
        noted.push(Noted { line, source: if is_own { Source::Own } else { Source::Foreign } });
    }
    if !doubtful.is_empty() {
        let signed = sign::verified(cx, tree, &found.content)?;
        for (at, digest) in doubtful {
            if signed.contains(&digest) {
                noted[at].source = Source::Signed;
            }
        }
    }
    Ok(noted)
}

/// Reads one line; nothing if it is not ours, or of a newer version.
fn parse_line(line: &[u8]) -> Option<Line> {
    serde_json::from_slice(line).ok().filter(|line: &Line| line.schema == 1)
}

/// Adds lines to a tree's note; an own line for the same check and configuration gives way.
///
/// # Errors
/// When objects, the ref or the journal cannot be written.
pub(crate) fn write(cx: &Context, tree: ObjectId, lines: &[Line]) -> Result<(), Failure> {
    let texts = lines.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>().context("cannot write JSON")?;
    let signature = sign::sign(cx, tree, &texts)?;
    // First the journal: a line that nobody vouches for is run again, but a hash without a line is nothing.
    Journal::of(cx.repository()?)?.vouch(tree, texts.iter().map(Vec::as_slice))?;
    let added: Vec<Vec<u8>> = texts.into_iter().chain(signature).collect();
    let repository = cx.repository()?;
    with_lock(repository, || {
        attempt(cx, |tip| {
            let old = tip.map(|tip| content(repository, tip, tree)).transpose()?.unwrap_or_default();
            let parents: Vec<ObjectId> = tip.into_iter().collect();
            let changed = [(tree, merged(old, &added))];
            commit(repository, tip, &parents, &changed, "Verdict by git-validate\n").map(Some)
        })
    })
}

/// What a change makes of notes: the new content of each tree that it changes.
pub(crate) type Changed = Vec<(ObjectId, Vec<u8>)>;

/// Our own writers queue, so that they need not race.
pub(crate) fn with_lock<T>(repository: &Repository, body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let place = folders::cache()?.join("validate").join(repository.key());
    durable::private_folder(&place)?;
    let _queue = Lock::acquire(&place.join("notes.lock"), durable::PATIENCE)?;
    body()
}

/// Moves the ref to the commit that `make` makes for what it finds there; nothing if that is nothing.
///
/// # Errors
/// When `make` fails, or the ref cannot be written.
pub(crate) fn attempt(
    cx: &Context,
    make: impl Fn(Option<ObjectId>) -> Result<Option<ObjectId>>,
) -> Result<(), Failure> {
    let repository = cx.repository()?;
    let git = cx.git()?.setting("core.fsync=reference");
    let mut reason = String::new();
    for _ in 0..TRIES {
        let tip = repository.tip(REF)?;
        refuse_odd(repository, tip)?;
        let Some(commit) = make(tip)? else { return Ok(()) };
        refuse_odd(repository, Some(commit))?;
        let old = tip.map_or_else(|| "0".repeat(commit.to_string().len()), |tip| tip.to_string());
        let done = git.ask(["update-ref", "--no-deref", "-m", "validate", REF, &commit.to_string(), &old])?;
        if done.code == 0 {
            return Ok(());
        }
        reason = done.stderr;
        if repository.tip(REF)? == tip && !reason.contains(".lock") {
            break;
        }
        remove_stale_lock(repository);
        let mut random = [0_u8; 1];
        getrandom(&mut random, GetRandomFlags::empty()).context("the system gives no random numbers")?;
        thread::sleep(Duration::from_millis(1 + u64::from(random[0]) / 16));
    }
    Err(Failure::could_not("notes", format!("cannot write the verdict to '{REF}': {reason}")))
}

/// A symbolic ref would have us write to somebody's branch, and a commit's parents are commits.
fn refuse_odd(repository: &Repository, tip: Option<ObjectId>) -> Result<(), Failure> {
    let reference =
        repository.gix.try_find_reference(REF).map_err(|e| anyhow!("cannot read '{REF}': {}", in_words(&e)))?;
    if let Some(gix::refs::Target::Symbolic(target)) = reference.map(|reference| reference.inner.target) {
        let words = format!("'{REF}' is a symbolic ref to '{}', and nothing is written through it", target.as_bstr());
        return Err(Failure::could_not("notes", words));
    }
    let kind = |id| repository.gix.find_header(id).map(|header| header.kind()).map_err(|e| anyhow!(in_words(&e)));
    match tip {
        Some(id) if kind(id)? != gix::objs::Kind::Commit => {
            Err(Failure::could_not("notes", format!("the notes '{id}' are no commit")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Git holds the lock of a ref for moments; one that stays was left by a git that was killed.
fn remove_stale_lock(repository: &Repository) {
    let path = repository.common_dir().join(format!("{REF}.lock"));
    let age = path.symlink_metadata().and_then(|facts| facts.modified()).ok().and_then(|time| time.elapsed().ok());
    if age.is_some_and(|age| age > STALE) {
        let _ = fs::remove_file(path);
    }
}

#[derive(Debug, Default)]
struct Found {
    path: Option<String>,
    content: Vec<u8>,
}

/// Finds the note wherever git may have put it: flat, or below one or two levels of folders.
fn find(repository: &Repository, notes: ObjectId, tree: ObjectId) -> Result<Option<Found>> {
    let root = root(repository, notes)?;
    let root = repository.gix.find_tree(root).map_err(|e| anyhow!(in_words(&e))).with_context(broken)?;
    let hex = tree.to_string();
    for path in
        [format!("{}/{}", &hex[..2], &hex[2..]), hex.clone(), format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..])]
    {
        let entry = root.lookup_entry_by_path(&path).map_err(|e| anyhow!(in_words(&e))).with_context(broken)?;
        if let Some(entry) = entry.filter(|entry| entry.mode().is_blob()) {
            let blob = entry.object().map_err(|e| anyhow!(in_words(&e))).with_context(broken)?;
            return Ok(Some(Found { path: Some(path), content: blob.data.clone() }));
        }
    }
    Ok(None)
}

fn broken() -> String {
    format!("'{REF}' is broken")
}

/// Finds the tree that holds the notes.
///
/// # Errors
/// When what the ref leads to holds none.
pub(crate) fn root(repository: &Repository, notes: ObjectId) -> Result<ObjectId> {
    let root = repository.gix.find_object(notes).and_then(|object| object.peel_to_tree());
    root.map(|root| root.id).map_err(|e| anyhow!(in_words(&e))).with_context(broken)
}

/// Lists the trees that have notes.
///
/// # Errors
/// When the notes cannot be read.
pub(crate) fn trees(repository: &Repository, notes: ObjectId) -> Result<Vec<ObjectId>> {
    let files = tree::files(repository, root(repository, notes)?).with_context(broken)?;
    let id = |file: &tree::File| {
        let digits: Vec<u8> = file.path.iter().copied().filter(|byte| *byte != b'/').collect();
        ObjectId::from_hex(&digits).ok()
    };
    Ok(files.iter().filter_map(id).collect())
}

/// Reads the whole note of a tree as a commit of the notes has it; empty if there is none.
///
/// # Errors
/// When the notes cannot be read.
pub(crate) fn content(repository: &Repository, notes: ObjectId, tree: ObjectId) -> Result<Vec<u8>> {
    Ok(find(repository, notes, tree)?.unwrap_or_default().content)
}

/// Makes a commit of the notes with new contents; only objects are written, and they are on disk.
///
/// An empty content takes the note away.
///
/// # Errors
/// When objects cannot be read or written.
pub(crate) fn commit(
    repository: &Repository,
    tip: Option<ObjectId>,
    parents: &[ObjectId],
    changed: &[(ObjectId, Vec<u8>)],
    message: &str,
) -> Result<ObjectId> {
    let gix = &repository.gix;
    let said = |e: gix::Error| anyhow!("cannot write the verdict: {}", in_words(&e));
    let root = match tip {
        Some(tip) => root(repository, tip)?,
        None => ObjectId::empty_tree(gix.object_hash()),
    };
    let mut editor = gix.edit_tree(root).map_err(said)?;
    let mut written = Vec::new();
    let mut folders = BTreeSet::new();
    for (tree, content) in changed {
        let hex = tree.to_string();
        let found = tip.map(|tip| find(repository, tip, *tree)).transpose()?.flatten().and_then(|found| found.path);
        let path = found.unwrap_or_else(|| format!("{}/{}", &hex[..2], &hex[2..]));
        if content.is_empty() {
            editor.remove(path.as_str()).map_err(said)?;
        } else {
            let blob = gix.write_blob(content).map_err(said)?.detach();
            editor.upsert(path.as_str(), EntryKind::Blob, blob).map_err(said)?;
            written.push(blob);
        }
        folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    }
    let new_root = editor.write().map_err(said)?.detach();
    let mut signer = gix.clone();
    let signer = signer.committer_or_set_fallback("git-validate", "git-validate@localhost").map_err(said)?;
    let parents = parents.iter().copied();
    let commit = gix.new_commit_as(signer, signer, message, new_root, parents).map_err(said)?.id;
    written.extend([new_root, commit]);
    // The folders between the root and the notes were written as well.
    let root = gix.find_tree(new_root).map_err(said)?;
    for folder in folders {
        let entry = root.lookup_entry_by_path(&folder).map_err(said)?;
        written.extend(entry.map(|entry| entry.object_id()));
    }
    for id in written {
        flush(repository, id)?;
    }
    Ok(commit)
}

/// The old note with new lines; an old line of the same check, key and person gives way.
fn merged(old: Vec<u8>, added: &[Vec<u8>]) -> Vec<u8> {
    let identity = |line: &[u8]| parse_line(line).map(|line| (line.check, line.key, line.by));
    let new: Vec<_> = added.iter().filter_map(|line| identity(line)).collect();
    let replaced = |line: &[u8]| identity(line).is_some_and(|identity| new.contains(&identity));
    let kept = old.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !replaced(line));
    let mut text = Vec::new();
    for line in kept.chain(added.iter().map(Vec::as_slice)) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text
}

/// Brings a loose object to disk before a ref names it.
fn flush(repository: &Repository, id: ObjectId) -> Result<()> {
    let hex = id.to_string();
    let folder = repository.common_dir().join("objects").join(&hex[..2]);
    match File::open(folder.join(&hex[2..])) {
        Ok(file) => {
            file.sync_all().with_context(|| format!("cannot bring the object {hex} to disk"))?;
            durable::sync_folder(&folder).with_context(|| format!("cannot bring '{}' to disk", folder.display()))
        }
        // In a pack, or in a borrowed store: it was there before.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => bail!("cannot open the object {hex}: {e}"),
    }
}
