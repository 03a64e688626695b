//! What remains uncertain after a review, and what to do next.

use super::{Line, Report, Step};
use crate::record::{Backend, Kickoff, State};
use crate::review::findings::{Metric, Weight};

/// Returns what speaks against the choice, or what nobody has looked at.
pub(super) fn residual(report: &Report) -> Vec<String> {
    if report.reviewed.is_none() {
        return match report.phase.is_over() {
            true => vec!["nothing is reviewed yet".to_owned()],
            false => Vec::new(),
        };
    }
    let Some(winner) = report.winner() else {
        return vec!["no variant can win: none of them should be taken as it is".to_owned()];
    };
    let mut left = of_winner(winner);
    let can_win: Vec<usize> =
        report.ranking.iter().filter(|place| place.place.is_some()).map(|place| place.variant).collect();
    if report.picked.is_some() && !can_win.contains(&winner.variant) {
        left.push(format!("variant {} was picked although it cannot win", winner.variant));
    }
    if can_win.len() == 1 && report.variants.len() > 1 {
        left.push(format!("only variant {} can win, so there is nothing to compare it with", can_win[0]));
    }
    let both = |one: usize, other: usize| can_win.contains(&one) && can_win.contains(&other);
    let same = report.similar.iter().filter(|pair| pair.same && both(pair.one, pair.other)).count();
    if can_win.len() > 1 && same == can_win.len() * (can_win.len() - 1) / 2 {
        left.push("all variants that can win are essentially the same: they may be wrong in the same way".to_owned());
    }
    let torn = report.duels.iter().filter(|duel| duel.winner.is_none() && both(duel.one, duel.other)).count();
    if torn > 0 {
        left.push(format!("the judge preferred neither in {}", super::words::many(torn, "pair")));
    }
    let lost = report.variants.iter().filter(|line| matches!(line.state, State::Failed | State::Cancelled)).count();
    if lost > 0 {
        left.push(format!("{lost} of {} variants failed or were cancelled", report.variants.len()));
    }
    left
}

/// What is left to doubt in the winner itself.
fn of_winner(winner: &Line) -> Vec<String> {
    let number = winner.variant;
    let mut left = Vec::new();
    match winner.verdict.as_deref() {
        Some("pass") => {}
        Some("no-checks") => left.push("there are no checks, so nothing says that it works".to_owned()),
        Some(_) | None => left.push(format!("variant {number} is not validated")),
    }
    if winner.size.is_some_and(|size| size.code > 0 && size.tests_added == 0) {
        left.push(format!("variant {number} adds no test: only the checks that were there speak for it"));
    }
    if let Metric::Unscored { why } = &winner.metric {
        left.push(format!("variant {number} has no score: {why}"));
    }
    let risks = winner.risks.iter().filter(|risk| risk.weight >= Weight::Note);
    left.extend(risks.map(|risk| format!("variant {number} {}", predicate(&risk.text))));
    left
}

/// Texts of risks are predicates, but for those that begin with the path that they are about.
fn predicate(text: &str) -> String {
    if text.starts_with('\'') || text.starts_with(|c: char| c.is_ascii_digit()) {
        format!("has a risk: {text}")
    } else {
        text.to_owned()
    }
}

/// Returns what can be done now, the most likely first.
pub(super) fn next(report: &Report) -> Vec<Step> {
    let run = &report.run;
    let step = |command: String, why: &str| Step { command, why: why.to_owned() };
    let retry = || step(format!("git bo4 retry {run}"), "ask again, linked to this run");
    if report.kickoff == Kickoff::Begun && report.backend != Backend::Local {
        return vec![step(format!("git bo4 watch {run}"), "see which tasks it could be, and how to go on")];
    }
    if !report.phase.is_over() {
        return vec![step(format!("git bo4 watch {run}"), "wait for its variants")];
    }
    if report.variants.iter().all(|line| line.commit.is_none()) {
        return vec![step(format!("git bo4 status {run}"), "see what went wrong"), retry()];
    }
    if report.reviewed.is_none() {
        return vec![step(format!("git bo4 review {run}"), "check and compare its variants")];
    }
    let Some(winner) = report.winner() else {
        let shown = report.variants.iter().filter(|line| line.commit.is_some());
        let mut steps: Vec<Step> = shown
            .take(1)
            .map(|line| step(format!("git bo4 show {run} --variant {}", line.variant), "see what one of them did"))
            .collect();
        steps.push(retry());
        return steps;
    };
    if let Some(picked) = &report.picked {
        let branch = picked.branch.strip_prefix("refs/heads/").unwrap_or(&picked.branch);
        let mut steps = vec![step(format!("git agent-merge check {branch}"), "see whether it merges")];
        steps.extend(report.task.iter().map(|task| step(format!("git task complete {task}"), "merge it and be done")));
        steps.push(step("git bo4 gc".to_owned(), "let go of what is not needed any more"));
        return steps;
    }
    let number = winner.variant;
    let mut steps = vec![step(format!("git bo4 show {run} --variant {number}"), "read the best one")];
    steps.extend(winner.branch.iter().map(|branch| {
        step(format!("git agent-merge check {branch}"), "see whether it merges with what the base is by now")
    }));
    steps.push(step(format!("git bo4 pick {run} --variant {number}"), "take it"));
    steps.extend(graft(report, winner));
    steps
}

/// Where a loser has tests and the winner has none, they are worth a look.
fn graft(report: &Report, winner: &Line) -> Option<Step> {
    let tests = |line: &Line| line.size.map_or(0, |size| size.tests_added);
    if tests(winner) > 0 {
        return None;
    }
    let others = report.in_order().into_iter().filter(|line| line.place.is_some() && line.variant != winner.variant);
    let from = others.into_iter().find(|line| tests(line) > 0)?;
    Some(Step {
        command: format!("git bo4 graft {} --from {} --paths <paths of its tests>", report.run, from.variant),
        why: format!("take the tests of variant {} on top", from.variant),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::record::Phase;

    fn commands(report: &Report) -> Vec<String> {
        next(report).into_iter().map(|step| step.command).collect()
    }

    #[test]
    fn the_next_step_follows_from_how_far_the_run_is() {
        let mut run = report();
        assert_eq!(
            commands(&run),
            ["git bo4 show r1 --variant 1", "git agent-merge check bo4/r1/var1", "git bo4 pick r1 --variant 1",]
        );
        run.variants[1].size.as_mut().unwrap().tests_added = 2;
        assert_eq!(commands(&run)[3], "git bo4 graft r1 --from 2 --paths <paths of its tests>");
        run.phase = Phase::InProgress;
        assert_eq!(commands(&run), ["git bo4 watch r1"]);
        run.phase = Phase::Ready;
        run.ranking.iter_mut().for_each(|place| place.place = None);
        assert_eq!(commands(&run), ["git bo4 show r1 --variant 1", "git bo4 retry r1"]);
    }

    #[test]
    fn what_is_left_to_doubt_is_said() {
        let mut run = report();
        assert_eq!(residual(&run), ["variant 1 adds no test: only the checks that were there speak for it"]);
        run.variants[0].verdict = Some("no-checks".to_owned());
        run.ranking[1].place = None;
        assert_eq!(residual(&run)[0], "there are no checks, so nothing says that it works");
        assert_eq!(residual(&run)[2], "only variant 1 can win, so there is nothing to compare it with");
        run.ranking[0].place = None;
        assert_eq!(residual(&run), ["no variant can win: none of them should be taken as it is"]);
    }
}
