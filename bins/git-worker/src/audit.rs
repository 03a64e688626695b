//! `git worker audit`: how the jobs of each agent went, from the telemetry.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::cli;
use crate::job::Jobs;
use crate::record::State;
use crate::stream::Usage;
use crate::telemetry::{self, Line};

/// Lines that cannot be read and are named.
const NAMED: usize = 20;

/// Sum up how the jobs of each agent went
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Count only what started or ended since a time, as 2026-03-01T09:30:00Z, or in the last 90m, 12h or 30d
    #[arg(long, value_name = "time", value_parser = cli::since)]
    since: Option<Timestamp>,
    /// Sum up the jobs of all repositories
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    since: Option<Timestamp>,
    agents: Vec<Agent>,
    unread: Unread,
}

/// How the jobs of one agent went.
#[derive(Debug, Serialize)]
struct Agent {
    /// None for plain commands.
    agent: Option<String>,
    /// Those that have ended.
    jobs: u64,
    states: BTreeMap<&'static str, u64>,
    /// Those that have started and of which no end is known.
    unended: usize,
    /// The share of `jobs` that completed; none if there is none.
    success_rate: Option<f64>,
    median_ms: Option<u64>,
    p90_ms: Option<u64>,
    #[serde(flatten)]
    counts: Counts,
    /// In and out; none if nobody knows.
    tokens: Option<u64>,
    /// The same by kind, with the cost that agents told.
    usage: Option<Usage>,
    /// How many failed for which kind of error.
    error_kinds: BTreeMap<String, u64>,
    parsed: u64,
    unparsed: u64,
    /// The share of the lines of its stream that was understood; none where it has none.
    parse_coverage: Option<f64>,
    /// Versions whose stream was understood worse than it should be.
    drift: Vec<Drift>,
}

/// What is added up over the jobs of an agent.
#[derive(Debug, Default, Serialize)]
struct Counts {
    stalls: u64,
    dangers: u64,
    interrupts: u64,
    redactions: u64,
    bytes_logged: u64,
    bytes_dropped: u64,
}

/// A version of an agent that says what this program does not know.
#[derive(Debug, Serialize)]
struct Drift {
    version: Option<String>,
    parsed: u64,
    unparsed: u64,
}

/// Lines that could not be read.
#[derive(Debug, Serialize)]
struct Unread {
    path: String,
    count: usize,
    /// The numbers of the first ones.
    lines: Vec<u64>,
}

/// What is counted of one agent.
#[derive(Debug, Default)]
struct Tally {
    /// Repository and name.
    unended: HashSet<(String, String)>,
    states: BTreeMap<&'static str, u64>,
    durations: Vec<u64>,
    counts: Counts,
    usage: Option<Usage>,
    error_kinds: BTreeMap<String, u64>,
    /// Lines that were understood and that were not, by version.
    lines: BTreeMap<Option<String>, (u64, u64)>,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let here = if args.all { None } else { cx.find_repository()?.map(|repository| repository.key()) };
    let path = telemetry::path(&Jobs::of_user()?.folder_of(""));
    let mut tallies: BTreeMap<Option<String>, Tally> = BTreeMap::new();
    let unread = telemetry::read(&path, |line| {
        let is_meant = here.as_ref().is_none_or(|key| *key == line.repo);
        if is_meant && args.since.is_none_or(|since| line.time >= since) {
            tallies.entry(line.agent.clone()).or_default().add(line);
        }
    })?;
    if cx.config()?.text("telemetry.store")?.as_deref() == Some("none") {
        cx.output.note("nothing is added: the setting telemetry.store is 'none'");
    }
    let (count, lines) = (unread.len(), unread.into_iter().take(NAMED).collect::<Vec<u64>>());
    let unread = Unread { path: path.display().to_string(), count, lines };
    if unread.count > 0 {
        cx.output.warn(unread.to_string());
    }
    let agents: Vec<Agent> = tallies.into_iter().map(|(agent, tally)| tally.sum_up(agent)).collect();
    for agent in &agents {
        for Drift { version, parsed, unparsed } in &agent.drift {
            let name = agent.agent.as_deref().unwrap_or("(command)");
            let version = version.as_deref().unwrap_or("of unknown version");
            let all = parsed + unparsed;
            cx.output
                .warn(format!("{name} {version}: {unparsed} of {all} lines were not understood: it may have changed"));
        }
    }
    cx.output.answer(&Answer { since: args.since, agents, unread })?;
    Ok(Status::Done)
}

impl Counts {
    fn add(&mut self, line: &Line) {
        self.stalls += line.stalls;
        self.dangers += line.dangers;
        self.interrupts += line.interrupts;
        self.redactions += line.redactions;
        self.bytes_logged += line.bytes_logged;
        self.bytes_dropped += line.bytes_dropped;
    }
}

