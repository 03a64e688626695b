//! What git said of merges, kept from run to run outside the repository.
//!
//! One file of records, each with its length, checksum and key, so that a run appends what is new. It
//! only ever saves time: what cannot be read is asked again, what cannot be written is left.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use shared::durable::{self, Lock, Previous};
use shared::folders;
use shared::repository::Repository;

/// Counts up when the records or what they mean change.
const MAGIC: &[u8; 8] = b"gamerge\x01";

/// The length and the checksum of a record stand before its key.
const HEAD: usize = 8;

const KEY: usize = 32;

/// A file that grows larger is begun anew with what the last run used, in bytes.
const LARGEST: usize = 32 << 20;

/// A larger answer is not kept, in bytes.
const LARGEST_RECORD: usize = 4 << 20;

/// All that an answer depends on, as one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; KEY]);

impl Key {
    /// Makes the key of a question from its parts.
    pub(crate) fn new(parts: &[&[u8]]) -> Key {
        let mut hasher = Sha256::new();
        for part in parts {
            // The length keeps two parts from reading like two others.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Key(hasher.finalize().into())
    }

    /// Returns the hash, to be a part of other keys.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The answers that are kept for one repository.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    path: Option<PathBuf>,
    bytes: Vec<u8>,
    places: HashMap<Key, (usize, usize)>,
    used: HashSet<Key>,
    new: HashMap<Key, Vec<u8>>,
    is_torn: bool,
}

impl Cache {
    /// Reads what is kept for a repository.
    pub(crate) fn load(repository: &Repository) -> Cache {
        let folder = folders::cache().map(|folder| folder.join("merge").join(repository.key()));
        folder.map(|folder| Cache::at(folder.join("answers"))).unwrap_or_default()
    }

    fn at(path: PathBuf) -> Cache {
        let mut cache = Cache { path: Some(path.clone()), ..Cache::default() };
        let own = |facts: &std::fs::Metadata| {
            facts.is_file() && facts.uid() == rustix::process::geteuid().as_raw() && facts.mode() & 0o022 == 0
        };
        let Ok(facts) = path.symlink_metadata() else { return cache };
        if !own(&facts) {
            // Somebody else's, or a link: neither read nor written.
            return Cache::default();
        }
        match durable::read_foreign(&path, LARGEST + 1) {
            Ok(Some(bytes)) if bytes.len() <= LARGEST => cache.bytes = bytes,
            Ok(_) | Err(_) => cache.is_torn = true,
        }
        cache.index();
        cache
    }

    fn index(&mut self) {
        let mut at = MAGIC.len();
        if !self.bytes.starts_with(MAGIC) {
            self.is_torn = true;
            return;
        }
        while at < self.bytes.len() {
            let Some((key, place)) = record(&self.bytes, at) else {
                self.is_torn = true;
                return;
            };
            self.places.insert(key, place);
            at = place.1;
        }
    }

    /// Finds an answer, of an earlier run or of this one.
    pub(crate) fn find(&mut self, key: &Key) -> Option<Vec<u8>> {
        if let Some(body) = self.new.get(key) {
            return Some(body.clone());
        }
        let (from, to) = *self.places.get(key)?;
        self.used.insert(*key);
        self.bytes.get(from..to).map(<[u8]>::to_vec)
    }

    /// Knows an answer no longer, in this run.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.new.remove(key);
        self.places.remove(key);
    }

    /// Keeps an answer, once the cache is saved.
    pub(crate) fn keep(&mut self, key: Key, body: Vec<u8>) {
        if body.len() <= LARGEST_RECORD {
            self.new.insert(key, body);
        }
    }

    /// Writes what is new; a run that does so at the same moment goes first and this one keeps nothing.
    pub(crate) fn save(self) {
        if !self.new.is_empty() || (self.is_torn && self.path.is_some()) {
            // What cannot be kept costs time and nothing else.
            let _ = self.try_save();
        }
    }

