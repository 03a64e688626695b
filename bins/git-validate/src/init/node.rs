//! The scripts of a package.json, run by the manager that has written the lock file.

use std::path::Path;

use serde_json::Value;

use super::Proposal;
use super::detect::{has, text};

const FILE: &str = "package.json";

/// The scripts that are checks, in the order in which they are proposed.
const SCRIPTS: &[&str] =
    &["format:check", "fmt:check", "prettier:check", "lint", "typecheck", "type-check", "types", "check", "test"];

/// A manager of packages.
struct Manager {
    name: &'static str,
    locks: &'static [&'static str],
    /// What it writes last when it has installed all.
    done: &'static str,
    /// Installs exactly what the lock file says.
    install: &'static str,
}

const MANAGERS: &[Manager] = &[
    Manager {
        name: "pnpm",
        locks: &["pnpm-lock.yaml"],
        done: "node_modules/.modules.yaml",
        install: "pnpm install --frozen-lockfile",
    },
    Manager {
        name: "bun",
        locks: &["bun.lock", "bun.lockb"],
        done: "node_modules",
        install: "bun install --frozen-lockfile && touch node_modules",
    },
    Manager {
        name: "yarn",
        locks: &["yarn.lock"],
        done: "node_modules",
        install: "yarn install --frozen-lockfile && touch node_modules",
    },
    Manager {
        name: "npm",
        locks: &["package-lock.json", "npm-shrinkwrap.json"],
        done: "node_modules/.package-lock.json",
        install: "npm ci --no-audit --no-fund",
    },
];

/// Proposes the scripts that are checks.
pub(super) fn scripts(top: &Path) -> Vec<Proposal> {
    let package = text(top, FILE).and_then(|text| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
    let manager = manager(top, &package);
    let lock = manager.locks.iter().find(|lock| has(top, lock));
    let has_script = |name: &&&str| {
        let script = package["scripts"][**name].as_str();
        // What `npm init` writes is no test.
        script.is_some_and(|script| !script.trim().is_empty() && !script.contains("no test specified"))
    };
    let scripts = SCRIPTS.iter().filter(has_script);
    scripts.map(|script| Proposal { serial: true, ..proposal(manager, lock.copied(), script) }).collect()
}

/// The modules are not in the tree: they are installed where they are missing or older than the lock file.
fn proposal(manager: &Manager, lock: Option<&str>, script: &str) -> Proposal {
    let Manager { name, done, install, .. } = manager;
    let prepare = match lock {
        Some(lock) => format!("[ {done} -nt {lock} ] || {install} || exit"),
        None if *name == "npm" => {
            "[ -d node_modules ] || npm install --no-package-lock --no-audit --no-fund || exit".to_owned()
        }
        None => format!("[ -d node_modules ] || {name} install || exit"),
    };
    Proposal::shell(
        &format!("{name}-{}", script.replace(':', "-")),
        FILE,
        &format!("{prepare}; exec {name} run {script}"),
    )
}

fn manager(top: &Path, package: &Value) -> &'static Manager {
    let npm = &MANAGERS[MANAGERS.len() - 1];
    let named = package["packageManager"].as_str().and_then(|named| named.split('@').next());
    let by_name = MANAGERS.iter().find(|manager| Some(manager.name) == named);
    let by_lock = || MANAGERS.iter().find(|manager| manager.locks.iter().any(|lock| has(top, lock)));
    by_name.or_else(by_lock).unwrap_or(npm)
}
