//! The rules that there are: what each asks, what it takes for a key that is not set, and what weakens it.

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Such as `line-length`.
    pub(crate) name: &'static str,
    /// What it asks, as a sentence.
    pub(crate) asks: &'static str,
    /// How a finding is put right.
    pub(crate) fix: &'static str,
    /// What it must be told beside the tree.
    pub(crate) needs: Needs,
    pub(crate) fields: &'static [Field],
}

/// What a rule must be told beside the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Base,
    Message,
}

/// One key of a rule.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// What counts if it is not set, as TOML; empty if there is no such thing.
    pub(crate) default: &'static str,
    pub(crate) weaker: Weaker,
}

/// Which change of a value makes a rule ask for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weaker {
    /// A lower severity.
    Lower,
    /// A larger number, or 0, which is no limit.
    LargerOrNone,
    /// A larger number, or none.
    Larger,
    /// A smaller number, or none.
    Smaller,
    /// A list with more in it.
    More,
    /// A list with less in it, where an empty one means the least.
    Fewer,
    /// A list with less in it, where an empty one means everything.
    Narrower,
    /// On.
    On,
    /// Off.
    Off,
    /// Nobody can tell: any other value.
    Other,
}

const fn field(name: &'static str, default: &'static str, weaker: Weaker) -> Field {
    Field { name, default, weaker }
}

const SEVERITY: Field = field("severity", "\"error\"", Weaker::Lower);
const PATHS: Field = field("paths", "[]", Weaker::Narrower);
const EXCLUDE: Field = field("exclude", "[]", Weaker::More);
const OVERRIDES: Field = field("overrides", "[]", Weaker::More);

/// Files that hold what people write for a machine to run; the files of the licence policy if none are named.
const SOURCES: &str = r#"["*.rs", "*.py", "*.js", "*.jsx", "*.mjs", "*.cjs", "*.ts", "*.tsx", "*.go", "*.c", "*.h", "*.cc", "*.cpp", "*.hpp", "*.java", "*.kt", "*.swift", "*.rb", "*.php", "*.cs", "*.scala", "*.sh"]"#;

/// The rule about the settings themselves, which is always on.
pub(crate) const POLICY_CHANGE: &str = "policy-change";

