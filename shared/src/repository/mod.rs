//! Opening a repository as git would, and refusing what git would refuse.
//!
//! Honours `GIT_DIR` and its friends, ownership, repository extensions. A linked worktree counts
//! only if the common folder lists it, because a forged `commondir` would borrow its trust.

mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use gix::bstr::{BString, ByteSlice};
use gix::{ObjectId, ThreadSafeRepository};
use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

use settings::command_line_settings;
pub use settings::{Scope, Setting, user_settings};

/// The repository extensions that git knows (`Documentation/config/extensions.adoc`).
const KNOWN_EXTENSIONS: &[&str] = &[
    "noop",
    "noop-v1",
    "preciousobjects",
    "partialclone",
    "worktreeconfig",
    "objectformat",
    "compatobjectformat",
    "refstorage",
    "relativeworktrees",
];

/// An open repository and where its parts are, all paths canonical.
#[derive(Debug)]
pub struct Repository {
    /// The repository for reading.
    pub gix: gix::Repository,
    git_dir: PathBuf,
    common_dir: PathBuf,
    work_tree: Option<PathBuf>,
}

/// One worktree of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// Its folder; it may be gone.
    pub path: PathBuf,
    /// Its own git folder; the common folder for the main worktree.
    pub git_dir: PathBuf,
    /// The full name of the branch that is checked out, `None` if detached.
    pub branch: Option<String>,
    /// Whether it is the main worktree.
    pub is_main: bool,
    /// Why it is locked, if it is; may be empty.
    pub locked: Option<String>,
}

impl Repository {
    /// Opens the repository that holds `folder`, or the one that `GIT_DIR` names.
    ///
    /// # Errors
    /// A [`Refusal`] where git refuses too: no repository, foreign owner, unknown extension, forged worktree.
    pub fn open(folder: &Path) -> Result<Repository> {
        let trusted = || gix::open::Options::default().bail_if_untrusted(true).cli_overrides(command_line_settings());
        let map = gix::sec::trust::Mapping { full: trusted(), reduced: trusted() };
        let options = gix::discover::upwards::Options { match_ceiling_dir_or_error: false, ..Default::default() };
        let gix = ThreadSafeRepository::discover_with_environment_overrides_opts(folder, options, map)
            .map_err(|error| explain(folder, &format!("{error:#}")))?
            .to_thread_local();
        let canonical =
            |path: &Path| path.canonicalize().with_context(|| format!("cannot look at '{}'", path.display()));
        let repository = Repository {
            git_dir: canonical(gix.git_dir())?,
            common_dir: canonical(gix.common_dir())?,
            work_tree: gix.workdir().map(canonical).transpose()?,
            gix,
        };
        repository.refuse_unknown_format()?;
        repository.refuse_unlisted_worktree()?;
        Ok(repository)
    }

    /// Returns the git folder of this worktree.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the git folder that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Returns the worktree that was opened; `None` in a bare repository.
    pub fn work_tree(&self) -> Option<&Path> {
        self.work_tree.as_deref()
    }

    /// Returns the worktree that was opened as one of the repository's, its branch not looked up.
    pub fn own_worktree(&self) -> Option<Worktree> {
        Some(Worktree {
            path: self.work_tree()?.to_owned(),
            git_dir: self.git_dir().to_owned(),
            branch: None,
            is_main: self.git_dir() == self.common_dir(),
            locked: None,
        })
    }

    /// Returns the main worktree; `None` if the repository is bare.
    pub fn main_worktree(&self) -> Option<PathBuf> {
        if self.git_dir == self.common_dir {
            return self.work_tree.clone();
        }
        let config = self.gix.config_snapshot();
        if config.boolean("core.bare") == Some(true) {
            return None;
        }
        (self.common_dir.file_name()? == ".git").then(|| self.common_dir.parent().map(Path::to_owned))?
    }

    /// Returns the name of the repository: that of its main folder, without `.git`.
    pub fn name(&self) -> String {
        let folder = self.main_worktree().unwrap_or_else(|| self.common_dir.clone());
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_suffix(".git").unwrap_or(&name).to_owned()
    }

