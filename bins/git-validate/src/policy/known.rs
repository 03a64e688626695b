//! What is known of files before they are read, and what this run adds to it.

use gix::ObjectId;
use shared::repository::Repository;

use super::Policy;
use super::cache::{Cache, Key, Place};
use super::settings::Ask;

/// The cache, and what is new.
#[derive(Debug)]
pub(super) struct Known {
    cache: Cache,
    asked: Vec<Key>,
    new: Vec<(Key, Vec<u8>)>,
}

impl Known {
    /// Reads what is kept for a repository, if any of the policies needs it.
    pub(super) fn load(repository: &Repository, policies: &[&Policy]) -> Known {
        let is_needed =
            policies.iter().any(|policy| policy.ask.is_about_content() || matches!(*policy.ask, Ask::Documentation(_)));
        let cache = if is_needed { Cache::load(repository) } else { Cache::none() };
        Known { cache, asked: Vec::new(), new: Vec::new() }
    }

    /// Finds what is known of an object under the rules of this hash.
    pub(super) fn find(&mut self, id: &ObjectId, rules: [u8; 8]) -> (Key, Option<Place>) {
        let key = Key::new(id, rules);
        self.asked.push(key);
        (key, self.cache.find(&key))
    }

    /// What was found.
    pub(super) fn record(&self, place: Place) -> &[u8] {
        self.cache.record(place)
    }

    /// Adds what was found out.
    pub(super) fn add(&mut self, key: Key, record: Vec<u8>) {
        self.new.push((key, record));
    }

    /// Keeps it for the next run.
    pub(super) fn save(self) {
        self.cache.save(&self.new, &self.asked);
    }
}
