//! Submodules, filled from those of the donor without asking a network.
//!
//! Each gets a repository of its own where git keeps that of a submodule (`modules/<name>` in the
//! worktree's git folder); its objects are hard links to the donor's where the file system allows.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use rustix::fs::{FileType, OFlags};
use shared::process::{self, Git};
use shared::refusal::Refusal;

use crate::answer::Submodule;
use crate::beneath::{Cursor, Missing, Root};
use crate::cloning::Mode;
use crate::copy;
use crate::donor::Donor;
use crate::index::TEMPORARY;
use crate::target::Target;

/// A `.git` file is not longer, in bytes.
const MAX_POINTER: u64 = 8192;

/// How a submodule is filled, as the worktree around it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) mode: Option<Mode>,
    pub(crate) relinks: bool,
}

/// What became of a submodule.
pub(crate) enum Outcome {
    /// It is filled.
    Filled(Submodule),
    /// It stays empty, because the donor's is empty too or for a reason.
    Empty(Option<String>),
}

/// Fills the submodule at `path`, of which the worktree wants `commit`.
pub(crate) fn fill(target: &Target, donor: &Donor, path: &BStr, commit: ObjectId, how: How) -> Result<Outcome> {
    let there = donor.worktree.path.join(path.to_path().context("its path is none here")?);
    let module = match find_module(donor, path, &there) {
        Ok(Some(module)) => module,
        Ok(None) => return Ok(Outcome::Empty(None)),
        Err(reason) => return Ok(Outcome::Empty(Some(format!("it stays empty: {reason:#}")))),
    };
    let theirs = Git::at(&module.folder)?.pinned(&module.folder, None).reading();
    if theirs.ask(["cat-file", "-e", &format!("{commit}^{{commit}}")])?.code != 0 {
        let reason = "it stays empty: its commit is not in the donor's; 'git submodule update --init' fetches it";
        return Ok(Outcome::Empty(Some(reason.to_owned())));
    }
    let own = target.worktree.git_dir.join("modules").join(&module.name);
    let place = target.worktree.path.join(path.to_path().context("its path is none here")?);
    if !own.join("HEAD").exists() {
        make(target, &theirs, &module, &own, &place, commit)
            .with_context(|| format!("cannot make the repository of the submodule '{path}'"))?;
    }
    point(&target.worktree.path, path, &own).with_context(|| format!("cannot make '{path}/.git'"))?;
    let answer = hydrate(&place, &there, how).with_context(|| format!("cannot fill the submodule '{path}'"))?;
    Ok(Outcome::Filled(Submodule { path: path.to_string(), answer }))
}

/// The repository of a submodule of the donor.
struct Module {
    /// Its git folder.
    folder: PathBuf,
    /// The name that its folder has below `modules`.
    name: PathBuf,
}

/// Finds it where the `.git` file says, if that is where git keeps the donor's submodules.
fn find_module(donor: &Donor, path: &[u8], there: &Path) -> Result<Option<Module>> {
    let dot_git = [path, b"/.git"].concat();
    // The way to a `.git` is refused to all that is copied; here it is only read.
    let Ok(folder) = donor.root.folder(path) else { return Ok(None) };
    let Ok(file) = copy::open_to_read((folder.as_fd(), c".git")) else { return Ok(None) };
    let facts = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        bail!("the donor's repository is inside its work tree; 'git submodule absorbgitdirs' moves it");
    }
    let mut text = Vec::new();
    std::fs::File::from(file).take(MAX_POINTER).read_to_end(&mut text)?;
    let leads_to = text.strip_prefix(b"gitdir: ").ok_or_else(|| anyhow!("'{}' leads nowhere", dot_git.as_bstr()))?;
    let leads_to = there.join(leads_to.trim_end().to_path().context("its path is none here")?);
    let folder = leads_to.canonicalize().with_context(|| format!("cannot look at '{}'", leads_to.display()))?;
    let modules = donor.worktree.git_dir.join("modules");
    let modules = modules.canonicalize().with_context(|| format!("cannot look at '{}'", modules.display()))?;
    let Ok(name) = folder.strip_prefix(&modules).map(Path::to_owned) else {
        bail!("the donor's leads out of the donor's repository");
    };
    Ok(Some(Module { folder, name }))
}

