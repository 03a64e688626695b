//! The artefacts that are worth bringing along, and how they are known.

use std::path::Path;

/// How an ignored path is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    /// By its name alone; the pattern finds it at any depth.
    Name,
    /// By its name and one of these files beside it.
    Beside(&'static [&'static str]),
    /// By its name and something in it.
    Holds(&'static str),
}

/// One kind of artefact.
#[derive(Debug)]
pub(super) struct Known {
    /// The name of the folder, with a slash at its end, or of the file; it may have two parts.
    pub(super) name: &'static str,
    pub(super) sign: Sign,
    pub(super) why: &'static str,
}

const fn known(name: &'static str, sign: Sign, why: &'static str) -> Known {
    Known { name, sign, why }
}

/// What makes any folder a Python environment.
pub(super) const VENV: &str = "pyvenv.cfg";

pub(super) const VENV_WHY: &str = "Python environment; with hydrate.relink its scripts run in the new worktree";

/// All kinds. A folder of a name that others use too needs a sign of what it is.
pub(super) const KNOWN: &[Known] = &[
    known("node_modules/", Sign::Name, "packages of Node.js"),
    known("target/", Sign::Beside(&["Cargo.toml"]), "build output of Cargo"),
    known("target/", Sign::Holds("CACHEDIR.TAG"), "build output of Cargo"),
    known("target/", Sign::Beside(&["pom.xml"]), "build output of Maven"),
    known("target/", Sign::Beside(&["build.sbt"]), "build output of sbt"),
    known(".cargo/", Sign::Name, "settings or registry of Cargo"),
    known(".venv/", Sign::Holds(VENV), VENV_WHY),
    known("venv/", Sign::Holds(VENV), VENV_WHY),
    known("vendor/bundle/", Sign::Name, "gems of Bundler"),
    known("vendor/", Sign::Beside(&["composer.json"]), "packages of Composer"),
    known("deps/", Sign::Beside(&["mix.exs"]), "dependencies of Mix"),
    known("_build/", Sign::Beside(&["mix.exs", "rebar.config", "dune-project"]), "build output"),
    known("dist-newstyle/", Sign::Name, "build output of Cabal"),
    known(".stack-work/", Sign::Name, "build output of Stack"),
    known("Pods/", Sign::Beside(&["Podfile"]), "dependencies of CocoaPods"),
    known(".gradle/", Sign::Name, "build cache of Gradle"),
    known(".next/cache/", Sign::Name, "build cache of Next.js"),
    known(".turbo/", Sign::Name, "build cache of Turborepo"),
    known(".parcel-cache/", Sign::Name, "build cache of Parcel"),
    known(".mypy_cache/", Sign::Name, "cache of mypy"),
    known(".pytest_cache/", Sign::Name, "cache of pytest"),
    known(".ruff_cache/", Sign::Name, "cache of Ruff"),
    known(".tox/", Sign::Name, "environments of tox"),
    known("ccache/", Sign::Holds("CACHEDIR.TAG"), "compiler cache"),
    known(".ccache/", Sign::Name, "compiler cache"),
    known(".env", Sign::Name, "local settings; may hold secrets"),
    known(".env.local", Sign::Name, "local settings; may hold secrets"),
    known(".env.*.local", Sign::Name, "local settings; may hold secrets"),
    known(".envrc", Sign::Name, "settings of direnv; may hold secrets"),
];

impl Known {
    /// Says whether this name, with its slash if it is a folder, is meant.
    pub(super) fn is_named(&self, path: &str) -> bool {
        let Some((head, tail)) = self.name.split_once('*') else {
            let rest = path.strip_suffix(self.name);
            return rest.is_some_and(|above| above.is_empty() || above.ends_with('/'));
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        name.len() > head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
    }

    /// Says whether what is at this path bears the sign.
    pub(super) fn is_signed(&self, path: &Path) -> bool {
        match self.sign {
            Sign::Name => true,
            Sign::Beside(files) => {
                files.iter().any(|file| path.parent().is_some_and(|folder| folder.join(file).is_file()))
            }
            Sign::Holds(file) => path.join(file).is_file(),
        }
    }

    /// Returns the pattern for what was found at this path.
    pub(super) fn pattern(&self, path: &str) -> String {
        match self.sign {
            // A name of two parts would otherwise be seen from the root alone.
            Sign::Name if self.name.trim_end_matches('/').contains('/') => format!("**/{}", self.name),
            Sign::Name => self.name.to_owned(),
            Sign::Holds(VENV) if self.name.starts_with('.') => self.name.to_owned(),
            Sign::Beside(_) | Sign::Holds(_) => anchored(path),
        }
    }
}

/// The pattern of exactly this path.
pub(super) fn anchored(path: &str) -> String {
    let mut pattern = String::from("/");
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | '\\' | '!' | '#' | ' ') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_as_a_whole() {
        let which = |path: &str| KNOWN.iter().find(|known| known.is_named(path)).map(|known| known.name);
        assert_eq!(which("web/node_modules/"), Some("node_modules/"));
        assert_eq!(which("a/vendor/bundle/"), Some("vendor/bundle/"));
        assert_eq!(which("a/.env.test.local"), Some(".env.*.local"));
        assert_eq!(which(".env.local"), Some(".env.local"));
        for other in ["my_node_modules/", "node_modules", "env", "x.env", ".env/", ".env.", "target"] {
            assert_eq!(which(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_is_written_so_that_it_matches_itself_alone() {
        assert_eq!(anchored("a b/[x]*/target/"), "/a\\ b/\\[x]\\*/target/");
    }
}
