//! Which program a command is: the hash of its bytes.
//!
//! Hashing a large program takes longer than an answer may. So the hash is kept beside what the
//! file system says of the file, whose change time no program can set.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use shared::{durable, folders, process};

use super::key::hex;

/// Beyond this many entries the list begins anew.
const MOST: usize = 1000;

/// The programs that were seen.
#[derive(Debug, Default)]
pub(super) struct Tools {
    known: BTreeMap<String, String>,
    learned: bool,
}

impl Tools {
    /// Reads what is known; nothing if it cannot be read.
    pub(super) fn load() -> Tools {
        let text = place().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let known = text.lines().filter_map(|line| line.split_once(' '));
        Tools { known: known.map(|(hash, facts)| (facts.to_owned(), hash.to_owned())).collect(), learned: false }
    }

    /// Returns the hash of a program's bytes; words for one that is in the tree, or nowhere.
    pub(super) fn identity(&mut self, program: &str) -> String {
        if program.contains('/') && !program.starts_with('/') {
            return "in the tree".to_owned();
        }
        let path = if program.starts_with('/') { Some(PathBuf::from(program)) } else { process::find(program, None) };
        let Some((path, facts)) = path.and_then(|path| Some((path.clone(), facts(&path)?))) else {
            return "nowhere".to_owned();
        };
        if let Some(hash) = self.known.get(&facts) {
            return hash.clone();
        }
        let Ok(hash) = hash(&path) else { return "unreadable".to_owned() };
        self.known.insert(facts, hash.clone());
        self.learned = true;
        hash
    }

    /// Keeps what was learned; without it the next run learns it again.
    pub(super) fn save(&self) {
        if !self.learned {
            return;
        }
        let skipped = self.known.len().saturating_sub(MOST);
        let text: String = self.known.iter().skip(skipped).map(|(facts, hash)| format!("{hash} {facts}\n")).collect();
        if let Some(path) = place() {
            let folder = path.parent().unwrap_or(Path::new("."));
            let _ = durable::private_folder(folder)
                .and_then(|()| durable::replace(&path, text.as_bytes(), durable::Previous::Drop));
        }
    }
}

fn place() -> Option<PathBuf> {
    Some(folders::cache().ok()?.join("validate").join("tools"))
}

/// What the file system says of the file that a path leads to.
fn facts(path: &Path) -> Option<String> {
    let facts = fs::metadata(path).ok()?;
    let numbers = [facts.dev(), facts.ino(), facts.size(), u64::from(facts.mode())];
    let times = [facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec()];
    let words = numbers.iter().map(u64::to_string).chain(times.iter().map(i64::to_string));
    Some(words.collect::<Vec<_>>().join(":"))
}

fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut HashWriter(&mut hasher))?;
    Ok(hex(&hasher.finalize())[..32].to_owned())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_bytes() {
        let room = tempfile::tempdir().unwrap();
        let tool = room.path().join("tool");
        let mut tools = Tools::default();
        let mut identity = |bytes: &str| {
            durable::replace(&tool, bytes.as_bytes(), durable::Previous::Drop).unwrap();
            tools.identity(tool.to_str().unwrap())
        };
        let one = identity("one");
        let two = identity("two");
        assert!(one != two && one == identity("one") && one.len() == 32);
        assert_eq!(Tools::default().identity("./x"), "in the tree");
        assert_eq!(Tools::default().identity("no-such-program-here"), "nowhere");
    }
}