/// Makes the repository: the donor's objects, its remote and remote-tracking refs, the commit as HEAD.
fn make(target: &Target, theirs: &Git, module: &Module, own: &Path, place: &Path, commit: ObjectId) -> Result<()> {
    let folder = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&target.worktree.git_dir)?;
    let fresh = folder.path().join("module");
    let git = Git::at(folder.path())?;
    let from = module.folder.as_os_str();
    let clone = ["clone", "--quiet", "--no-checkout", "--no-tags", "--origin=donor", "--end-of-options"];
    git.run(clone.iter().map(AsRef::as_ref).chain([from, fresh.as_os_str()]))?;
    let fresh = fresh.join(".git");
    let git = git.pinned(&fresh, None);
    git.run(["remote", "remove", "donor"])?;
    let url = theirs.ask(["config", "--get", "remote.origin.url"])?;
    if url.code == 0 {
        git.run(["remote", "add", "--end-of-options", "origin", &url.text()])?;
    }
    let refs = ["+refs/remotes/*:refs/remotes/*", "+refs/tags/*:refs/tags/*"];
    let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options"];
    git.run(fetch.iter().map(AsRef::as_ref).chain([from]).chain(refs.iter().map(AsRef::as_ref)))?;
    register(theirs, &git)?;
    git.run(["update-ref", "--no-deref", "HEAD", &commit.to_string()])?;
    git.run([std::ffi::OsStr::new("config"), "core.worktree".as_ref(), relative(own, place).as_os_str()])?;
    let above = own.parent().context("a module is in a folder")?;
    std::fs::create_dir_all(above).with_context(|| format!("cannot create '{}'", above.display()))?;
    std::fs::rename(&fresh, own).with_context(|| format!("cannot create '{}'", own.display()))
}

/// Registers in one repository the submodules that another has registered, as 'git submodule init' does.
///
/// Only where they come from is taken over, nothing that names a command.
pub(crate) fn register(from: &Git, to: &Git) -> Result<()> {
    let listed = from.ask(["config", "--local", "-z", "--get-regexp", r"^submodule\..*\.(url|active)$"])?;
    for line in listed.stdout.split(|b| *b == 0).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once_str("\n").unwrap_or((line, b"true"));
        let (key, value) = (key.to_os_str()?, value.to_os_str()?);
        if to.ask(["config".as_ref(), "--local".as_ref(), "--get".as_ref(), key])?.code == 1 {
            to.run(["config".as_ref(), "--local".as_ref(), key, value])?;
        }
    }
    Ok(())
}

/// Writes the `.git` file of a submodule, if it has none.
fn point(worktree: &Path, path: &[u8], own: &Path) -> Result<()> {
    let root = Root::open(worktree)?;
    drop(root.make_folder(path)?);
    let inside = [path, b"/x"].concat();
    let mut at = Cursor::new(&root, Missing::Fail);
    let (folder, _) = at.enter(&inside)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, c".git", flags, rustix::fs::Mode::from_raw_mode(0o666)) {
        Ok(file) => {
            let to = relative(&worktree.join(path.to_path()?), own);
            let text = [b"gitdir: ", to.as_os_str().as_encoded_bytes(), b"\n"].concat();
            Ok(std::io::Write::write_all(&mut std::fs::File::from(file), &text)?)
        }
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Fills its work tree by this same program.
fn hydrate(place: &Path, donor: &Path, how: How) -> Result<serde_json::Value> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = process::command(own);
    process::scrub(&mut command).arg("--json").arg("-C").arg(place).arg("--from").arg(donor);
    // The steps and values are those of a worktree, not of each part of it.
    command.arg("--no-after");
    if how.relinks {
        command.arg("--relink");
    }
    if let Some(mode) = how.mode.as_ref().and_then(clap::ValueEnum::to_possible_value) {
        command.arg(format!("--mode={}", mode.get_name()));
    }
    let done = command.current_dir(place).output().context("cannot start git-hydrate")?;
    if done.status.success() {
        return serde_json::from_slice(&done.stdout).context("cannot read the answer of git-hydrate");
    }
    bail!(Refusal::new("submodule", process::told(&done.stderr).message))
}

/// Returns the way from one absolute folder to another path.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir.as_os_str());
    up.chain(to.components().skip(shared).map(Component::as_os_str)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_another_folder_goes_up_and_down() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/b/c", "/a/d"), "../../d");
        assert_eq!(way("/a", "/a/b"), "b");
        assert_eq!(way("/r/.git/modules/x", "/r/sub/x"), "../../../sub/x");
    }
}
