//! What agents may use: tokens and money, of a job, of a task, of a day.
//!
//! A job is stopped when it has used more than is left. What others that still run use is counted
//! when they have ended. What an agent costs is what it tells, or what the price table of the
//! settings makes of its tokens; where neither is known nothing is reckoned, and that is said.

use anyhow::{Context as _, Result, anyhow};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use shared::config::Config;
use shared::failure::Failure;

use crate::job::Jobs;
use crate::names;
use crate::stream::Usage;
use crate::telemetry;

/// Prices are those of so many tokens.
const MILLION: f64 = 1_000_000.0;

/// What a job may use; 0 is without limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Budget {
    pub(crate) tokens: u64,
    /// US dollars.
    pub(crate) cost: f64,
    /// Whether a job that uses more goes on, with an event that says so.
    pub(crate) warn: bool,
    /// By the settings; the first that fits the model counts.
    pub(crate) prices: Vec<Price>,
}

/// What a model costs, in US dollars for a million tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Price {
    /// Name of the model, with `*` for anything.
    model: String,
    input: f64,
    cached: f64,
    output: f64,
}

/// What the settings allow beyond the single job.
struct Limit {
    key: &'static str,
    tokens: u64,
    cost: f64,
    /// Whether what a line tells counts.
    counts: Box<dyn Fn(&telemetry::Line) -> bool>,
}

impl Budget {
    /// Reads what a job may use; `tokens` is what the command line says.
    ///
    /// # Errors
    /// When a setting is none, or nothing is left for this task or day.
    pub(crate) fn of(config: &Config, tokens: Option<u64>, task: Option<(&str, &str)>) -> Result<Budget, Failure> {
        let mut budget = Budget {
            tokens: tokens.map_or_else(|| config.integer("worker.budget-tokens"), Ok)?,
            cost: dollars(config, "worker.budget-cost")?,
            warn: config.text("worker.budget-action")?.as_deref() == Some("warn"),
            prices: config.list("worker.prices")?.iter().map(|line| Price::read(line)).collect::<Result<_>>()?,
        };
        let limits = limits(config, task)?;
        if limits.is_empty() {
            return Ok(budget);
        }
        if config.text("telemetry.store")?.as_deref() == Some("none") {
            let message = format!("'{}' needs the telemetry, which is off", limits[0].key);
            return Err(Failure::could_not("no-telemetry", message).hint("'telemetry.store' turns it on"));
        }
        let mut used: Vec<(u64, f64)> = vec![(0, 0.0); limits.len()];
        telemetry::read(&telemetry::path(&Jobs::of_user()?.folder_of("")), |line| {
            for (limit, used) in limits.iter().zip(&mut used) {
                if let Some(usage) = line.usage.filter(|_| (limit.counts)(&line)) {
                    *used = (used.0.saturating_add(usage.total()), used.1 + usage.cost.unwrap_or(0.0));
                }
            }
        })?;
        for (limit, (tokens, cost)) in limits.iter().zip(used) {
            budget.lower(limit, tokens, cost)?;
        }
        Ok(budget)
    }

    /// Takes off what was used; refuses when nothing is left.
    fn lower(&mut self, limit: &Limit, tokens: u64, cost: f64) -> Result<(), Failure> {
        let over = |used: String, allowed: String| {
            let message = format!("nothing is left of '{}': {used} of {allowed} are used", limit.key);
            Failure::could_not("over-budget", message).hint("a higher limit, or 0 for none, lets it start")
        };
        if limit.tokens > 0 {
            let left = limit.tokens.saturating_sub(tokens);
            if left == 0 && !self.warn {
                return Err(over(format!("{tokens} tokens"), limit.tokens.to_string()));
            }
            self.tokens = if self.tokens == 0 { left.max(1) } else { self.tokens.min(left.max(1)) };
        }
        if limit.cost > 0.0 {
            let left = (limit.cost - cost).max(0.0);
            if left == 0.0 && !self.warn {
                return Err(over(format!("${cost:.4}"), format!("${}", limit.cost)));
            }
            let left = left.max(f64::MIN_POSITIVE);
            self.cost = if self.cost == 0.0 { left } else { self.cost.min(left) };
        }
        Ok(())
    }

    /// Adds what tokens cost by the price table, where the agent does not tell it.
    pub(crate) fn priced(&self, usage: Usage, model: Option<&str>) -> Usage {
        let price = self.prices.iter().find(|price| model.is_some_and(|model| names::matches(&price.model, model)));
        let cost = usage.cost.or_else(|| price.map(|price| price.of(usage)));
        Usage { cost, ..usage }
    }

