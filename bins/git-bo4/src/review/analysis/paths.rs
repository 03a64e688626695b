//! What a path alone says of a file: whether it is a test, generated, or one that commands listen to.

use std::fmt;

use serde::Serialize;

/// Folders whose files belong to tests.
const TEST_FOLDERS: &[&str] = &["tests", "test", "__tests__", "spec", "specs", "e2e", "testdata"];
/// Folders of tests that hold what tests read or print.
const DATA_FOLDERS: &[&str] = &["testdata", "fixtures", "fixture", "data", "golden", "expected", "__fixtures__"];
const DATA: &[&str] = &[
    "txt", "md", "json", "jsonl", "yaml", "yml", "toml", "xml", "csv", "tsv", "html", "css", "png", "jpg", "jpeg",
    "gif", "svg", "pdf", "bin", "gz", "zip", "out", "log", "golden", "stdout", "stderr", "patch", "diff",
];
const GENERATED_FOLDERS: &[&str] = &["dist", "vendor", "node_modules", "__snapshots__", "third_party"];
const GENERATED_ENDS: &[&str] = &[
    ".min.js",
    ".min.css",
    ".js.map",
    ".css.map",
    ".pb.go",
    ".pb.cc",
    ".pb.h",
    "_pb2.py",
    "_pb2_grpc.py",
    ".g.dart",
    ".snap",
];
const LOCKFILES: &[&str] = &[
    "cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "deno.lock",
    "poetry.lock",
    "pipfile.lock",
    "uv.lock",
    "pdm.lock",
    "gemfile.lock",
    "composer.lock",
    "go.sum",
    "flake.lock",
    "mix.lock",
    "pubspec.lock",
    "podfile.lock",
    "packages.lock.json",
    "gradle.lockfile",
    "package.resolved",
];
const BUILD: &[&str] = &[
    "cargo.toml",
    "build.rs",
    "package.json",
    "makefile",
    "gnumakefile",
    "cmakelists.txt",
    "build.gradle",
    "build.gradle.kts",
    "pom.xml",
    "go.mod",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "gemfile",
    "composer.json",
    "meson.build",
    "build.bazel",
    "workspace",
    "dockerfile",
    "justfile",
    "taskfile.yml",
    "tox.ini",
    "noxfile.py",
    "package.swift",
    "mix.exs",
    "pipfile",
];
const CI_FILES: &[&str] = &[
    "jenkinsfile",
    ".travis.yml",
    ".drone.yml",
    ".cirrus.yml",
    "bitbucket-pipelines.yml",
    "appveyor.yml",
    ".appveyor.yml",
    ".woodpecker.yml",
];
const CI_FOLDERS: &[&str] = &[".circleci", ".buildkite", ".teamcity", ".woodpecker", ".forgejo", ".azure-pipelines"];
const HOOK_FOLDERS: &[&str] = &[".husky", ".githooks", ".git-hooks"];
const HOOK_FILES: &[&str] = &[".pre-commit-config.yaml", "lefthook.yml", ".lefthook.yml", ".huskyrc"];
const HOOKS: &[&str] = &[
    "pre-commit",
    "pre-push",
    "commit-msg",
    "prepare-commit-msg",
    "post-checkout",
    "post-commit",
    "post-merge",
    "pre-rebase",
    "pre-receive",
    "post-receive",
    "update",
];
const AGENT_FOLDERS: &[&str] =
    &[".codex-agent", ".codex", ".codex-worker", ".claude", ".gemini", ".opencode", ".cursor"];

/// Why a path is not to be changed without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Why {
    /// Git itself listens to it.
    Git,
    Ci,
    Hook,
    /// Agents and this suite listen to it.
    AgentSettings,
    Lockfile,
    Symlink,
    Submodule,
    ModeChange,
    Binary,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Why::Git => "git listens to it",
            Why::Ci => "part of the CI",
            Why::Hook => "a hook",
            Why::AgentSettings => "settings of agents",
            Why::Lockfile => "a lockfile",
            Why::Symlink => "a symlink",
            Why::Submodule => "a submodule",
            Why::ModeChange => "its mode changes",
            Why::Binary => "a binary file",
        })
    }
}

/// A path in lower case, in its parts.
struct Parts {
    folders: Vec<String>,
    name: String,
}

impl Parts {
    fn of(path: &[u8]) -> Parts {
        let text = String::from_utf8_lossy(path).to_lowercase();
        let mut folders: Vec<String> = text.split(['/', '\\']).map(str::to_owned).collect();
        let name = folders.pop().unwrap_or_default();
        Parts { folders, name }
    }

    fn is_below(&self, folders: &[&str]) -> bool {
        self.folders.iter().any(|folder| folders.contains(&folder.as_str()))
    }

    /// The name up to its last dot, and what follows it.
    fn stem(&self) -> (&str, &str) {
        self.name.rsplit_once('.').unwrap_or((&self.name, ""))
    }
}

/// Returns the last part of a name after a dot, in lower case.
pub(crate) fn extension(path: &[u8]) -> String {
    Parts::of(path).stem().1.to_owned()
}

/// Says whether a file is a test or belongs to some.
pub(crate) fn is_test(path: &[u8]) -> bool {
    let parts = Parts::of(path);
    let (stem, extension) = parts.stem();
    let ends = ["_test", "_tests", "-test", ".test", ".spec", "_spec"];
    // In these languages a test is `ParserTest` beside `Parser`; a capital tells it from `latest`.
    let is_camel = matches!(extension, "java" | "kt" | "cs" | "scala" | "groovy" | "php" | "swift") && {
        let name = String::from_utf8_lossy(path);
        let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
        ["Test", "Tests", "TestCase", "IT", "Spec"].iter().any(|end| stem.ends_with(end))
    };
    parts.is_below(TEST_FOLDERS)
        || is_camel
        || matches!(stem, "test" | "tests" | "conftest")
        || stem.starts_with("test_")
        || ends.iter().any(|end| stem.ends_with(end))
}

