//! Lanes: who makes how many of the attempts, as in `codex@gpt-5.5:2=other-prompt.md`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Attempts of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) runs: Runs,
    pub(crate) model: Option<String>,
    pub(crate) count: usize,
    /// A prompt of its own.
    pub(crate) prompt: Option<PathBuf>,
}

/// What runs in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Runs {
    /// An agent that git-worker knows; its own choice if none is named.
    Agent(Option<String>),
    /// A program that gets the prompt on its standard input.
    Program(PathBuf),
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.runs {
            Runs::Agent(name) => f.write_str(name.as_deref().unwrap_or("agent"))?,
            Runs::Program(path) => write!(f, "{}", path.display())?,
        }
        if let Some(model) = &self.model {
            write!(f, "@{model}")?;
        }
        Ok(())
    }
}

impl FromStr for Lane {
    type Err = String;

    /// Reads `<agent or program>[@<model>][:<count>][=<prompt file>]`; a program has a `/` in its name.
    fn from_str(text: &str) -> Result<Lane, String> {
        const MOST: usize = 16;
        let (rest, prompt) = match text.rsplit_once('=') {
            Some((rest, file)) if !file.is_empty() => (rest, Some(PathBuf::from(file))),
            Some(_) => return Err(format!("'{text}' names no prompt file behind '='")),
            None => (text, None),
        };
        let (rest, count) = match rest.rsplit_once(':') {
            Some((rest, count)) => {
                let count = count.parse().map_err(|_| format!("'{count}' in '{text}' is no number of attempts"))?;
                (rest, count)
            }
            None => (rest, 1),
        };
        if count == 0 || count > MOST {
            return Err(format!("'{text}' asks for {count} attempts; 1 to {MOST} can be asked for"));
        }
        let (name, model) = match rest.rsplit_once('@') {
            Some((name, model)) if !model.is_empty() && !model.contains('/') => (name, Some(model.to_owned())),
            Some(_) | None => (rest, None),
        };
        let runs = match name {
            "" if model.is_none() => return Err(format!("'{text}' names no agent")),
            "" => Runs::Agent(None),
            program if program.contains('/') => Runs::Program(PathBuf::from(program)),
            agent => Runs::Agent(Some(agent.to_owned())),
        };
        if matches!(runs, Runs::Program(_)) && model.is_some() {
            return Err(format!("'{text}' is a program, which takes no model"));
        }
        Ok(Lane { runs, model, count, prompt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, usize, Option<String>) {
        let lane: Lane = text.parse().unwrap();
        (lane.to_string(), lane.count, lane.prompt.map(|path| path.display().to_string()))
    }

    #[test]
    fn a_lane_is_read_as_it_is_written() {
        assert_eq!(read("codex"), ("codex".into(), 1, None));
        assert_eq!(read("codex:2"), ("codex".into(), 2, None));
        assert_eq!(read("codex@gpt-5.5:3=other.md"), ("codex@gpt-5.5".into(), 3, Some("other.md".into())));
        assert_eq!(read("./my agent:1"), ("./my agent".into(), 1, None));
        assert_eq!(read("/a@b/c"), ("/a@b/c".into(), 1, None));
        assert_eq!(read("@m"), ("agent@m".into(), 1, None));
    }

    #[test]
    fn what_is_no_lane_is_refused() {
        for text in ["", ":2", "codex:0", "codex:17", "codex:x", "codex=", "./x@m", "codex:-1"] {
            assert!(text.parse::<Lane>().is_err(), "{text}");
        }
    }
}
