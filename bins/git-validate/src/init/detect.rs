//! What is in a repository, by the files at its top. Of their content only fixed words are taken over.

use std::path::Path;

use shared::durable;

use super::{Proposal, node};

/// A file is not read beyond this many bytes.
const MOST: usize = 1 << 20;
/// The targets of a makefile that are checks.
const TARGETS: &[&str] = &["lint", "check", "test"];

/// Proposes checks for all that is found.
pub(super) fn all(top: &Path) -> Vec<Proposal> {
    [cargo(top), node::scripts(top), go(top), python(top), make(top)].concat()
}

/// Reads a file as text; nothing if it is none.
pub(super) fn text(top: &Path, name: &str) -> Option<String> {
    let bytes = durable::read_foreign(&top.join(name), MOST).ok().flatten()?;
    String::from_utf8(bytes).ok()
}

pub(super) fn has(top: &Path, name: &str) -> bool {
    top.join(name).is_file()
}

fn cargo(top: &Path) -> Vec<Proposal> {
    const FILE: &str = "Cargo.toml";
    let Some(manifest) = text(top, FILE).and_then(|text| text.parse::<toml::Table>().ok()) else { return Vec::new() };
    let whole: &[&str] = if manifest.contains_key("workspace") { &["--workspace"] } else { &[] };
    let clippy = [&["cargo", "clippy"], whole, &["--all-targets", "--", "-D", "warnings"]].concat();
    vec![
        Proposal::command("cargo-fmt", FILE, &["cargo", "fmt", "--all", "--check"]),
        Proposal::command("cargo-clippy", FILE, &clippy),
        Proposal::command("cargo-test", FILE, &[&["cargo", "test"], whole].concat()),
    ]
}

fn go(top: &Path) -> Vec<Proposal> {
    const FILE: &str = "go.mod";
    if !has(top, FILE) {
        return Vec::new();
    }
    vec![
        Proposal::shell("go-fmt", FILE, "files=$(gofmt -l .) && echo \"$files\" && test -z \"$files\""),
        Proposal::command("go-vet", FILE, &["go", "vet", "./..."]),
        Proposal::command("go-test", FILE, &["go", "test", "./..."]),
    ]
}

fn python(top: &Path) -> Vec<Proposal> {
    const FILE: &str = "pyproject.toml";
    let project = text(top, FILE).unwrap_or_default();
    let table: toml::Table = project.parse().unwrap_or_default();
    let tools = table.get("tool").and_then(toml::Value::as_table);
    let has_tool = |name: &str| tools.is_some_and(|tools| tools.contains_key(name));
    let because = |tool: bool, file: &str| if tool { FILE.to_owned() } else { file.to_owned() };
    let runner: &[&str] = if has(top, "uv.lock") || has_tool("uv") {
        &["uv", "run"]
    } else if has_tool("poetry") {
        &["poetry", "run"]
    } else {
        &[]
    };
    let check =
        |name: &str, because: &str, command: &[&str]| Proposal::command(name, because, &[runner, command].concat());
    let mut checks = Vec::new();
    let ruff = ["ruff.toml", ".ruff.toml"].into_iter().find(|file| has(top, file));
    if has_tool("ruff") || ruff.is_some() {
        let because = because(has_tool("ruff"), ruff.unwrap_or(FILE));
        checks.push(check("ruff", &because, &["ruff", "check", "."]));
        checks.push(check("ruff-format", &because, &["ruff", "format", "--check", "."]));
    }
    if has_tool("mypy") || has(top, "mypy.ini") {
        checks.push(check("mypy", &because(has_tool("mypy"), "mypy.ini"), &["mypy", "."]));
    }
    // A dependency on it is written as a text that begins with its name.
    let depends = ["\"pytest", "'pytest"].iter().any(|word| project.contains(word));
    let own = ["pytest.ini", "conftest.py", "tests/conftest.py"].into_iter().find(|file| has(top, file));
    if has_tool("pytest") || depends || own.is_some() {
        checks.push(check("pytest", &because(has_tool("pytest") || depends, own.unwrap_or(FILE)), &["pytest"]));
    } else if has_tool("tox") || has(top, "tox.ini") {
        checks.push(check("tox", &because(has_tool("tox"), "tox.ini"), &["tox"]));
    }
    checks
}

fn make(top: &Path) -> Vec<Proposal> {
    // The order in which make looks for it.
    let Some(file) = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|file| has(top, file)) else {
        return Vec::new();
    };
    let makefile = text(top, file).unwrap_or_default();
    let targets: Vec<&str> = makefile.lines().flat_map(targets_of).collect();
    let known = TARGETS.iter().filter(|target| targets.contains(*target));
    known.map(|target| Proposal::command(&format!("make-{target}"), file, &["make", target])).collect()
}

/// The targets of a rule; a recipe, a comment and an assignment have none.
fn targets_of(line: &str) -> Vec<&str> {
    let Some((targets, rest)) = line.split_once(':') else { return Vec::new() };
    let is_rule = !line.starts_with(['\t', ' ', '#', '.']) && !rest.starts_with('=') && !rest.starts_with(":=");
    if is_rule && !targets.contains('=') { targets.split_whitespace().collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_have_targets() {
        assert_eq!(targets_of("test lint: build"), ["test", "lint"]);
        assert_eq!(targets_of("check:"), ["check"]);
        assert_eq!(targets_of("test:: a"), ["test"]);
        for line in ["test := x", "test ::= x", "\ttest: x", "# test: x", ".PHONY: test", "a = test: x", "test"] {
            assert!(targets_of(line).is_empty(), "{line}");
        }
    }
}
