//! What was found out about files, kept from run to run.
//!
//! One file of sections, each with its length and checksum, so that a run appends what it found. It
//! only ever saves time: what cannot be read is found out again, what cannot be written is left.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::hash::{BuildHasherDefault, Hasher};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use shared::durable::{self, Lock, Previous};
use shared::folders;
use shared::repository::Repository;

use super::record::{put, take};

/// Counts up when the records or what they mean change.
const MAGIC: &[u8; 8] = b"gvfacts\x01";

/// The length and the checksum of a section stand before it.
const HEAD: usize = 12;

/// A cache that is larger is begun anew.
const LARGEST: u64 = 256 << 20;

/// With more sections it is written as one.
const SECTIONS: usize = 64;

/// What is known of an object under one set of rules: its id, and the hash of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    id: [u8; 20],
    rules: [u8; 8],
}

impl Key {
    /// The key of an object; the ends of a longer hash are left out.
    pub(super) fn new(id: &ObjectId, rules: [u8; 8]) -> Key {
        let mut own = [0; 20];
        own.copy_from_slice(&id.as_bytes()[..20]);
        Key { id: own, rules }
    }
}

impl std::hash::Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let part = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        // Both are hashes already.
        state.write_u64(part(&self.id[..8]) ^ part(&self.rules));
    }
}

#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type Places = HashMap<Key, (usize, usize), BuildHasherDefault<AsItIs>>;

/// The cache of one repository.
#[derive(Debug)]
pub(super) struct Cache {
    path: Option<PathBuf>,
    bytes: Vec<u8>,
    places: Places,
    sections: usize,
    /// Whether some of it could not be read.
    is_torn: bool,
}

impl Cache {
    /// Reads what is kept for a repository.
    pub(super) fn load(repository: &Repository) -> Cache {
        let folder = folders::cache().map(|folder| folder.join("validate").join(repository.key()).join("facts"));
        Cache::at(folder.ok().map(|folder| folder.join("facts")))
    }

    /// Keeps nothing.
    pub(super) fn none() -> Cache {
        Cache { path: None, bytes: Vec::new(), places: Places::default(), sections: 0, is_torn: false }
    }

    fn at(path: Option<PathBuf>) -> Cache {
        let mut cache = Cache { path, ..Cache::none() };
        let Some(path) = &cache.path else { return cache };
        let size = fs::symlink_metadata(path).map(|facts| if facts.is_file() { facts.len() } else { u64::MAX });
        match size {
            Ok(size) if size <= LARGEST => match fs::read(path) {
                Ok(bytes) => cache.bytes = bytes,
                Err(_) => cache.is_torn = true,
            },
            Ok(_) => cache.is_torn = true,
            Err(_) => {}
        }
        cache.index();
        cache
    }

    fn index(&mut self) {
        let mut at = 0;
        while at < self.bytes.len() {
            let Some(end) = self.section(at) else {
                self.is_torn = true;
                return;
            };
            self.sections += 1;
            at = end;
        }
    }

    /// Takes in the section at an offset and returns its end; nothing if it is broken.
    fn section(&mut self, at: usize) -> Option<usize> {
        let head = self.bytes.get(at..at + MAGIC.len() + HEAD)?;
        let number = |from: usize, to: usize| {
            let mut eight = [0; 8];
            eight[..to - from].copy_from_slice(&head[from..to]);
            u64::from_le_bytes(eight)
        };
        let (length, sum) = (usize::try_from(number(8, 16)).ok()?, number(16, 20));
        let start = at + MAGIC.len() + HEAD;
        let end = start.checked_add(length)?;
        let body = self.bytes.get(start..end)?;
        if !head.starts_with(MAGIC) || u64::from(crc32fast::hash(body)) != sum {
            return None;
        }
        self.places.reserve(length / 32);
        let mut rest = body;
        while !rest.is_empty() {
            let (id, after) = rest.split_first_chunk::<20>()?;
            let (rules, mut after) = after.split_first_chunk::<8>()?;
            let length = usize::try_from(take(&mut after)?).ok()?;
            let from = end - after.len();
            self.places.insert(Key { id: *id, rules: *rules }, (from, from + length));
            rest = after.get(length..)?;
        }
        Some(end)
    }