    /// Returns the key of the repository, the same in all its worktrees: `<name>-<12 hex digits>`.
    pub fn key(&self) -> String {
        use std::os::unix::ffi::OsStrExt;
        let digest = Sha256::digest(self.common_dir.as_os_str().as_bytes());
        let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        let name: String = self.name().chars().map(plain).take(40).collect();
        format!("{}-{hex}", name.trim_start_matches('-'))
    }

    /// Lists all worktrees, the main one first.
    ///
    /// # Errors
    /// When the list cannot be read; a broken entry alone is left out.
    pub fn worktrees(&self) -> Result<Vec<Worktree>> {
        let mut all = Vec::new();
        if let Some(path) = self.main_worktree() {
            let branch = checked_out_branch(&self.common_dir);
            all.push(Worktree { path, git_dir: self.common_dir.clone(), branch, is_main: true, locked: None });
        }
        let folder = self.common_dir.join("worktrees");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(all),
            Err(e) => return Err(e).with_context(|| format!("cannot list '{}'", folder.display())),
        };
        let mut linked: Vec<Worktree> = entries.flatten().filter_map(|entry| linked_worktree(entry.path())).collect();
        linked.sort_by(|a, b| a.path.cmp(&b.path));
        all.append(&mut linked);
        Ok(all)
    }

    /// Returns the worktree that has a branch (full name) checked out.
    ///
    /// # Errors
    /// When the worktrees cannot be listed.
    pub fn worktree_of(&self, branch: &str) -> Result<Option<Worktree>> {
        Ok(self.worktrees()?.into_iter().find(|w| w.branch.as_deref() == Some(branch)))
    }

    /// Returns the object that a full ref points to; `None` if there is no such ref, or can be none of that name.
    ///
    /// # Errors
    /// When the ref is broken.
    pub fn tip(&self, full_ref: &str) -> Result<Option<ObjectId>> {
        if gix::validate::reference::name(full_ref.into()).is_err() {
            return Ok(None);
        }
        let found = self.gix.try_find_reference(full_ref).map_err(|e| anyhow!(in_words(&e)));
        match found.with_context(|| format!("cannot read the ref '{}'", full_ref.escape_debug()))? {
            Some(mut reference) => {
                let id = reference.peel_to_id().map_err(|e| anyhow!(in_words(&e)));
                Ok(Some(id.with_context(|| format!("the ref '{full_ref}' is broken"))?.detach()))
            }
            None => Ok(None),
        }
    }

    /// Returns the commit that a revision names.
    ///
    /// # Errors
    /// A [`Refusal`] when it names none, or more than one.
    pub fn commit(&self, revision: &str) -> Result<ObjectId> {
        self.resolve(revision, "commit")
    }

    /// Returns the tree that a revision names: its own, or that of its commit.
    ///
    /// # Errors
    /// A [`Refusal`] when it names none, or more than one.
    pub fn tree(&self, revision: &str) -> Result<ObjectId> {
        self.resolve(revision, "tree")
    }

    fn resolve(&self, revision: &str, kind: &str) -> Result<ObjectId> {
        let spec = format!("{revision}^{{{kind}}}");
        // A leading dash is an option to git, and never a revision.
        let is_revision = !revision.starts_with('-') && !revision.is_empty();
        if let Some(Ok(id)) = is_revision.then(|| self.gix.rev_parse_single(spec.as_str())) {
            return Ok(id.detach());
        }
        // A path in a tree takes no suffix.
        if let (true, "tree", Ok(id)) = (is_revision, kind, self.gix.rev_parse_single(revision))
            && id.header().is_ok_and(|header| header.kind() == gix::objs::Kind::Tree)
        {
            return Ok(id.detach());
        }
        let message = format!("'{}' names no {kind} here", revision.escape_debug());
        bail!(Refusal::new("unknown-revision", message))
    }

    /// Returns the tree of a commit.
    ///
    /// # Errors
    /// When the commit cannot be read.
    pub fn tree_of(&self, commit: ObjectId) -> Result<ObjectId> {
        self.tree(&commit.to_string())
    }

    fn refuse_unknown_format(&self) -> Result<()> {
        let config = self.gix.config_snapshot();
        let version = config.integer("core.repositoryformatversion").unwrap_or(0);
        if version > 1 {
            bail!(Refusal::new("unsupported", format!("expected git repo version <= 1, found {version}")));
        }
        let extensions: Vec<Setting> =
            self.settings("extensions").into_iter().filter(|s| s.scope == Scope::Repository).collect();
        let unknown: Vec<&str> =
            extensions.iter().map(|s| s.key.as_str()).filter(|key| !KNOWN_EXTENSIONS.contains(key)).collect();
        if version == 1 && !unknown.is_empty() {
            let s = if unknown.len() == 1 { "" } else { "s" };
            bail!(Refusal::new(
                "unsupported",
                format!("unknown repository extension{s} found: {}", unknown.join(", "))
            ));
        }
        for extension in &extensions {
            if extension.key == "refstorage" && extension.value != "files" {
                let message = format!("the ref storage format '{}' is not supported", extension.value);
                bail!(
                    Refusal::new("unsupported", message)
                        .hint("'git refs migrate --ref-format=files' converts a repository (git 2.46 or newer)")
                );
            }
            if extension.key == "compatobjectformat" {
                bail!(Refusal::new("unsupported", "repositories with two object formats are not supported"));
            }
        }
        Ok(())
    }

    fn refuse_unlisted_worktree(&self) -> Result<()> {
        if self.git_dir == self.common_dir {
            return Ok(());
        }
        let listed = self.git_dir.parent() == Some(&self.common_dir.join("worktrees"));
        let points_back = linked_worktree(self.git_dir.clone()).is_some_and(|listed| {
            self.work_tree.as_ref().is_none_or(|own| listed.path.canonicalize().is_ok_and(|path| path == *own))
        });
        if listed && points_back {
            return Ok(());
        }
        let message = format!(
            "'{}' says that it is a worktree of '{}', which does not list it",
            self.work_tree.as_deref().unwrap_or(&self.git_dir).display(),
            self.common_dir.display()
        );
        bail!(Refusal::new("forged-worktree", message).hint("'git worktree repair' mends a worktree that was moved"))
    }
}

