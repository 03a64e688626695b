//! Hard links among the artefacts: the first name of a file is copied, the later ones are linked to it.
//!
//! Which name is the first is settled between the threads while they walk; the links are made after
//! the walk, when every first is whole. A name whose file lies elsewhere too is no later one of anything.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use rustix::fs::{AtFlags, FileType, Stat, linkat, statat, unlinkat};
use rustix::io::Errno;

use super::Report;
use super::again::{Left, begins_alike, left_behind};
use super::walk::{EXISTS, Job, Walk, failed};
use crate::beneath::{Cursor, Missing, Root};
use crate::copy::{Copier, Place};
use crate::patterns::Choice;

/// Which file of the donor a name belongs to.
pub(super) type Key = (u64, u64);

/// A name of a file that has another name already.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Later {
    pub(super) path: Vec<u8>,
    pub(super) key: Key,
}

/// Returns the key of a file that has several names.
#[expect(clippy::unnecessary_cast, reason = "the fields differ from system to system")]
pub(super) fn key(facts: &Stat) -> Option<Key> {
    let is_file = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
    (is_file && facts.st_nlink > 1).then_some((facts.st_dev as u64, facts.st_ino as u64))
}

/// The first names, shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Links {
    firsts: Mutex<HashMap<Key, Vec<u8>>>,
}

impl Links {
    /// Says whether this name is to be copied, because it is the first of its file.
    pub(super) fn claim(&self, key: Key, path: &[u8]) -> bool {
        let mut firsts = self.lock();
        let is_new = !firsts.contains_key(&key);
        if is_new {
            firsts.insert(key, path.to_vec());
        }
        is_new
    }

    /// Lets the next name be the first, because nothing can be linked to this one.
    pub(super) fn give_up(&self, key: Key) {
        self.lock().remove(&key);
    }

    fn first(&self, key: Key) -> Option<Vec<u8>> {
        self.lock().get(&key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<u8>>> {
        self.firsts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Links the later names; where that cannot be, it copies.
pub(super) fn join(walk: &Walk<'_>, report: &mut Report) -> Result<()> {
    let Some(to) = walk.order.to else {
        for name in std::mem::take(&mut report.later) {
            report.count_link();
            if let Ok(facts) = walk.order.from.look(&name.path) {
                report.remember(walk.order.relink, &name.path, &facts, Left::Whole);
            }
        }
        return Ok(());
    };
    let mut copier = Copier::new(walk.order.cloning);
    let mut places = (Cursor::new(to, Missing::Fail), Cursor::new(to, Missing::Make));
    while !report.later.is_empty() {
        let mut later = std::mem::take(&mut report.later);
        later.sort();
        for name in later {
            let first = walk.links.first(name.key);
            let linked = match &first {
                Some(first) => link(walk, &mut places, first, &name, report)?,
                None => false,
            };
            if !linked {
                if first.is_some() {
                    walk.links.give_up(name.key);
                }
                // It may turn out to be a later name of another file meanwhile; then it comes again.
                walk.one(&mut copier, &Job { path: name.path, choice: Choice::Take }, report)?;
            }
        }
    }
    Ok(())
}

/// Links one name; false if it must be copied.
fn link(
    walk: &Walk<'_>,
    (firsts, names): &mut (Cursor<'_>, Cursor<'_>),
    first: &[u8],
    name: &Later,
    report: &mut Report,
) -> Result<bool> {
    // A first that somebody took away since is not there to be linked to.
    let Ok(first) = firsts.enter(first) else { return Ok(false) };
    let place = names.enter(&name.path).map_err(|e| failed(&name.path, e))?;
    let (first, place) = ((first.0, first.1.as_c_str()), (place.0, place.1.as_c_str()));
    let join = || linkat(first.0, first.1, place.0, place.1, AtFlags::empty());
    let mut left = Left::Whole;
    let mut made = join();
    if made == Err(Errno::EXIST) {
        left = if walk.order.resumes { found(walk.order.from, first, place, &name.path) } else { Left::Foreign };
        if left == Left::Torn {
            unlinkat(place.0, place.1, AtFlags::empty()).map_err(|e| failed(&name.path, e))?;
            (left, made) = (Left::Whole, join());
        }
    }
    match made {
        Ok(()) => {
            report.count_link();
            walk.order.bar.add(1, 0);
        }
        Err(Errno::EXIST) => {}
        Err(e @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)) => return Err(failed(&name.path, e)),
        // A file system without links, or one with as many as it can have.
        Err(_) => return Ok(false),
    }
    let facts = statat(place.0, place.1, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| failed(&name.path, e))?;
    let remembered = report.remember(walk.order.relink, &name.path, &facts, left);
    if left == Left::Foreign && !remembered {
        report.skip(&name.path, EXISTS);
    }
    Ok(true)
}

/// Says what an earlier run left in the place of a later name: whole is the right link, torn is what may become it.
fn found(from: &Root, first: Place<'_>, place: Place<'_>, path: &[u8]) -> Left {
    let look = |place: Place<'_>| statat(place.0, place.1, AtFlags::SYMLINK_NOFOLLOW);
    if let (Ok(a), Ok(b)) = (look(first), look(place))
        && (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
    {
        return Left::Whole;
    }
    let mut donor = Cursor::new(from, Missing::Fail);
    let Ok((folder, name)) = donor.enter(path) else { return Left::Foreign };
    match look((folder, &name)).map(|facts| left_behind((folder, &name), place, &facts)) {
        // Copied by a run that met the names in another order: a second file of the same content.
        Ok(Left::Whole) if begins_alike((folder, &name), place) => Left::Torn,
        Ok(left) => left,
        Err(_) => Left::Foreign,
    }
}