    /// Finds what is known.
    pub(super) fn find(&self, key: &Key) -> Option<&[u8]> {
        let (from, to) = *self.places.get(key)?;
        self.bytes.get(from..to)
    }

    /// Keeps what was found out, beside what was there; of a cache with much in it that was not `asked` for, only the rest.
    pub(super) fn save(&self, new: &[(Key, Vec<u8>)], asked: &[Key]) {
        if new.is_empty() && !self.is_torn {
            return;
        }
        let is_waste = self.places.len() > 100_000 && self.places.len() > 4 * asked.len();
        let keep: Option<Vec<&Key>> = if is_waste || self.bytes.len() as u64 > LARGEST / 2 {
            Some(asked.iter().collect())
        } else if self.is_torn || self.sections >= SECTIONS {
            Some(self.places.keys().collect())
        } else {
            None
        };
        // What cannot be kept costs time and nothing else.
        let _ = self.try_save(new, keep);
    }

    fn try_save(&self, new: &[(Key, Vec<u8>)], keep: Option<Vec<&Key>>) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("."));
        durable::private_folder(folder)?;
        let Some(_lock) = Lock::try_acquire(&path.with_extension("lock"))? else { return Ok(()) };
        if let Some(keep) = keep {
            let old = keep.into_iter().filter_map(|key| Some((key, self.find(key)?)));
            let all: Vec<(&Key, &[u8])> = old.chain(new.iter().map(|(key, bytes)| (key, &bytes[..]))).collect();
            durable::sweep(folder);
            return durable::replace(path, &section_of(all.into_iter()), Previous::Drop);
        }
        let bytes = section_of(new.iter().map(|(key, bytes)| (key, &bytes[..])));
        let mut options = OpenOptions::new();
        let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let mut file = options.append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
        // A section that is torn here is found by its checksum.
        file.write_all(&bytes)?;
        Ok(())
    }
}

fn section_of<'a>(records: impl Iterator<Item = (&'a Key, &'a [u8])>) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, record) in records {
        body.extend_from_slice(&key.id);
        body.extend_from_slice(&key.rules);
        put(&mut body, record.len() as u64);
        body.extend_from_slice(record);
    }
    let mut section = MAGIC.to_vec();
    section.extend_from_slice(&(body.len() as u64).to_le_bytes());
    section.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    section.append(&mut body);
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key { id: [byte; 20], rules: [7; 8] }
    }

    #[test]
    fn what_is_appended_is_found_and_a_torn_end_costs_only_itself() {
        let room = tempfile::tempdir().unwrap();
        let path = Some(room.path().join("facts/facts"));
        Cache::at(path.clone()).save(&[(key(1), b"one".to_vec()), (key(2), Vec::new())], &[]);
        Cache::at(path.clone()).save(&[(key(3), b"three".to_vec())], &[]);
        let cache = Cache::at(path.clone());
        assert_eq!((cache.find(&key(1)), cache.find(&key(2)), cache.sections), (Some(&b"one"[..]), Some(&b""[..]), 2));
        let whole = fs::read(path.as_ref().unwrap()).unwrap();
        fs::write(path.as_ref().unwrap(), &whole[..whole.len() - 1]).unwrap();
        let torn = Cache::at(path.clone());
        assert!(torn.is_torn && torn.find(&key(3)).is_none() && torn.find(&key(1)).is_some());
        torn.save(&[(key(3), b"three".to_vec())], &[]);
        let mended = Cache::at(path.clone());
        assert!(!mended.is_torn && mended.find(&key(3)).is_some() && mended.find(&key(1)).is_some());
        assert_eq!(mended.sections, 1);
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let room = tempfile::tempdir().unwrap();
        let path = Some(room.path().join("facts"));
        Cache::at(path.clone()).save(&[(key(1), b"one".to_vec())], &[]);
        let whole = fs::read(path.as_ref().unwrap()).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            fs::write(path.as_ref().unwrap(), bytes).unwrap();
            assert!(Cache::at(path.clone()).find(&key(1)).is_none(), "byte {at}");
        }
    }
}
