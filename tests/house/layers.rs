use std::collections::BTreeSet;
use std::fs;

use super::{files, programs, top};

/// The layers of `shared`, the upper first; a layer uses only those below it.
const LAYERS: &[&[&str]] = &[
    &["ground", "hooks", "jobs", "landing", "quarantine", "validation"],
    &["app", "failure", "output"],
    &["config", "own_folder", "registry"],
    &["durable", "process", "repository"],
    &["clock", "exit", "folders", "refusal", "slug"],
];

/// The layers whose modules are strangers to their neighbours.
const STRANGERS: [usize; 3] = [0, 2, 3];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Returns the modules of `shared` that a source names by `crate::…`, also in braces.
fn used(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        let part = part.trim_start();
        let list = match part.strip_prefix('{') {
            Some(rest) => rest.split('}').next().unwrap_or_default(),
            None => part,
        };
        let pieces: Vec<&str> = if part.starts_with('{') { list.split(',').collect() } else { vec![list] };
        for piece in pieces {
            names.insert(
                piece.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned(),
            );
        }
    }
    names
}

#[test]
fn the_arrows_in_shared_point_down_only() {
    let source = top().join("shared/src");
    let mut arrows = 0;
    for path in files(&source, ".rs") {
        let inside = path.strip_prefix(&source).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let own = layer(module)
            .unwrap_or_else(|| panic!("'{module}' is in no layer: name its place in this test and in lib.rs"));
        for name in used(&fs::read_to_string(&path).unwrap()) {
            let Some(other) = layer(&name).filter(|_| name != module) else { continue };
            arrows += 1;
            let down = other > own || (other == own && !STRANGERS.contains(&own));
            assert!(down, "{} uses '{name}', which is not below it", inside.display());
        }
    }
    assert!(arrows > 10, "only {arrows} arrows seen: the test no longer understands the sources");
}

#[test]
fn no_program_links_another() {
    for program in programs() {
        let manifest = fs::read_to_string(top().join("bins").join(&program).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        assert!(
            !dependencies.lines().any(|line| line.trim().starts_with("git-") && !line.starts_with("git-config-env")),
            "{program}"
        );
        assert!(manifest.contains("[lints]\nworkspace = true"), "{program} goes without the lints");
        assert!(
            !dependencies.contains("version = \"") && !dependencies.contains(" = \""),
            "{program}: versions stand in one table"
        );
    }
}

#[test]
fn the_doors_are_the_only_ones() {
    for path in files(&top(), ".rs") {
        let inside = path.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
        if inside.starts_with("target") || inside.starts_with("tests") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        // Tests stand at the end of a file, or in one of their own.
        let code = if inside.ends_with("/tests.rs") { "" } else { source.split("#[cfg(test)]").next().unwrap() };
        assert!(!code.contains(".unwrap()"), "{inside}");
        for (door, word) in [
            (
                "shared/src/process/program.rs",
                "disallowed_methods, reason = \"this is the one place that makes commands",
            ),
            ("shared/src/clock.rs", "Timestamp::now"),
        ] {
            assert!(inside == door || !code.contains(word), "{inside} has a door of its own: {word}");
        }
        assert!(!code.contains("#[allow"), "{inside}: say #[expect] with a reason");
        assert!(!code.contains("unsafe {"), "{inside}");
    }
}

#[test]
fn the_visible_top_level_is_as_agreed() {
    let agreed = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "bins",
        "completions",
        "install.sh",
        "man",
        "shared",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(top()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') || agreed.contains(&name.as_str()), "{name}");
    }
}
