//! What the answer of a merge depends on beside its commits and trees, as one hash.
//!
//! The program, the settings that its merge reads, attributes that stand outside the trees, and what
//! changes the history that it sees. Where a command of the user's has a say, there is no such hash.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, bail};
use gix::ObjectId;
use shared::app::Context;
use shared::durable;
use shared::failure::Failure;
use shared::folders;
use shared::process::Git;
use shared::repository::Repository;

use crate::cache::{Cache, Key};
use shared::quarantine::Quarantine;

/// The oldest git that can merge trees in one batch and take its attributes from a commit.
const OLDEST: (u32, u32) = (2, 45);

/// A file of attributes or of grafts is read so far, in bytes.
const LARGEST_FILE: usize = 16 << 20;

/// The sections of git's configuration that `merge-tree` and `merge-file` read.
const SECTIONS: &[&str] =
    &["attr", "core", "diff", "extensions", "feature", "filter", "i18n", "index", "merge", "submodule"];

/// The git that is asked: which file it is, and its version, which it may still be about to say.
pub(crate) struct Program {
    identity: Option<Key>,
    version: Version,
}

enum Version {
    Known(String),
    Asked(JoinHandle<Result<String>>),
}

impl Program {
    /// Looks at it. A script may start any other program, so it says its version first; another says it meanwhile.
    pub(crate) fn look(git: &Git, cache: &mut Cache) -> Result<Program, Failure> {
        let git = git.clone();
        let identity = identity(git.program());
        let kept = identity.as_ref().and_then(|key| String::from_utf8(cache.find(key)?).ok());
        let ask = move || Ok(git.run(["--version"])?.text());
        let version = match (kept, &identity) {
            (Some(version), _) => Version::Known(version),
            (None, Some(_)) => Version::Asked(thread::spawn(ask)),
            (None, None) => Version::Known(ask()?),
        };
        Ok(Program { identity, version })
    }

    /// Waits for the version and refuses a git that is too old for its answers to mean what they should.
    pub(crate) fn confirm(self, cache: &mut Cache) -> Result<(), Failure> {
        let version = match self.version {
            Version::Known(version) => version,
            Version::Asked(answer) => {
                let version = answer.join().unwrap_or_else(|_| bail!("a thread failed"))?;
                if let Some(key) = self.identity {
                    cache.keep(key, version.clone().into_bytes());
                }
                version
            }
        };
        refuse_old(&version)
    }
}

/// Refuses a git that is too old, for what keeps no answers.
pub(crate) fn refuse_old_git(cx: &Context) -> Result<(), Failure> {
    refuse_old(&cx.git()?.run(["--version"])?.text())
}

fn refuse_old(version: &str) -> Result<(), Failure> {
    let numbers = version.trim_start_matches("git version ").split('.');
    let mut numbers = numbers.map_while(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        return Err(Failure::could_not("failed", format!("git says its version is '{version}'")));
    };
    if (major, minor) >= OLDEST {
        return Ok(());
    }
    let (wanted_major, wanted_minor) = OLDEST;
    Err(Failure::could_not(
        "old-git",
        format!("git {major}.{minor} is too old for this: it takes {wanted_major}.{wanted_minor}"),
    )
    .hint("install a newer git and put it first on PATH"))
}

/// Returns the git that merges into a base: with its attributes, or the answer would depend on the worktree that asks,
/// and with all that it writes in the folder that is thrown away.
pub(crate) fn merging(cx: &Context, git: Git, quarantine: &Quarantine, base: ObjectId) -> Result<Git, Failure> {
    let git = git.reading().env("GIT_ATTR_SOURCE", base.to_string());
    // Nothing of it has to outlive a crash or to be small.
    let git = git.setting("core.looseCompression=0").setting("core.fsync=none");
    Ok(quarantine.hold(cx, git)?.within(quarantine.path()))
}