/// Every rule, in the order in which they are judged and listed.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "line-length",
        asks: "No line is longer than max characters; a tab counts as one, the end of the line as none.",
        fix: "break the line, or allow more where it cannot be broken: overrides = [\"*.md off\", \"tests/** 160\"]",
        needs: Needs::Nothing,
        fields: &[field("max", "120", Weaker::Larger), SEVERITY, PATHS, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "whitespace",
        asks: "No line ends in spaces or tabs.",
        fix: "remove them: sed -i 's/[ \\t]*$//' FILE",
        needs: Needs::Nothing,
        fields: &[SEVERITY, PATHS, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "final-newline",
        asks: "The last line of each file is ended.",
        fix: "end it: echo >> FILE",
        needs: Needs::Nothing,
        fields: &[SEVERITY, PATHS, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "conflict-markers",
        asks: "No file holds the marks of a merge that was not resolved.",
        fix: "resolve the conflict and remove the lines <<<<<<<, =======, >>>>>>>",
        needs: Needs::Nothing,
        fields: &[SEVERITY, PATHS, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "line-endings",
        asks: "The lines of a file end alike, and in the style that is asked for.",
        fix: "git add --renormalize FILE after '* text=auto' in .gitattributes, or sed -i 's/\\r$//' FILE",
        needs: Needs::Nothing,
        fields: &[field("style", "\"either\"", Weaker::Other), SEVERITY, PATHS, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "file-size",
        asks: "No file is larger than max.",
        fix: "keep large files elsewhere (git-lfs), or allow them: overrides = [\"assets/** 10MiB\"]",
        needs: Needs::Nothing,
        fields: &[field("max", "\"1MiB\"", Weaker::Larger), SEVERITY, PATHS, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "forbidden-paths",
        asks: "No path of the tree matches one of the patterns.",
        fix: "git rm --cached PATH, and name it in .gitignore",
        needs: Needs::Nothing,
        fields: &[field("patterns", "[]", Weaker::Fewer), SEVERITY, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "protected-paths",
        asks: "No path that matches one of the patterns is added, changed or removed against the base.",
        fix: "git checkout BASE -- PATH; a change that is meant is made by whoever may",
        needs: Needs::Base,
        fields: &[field("patterns", "[]", Weaker::Fewer), SEVERITY, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "diff-size",
        asks: "The change against the base is small enough to be read; generated files and lockfiles do not count.",
        fix: "split the work into several, or mark what is generated: 'PATH linguist-generated' in .gitattributes",
        needs: Needs::Base,
        fields: &[
            field("max-lines", "0", Weaker::LargerOrNone),
            field("max-files", "0", Weaker::LargerOrNone),
            field("generated", "[]", Weaker::More),
            SEVERITY,
            PATHS,
            EXCLUDE,
        ],
    },
    Rule {
        name: "commit-message",
        asks: "The message has a subject that is short, finished and of the right form, and the trailers that are asked for.",
        fix: "git commit --amend",
        needs: Needs::Message,
        fields: &[
            field("subject-max", "72", Weaker::LargerOrNone),
            field("body-max", "0", Weaker::LargerOrNone),
            field("pattern", "", Weaker::Other),
            field("trailers", "[]", Weaker::Fewer),
            field("allow-wip", "false", Weaker::On),
            SEVERITY,
        ],
    },
    Rule {
        name: "documentation",
        asks: "What is public by syntax (Rust pub, TypeScript and JavaScript export, a Go capital, all of Python) has a doc comment.",
        fix: "write one sentence above the item that says what it is for",
        needs: Needs::Nothing,
        fields: &[
            field("min", "0", Weaker::Smaller),
            field("new-items", "false", Weaker::Off),
            field("max-drop", "", Weaker::Larger),
            field("languages", "[]", Weaker::Narrower),
            SEVERITY,
            PATHS,
            EXCLUDE,
        ],
    },
    Rule {
        name: "tests",
        asks: "There are no fewer tests than in the base, none that is skipped and was not, and no file with tests is gone.",
        fix: "bring the test back, or put another in its place",
        needs: Needs::Base,
        fields: &[
            field("max-fewer", "0", Weaker::Larger),
            field("max-skipped", "0", Weaker::Larger),
            field("max-deleted", "0", Weaker::Larger),
            SEVERITY,
            PATHS,
            EXCLUDE,
        ],
    },
    Rule {
        name: "coverage",
        asks: "Tests reach enough of the lines, by the coverage reports (lcov, cobertura) that checks name as outputs.",
        fix: "test what the report says is not reached",
        needs: Needs::Nothing,
        fields: &[field("min", "0", Weaker::Smaller), field("max-drop", "", Weaker::Larger), SEVERITY],
    },
    Rule {
        name: "secrets",
        asks: "No file holds a key, token or password.",
        fix: "remove and revoke it, for it stays in the history; what is none goes into allow: allow = [\"^test-\"]",
        needs: Needs::Nothing,
        fields: &[field("allow", "[]", Weaker::More), SEVERITY, PATHS, EXCLUDE, OVERRIDES],
    },
    Rule {
        name: "todo",
        asks: "Each TODO says by number or address where it is kept in mind.",
        fix: "open an issue and name it: TODO(#123)",
        needs: Needs::Nothing,
        fields: &[
            field("words", "[\"TODO\", \"FIXME\", \"XXX\"]", Weaker::Fewer),
            field("reference", "", Weaker::Other),
            SEVERITY,
            PATHS,
            EXCLUDE,
            OVERRIDES,
        ],
    },
    Rule {
        name: "licence",
        asks: "Each source file says its licence in its first lines.",
        fix: "begin the file with a comment such as SPDX-License-Identifier: MIT",
        needs: Needs::Nothing,
        fields: &[
            field("text", "", Weaker::Other),
            field("pattern", "", Weaker::Other),
            field("lines", "10", Weaker::Larger),
            SEVERITY,
            field("paths", SOURCES, Weaker::Narrower),
            EXCLUDE,
            OVERRIDES,
        ],
    },
    Rule {
        name: POLICY_CHANGE,
        asks: "The repository's settings take no policy and no check away, and let none ask for less than in the base.",
        fix: "leave .codex-agent/config.toml as it is; a change that is meant is made by whoever may",
        needs: Needs::Base,
        fields: &[SEVERITY],
    },
];

/// Finds a rule by its name.
pub(crate) fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

impl Rule {
    /// Finds one of its keys.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::config::schema;

    #[test]
    fn rules_and_keys_are_the_same_on_both_sides() {
        let mut ours: Vec<String> = RULES
            .iter()
            .flat_map(|rule| rule.fields.iter().map(|field| format!("policies.{}.{}", rule.name, field.name)))
            .collect();
        let mut known: Vec<String> =
            schema::KEYS.iter().map(|key| key.name.to_owned()).filter(|name| name.starts_with("policies.")).collect();
        ours.sort();
        known.sort();
        assert_eq!(ours, known);
    }

    #[test]
    fn every_default_is_good_toml() {
        for field in RULES.iter().flat_map(|rule| rule.fields).filter(|field| !field.default.is_empty()) {
            assert!(field.default.parse::<toml::Value>().is_ok(), "{}", field.name);
        }
    }
}
