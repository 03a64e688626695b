//! Reading objects, by as many threads as there are processors.

use std::cell::RefCell;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use gix::ObjectId;
use gix::objs::{Find, FindHeader, Kind};
use gix::odb::pack::cache::lru::StaticLinkedList;
use shared::repository::Repository;

/// A file may be larger, but what reads contents passes it over.
pub(crate) const LARGEST: u64 = 64 << 20;

/// Fewer jobs than this are not worth a thread.
const FEW: usize = 24;

/// How many jobs a thread takes at a time.
const BATCH: usize = 32;

/// Where the objects of a repository are; each thread opens them for itself.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
    hash: gix::hash::Kind,
    replacements: Vec<(ObjectId, ObjectId)>,
}

/// The objects, as one thread reads them.
pub(crate) struct Objects {
    /// Refuses what is larger than the largest that is read.
    odb: gix::odb::Handle,
    buffer: RefCell<Vec<u8>>,
    store: Store,
}

/// A blob, or why it is passed over.
pub(crate) enum Blob<'a> {
    Data(&'a [u8]),
    TooLarge(u64),
}

impl Store {
    /// The objects of a repository.
    pub(crate) fn of(repository: &Repository) -> Store {
        let odb = repository.gix.objects.store_ref();
        Store {
            folder: odb.path().to_owned(),
            hash: repository.gix.object_hash(),
            replacements: odb.replacements().collect(),
        }
    }

    /// Opens them for the calling thread.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub(crate) fn open(&self) -> Result<Objects> {
        Ok(Objects { odb: self.handle(Some(LARGEST as usize))?, buffer: RefCell::new(Vec::new()), store: self.clone() })
    }

    fn handle(&self, limit: Option<usize>) -> Result<gix::odb::Handle> {
        let options = gix::odb::store::init::Options { alloc_limit_bytes: limit, ..Default::default() };
        let odb = gix::odb::at_opts(&self.folder, self.hash, self.replacements.iter().copied(), options)
            .with_context(|| format!("cannot open the objects in '{}'", self.folder.display()))?;
        Ok(odb.with_pack_cache(|| Box::new(StaticLinkedList::<64>::default())))
    }

    /// Works on each job, in several threads if there are many, and returns the results in their order.
    ///
    /// `prepare` makes what a thread keeps from job to job.
    ///
    /// # Errors
    /// The first that a job returns; the rest is given up.
    pub(crate) fn each<J: Sync, S, R: Send>(
        &self,
        jobs: &[J],
        prepare: impl Fn() -> S + Sync,
        work: impl Fn(&Objects, &mut S, &J) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let run = || -> Result<Vec<(usize, R)>> {
            let (objects, mut state) = (self.open()?, prepare());
            let mut done = Vec::new();
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= jobs.len() || failed.load(Ordering::Relaxed) {
                    return Ok(done);
                }
                for (at, job) in jobs.iter().enumerate().skip(from).take(BATCH) {
                    let result = work(&objects, &mut state, job);
                    if result.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    done.push((at, result?));
                }
            }
        };
        let threads = if jobs.len() < FEW { 1 } else { thread::available_parallelism().map_or(1, NonZero::get) };
        let mut all = if threads == 1 {
            run()?
        } else {
            let parts = thread::scope(|scope| {
                let started: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
                started.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
            });
            let mut all = Vec::with_capacity(jobs.len());
            for part in parts {
                all.extend(part.map_err(|_| anyhow!("a thread that read objects broke down"))??);
            }
            all
        };
        all.sort_unstable_by_key(|(at, _)| *at);
        Ok(all.into_iter().map(|(_, result)| result).collect())
    }
}

impl Objects {
    /// Reads a tree.
    ///
    /// # Errors
    /// When it is not there, broken or no tree.
    pub(crate) fn tree<'a>(&self, id: ObjectId, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        find(&self.odb, id, Kind::Tree, buffer)
    }

    /// Hands a blob to `look`, unless it is larger than what is read.
    ///
    /// # Errors
    /// When it is not there, broken or no blob.
    pub(crate) fn blob<R>(&self, id: ObjectId, look: impl FnOnce(Blob<'_>) -> R) -> Result<R> {
        let mut buffer = self.buffer.borrow_mut();
        match find(&self.odb, id, Kind::Blob, &mut buffer) {
            Ok(data) => return Ok(look(Blob::Data(data))),
            Err(error) => match self.odb.try_header(&id) {
                Ok(Some(header)) if header.size > LARGEST => return Ok(look(Blob::TooLarge(header.size))),
                Ok(Some(header)) if header.kind == Kind::Blob => {}
                Ok(_) | Err(_) => return Err(error),
            },
        }
        // It may be kept as the difference to something that is too large.
        let data = find(&self.store.handle(None)?, id, Kind::Blob, &mut buffer).map(<[u8]>::to_vec)?;
        Ok(look(Blob::Data(&data)))
    }
}

fn find<'a>(odb: &gix::odb::Handle, id: ObjectId, kind: Kind, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    let found = odb.try_find(&id, buffer).map_err(|e| anyhow!("{e:#}"));
    match found.with_context(|| format!("cannot read the object {id}"))? {
        Some(data) if data.kind == kind => Ok(data.data),
        Some(data) => bail!("the object {id} is a {} and not a {kind}", data.kind),
        None => bail!("the object {id} is missing"),
    }
}