impl Tally {
    fn add(&mut self, line: Line) {
        match line.event.as_str() {
            telemetry::START => {
                self.unended.insert((line.repo, line.id));
            }
            telemetry::END => {
                self.counts.add(&line);
                self.unended.remove(&(line.repo, line.id));
                *self.states.entry(line.state.as_str()).or_default() += 1;
                self.durations.extend(line.duration_ms);
                self.usage = line.usage.map(|usage| usage.plus(self.usage.unwrap_or_default())).or(self.usage);
                if let Some(kind) = line.error_kind {
                    *self.error_kinds.entry(kind).or_default() += 1;
                }
                let lines = self.lines.entry(line.agent_version).or_default();
                *lines = (lines.0 + line.parsed, lines.1 + line.unparsed);
            }
            // Of a newer version.
            _ => {}
        }
    }

    fn sum_up(mut self, agent: Option<String>) -> Agent {
        let jobs: u64 = self.states.values().sum();
        let completed = self.states.get(State::Completed.as_str()).copied().unwrap_or(0);
        self.durations.sort_unstable();
        let (parsed, unparsed) = self.lines.values().fold((0, 0), |sum, lines| (sum.0 + lines.0, sum.1 + lines.1));
        let drift = self.lines.into_iter().filter(|(_, (parsed, unparsed))| drifts(*parsed, *unparsed));
        Agent {
            agent,
            jobs,
            unended: self.unended.len(),
            success_rate: (jobs > 0).then(|| completed as f64 / jobs as f64),
            median_ms: rank(&self.durations, 50),
            p90_ms: rank(&self.durations, 90),
            states: self.states,
            counts: self.counts,
            tokens: self.usage.map(Usage::total),
            usage: self.usage,
            error_kinds: self.error_kinds,
            parsed,
            unparsed,
            parse_coverage: (parsed + unparsed > 0).then(|| parsed as f64 / (parsed + unparsed) as f64),
            drift: drift.map(|(version, (parsed, unparsed))| Drift { version, parsed, unparsed }).collect(),
        }
    }
}

/// Says whether more than one line of a hundred was not understood.
fn drifts(parsed: u64, unparsed: u64) -> bool {
    unparsed.saturating_mul(100) > parsed.saturating_add(unparsed)
}

/// Returns the smallest of the sorted values that so many percent of them do not exceed.
fn rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let at = (sorted.len() * percent).div_ceil(100);
    sorted.get(at.saturating_sub(1)).copied()
}

/// Spells a span of time as short as it can be understood.
fn spell(ms: Option<u64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms @ 0..1000) => format!("{ms}ms"),
        Some(ms @ 1000..60_000) => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        Some(ms @ 60_000..3_600_000) => format!("{}m{:02}s", ms / 60_000, ms % 60_000 / 1000),
        Some(ms) => format!("{}h{:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unread { path, count, lines } = self;
        let (s, more) = (if *count == 1 { "" } else { "s" }, if *count > lines.len() { ", …" } else { "" });
        let lines: Vec<String> = lines.iter().map(u64::to_string).collect();
        write!(f, "{count} line{s} of '{path}' cannot be read: {}{more}", lines.join(", "))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.agents.is_empty() {
            return Ok(());
        }
        let name = |agent: &Agent| agent.agent.as_ref().map_or("(command)".into(), |name| Foreign(name).to_string());
        let width = self.agents.iter().map(|agent| name(agent).chars().count()).max().unwrap_or(0).max(5);
        let head = [
            "jobs",
            "unended",
            "completed",
            "median",
            "p90",
            "stalls",
            "dangers",
            "redactions",
            "tokens",
            "understood",
        ];
        write!(f, "{:width$}", "agent")?;
        head.iter().try_for_each(|word| write!(f, "  {word:>8}"))?;
        writeln!(f)?;
        for agent in &self.agents {
            let rate = agent.success_rate.map_or("-".to_owned(), |rate| format!("{:.0}%", rate * 100.0));
            let tokens = agent.tokens.map_or("unknown".to_owned(), |tokens| tokens.to_string());
            let (median, p90) = (spell(agent.median_ms), spell(agent.p90_ms));
            let Agent { jobs, unended, counts: Counts { stalls, dangers, redactions, .. }, .. } = agent;
            write!(f, "{:width$}  {jobs:>8}  {unended:>8}  {rate:>9}  {median:>8}  {p90:>8}", name(agent))?;
            let coverage = agent.parse_coverage.map_or("-".to_owned(), |share| format!("{:.1}%", share * 100.0));
            writeln!(f, "  {stalls:>8}  {dangers:>8}  {redactions:>10}  {tokens:>8}  {coverage:>10}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_is_one_of_the_values() {
        let ten: Vec<u64> = (1..=10).collect();
        assert_eq!((rank(&ten, 50), rank(&ten, 90)), (Some(5), Some(9)));
        assert_eq!((rank(&[7], 50), rank(&[7], 90), rank(&[], 90)), (Some(7), Some(7), None));
    }

    #[test]
    fn spans_are_short() {
        let spelled: Vec<String> = [7, 1250, 61_000, 7_380_000].map(|ms| spell(Some(ms))).to_vec();
        assert_eq!(spelled, ["7ms", "1.2s", "1m01s", "2h03m"]);
    }
}
