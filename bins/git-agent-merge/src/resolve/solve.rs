//! The rules, one after the other, on every conflicted file.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use gix::ObjectId;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use shared::app::Context;
use shared::failure::Failure;
use shared::process::{self, Git};

use super::account::{How, is_telling};
use super::conflicted::Conflicted;
use super::rules::{self, Rule};
use shared::quarantine::quoted;

/// How long a merge by structure may take, for one file.
const STRUCTURAL: Duration = Duration::from_secs(20);
/// The program that merges by structure.
const MERGIRAF: &str = "mergiraf";
/// More of git's memory of resolutions is not read, in files.
const MOST_REMEMBERED: usize = 20_000;

/// What is configured.
#[derive(Debug)]
pub(crate) struct Rules {
    on: Vec<Rule>,
    imports: Gitignore,
    union: Gitignore,
    generated: Vec<Generated>,
}

/// A command that makes files anew.
#[derive(Debug)]
pub(crate) struct Generated {
    pub(crate) name: String,
    paths: Gitignore,
    pub(crate) command: Vec<String>,
    pub(crate) timeout: Option<Duration>,
}

impl Rules {
    /// Reads them; `off` are those that are not to be used, and rerere only counts if it is asked for.
    pub(crate) fn load(cx: &Context, off: &[Rule], rerere: bool) -> Result<Rules, Failure> {
        let config = cx.config()?;
        let mut on = Vec::new();
        for name in config.list("merge.rules")? {
            let rule = <Rule as clap::ValueEnum>::from_str(&name, false).map_err(|_| {
                let known: Vec<&str> =
                    <Rule as clap::ValueEnum>::value_variants().iter().map(|rule| rule.name()).collect();
                Failure::could_not("broken-config", format!("'merge.rules' names no rule '{}'", name.escape_debug()))
                    .hint(format!("the rules are {}", known.join(", ")))
            })?;
            on.push(rule);
        }
        // What git remembers is shared by all worktrees, wrong resolutions too; a repository cannot turn it on.
        on.retain(|rule| *rule != Rule::Rerere);
        if rerere || config.boolean("merge.rerere")? {
            on.push(Rule::Rerere);
        }
        on.retain(|rule| !off.contains(rule));
        let mut generated = Vec::new();
        if on.contains(&Rule::Generated) {
            for name in config.names("merge.generated")? {
                let key = |part: &str| format!("merge.generated.{name}.{part}");
                let command = config.list(&key("command"))?;
                if command.is_empty() {
                    let message = format!("'{}' is not set, so nothing can be made anew", key("command"));
                    return Err(Failure::could_not("broken-config", message));
                }
                generated.push(Generated {
                    paths: patterns(&config.list(&key("paths"))?, &key("paths"))?,
                    timeout: config.duration(&key("timeout"))?,
                    command,
                    name,
                });
            }
        }
        let of = |key: &str| patterns(&config.list(key)?, key);
        Ok(Rules { on, imports: of("merge.imports")?, union: of("merge.union")?, generated })
    }

    /// None at all: a person does it.
    pub(crate) fn none() -> Rules {
        let empty = Gitignore::empty;
        Rules { on: Vec::new(), imports: empty(), union: empty(), generated: Vec::new() }
    }

    pub(crate) fn generated(&self, name: &str) -> Option<&Generated> {
        self.generated.iter().find(|generated| generated.name == name)
    }

    /// Lets each rule solve what it claims; nothing but objects is written.
    pub(crate) fn apply(
        &self,
        cx: &Context,
        git: &Git,
        tree: ObjectId,
        files: &mut [Conflicted],
    ) -> Result<(), Failure> {
        for file in &mut *files {
            self.generate_later(file);
            if file.is_solved() {
                continue;
            }
            self.of_lines(file);
        }
        if self.on.contains(&Rule::Rerere) {
            remembered(cx, git, tree, files)?;
        }
        if self.on.contains(&Rule::Structural)
            && let Some(program) = process::find_trusted(MERGIRAF, None)
        {
            for file in files.iter_mut().filter(|file| !file.is_solved()) {
                structural(git, &program, file)?;
            }
        }
        Ok(())
    }

    fn generate_later(&self, file: &mut Conflicted) {
        if !self.on.contains(&Rule::Generated) || file.conflict.stages[2].is_none() {
            return;
        }
        if let Some(generated) = self.generated.iter().find(|generated| means(&generated.paths, file.path())) {
            file.generated_by = Some(generated.name.clone());
            file.by.insert(Rule::Generated, 1);
        }
    }

    fn of_lines(&self, file: &mut Conflicted) {
        let path = file.conflict.raw_path.clone();
        let Some(text) = &mut file.text else { return };
        let wanted = |rule: &Rule| match rule {
            Rule::Imports => means(&self.imports, &path),
            Rule::Union => means(&self.union, &path),
            Rule::Identical | Rule::Whitespace => true,
            Rule::Generated | Rule::Rerere | Rule::Structural => false,
        };
        let rules: Vec<Rule> = self.on.iter().copied().filter(wanted).collect();
        for hunk in text.hunks_mut() {
            let solved = rules.iter().find_map(|rule| Some((*rule, rules::solve(*rule, &path, hunk)?)));
            if let Some((rule, solution)) = solved {
                hunk.solution = Some(solution);
                *file.by.entry(rule).or_insert(0) += 1;
            }
        }
    }
}

