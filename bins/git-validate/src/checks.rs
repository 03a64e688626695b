//! The configured checks, and the key under which a result of each is noted.

use std::time::Duration;

use anyhow::Context as _;
use gix::ObjectId;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use sha2::{Digest, Sha256};
use shared::app::Context;
use shared::failure::Failure;

/// Counts up when the same configuration begins to mean something else.
const RULES: &str = "git-validate/1";

/// One check.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) paths: Vec<String>,
    /// The hash of all of it.
    pub(crate) key: String,
}

/// Reads the checks in the order in which they are configured.
///
/// # Errors
/// When they wait for trust, or one has no command.
pub(crate) fn configured(cx: &Context) -> Result<Vec<Check>, Failure> {
    let config = cx.config()?;
    let mut checks = Vec::new();
    for name in config.names("checks")? {
        let field = |field: &str| format!("checks.{name}.{field}");
        let command = config.list(&field("command"))?;
        if command.first().is_none_or(String::is_empty) {
            return Err(Failure::could_not(
                "broken-config",
                format!("the check '{}' has no command", name.escape_debug()),
            )
            .hint(format!("set 'checks.{name}.command' to a list such as [\"make\", \"test\"]")));
        }
        let timeout = config.duration(&field("timeout"))?;
        let paths = config.list(&field("paths"))?;
        let key = key(&name, &command, timeout, &paths);
        checks.push(Check { name, command, timeout, paths, key });
    }
    Ok(checks)
}

fn key(name: &str, command: &[String], timeout: Option<Duration>, paths: &[String]) -> String {
    let timeout = timeout.map(|span| span.as_millis().to_string()).unwrap_or_default();
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    [RULES, name, &timeout, &command.len().to_string()].into_iter().for_each(&mut add);
    command.iter().chain(paths).for_each(|part| add(part));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Check {
    /// Says whether a path of the tree is this check's business; all are if it names none.
    pub(crate) fn concerns(&self, paths: &[Vec<u8>]) -> Result<bool, Failure> {
        use std::os::unix::ffi::OsStrExt;
        if self.paths.is_empty() {
            return Ok(true);
        }
        let patterns = self.patterns()?;
        let matches = |path: &Vec<u8>| {
            let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
            patterns.matched_path_or_any_parents(path, false).is_ignore()
        };
        Ok(paths.iter().any(matches))
    }

    fn patterns(&self) -> Result<Gitignore, Failure> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in &self.paths {
            builder.add_line(None, pattern).with_context(|| format!("'checks.{}.paths': '{pattern}'", self.name))?;
        }
        Ok(builder.build().with_context(|| format!("'checks.{}.paths'", self.name))?)
    }
}

/// Lists the paths of all files of a tree; only asked for if a check names paths.
pub(crate) fn paths_of(cx: &Context, tree: ObjectId) -> Result<Vec<Vec<u8>>, Failure> {
    let listing = cx.git()?.reading().run(["ls-tree", "-r", "-z", "--name-only", &tree.to_string()])?.stdout;
    Ok(listing.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect())
}
