//! What was found out about files, kept from run to run.
//!
//! One file of sections, each with its length and checksum, so that a run appends what it found. It
//! only ever saves time: what cannot be read is found out again, what cannot be written is left.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl Key {
    /// Enough of both, which are hashes already.
    fn short(&self) -> u64 {
        let part = |bytes: &[u8]| bytes.iter().fold(0, |all: u64, byte| all << 8 | u64::from(*byte));
        part(&self.id[..8]) ^ part(&self.rules)
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

/// A record: its key, and where it is.
#[derive(Debug)]
struct Record {
    /// Of the key, to be compared first.
    short: u64,
    key: Key,
    place: Place,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    from: usize,
    to: usize,
}

/// How many records may be stepped over to find the one that is next.
const STEPS: usize = 4;

/// The cache of one repository.
#[derive(Debug)]
pub(super) struct Cache {
    path: Option<PathBuf>,
    bytes: Vec<u8>,
    /// In the order in which they were asked for when they were new, which is mostly the order of the next run.
    records: Vec<Record>,
    /// The records behind those that were found last, in order and otherwise.
    cursors: [usize; 2],
    /// The latest record of each key, made when the order does not help.
    by_key: OnceCell<HashMap<u64, u32, BuildHasherDefault<AsItIs>>>,
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
        Cache {
            path: None,
            bytes: Vec::new(),
            records: Vec::new(),
            cursors: [0; 2],
            by_key: OnceCell::new(),
            sections: 0,
            is_torn: false,
        }
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
        self.records.reserve(length / 29);
        let mut rest = body;
        while !rest.is_empty() {
            let (id, after) = rest.split_first_chunk::<20>()?;
            let (rules, mut after) = after.split_first_chunk::<8>()?;
            let length = usize::try_from(take(&mut after)?).ok()?;
            let from = end - after.len();
            let place = Place { from, to: from + length };
            let key = Key { id: *id, rules: *rules };
            self.records.push(Record { short: key.short(), key, place });
            rest = after.get(length..)?;
        }
        Some(end)
    }

    /// Finds the record of a key.
    pub(super) fn find(&mut self, key: &Key) -> Option<Place> {
        let short = key.short();
        let is = |record: &Record| record.short == short && record.key == *key;
        for cursor in &mut self.cursors {
            let near = *cursor..self.records.len().min(*cursor + STEPS);
            if let Some(at) = near.into_iter().find(|at| is(&self.records[*at])) {
                *cursor = at + 1;
                return Some(self.records[at].place);
            }
        }
        let by_key = self.by_key.get_or_init(|| {
            let mut all = HashMap::with_capacity_and_hasher(self.records.len(), BuildHasherDefault::default());
            all.extend((0..).zip(&self.records).map(|(at, record)| (record.short, at)));
            all
        });
        let at = *by_key.get(&short)? as usize;
        let record = self.records.get(at).filter(|record| is(record))?;
        self.cursors[1] = at + 1;
        Some(record.place)
    }

    /// The bytes of a record.
    pub(super) fn record(&self, place: Place) -> &[u8] {
        self.bytes.get(place.from..place.to).unwrap_or_default()
    }

    /// Keeps what was found out, beside what was there; of a cache with much in it that was not `asked` for, only the rest.
    pub(super) fn save(mut self, new: &[(Key, Vec<u8>)], asked: &[Key]) {
        if new.is_empty() && !self.is_torn {
            return;
        }
        let is_waste = self.records.len() > 100_000 && self.records.len() > 4 * asked.len();
        let is_large = self.bytes.len() as u64 > LARGEST / 2;
        let mut keep = None;
        if is_waste || is_large || self.is_torn || self.sections >= SECTIONS {
            // In the order of this run, the others behind.
            let mut kept: HashSet<u64, BuildHasherDefault<AsItIs>> = HashSet::default();
            let mut all: Vec<(Key, Place)> = Vec::new();
            for key in asked {
                if let Some(place) = self.find(key).filter(|_| kept.insert(key.short())) {
                    all.push((*key, place));
                }
            }
            let others = self.records.iter().rev().filter(|_| !is_waste && !is_large);
            all.extend(others.filter(|other| kept.insert(other.short)).map(|other| (other.key, other.place)));
            keep = Some(all);
        }
        // What cannot be kept costs time and nothing else.
        let _ = self.try_save(new, keep);
    }

    fn try_save(&self, new: &[(Key, Vec<u8>)], keep: Option<Vec<(Key, Place)>>) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("."));
        durable::private_folder(folder)?;
        let Some(_lock) = Lock::try_acquire(&path.with_extension("lock"))? else { return Ok(()) };
        if let Some(keep) = keep {
            let old = keep.iter().map(|(key, place)| (key, self.record(*place)));
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

    fn found(cache: &mut Cache, byte: u8) -> Option<Vec<u8>> {
        cache.find(&key(byte)).map(|place| cache.record(place).to_vec())
    }

    #[test]
    fn what_is_appended_is_found_and_a_torn_end_costs_only_itself() {
        let room = tempfile::tempdir().unwrap();
        let path = Some(room.path().join("facts/facts"));
        Cache::at(path.clone()).save(&[(key(1), b"one".to_vec()), (key(2), Vec::new())], &[]);
        Cache::at(path.clone()).save(&[(key(3), b"three".to_vec())], &[]);
        let mut cache = Cache::at(path.clone());
        assert_eq!((found(&mut cache, 3), found(&mut cache, 1)), (Some(b"three".to_vec()), Some(b"one".to_vec())));
        assert_eq!((found(&mut cache, 2), found(&mut cache, 9), cache.sections), (Some(Vec::new()), None, 2));
        let whole = fs::read(path.as_ref().unwrap()).unwrap();
        durable::replace(path.as_ref().unwrap(), &whole[..whole.len() - 1], Previous::Drop).unwrap();
        let mut torn = Cache::at(path.clone());
        assert!(torn.is_torn && found(&mut torn, 3).is_none() && found(&mut torn, 1).is_some());
        torn.save(&[(key(3), b"three".to_vec())], &[key(2)]);
        let mut mended = Cache::at(path.clone());
        assert!(!mended.is_torn && [1, 2, 3].into_iter().all(|byte| found(&mut mended, byte).is_some()));
        assert_eq!((mended.sections, mended.records[0].key), (1, key(2)));
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
            durable::replace(path.as_ref().unwrap(), &bytes, Previous::Drop).unwrap();
            assert!(found(&mut Cache::at(path.clone()), 1).is_none(), "byte {at}");
        }
    }
}
