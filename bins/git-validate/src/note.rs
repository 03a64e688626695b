//! The note on a tree under `refs/notes/validate`: a line of JSON for each check and configuration.
//!
//! Written as git's notes are (`notes.c`), but with a compare-and-swap of the ref, which `git notes
//! add` lacks: two writers at once lose nothing. Our own writers queue, so that they need not race.
//! Lines that are not ours stay as they are.

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
use shared::repository::Repository;

use crate::verdict::Line;

/// The ref of the notes.
pub(crate) const REF: &str = "refs/notes/validate";

/// A race is lost at most this often; each loss means that somebody else has written.
const TRIES: u32 = 200;

/// A lock of the ref that is older than this belongs to nobody; shorter than the tries take together.
const STALE: Duration = Duration::from_secs(10);

/// Reads the lines of a tree's note that this version understands.
///
/// # Errors
/// When the notes cannot be read.
pub(crate) fn read(repository: &Repository, tree: ObjectId) -> Result<Vec<Line>> {
    let Some(tip) = repository.tip(REF)? else { return Ok(Vec::new()) };
    let Some(found) = find(repository, tip, tree)? else { return Ok(Vec::new()) };
    let lines = found.content.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(parse_line).collect())
}

/// Reads one line; nothing if it is not ours, or of a newer version.
fn parse_line(line: &[u8]) -> Option<Line> {
    serde_json::from_slice(line).ok().filter(|line: &Line| line.schema == 1)
}

/// Adds lines to a tree's note; a line for the same check and configuration gives way.
///
/// # Errors
/// When objects or the ref cannot be written.
pub(crate) fn write(cx: &Context, tree: ObjectId, lines: &[Line]) -> Result<(), Failure> {
    let repository = cx.repository()?;
    let git = cx.git()?.setting("core.fsync=reference");
    let place = folders::cache()?.join("validate").join(repository.key());
    durable::private_folder(&place)?;
    let _queue = Lock::acquire(&place.join("notes.lock"), durable::PATIENCE)?;
    let mut reason = String::new();
    for _ in 0..TRIES {
        let tip = repository.tip(REF)?;
        let commit = commit(repository, tip, tree, lines)?;
        let old = tip.map_or_else(|| "0".repeat(commit.to_string().len()), |tip| tip.to_string());
        let done = git.ask(["update-ref", "-m", "validate", REF, &commit.to_string(), &old])?;
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

/// Git holds the lock of a ref for moments; one that stays was left by a git that was killed.
fn remove_stale_lock(repository: &Repository) {
    let path = repository.common_dir().join(format!("{REF}.lock"));
    let age = path.symlink_metadata().and_then(|facts| facts.modified()).ok().and_then(|time| time.elapsed().ok());
    if age.is_some_and(|age| age > STALE) {
        let _ = fs::remove_file(path);
    }
}

struct Found {
    path: String,
    content: Vec<u8>,
}

/// Finds the note wherever git may have put it: flat, or below one or two levels of folders.
fn find(repository: &Repository, notes: ObjectId, tree: ObjectId) -> Result<Option<Found>> {
    let root = repository.gix.find_object(notes).and_then(|object| object.peel_to_tree()).map_err(|e| anyhow!("{e:#}"));
    let root = root.with_context(|| format!("'{REF}' is broken"))?;
    let hex = tree.to_string();
    for path in
        [format!("{}/{}", &hex[..2], &hex[2..]), hex.clone(), format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..])]
    {
        let entry = root.lookup_entry_by_path(&path).map_err(|e| anyhow!("'{REF}' is broken: {e:#}"))?;
        if let Some(entry) = entry.filter(|entry| entry.mode().is_blob()) {
            let blob = entry.object().map_err(|e| anyhow!("'{REF}' is broken: {e:#}"))?;
            return Ok(Some(Found { path, content: blob.data.clone() }));
        }
    }
    Ok(None)
}

/// Makes the commit of the notes with the new lines; only objects are written, and they are on disk.
fn commit(repository: &Repository, tip: Option<ObjectId>, tree: ObjectId, lines: &[Line]) -> Result<ObjectId> {
    let found = match tip {
        Some(tip) => find(repository, tip, tree)?,
        None => None,
    };
    let hex = tree.to_string();
    let (path, old) = match found {
        Some(found) => (found.path, found.content),
        None => (format!("{}/{}", &hex[..2], &hex[2..]), Vec::new()),
    };
    let gix = &repository.gix;
    let said = |e: gix::Error| anyhow!("cannot write the verdict: {e:#}");
    let root = match tip {
        Some(tip) => gix.find_object(tip).and_then(|object| object.peel_to_tree()).map_err(said)?.id,
        None => ObjectId::empty_tree(gix.object_hash()),
    };
    let blob = gix.write_blob(merged(&old, lines)?).map_err(said)?.detach();
    let mut editor = gix.edit_tree(root).map_err(said)?;
    editor.upsert(path.as_str(), EntryKind::Blob, blob).map_err(said)?;
    let new_root = editor.write().map_err(said)?.detach();
    let mut signer = gix.clone();
    let signer = signer.committer_or_set_fallback("git-validate", "git-validate@localhost").map_err(said)?;
    let commit = gix.new_commit_as(signer, signer, "Verdict by git-validate\n", new_root, tip).map_err(said)?.id;
    let mut written = vec![blob, new_root, commit];
    // The folders between the root and the note were written as well.
    let root = gix.find_tree(new_root).map_err(said)?;
    for (at, _) in path.match_indices('/') {
        let entry = root.lookup_entry_by_path(&path[..at]).map_err(said)?;
        written.extend(entry.map(|entry| entry.object_id()));
    }
    for id in written {
        flush(repository, id)?;
    }
    Ok(commit)
}

fn merged(old: &[u8], lines: &[Line]) -> Result<Vec<u8>> {
    let replaced = |line: &[u8]| {
        parse_line(line).is_some_and(|known| lines.iter().any(|new| new.check == known.check && new.key == known.key))
    };
    let mut text = Vec::new();
    for line in old.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !replaced(line)) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
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
