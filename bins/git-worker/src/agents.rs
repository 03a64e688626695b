//! `git worker agents`: which agents there are, and what each can do.

use std::fmt;

use serde::Serialize;
use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;
use shared::output::Foreign;

use crate::agent::{About, Agent};
use crate::job::Jobs;
use crate::pause;

/// List the agents that can be started: the known ones, and those of the settings
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask the programs for their versions anew
    #[arg(long)]
    probe: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    agents: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    about: About,
    /// Until when it is not started, after an error of quota or login.
    paused_until: Option<jiff::Timestamp>,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let paused = pause::all(&Jobs::of_user()?.folder_of(""));
    let about = Agent::all(cx.config()?, args.probe)?;
    let lines = about.into_iter().map(|about| {
        let pause = paused.iter().find(|pause| pause.agent == about.name);
        Line { paused_until: pause.map(|pause| pause.until), about }
    });
    cx.output.answer(&Answer { agents: lines.collect() })?;
    Ok(Status::Done)
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { about, paused_until } in &self.agents {
            let version = match (&about.program, &about.version, about.tried) {
                (None, _, _) => "not installed".to_owned(),
                (Some(_), None, _) => "version unknown".to_owned(),
                (Some(_), Some(version), Some(false)) => format!("{version}, not tried with this program"),
                (Some(_), Some(version), _) => version.clone(),
            };
            let can: Vec<&str> = [(about.resume, "resume"), (about.schema, "schema"), (about.events, "events")]
                .into_iter()
                .filter_map(|(can, word)| can.then_some(word))
                .collect();
            write!(f, "{:12} {:28} {}", Foreign(&about.name), Foreign(&version), can.join(" "))?;
            if let Some(until) = paused_until {
                write!(f, "  paused until {until}")?;
            }
            if let Some(problem) = &about.problem {
                write!(f, "  ({})", Foreign(problem))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