    /// Returns why this is more than is allowed, if it is.
    pub(crate) fn exceeded(&self, usage: Usage) -> Option<String> {
        if self.tokens > 0 && usage.total() > self.tokens {
            return Some(format!("{} tokens, {} were allowed", usage.total(), self.tokens));
        }
        let cost = usage.cost.filter(|cost| self.cost > 0.0 && *cost > self.cost)?;
        Some(format!("${cost:.4}, ${:.4} were allowed", self.cost))
    }
}

impl Price {
    /// Reads a line such as `gpt-5* 1.25 0.125 10`.
    fn read(line: &str) -> Result<Price> {
        let wrong = || {
            anyhow!(
                "'{line}' in 'worker.prices' is none: model, then dollars a million of input, cached and output tokens"
            )
        };
        let mut words = line.split_whitespace();
        let model = words.next().with_context(wrong)?.to_owned();
        let mut next = || words.next().and_then(positive).with_context(wrong);
        Ok(Price { model, input: next()?, cached: next()?, output: next()? })
    }

    fn of(&self, usage: Usage) -> f64 {
        let fresh = usage.input.saturating_sub(usage.cached);
        let sum = fresh as f64 * self.input + usage.cached as f64 * self.cached + usage.output as f64 * self.output;
        sum / MILLION
    }
}

fn limits(config: &Config, task: Option<(&str, &str)>) -> Result<Vec<Limit>, Failure> {
    let mut limits = Vec::new();
    let midnight: Option<Timestamp> = Zoned::now().start_of_day().ok().map(|day| day.timestamp());
    limits.push(Limit {
        key: "worker.budget-tokens-day",
        tokens: config.integer("worker.budget-tokens-day")?,
        cost: dollars(config, "worker.budget-cost-day")?,
        counts: Box::new(move |line| midnight.is_none_or(|midnight| line.time >= midnight)),
    });
    if let Some((repo, task)) = task {
        let (repo, task) = (repo.to_owned(), task.to_owned());
        limits.push(Limit {
            key: "worker.budget-tokens-task",
            tokens: config.integer("worker.budget-tokens-task")?,
            cost: dollars(config, "worker.budget-cost-task")?,
            counts: Box::new(move |line| line.repo == repo && line.task.as_deref() == Some(&task)),
        });
    }
    limits.retain(|limit| limit.tokens > 0 || limit.cost > 0.0);
    Ok(limits)
}

fn dollars(config: &Config, key: &str) -> Result<f64, Failure> {
    let Some(text) = config.text(key)? else { return Ok(0.0) };
    let wrong = || Failure::could_not("bad-setting", format!("'{key}' is no number of dollars: '{text}'"));
    positive(&text).ok_or_else(wrong)
}

fn positive(text: &str) -> Option<f64> {
    text.trim_start_matches('$').parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_that_of_a_million_tokens() {
        let budget = Budget { prices: vec![Price::read("gpt-5* 1 0.1 10").unwrap()], ..Budget::default() };
        let usage = Usage { input: 3_000_000, cached: 1_000_000, output: 500_000, cost: None };
        let close = |cost: Option<f64>, to: f64| cost.is_some_and(|cost| (cost - to).abs() < 1e-9);
        assert!(close(budget.priced(usage, Some("gpt-5.5")).cost, 7.1));
        assert_eq!(budget.priced(usage, Some("other")).cost, None);
        assert_eq!(budget.priced(usage, None).cost, None);
        let told = Usage { cost: Some(2.0), ..usage };
        assert_eq!(budget.priced(told, Some("gpt-5.5")).cost, Some(2.0));
        assert!(Price::read("gpt-5 1 2").is_err() && Price::read("gpt-5 1 -2 3").is_err());
    }

    #[test]
    fn what_is_exceeded_is_said() {
        let usage = Usage { input: 90, cached: 0, output: 11, cost: Some(0.02) };
        let budget = |tokens, cost| Budget { tokens, cost, ..Budget::default() };
        assert_eq!(budget(100, 0.0).exceeded(usage).as_deref(), Some("101 tokens, 100 were allowed"));
        assert_eq!(budget(101, 0.02).exceeded(usage), None);
        assert_eq!(budget(0, 0.01).exceeded(usage).as_deref(), Some("$0.0200, $0.0100 were allowed"));
    }
}