/// Says whether a file of tests holds data and no code.
pub(crate) fn is_test_data(path: &[u8]) -> bool {
    let parts = Parts::of(path);
    parts.is_below(DATA_FOLDERS) || DATA.contains(&parts.stem().1)
}

/// Says whether a file is made by a program, as its path tells.
pub(crate) fn is_generated(path: &[u8]) -> bool {
    let parts = Parts::of(path);
    let (stem, _) = parts.stem();
    is_lockfile(path)
        || parts.is_below(GENERATED_FOLDERS)
        || GENERATED_ENDS.iter().any(|end| parts.name.ends_with(end))
        || stem.ends_with("_generated")
        || stem.ends_with(".generated")
}

pub(crate) fn is_lockfile(path: &[u8]) -> bool {
    LOCKFILES.contains(&Parts::of(path).name.as_str())
}

/// Says whether a file tells how the product is built, or of what.
pub(crate) fn is_build(path: &[u8]) -> bool {
    let Parts { name, .. } = Parts::of(path);
    BUILD.contains(&name.as_str())
        || (name.starts_with("requirements") && name.ends_with(".txt"))
        || name.starts_with("dockerfile")
        || [".csproj", ".gemspec", ".mk", ".cmake"].iter().any(|end| name.ends_with(end))
}

/// Returns who listens to a path, if anybody does who runs commands.
pub(crate) fn listener(path: &[u8]) -> Option<Why> {
    let parts = Parts::of(path);
    let all = || parts.folders.iter().chain([&parts.name]);
    let (name, first) = (parts.name.as_str(), all().next().map_or("", String::as_str));
    let is_hook = parts.is_below(HOOK_FOLDERS)
        || HOOK_FILES.contains(&name)
        || (first == "hooks" && !parts.folders.is_empty())
        || (parts.is_below(&["hooks"]) && HOOKS.contains(&name));
    let is_ci = parts.is_below(CI_FOLDERS)
        || CI_FILES.contains(&name)
        || name.starts_with("azure-pipelines")
        || name == ".gitlab-ci.yml"
        || all().any(|part| part == ".github");
    // What some file systems take for a name of git: other letters' case, ignored characters, a short name.
    let is_git = |part: &String| {
        let seen: String = part.chars().filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')).collect();
        seen.starts_with(".git") || seen.starts_with("git~")
    };
    if is_hook {
        Some(Why::Hook)
    } else if is_ci {
        Some(Why::Ci)
    } else if all().any(is_git) {
        Some(Why::Git)
    } else if parts.is_below(AGENT_FOLDERS) || AGENT_FOLDERS.contains(&name) {
        Some(Why::AgentSettings)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_known_by_their_paths() {
        for path in [
            "tests/a.rs",
            "src/test/java/A.java",
            "pkg/a_test.go",
            "test_a.py",
            "a.test.ts",
            "ui/a.spec.js",
            "AppTest.java",
            "src/__tests__/x.js",
            "spec/a_spec.rb",
            "conftest.py",
            "tests.rs",
            "test.sh",
        ] {
            assert!(is_test(path.as_bytes()), "{path}");
        }
        for path in ["src/main.rs", "src/latest.java", "contest.py", "src/testing.rs", "attestation.go", "Latest.java"]
        {
            assert!(!is_test(path.as_bytes()), "{path}");
        }
        assert!(
            is_test_data(b"tests/fixtures/a.rs") && is_test_data(b"tests/a.json") && !is_test_data(b"tests/run.sh")
        );
    }

    #[test]
    fn generated_files_are_known_by_their_paths() {
        for path in [
            "Cargo.lock",
            "web/app.min.js",
            "dist/a.js",
            "vendor/x/y.go",
            "a/node_modules/b.js",
            "api.pb.go",
            "schema_generated.ts",
            "x/__snapshots__/a.snap",
        ] {
            assert!(is_generated(path.as_bytes()), "{path}");
        }
        assert!(!is_generated(b"src/lock.rs") && !is_generated(b"src/distance.rs"));
    }

    #[test]
    fn who_listens_to_a_path_is_known_in_any_disguise() {
        for (path, why) in [
            (".gitmodules", Why::Git),
            ("a/.GitAttributes", Why::Git),
            (".git/hooks/pre-commit", Why::Hook),
            ("x/.g\u{200c}it/config", Why::Git),
            ("GIT~1/config", Why::Git),
            (".github/workflows/a.yml", Why::Ci),
            (".gitlab-ci.yml", Why::Ci),
            ("Jenkinsfile", Why::Ci),
            ("azure-pipelines.yml", Why::Ci),
            (".husky/pre-push", Why::Hook),
            ("hooks/any", Why::Hook),
            ("tools/hooks/pre-commit", Why::Hook),
            (".codex-agent/config.toml", Why::AgentSettings),
            (".codex", Why::AgentSettings),
        ] {
            assert_eq!(listener(path.as_bytes()), Some(why), "{path}");
        }
        for path in ["src/hooks/useThing.ts", "src/git.rs", "hooks", "docs/github.md"] {
            assert_eq!(listener(path.as_bytes()), None, "{path}");
        }
    }
}