fn patterns(words: &[String], key: &str) -> Result<Gitignore, Failure> {
    let mut builder = GitignoreBuilder::new("");
    let broken = |error: &dyn std::fmt::Display| Failure::could_not("broken-config", format!("'{key}': {error}"));
    for word in words {
        builder.add_line(None, word).map_err(|error| broken(&error))?;
    }
    builder.build().map_err(|error| broken(&error))
}

fn means(patterns: &Gitignore, path: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    patterns.matched_path_or_any_parents(path, false).is_ignore()
}

/// Merges a file by the structure of its language; what would lose a line is not taken.
fn structural(git: &Git, program: &Path, file: &mut Conflicted) -> Result<()> {
    if file.text.is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let path = PathBuf::from(String::from_utf8_lossy(file.path()).into_owned());
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    let mut places = Vec::new();
    for (side, name) in ["base", "ours", "theirs"].iter().enumerate() {
        let place = folder.path().join(format!("{name}{extension}"));
        put(&place, &file.side(git, side)?.unwrap_or_default())?;
        places.push(place);
    }
    let out = folder.path().join(format!("merged{extension}"));
    let mut command = process::command(program);
    process::scrub(&mut command).arg("merge").args(&places).arg("-o").arg(&out).current_dir(folder.path());
    let done = process::run_within(&mut command, None, 0, STRUCTURAL);
    // Whatever it could not do stays for the next.
    let Some(merged) = done.ok().filter(|(status, _)| status.success()).and_then(|_| fs::read(&out).ok()) else {
        return Ok(());
    };
    if super::text::markers(&merged) > 0 {
        return Ok(());
    }
    let lost =
        file.lost(git, &merged, &[])?.into_iter().filter(|lost| lost.how == How::Unnamed && is_telling(&lost.text));
    match lost.count() {
        0 => {
            file.by = [(Rule::Structural, file.open_hunks().max(1))].into();
            file.whole = Some(merged);
        }
        n => file.remarks.push(format!("structural: not taken, it would drop {n} lines")),
    }
    Ok(())
}

/// Asks what git remembers, in a repository of its own, so that nothing is added to the shared memory.
fn remembered(cx: &Context, git: &Git, tree: ObjectId, files: &mut [Conflicted]) -> Result<(), Failure> {
    let memory = cx.repository()?.common_dir().join("rr-cache");
    if !memory.is_dir() || files.iter().all(Conflicted::is_solved) {
        return Ok(());
    }
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let format = cx.repository()?.gix.object_hash().to_string();
    let own = Git::at(folder.path())?;
    own.run(["init", "-q", "--template=", &format!("--object-format={format}")])?;
    copy_memory(&memory, &folder.path().join(".git/rr-cache"))?;
    let objects = cx.repository()?.common_dir().join("objects");
    let own = own.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&objects)).setting("rerere.enabled=true");
    let own = own.setting("rerere.autoUpdate=false");
    for (n, file) in files.iter_mut().enumerate().filter(|(_, file)| !file.is_solved() && file.text.is_some()) {
        // By a name of ours: what git remembers goes by the hunks alone.
        let name = format!("file-{n}");
        let [base, ours, theirs] = file.conflict.stages;
        let mut input = String::new();
        for (stage, side) in [(1, base), (2, ours), (3, theirs)] {
            if let Some((mode, id)) = side {
                input.push_str(&format!("{mode:o} {id} {stage}\t{name}\n"));
            }
        }
        own.feed(["update-index", "--index-info"], input.as_bytes())?;
        // As git itself lays it out, since it remembers that.
        let place = folder.path().join(&name);
        put(&place, &in_tree(git, tree, file.path())?)?;
        own.ask(["rerere"])?;
        let solved = fs::read(&place).context("cannot read what git remembers")?;
        if super::text::markers(&solved) == 0 {
            file.by = [(Rule::Rerere, file.open_hunks())].into();
            file.whole = Some(solved);
        }
        own.run(["update-index", "--force-remove", &name])?;
    }
    Ok(())
}

/// Writes a file that nobody keeps.
fn put(place: &Path, content: &[u8]) -> Result<()> {
    fs::File::create_new(place).and_then(|mut file| file.write_all(content)).context("cannot write a temporary file")
}

fn in_tree(git: &Git, tree: ObjectId, path: &[u8]) -> Result<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    let name = [format!("{tree}:").as_bytes(), path].concat();
    Ok(git.run(["cat-file".into(), "blob".into(), std::ffi::OsString::from_vec(name)])?.stdout)
}

fn copy_memory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).context("cannot create a temporary folder")?;
    let mut count = 0;
    for entry in fs::read_dir(from).context("cannot read git's memory of resolutions")?.flatten() {
        let place = to.join(entry.file_name());
        fs::create_dir(&place).context("cannot create a temporary folder")?;
        for file in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            count += 1;
            if count > MOST_REMEMBERED {
                return Ok(());
            }
            if file.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::copy(file.path(), place.join(file.file_name()))
                    .context("cannot copy git's memory of resolutions")?;
            }
        }
    }
    Ok(())
}
