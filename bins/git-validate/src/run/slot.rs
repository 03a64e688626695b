//! The places where checks run: small repositories of their own, outside the user's.
//!
//! A slot borrows the user's objects and has refs, index and configuration of its own, so that
//! nothing that a check does with git can reach the user's. Its files are written by the user's
//! repository's rules. What git ignores stays between runs: build output is warm.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use shared::app::Context;
use shared::durable::{self, Lock, Previous};
use shared::failure::Failure;
use shared::process::{self, Git};
use shared::{folders, repository::Repository};

use crate::subject::Subject;

/// More runs than this at once wait for each other.
const MAX: usize = 64;

/// A slot that is ours until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    folder: PathBuf,
    tree: PathBuf,
    _lock: Lock,
}

impl Slot {
    /// Takes the first slot that is free.
    pub(super) fn take(cx: &Context) -> Result<Slot, Failure> {
        let pool = folders::cache()?.join("validate").join(cx.repository()?.key());
        for number in 0..MAX {
            let folder = pool.join(number.to_string());
            durable::private_folder(&folder)?;
            if let Some(lock) = Lock::try_acquire(&folder.join("lock"))? {
                let tree = folder.join("tree");
                return Ok(Slot { tree, folder, _lock: lock });
            }
        }
        Err(Failure::could_not("locked", format!("{MAX} validations of this repository run already")))
    }

    /// Returns the folder in which the checks run.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Returns the mark that every process of a check carries in its environment.
    pub(super) fn marker(&self) -> String {
        self.folder.display().to_string()
    }

    /// Makes the slot hold exactly the subject's tree; from scratch if it cannot be mended.
    pub(super) fn fill(&self, cx: &Context, subject: &Subject) -> Result<(), Failure> {
        let running = self.folder.join("running");
        if running.exists() {
            // A run was killed here; what it started may still write.
            process::end(
                || process::marked(&format!("GIT_VALIDATE_SLOT={}", self.marker())),
                std::time::Duration::ZERO,
            );
        }
        durable::replace(&running, b"", Previous::Drop)?;
        if self.tree.join(".git/HEAD").exists() && self.renew(cx, subject).is_ok() {
            return Ok(());
        }
        self.rebuild(cx.repository()?)?;
        self.renew(cx, subject).context("cannot check out the tree for the checks")?;
        Ok(())
    }

    /// Says that the run ended in order.
    pub(super) fn release(self) {
        let _ = fs::remove_file(self.folder.join("running"));
    }

    #[expect(clippy::disallowed_methods, reason = "the folder is a copy that only checks write to")]
    fn rebuild(&self, repository: &Repository) -> Result<()> {
        if self.tree.symlink_metadata().is_ok() {
            open_up(&self.tree);
            fs::remove_dir_all(&self.tree).with_context(|| format!("cannot remove '{}'", self.tree.display()))?;
        }
        let git = Git::at(&self.folder)?;
        let format = format!("--object-format={}", repository.gix.object_hash());
        git.run(["init", "--quiet", "--template=", "--initial-branch=main", &format, "tree"])?;
        Ok(())
    }

    fn renew(&self, cx: &Context, subject: &Subject) -> Result<()> {
        let repository = cx.repository().map_err(anyhow::Error::new)?;
        let own = self.tree.join(".git");
        for lock in ["index.lock", "HEAD.lock", "config.lock", "packed-refs.lock"] {
            let _ = fs::remove_file(own.join(lock));
        }
        self.renew_repository(repository, subject)?;
        let git = self.git(repository)?;
        let tree = subject.tree.to_string();
        git.ask(["update-index", "-q", "--refresh"])?;
        git.run(["read-tree", "--reset", "-u", &tree])?;
        git.run(["clean", "-q", "-ffd"])?;
        // The proof: what is there is the tree, no more and no less.
        git.run(["diff-files", "--quiet"]).context("the files differ from the tree")?;
        let index = git.run(["write-tree"])?.text();
        anyhow::ensure!(index == tree, "the index differs from the tree");
        let more =
            git.run(["ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory"])?.text();
        anyhow::ensure!(more.is_empty(), "there are files that are not in the tree");
        Ok(())
    }

    /// Git as a check sees it: the subject as HEAD, the user's branches and tags, nothing configured.
    fn renew_repository(&self, repository: &Repository, subject: &Subject) -> Result<()> {
        let own = self.tree.join(".git");
        let put = |name: &str, text: String| durable::replace(&own.join(name), text.as_bytes(), Previous::Drop);
        fs::create_dir_all(own.join("objects/info")).context("cannot make the slot's object store")?;
        put("objects/info/alternates", format!("{}\n", repository.common_dir().join("objects").display()))?;
        let sha256 = if repository.gix.object_hash() == gix::hash::Kind::Sha1 {
            ""
        } else {
            "[extensions]\n\tobjectformat = sha256\n"
        };
        let version = if sha256.is_empty() { 0 } else { 1 };
        put(
            "config",
            format!("[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n{sha256}"),
        )?;
        let head = subject.commit.map_or_else(|| "ref: refs/heads/main\n".to_owned(), |commit| format!("{commit}\n"));
        put("HEAD", head)?;
        let mut refs: Vec<String> = Vec::new();
        for reference in repository
            .gix
            .references()
            .map_err(|e| anyhow::anyhow!("{e:#}"))?
            .all()
            .map_err(|e| anyhow::anyhow!("{e:#}"))?
            .flatten()
        {
            let name = reference.name().as_bstr().to_string();
            if let (true, Some(id)) = (
                ["refs/heads/", "refs/tags/", "refs/remotes/"].iter().any(|part| name.starts_with(part)),
                reference.try_id(),
            ) {
                refs.push(format!("{id} {name}\n"));
            }
        }
        refs.sort_by(|a, b| a.split(' ').nth(1).cmp(&b.split(' ').nth(1)));
        put("packed-refs", refs.concat())
    }

    /// The user's repository with the slot's files and index: its rules for line ends and filters hold.
    fn git(&self, repository: &Repository) -> Result<Git> {
        let common = repository.common_dir();
        let git = Git::at(&self.tree)?.pinned(common, Some(&self.tree)).env("GIT_COMMON_DIR", common);
        let git = git.env("GIT_INDEX_FILE", self.tree.join(".git/index"));
        let settings =
            ["core.bare=false", "core.sparseCheckout=false", "core.untrackedCache=false", "core.splitIndex=false"];
        Ok(settings.iter().fold(git, |git, setting| git.setting(*setting)))
    }
}

/// A check may have taken the right to write from folders; without it they cannot be removed.
fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
            open_up(&entry.path());
        }
    }
}