    fn try_save(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new("."));
        durable::private_folder(folder)?;
        let Some(_lock) = Lock::try_acquire(&path.with_extension("lock"))? else { return Ok(()) };
        let mut bytes = Vec::new();
        for (key, body) in &self.new {
            put(&mut bytes, key, body);
        }
        // Another run may have written it since it was read.
        let size = path.symlink_metadata().map_or(0, |facts| usize::try_from(facts.len()).unwrap_or(usize::MAX));
        let is_large = size.saturating_add(bytes.len()) > LARGEST;
        if self.is_torn || is_large || size < MAGIC.len() {
            let mut whole = MAGIC.to_vec();
            for (key, (from, to)) in self.places.iter().filter(|(key, _)| !is_large || self.used.contains(key)) {
                put(&mut whole, key, self.bytes.get(*from..*to).unwrap_or_default());
            }
            whole.append(&mut bytes);
            whole.truncate(LARGEST);
            durable::sweep(folder);
            return durable::replace(path, &whole, Previous::Drop);
        }
        let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let mut file = OpenOptions::new().append(true).custom_flags(flags).open(path)?;
        // A record that is torn here is found by its checksum.
        file.write_all(&bytes)?;
        Ok(())
    }
}

fn put(bytes: &mut Vec<u8>, key: &Key, body: &[u8]) {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&key.0);
    sum.update(body);
    // No record is longer than LARGEST_RECORD.
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&sum.finalize().to_le_bytes());
    bytes.extend_from_slice(&key.0);
    bytes.extend_from_slice(body);
}

/// Returns the key of the record at an offset, and where its body is; nothing if it is broken.
fn record(bytes: &[u8], at: usize) -> Option<(Key, (usize, usize))> {
    let head = bytes.get(at..at + HEAD)?;
    let number = |from: usize| Some(u32::from_le_bytes(head.get(from..from + 4)?.try_into().ok()?));
    let from = at + HEAD + KEY;
    let to = from.checked_add(usize::try_from(number(0)?).ok()?)?;
    let rest = bytes.get(at + HEAD..to)?;
    (crc32fast::hash(rest) == number(4)?).then_some(())?;
    Some((Key(rest.get(..KEY)?.try_into().ok()?), (from, to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(&[name.as_bytes()])
    }

    fn save(path: &Path, records: &[(&str, &str)]) {
        let mut cache = Cache::at(path.to_owned());
        records.iter().for_each(|(name, body)| cache.keep(key(name), body.as_bytes().to_vec()));
        cache.save();
    }

    fn found(path: &Path, name: &str) -> Option<String> {
        Cache::at(path.to_owned()).find(&key(name)).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn what_is_appended_is_found_and_a_torn_end_costs_only_itself() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("repo/answers");
        save(&path, &[("one", "1"), ("two", "")]);
        save(&path, &[("three", "333")]);
        assert_eq!(found(&path, "three").as_deref(), Some("333"));
        assert_eq!((found(&path, "one").as_deref(), found(&path, "two").as_deref()), (Some("1"), Some("")));
        let whole = std::fs::read(&path).unwrap();
        durable::replace(&path, &whole[..whole.len() - 1], Previous::Drop).unwrap();
        assert_eq!((found(&path, "one").as_deref(), found(&path, "three")), (Some("1"), None));
        save(&path, &[("three", "333")]);
        assert_eq!(found(&path, "three").as_deref(), Some("333"));
        assert!(!Cache::at(path).is_torn);
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("answers");
        save(&path, &[("one", "1")]);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            durable::replace(&path, &bytes, Previous::Drop).unwrap();
            assert_eq!(found(&path, "one"), None, "byte {at}");
        }
    }

    #[test]
    fn a_link_or_a_file_that_others_may_write_is_left_alone() {
        use std::os::unix::fs::PermissionsExt;
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("answers");
        save(&path, &[("one", "1")]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(found(&path, "one"), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let link = room.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(found(&link, "one"), None);
        let before = std::fs::read(&path).unwrap();
        save(&link, &[("two", "2")]);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