/// The file that a program is; none for a script.
fn identity(program: &Path) -> Option<Key> {
    let program = program.canonicalize().ok()?;
    let mut start = [0; 4];
    std::io::Read::read_exact(&mut fs::File::open(&program).ok()?, &mut start).ok()?;
    let facts = program.metadata().ok()?;
    let numbers = [facts.dev(), facts.ino(), facts.size()].map(u64::to_le_bytes).concat();
    let times = [facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec()].map(i64::to_le_bytes).concat();
    let path = program.as_os_str().as_encoded_bytes();
    (start == *b"\x7fELF").then(|| Key::new(&[b"program", path, &numbers, &times]))
}

/// Returns the rules that merges follow here, as a part of keys; none if they cannot be told.
pub(crate) fn of(cx: &Context, git: &Git, program: &Program) -> Result<Option<Vec<u8>>, Failure> {
    let repository = cx.repository()?;
    let mut parts: Vec<Vec<u8>> = match (&program.identity, &program.version) {
        (Some(identity), _) => vec![identity.as_bytes().to_vec()],
        (None, Version::Known(version)) => vec![version.as_bytes().to_vec()],
        (None, Version::Asked(_)) => return Ok(None),
    };
    let Some(settings) = settings(git, repository)? else { return Ok(None) };
    parts.push(settings);
    // Attributes that are in no tree, what a commit's history is, and the main worktree's own settings,
    // which count from whichever worktree this is asked.
    let mut files = attribute_files(repository, git);
    files.extend(["shallow", "info/grafts", "config.worktree"].map(|name| repository.common_dir().join(name)));
    for path in files {
        let Ok(content) = durable::read_foreign(&path, LARGEST_FILE) else { return Ok(None) };
        parts.push(path.into_os_string().into_encoded_bytes());
        parts.push(content.map(|content| [&b"+"[..], &content].concat()).unwrap_or_default());
    }
    parts.push(std::env::var_os("GIT_ATTR_NOSYSTEM").unwrap_or_default().into_encoded_bytes());
    parts.push(replacements(repository)?);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(Some(Key::new(&parts).as_bytes().to_vec()))
}

/// The settings that count; none if they name a command.
fn settings(git: &Git, repository: &Repository) -> Result<Option<Vec<u8>>, Failure> {
    let mut text = Vec::new();
    let mut renormalizes = false;
    let mut has_filter = false;
    for section in SECTIONS {
        for setting in repository.settings(section) {
            let name = setting.key.rsplit('.').next().unwrap_or_default();
            match (*section, name) {
                // Its result may depend on anything.
                ("merge", "driver") if !setting.value.is_empty() => return Ok(None),
                ("merge", "renormalize") => renormalizes = setting.value != "false",
                ("filter", "clean" | "process" | "smudge") => has_filter = true,
                _ => {}
            }
            text.extend(format!("{section}.{}={}\0", setting.key, setting.value).into_bytes());
        }
    }
    if renormalizes && has_filter {
        return Ok(None);
    }
    if !repository.settings("includeif").is_empty() {
        // Which of them count depends on where git runs, so it has to say so itself.
        text.extend(git.run(["config", "--list", "-z"])?.stdout);
    }
    Ok(Some(text))
}

/// The files of attributes outside the trees: the repository's, the user's and the system's.
fn attribute_files(repository: &Repository, git: &Git) -> Vec<PathBuf> {
    let config = repository.gix.config_snapshot();
    let named = config.trusted_path("core.attributesFile").ok().flatten();
    let user = named.or_else(|| folders::xdg("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("git/attributes")));
    let installed = git.program().canonicalize().unwrap_or_else(|_| git.program().to_owned());
    let beside = installed.parent().and_then(Path::parent).map(|prefix| prefix.join("etc/gitattributes"));
    let system = Some(PathBuf::from("/etc/gitattributes"));
    [Some(repository.common_dir().join("info/attributes")), user, beside, system].into_iter().flatten().collect()
}

fn replacements(repository: &Repository) -> Result<Vec<u8>> {
    let refs = repository.gix.references()?;
    let mut text = Vec::new();
    for reference in refs.prefixed("refs/replace/").context("cannot list the replaced objects")?.flatten() {
        text.extend(format!("{} {}\0", reference.name().as_bstr(), reference.id()).into_bytes());
    }
    Ok(text)
}
