//! Numbers and states in words, the same in every form of the report.

use shared::output::Foreign;

use super::{Line, Report};
use crate::review::findings::{Metric, Weight};

/// Variants that have less in common are simply different.
const ALIKE: f64 = 0.3;

/// The heads of the table of variants.
pub(super) const HEADS: [&str; 11] =
    ["variant", "place", "state", "checks", "metric", "code", "files", "tokens", "time", "risks", "by"];

/// One line of the table of variants.
pub(super) fn cells(line: &Line) -> [String; 11] {
    let none = || "-".to_owned();
    let size =
        |of: fn(crate::review::findings::Size) -> usize| line.size.map_or_else(none, |size| of(size).to_string());
    [
        line.variant.to_string(),
        line.place.map_or_else(none, |place| place.to_string()),
        state(line),
        verdict(line),
        metric(&line.metric),
        line.size.map_or_else(none, |size| format!("{} (+{} -{})", size.code, size.added, size.removed)),
        size(|size| size.files),
        line.tokens.map_or_else(none, tokens),
        line.seconds.map_or_else(none, duration),
        risks(line),
        by(line),
    ]
}

/// How it ended, and whether what it made applies.
pub(super) fn state(line: &Line) -> String {
    match line.apply.as_deref() {
        None | Some("applies") => line.state.to_string(),
        Some(_) => format!("{}, does not apply", line.state),
    }
}

/// The verdict, and how many checks passed.
pub(super) fn verdict(line: &Line) -> String {
    let Some(verdict) = &line.verdict else { return "-".to_owned() };
    match line.checks.len() {
        0 => verdict.clone(),
        all => format!("{verdict} {}/{all}", line.counts()[0]),
    }
}

pub(super) fn metric(metric: &Metric) -> String {
    match metric {
        Metric::None => "-".to_owned(),
        Metric::Scored { value } => value.to_string(),
        Metric::Unscored { .. } => "no score".to_owned(),
    }
}

fn risks(line: &Line) -> String {
    let count = |weight: Weight| line.risks.iter().filter(|risk| risk.weight == weight).count();
    let kinds = [(Weight::Bars, "barring"), (Weight::Serious, "serious"), (Weight::Note, "small")];
    let parts = kinds.map(|(weight, name)| (count(weight), name)).into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, name)| format!("{count} {name}")).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

/// Who made it, in the words of its lane or of the backend.
pub(super) fn by(line: &Line) -> String {
    let own = line.agent.as_ref().map(|agent| match &line.model {
        Some(model) => format!("{agent}@{model}"),
        None => agent.clone(),
    });
    own.or_else(|| line.lane.clone()).unwrap_or_else(|| "-".to_owned())
}

/// A risk's weight as people say it.
pub(super) fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Bars => "cannot win",
        Weight::Serious => "serious",
        Weight::Note => "note",
    }
}

/// What is known of the run, in short sentences.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let backend = serde_json::to_value(report.backend).ok();
    let backend = backend.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    let commit = report.base_commit.get(..10).unwrap_or(&report.base_commit);
    let mut facts = vec![("state", report.phase.to_string())];
    facts.extend(report.reason.iter().map(|reason| ("reason", reason.clone())));
    facts.push(("base", format!("{} at {commit}", report.base)));
    facts.extend(report.task.iter().map(|task| ("task", task.clone())));
    let env = report.env.as_ref().map(|env| format!(" in '{env}'")).unwrap_or_default();
    facts.push(("asked", format!("best of {}, {backend}{env}", report.best_of)));
    if !report.lanes.is_empty() {
        facts.push(("lanes", report.lanes.join(", ")));
    }
    facts.push(("begun", report.created.strftime("%Y-%m-%d %H:%M UTC").to_string()));
    facts.extend(report.previous.iter().map(|previous| ("goes on from", previous.clone())));
    facts.extend(report.reviewed.map(|time| ("reviewed", time.strftime("%Y-%m-%d %H:%M UTC").to_string())));
    let better = if report.lower_is_better { "less is better" } else { "more is better" };
    facts.extend(report.metric.iter().map(|metric| ("metric", format!("{metric} ({better})"))));
    if report.judged {
        facts.push(("judge", format!("asked about {}, in both orders", many(report.duels.len(), "pair"))));
    }
    let picked = |picked: &crate::record::Picked| {
        let branch = picked.branch.strip_prefix("refs/heads/").unwrap_or(&picked.branch);
        ("picked", format!("variant {} as '{branch}'", picked.variant))
    };
    facts.extend(report.picked.iter().map(picked));
    facts
}

/// How much two variants have in common, in one sentence for each pair that is worth one.
pub(super) fn alike(report: &Report) -> Vec<String> {
    let worth = report.similar.iter().filter(|pair| pair.same || pair.share >= ALIKE);
    let pairs = worth.map(|pair| match pair.same {
        true => format!("variants {} and {} are essentially the same ({})", pair.one, pair.other, percent(pair.share)),
        false => format!("variants {} and {} share {} of their lines", pair.one, pair.other, percent(pair.share)),
    });
    pairs.collect()
}

/// What the judge said, in one sentence for each pair.
pub(super) fn judged(report: &Report) -> Vec<String> {
    let duels = report.duels.iter().map(|duel| {
        let pair = format!("{} and {}", duel.one, duel.other);
        match (duel.winner, &duel.problem) {
            (Some(winner), _) => format!("of variants {pair}, {winner} is better"),
            (None, Some(problem)) => format!("of variants {pair}, nothing is known: {}", Foreign(problem)),
            (None, None) => {
                format!("of variants {pair}, neither is better ({})", Foreign(&duel.answers.join(", then ")))
            }
        }
    });
    duels.collect()
}

pub(super) fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

pub(super) fn tokens(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{}.{}k", count / 1_000, count % 1_000 / 100),
        _ => format!("{}.{}M", count / 1_000_000, count % 1_000_000 / 100_000),
    }
}

pub(super) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and no run takes so long"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([tokens(999), tokens(1200), tokens(2_340_000)], ["999", "1.2k", "2.3M"]);
        assert_eq!([duration(1.24), duration(61.5), duration(3700.0)], ["1.2s", "1m02s", "1h01m"]);
        assert_eq!([many(1, "line"), many(2, "line"), percent(0.947)], ["1 line", "2 lines", "95 %"]);
    }
}
