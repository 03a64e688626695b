//! Whether the snapshots of a job may go: what they hold is somewhere else as well.
//!
//! A snapshot keeps its tree, and the commits that its worktree was at. Each of these commits that
//! no durable ref reaches (a branch, of a remote too, a tag, a backup, a variant) must have the tree
//! of a commit that one does reach. Anything less is no proof, and then they stay.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use anyhow::Result;
use serde::Serialize;
use shared::process::Git;

use crate::job::Job;
use crate::snapshot;

/// Refs that somebody keeps on purpose.
const DURABLE: [&str; 5] = ["refs/heads/", "refs/tags/", "refs/remotes/", "refs/backup/", "refs/bo4/"];

/// A snapshot that goes with its job.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Gone {
    #[serde(rename = "ref")]
    pub(crate) name: String,
    pub(crate) commit: String,
    /// The ref that keeps the commit from now on; none if it is not needed.
    pub(crate) backup: Option<String>,
}

/// What was found out about the snapshots of one job.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Nothing is lost with them; there may be none.
    Elsewhere(Vec<Gone>),
    /// Some of them are the only copy of something; these are named.
    Only { all: Vec<Gone>, named: Vec<String> },
    /// Nobody can say.
    Unknown(String),
}

/// The repository as it is asked.
#[derive(Debug)]
pub(crate) struct Proof {
    git: Git,
    /// The durable refs' objects, to be left out.
    durable: Vec<String>,
    /// The trees of all commits that a durable ref reaches.
    trees: OnceCell<HashSet<String>>,
}

/// A commit that no durable ref reaches.
#[derive(Debug)]
struct Loose {
    tree: String,
    parents: Vec<String>,
}

#[derive(Debug)]
struct Ref {
    name: String,
    commit: String,
    is_plain: bool,
}

impl Proof {
    /// Prepares to ask a repository.
    pub(crate) fn new(git: Git) -> Result<Proof> {
        // Neither a replacement nor a graft may stand in for what is really there.
        let git = git.reading().env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_GRAFT_FILE", "/dev/null");
        let mut words = vec!["for-each-ref", "--format=%(objectname) %(symref)"];
        words.extend(DURABLE);
        let listed = git.run(words)?.text();
        let kept = listed.lines().filter_map(|line| line.split_once(' '));
        // One that leads to another keeps nothing by itself, and that one may be a snapshot.
        let kept = kept.filter(|(_, symref)| symref.is_empty());
        let durable = kept.map(|(object, _)| object.to_owned()).collect();
        Ok(Proof { git, durable, trees: OnceCell::new() })
    }

    /// Finds out about the snapshots of these jobs, in their order.
    pub(crate) fn find(&self, jobs: &[&Job]) -> Vec<Finding> {
        match self.try_find(jobs) {
            Ok(findings) => findings,
            Err(error) => jobs.iter().map(|_| Finding::Unknown(format!("{error:#}"))).collect(),
        }
    }

    fn try_find(&self, jobs: &[&Job]) -> Result<Vec<Finding>> {
        let refs = self.refs()?;
        let none = Vec::new();
        let of = |job: &Job| refs.get(&snapshot::prefix(job)).unwrap_or(&none);
        let commits: Vec<&str> = jobs.iter().flat_map(|job| of(job)).map(|found| found.commit.as_str()).collect();
        let loose = self.loose(&commits)?;
        jobs.iter().map(|job| self.judge(of(job), &loose)).collect()
    }

