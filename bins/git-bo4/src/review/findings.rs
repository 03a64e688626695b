//! What a review finds: plain values, kept beside the run's record and shown by the report.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A review of all variants of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Review {
    pub(crate) run: String,
    pub(crate) base_commit: String,
    pub(crate) time: Timestamp,
    /// The command that gives the metric, and whether less of it is better.
    pub(crate) metric: Option<String>,
    pub(crate) lower_is_better: bool,
    /// Whether a judge was asked.
    pub(crate) judged: bool,
    /// By what it was made, so that it is not made twice.
    #[serde(default)]
    pub(crate) how: Option<super::How>,
    pub(crate) rows: Vec<Row>,
    pub(crate) similar: Vec<Similar>,
    pub(crate) duels: Vec<Duel>,
    /// The best first.
    pub(crate) ranking: Vec<Place>,
}

/// What is known of one variant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) number: usize,
    /// What was looked at.
    #[serde(default)]
    pub(crate) commit: Option<String>,
    /// As git-validate says it; or `no-checks`, `not-validated` (why is in `problem`), `nothing` (no commit to judge).
    pub(crate) verdict: String,
    pub(crate) checks: Vec<Check>,
    pub(crate) metric: Metric,
    /// None without a commit.
    pub(crate) size: Option<Size>,
    pub(crate) risks: Vec<Risk>,
    pub(crate) problem: Option<String>,
}

/// One check of a verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) seconds: Option<f64>,
    /// The end of what it printed, if it did not pass.
    pub(crate) tail: String,
}

/// What the metric command said of a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(crate) enum Metric {
    /// None is asked for.
    None,
    Scored {
        value: f64,
    },
    /// It failed here, so there is no score; another's is never put in its place.
    Unscored {
        why: String,
    },
}

/// How large a change is, in lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) files: usize,
    pub(crate) added: usize,
    pub(crate) removed: usize,
    /// Added and removed, without tests and generated files.
    pub(crate) code: usize,
    pub(crate) test_files: usize,
    pub(crate) generated_files: usize,
    /// Test cases by the marks of their languages, such as `#[test]`.
    pub(crate) tests_added: usize,
    pub(crate) tests_removed: usize,
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Risk {
    pub(crate) weight: Weight,
    /// A word for programs, such as `tests-removed`.
    pub(crate) kind: String,
    pub(crate) path: Option<String>,
    /// A sentence for people.
    pub(crate) text: String,
}

/// How much a risk weighs, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Weight {
    /// Worth a look.
    Note,
    /// Comes after all that have none.
    Serious,
    /// Cannot win.
    Bars,
}

/// How much two variants have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Similar {
    pub(crate) one: usize,
    pub(crate) other: usize,
    /// Of the changed lines, from 0 to 1.
    pub(crate) share: f64,
    /// Whether they are essentially the same.
    pub(crate) same: bool,
}

/// Two variants before the judge, in both orders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Duel {
    pub(crate) one: usize,
    pub(crate) other: usize,
    /// None is a tie: said so, or said differently in the two orders.
    pub(crate) winner: Option<usize>,
    /// What was answered, first with `one` as A, then with `other` as A.
    pub(crate) answers: Vec<String>,
    pub(crate) why: Vec<String>,
    pub(crate) problem: Option<String>,
}

/// A place in the ranking.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    /// From 1; none for a variant that cannot win.
    pub(crate) place: Option<usize>,
    pub(crate) variant: usize,
    /// Why it is here and not one place higher.
    pub(crate) reason: String,
}