/// Says in words what gix could not do; its longer form is for logs.
pub fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn linked_worktree(git_dir: PathBuf) -> Option<Worktree> {
    let pointer = fs::read(git_dir.join("gitdir")).ok()?;
    let pointer = gix::path::from_bstring(BString::from(pointer.trim_end())).ok()?;
    // Relative since git 2.48 with `worktree.useRelativePaths`.
    let pointer = if pointer.is_absolute() { pointer } else { git_dir.join(pointer) };
    let path = pointer.parent()?;
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let locked = fs::read_to_string(git_dir.join("locked")).ok().map(|reason| reason.trim_end().to_owned());
    Some(Worktree { path, branch: checked_out_branch(&git_dir), git_dir, is_main: false, locked })
}

fn checked_out_branch(git_dir: &Path) -> Option<String> {
    let head = fs::read_to_string(git_dir.join("HEAD")).ok()?;
    head.strip_prefix("ref: ").map(|name| name.trim_end().to_owned())
}

/// Takes gix's words apart, since the kinds of its errors are not all public.
fn explain(folder: &Path, words: &str) -> anyhow::Error {
    if let Some(named) = std::env::var_os("GIT_DIR").filter(|_| words.contains("not appear to be a git repository")) {
        // A kind of its own: a wrong answer is not the same as none.
        let message = format!("not a git repository, though GIT_DIR says so: '{}'", Path::new(&named).display());
        return Refusal::new("wrong-git-dir", message).into();
    }
    if words.contains("NoGitRepository") || words.contains("Could not find a git repository") {
        let message = "not a git repository (or any of the parent directories): .git";
        return Refusal::new("no-repository", message).into();
    }
    if words.contains("nsafe") || words.contains("wnership") || words.contains("wned") {
        let message = format!("detected dubious ownership in repository at '{}'", folder.display());
        let hint = format!("to add an exception: git config --global --add safe.directory '{}'", folder.display());
        return Refusal::new("dubious-ownership", message).hint(hint).into();
    }
    anyhow!("cannot open the repository at '{}': {words}", folder.display())
}