    /// Reads all snapshots, by the prefix of their job.
    fn refs(&self) -> Result<HashMap<String, Vec<Ref>>> {
        let format = "--format=%(refname) %(objectname) %(objecttype) %(symref)";
        let listed = self.git.run(["for-each-ref", format, "refs/worker/"])?.text();
        let mut all: HashMap<String, Vec<Ref>> = HashMap::new();
        for line in listed.lines() {
            let mut fields = line.split(' ');
            let (Some(name), Some(commit), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let symref = fields.next().unwrap_or_default();
            // Slug and number; whatever lies deeper belongs to the job as well.
            let Some((end, _)) = name.match_indices('/').nth(3) else { continue };
            let is_numbered = name[end + 1..].parse::<u64>().is_ok();
            let is_plain = is_numbered && kind == "commit" && symref.is_empty();
            let found = Ref { name: name.to_owned(), commit: commit.to_owned(), is_plain };
            all.entry(name[..=end].to_owned()).or_default().push(found);
        }
        Ok(all)
    }

    /// Reads the commits below these that no durable ref reaches.
    fn loose(&self, commits: &[&str]) -> Result<HashMap<String, Loose>> {
        if commits.is_empty() {
            return Ok(HashMap::new());
        }
        let mut input = commits.join("\n");
        self.durable.iter().for_each(|object| input.push_str(&format!("\n^{object}")));
        input.push('\n');
        let listed = self.git.feed(["rev-list", "--format=%H %T %P", "--stdin"], input.as_bytes())?.text();
        let lines = listed.lines().filter(|line| !line.starts_with("commit "));
        let loose = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some((words.next()?, Loose { tree: words.next()?, parents: words.collect() }))
        };
        Ok(lines.filter_map(loose).collect())
    }

    fn judge(&self, refs: &[Ref], loose: &HashMap<String, Loose>) -> Result<Finding> {
        if let Some(strange) = refs.iter().find(|found| !found.is_plain) {
            return Ok(Finding::Unknown(format!("'{}' is no snapshot", strange.name)));
        }
        let gone = |found: &Ref| Gone { name: found.name.clone(), commit: found.commit.clone(), backup: None };
        let all = refs.iter().map(gone).collect();
        let mut named = Vec::new();
        for found in refs {
            if !self.is_elsewhere(&found.commit, loose)? {
                named.push(found.name.clone());
            }
        }
        Ok(if named.is_empty() { Finding::Elsewhere(all) } else { Finding::Only { all, named } })
    }

    fn is_elsewhere(&self, commit: &str, loose: &HashMap<String, Loose>) -> Result<bool> {
        let (mut open, mut seen) = (vec![commit], HashSet::new());
        while let Some(commit) = open.pop() {
            // Not among the loose ones: a durable ref reaches it.
            let Some(found) = loose.get(commit).filter(|_| seen.insert(commit)) else { continue };
            if !self.trees()?.contains(&found.tree) {
                return Ok(false);
            }
            open.extend(found.parents.iter().map(String::as_str));
        }
        Ok(true)
    }

    fn trees(&self) -> Result<&HashSet<String>> {
        if let Some(trees) = self.trees.get() {
            return Ok(trees);
        }
        let mut input = self.durable.join("\n");
        input.push('\n');
        let trees = match self.durable.is_empty() {
            true => HashSet::new(),
            false => {
                let listed = self.git.feed(["rev-list", "--format=%T", "--stdin"], input.as_bytes())?.text();
                listed.lines().filter(|line| !line.starts_with("commit ")).map(str::to_owned).collect()
            }
        };
        Ok(self.trees.get_or_init(|| trees))
    }
}

/// Removes snapshots, all or none, each only if it is still the commit that was looked at; what gets a backup keeps it.
pub(crate) fn remove(git: &Git, snapshots: &[Gone]) -> Result<()> {
    if snapshots.is_empty() {
        return Ok(());
    }
    let mut input = String::new();
    for Gone { name, commit, backup } in snapshots {
        if let Some(backup) = backup {
            input.push_str(&format!("create {backup}\0{commit}\0"));
        }
        input.push_str(&format!("delete {name}\0{commit}\0"));
    }
    let git = git.clone().setting("core.fsync=reference");
    git.feed(["update-ref", "-m", "git-worker gc", "--stdin", "-z"], input.as_bytes())?;
    Ok(())
}
