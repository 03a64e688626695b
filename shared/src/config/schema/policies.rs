//! The keys of the policies that git-validate has built in.
//!
//! None has a built-in value here: a policy is on as soon as one of its keys is set, and what it
//! takes for the others `git validate policy explain` tells.

use super::{Class, Key, Kind, key};

/// What a finding weighs, the strictest last.
const SEVERITY: Kind = Kind::Choice(&["off", "note", "warning", "error"]);

/// Makes the keys of one rule: its severity, and each further field with its kind and what it is for.
macro_rules! rule {
    ($rule:literal, $($field:literal: $kind:expr, $about:expr;)*) => {
        &[
            key(
                concat!("policies.", $rule, ".severity"),
                SEVERITY,
                Class::Stricter,
                "",
                concat!("what a finding of the policy ", $rule, " weighs, or off; error if not set"),
            ),
            $(key(concat!("policies.", $rule, ".", $field), $kind, Class::Stricter, "", $about),)*
        ]
    };
}

/// Makes the keys of a rule that is about files: as [`rule!`], with where it applies.
macro_rules! rule_of_files {
    ($rule:literal, $($field:literal: $kind:expr, $about:expr;)*) => {
        rule!($rule,
            $($field: $kind, $about;)*
            "paths": Kind::List, "files that it is about, as in .gitignore; all if empty";
            "exclude": Kind::List, "files that it is not about, as in .gitignore";
            "overrides": Kind::List, "a pattern and what counts there instead, a severity or another value; later ones win";
        )
    };
}

/// The keys of each rule.
pub(super) const RULES: &[&[Key]] = &[
    rule_of_files!("line-length",
        "max": Kind::Integer, "characters of a line at most; 120 if not set";
    ),
    rule_of_files!("whitespace",),
    rule_of_files!("final-newline",),
    rule_of_files!("conflict-markers",),
    rule_of_files!("line-endings",
        "style": Kind::Choice(&["either", "lf", "crlf"]), "ends that lines must have; either, but one per file, if not set";
    ),
    rule_of_files!("file-size",
        "max": Kind::Size, "size of a file at most; 1MiB if not set";
    ),
    rule!("forbidden-paths",
        "patterns": Kind::List, "paths that must not be in the tree, as in .gitignore";
        "exclude": Kind::List, "files that it is not about, as in .gitignore";
        "overrides": Kind::List, "a pattern and the severity that counts there instead; later ones win";
    ),
    rule!("protected-paths",
        "patterns": Kind::List, "paths that must be as in the base, as in .gitignore";
        "exclude": Kind::List, "files that it is not about, as in .gitignore";
        "overrides": Kind::List, "a pattern and the severity that counts there instead; later ones win";
    ),
    rule!("diff-size",
        "max-lines": Kind::Integer, "lines added and removed against the base at most; 0 for no limit";
        "max-files": Kind::Integer, "files changed against the base at most; 0 for no limit";
        "generated": Kind::List, "files that are generated and do not count, beside those of .gitattributes and lockfiles";
        "paths": Kind::List, "files that count, as in .gitignore; all if empty";
        "exclude": Kind::List, "files that do not count, as in .gitignore";
    ),
    rule!("commit-message",
        "subject-max": Kind::Integer, "characters of the subject at most, 0 for no limit; 72 if not set";
        "body-max": Kind::Integer, "characters of a line of the body at most; 0 for no limit";
        "pattern": Kind::Text, "what the subject must match; an expression of the regex crate";
        "trailers": Kind::List, "trailers that must be there, such as Signed-off-by";
        "allow-wip": Kind::Boolean, "whether a subject may begin with WIP, fixup!, squash! or amend!";
    ),
    rule!("documentation",
        "min": Kind::Integer, "per cent of the public items that must be documented";
        "new-items": Kind::Boolean, "whether each public item that the base does not have must be documented";
        "max-drop": Kind::Integer, "points of per cent by which the documented part may fall against the base";
        "languages": Kind::List, "languages that count: rust, python, typescript, javascript, go; all if empty";
        "paths": Kind::List, "files that count, as in .gitignore; all if empty";
        "exclude": Kind::List, "files that do not count, as in .gitignore";
    ),
    rule!("tests",
        "max-fewer": Kind::Integer, "by how many tests there may be fewer than in the base; 0 if not set";
        "max-skipped": Kind::Integer, "how many tests more may be skipped than in the base; 0 if not set";
        "max-deleted": Kind::Integer, "how many files with tests may be deleted; 0 if not set";
        "paths": Kind::List, "files that count, as in .gitignore; all if empty";
        "exclude": Kind::List, "files that do not count, as in .gitignore";
    ),
    rule!("coverage",
        "min": Kind::Integer, "per cent of the lines that tests must reach, by the reports of the checks";
        "max-drop": Kind::Integer, "points of per cent by which that may fall against what is noted of the base";
    ),
    rule_of_files!("secrets",
        "allow": Kind::List, "expressions of the regex crate; what they match, or the line it stands in, is no secret";
    ),
    rule_of_files!("todo",
        "words": Kind::List, "words that need a reference beside them; TODO, FIXME and XXX if not set";
        "reference": Kind::Text, "what is a reference beside #123 and a URL; an expression of the regex crate";
    ),
    rule_of_files!("licence",
        "text": Kind::Text, "text that the first lines of a file must hold";
        "pattern": Kind::Text, "what the first lines must match; an SPDX-License-Identifier if neither is set";
        "lines": Kind::Integer, "how many lines are the first; 10 if not set";
    ),
    &[key(
        "policies.policy-change.severity",
        SEVERITY,
        Class::User,
        "",
        "what a weakened policy or check in the repository's settings weighs at most, or off; error if not set",
    )],
];
