//! The configured checks: commands that say whether a tree is good.

pub(crate) mod key;
pub(crate) mod patterns;
mod tools;

use std::fmt;
use std::time::Duration;

use shared::app::Context;
use shared::config::Config;
use shared::failure::Failure;

use crate::verdict::{POLICY, REVIEW};
pub(crate) use patterns::Patterns;

/// One check.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) name: String,
    /// Program and arguments; a shell if the check is one.
    pub(crate) command: Vec<String>,
    /// Program and arguments that mend what the check finds.
    pub(crate) fix: Vec<String>,
    pub(crate) timeout: Option<Duration>,
    /// The files that are its business.
    pub(crate) files: Patterns,
    pub(crate) pass_files: PassFiles,
    /// The checks that have to pass before.
    pub(crate) needs: Vec<String>,
    /// The reports that it writes.
    pub(crate) outputs: Vec<Report>,
    /// Variables that it gets.
    pub(crate) env: Vec<(String, String)>,
    /// Variables of ours on which its answer depends.
    pub(crate) env_keys: Vec<String>,
    /// The files on which its answer depends; all if it names none.
    pub(crate) inputs: Patterns,
    /// Program and arguments whose output is part of the key.
    pub(crate) version: Vec<String>,
    /// Nothing else runs beside it.
    pub(crate) serial: bool,
    /// When it is asked; always if there are none.
    pub(crate) stages: Vec<Stage>,
}

/// When checks are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Stage {
    /// Before a commit
    PreCommit,
    /// Before a push
    PrePush,
    /// Before a task is merged
    Complete,
}

/// Which files are passed to the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassFiles {
    None,
    /// All that are its business.
    All,
    /// Those of them that differ from the base.
    Changed,
}

/// A report that a check writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) format: Format,
    /// Seen from the top of the tree.
    pub(crate) path: String,
}

/// The reports that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Junit,
    Sarif,
    Lcov,
    Cobertura,
}

impl Format {
    const ALL: [Format; 4] = [Format::Junit, Format::Sarif, Format::Lcov, Format::Cobertura];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Format::Junit => "junit",
            Format::Sarif => "sarif",
            Format::Lcov => "lcov",
            Format::Cobertura => "cobertura",
        })
    }
}

/// Reads the checks in the order in which they are configured.
///
/// # Errors
/// When they wait for trust, or one cannot be understood.
pub(crate) fn configured(cx: &Context) -> Result<Vec<Check>, Failure> {
    let config = cx.config()?;
    let mut checks = Vec::new();
    for name in config.names("checks")? {
        checks.push(Check::read(config, name)?);
    }
    for check in &checks {
        if let Some(unknown) = check.needs.iter().find(|need| !checks.iter().any(|other| other.name == **need)) {
            return Err(check.broken("needs", format!("there is no check '{}'", unknown.escape_debug())));
        }
    }
    refuse_cycle(&checks)?;
    Ok(checks)
}

impl Check {
    fn read(config: &Config, name: String) -> Result<Check, Failure> {
        let field = |field: &str| format!("checks.{name}.{field}");
        let list = |of: &str| config.list(&field(of));
        let mut check = Check {
            command: list("command")?,
            fix: list("fix")?,
            timeout: config.duration(&field("timeout"))?,
            files: Patterns::new(list("paths")?, list("exclude")?),
            pass_files: match config.text(&field("pass-files"))?.as_deref() {
                Some("all") => PassFiles::All,
                Some("changed") => PassFiles::Changed,
                Some(_) | None => PassFiles::None,
            },
            needs: list("needs")?,
            outputs: Vec::new(),
            env: Vec::new(),
            env_keys: list("env-keys")?,
            inputs: Patterns::new(list("inputs")?, Vec::new()),
            version: list("version")?,
            serial: config.boolean(&field("serial"))?,
            stages: Vec::new(),
            name: name.clone(),
        };
        if check.name.starts_with(POLICY) || check.name == REVIEW {
            return Err(check.broken("command", "a check cannot have this name".to_owned()));
        }
        match config.text(&field("shell"))? {
            Some(_) if !check.command.is_empty() => {
                return Err(check.broken("shell", "there is a command as well".to_owned()));
            }
            Some(script) => check.command = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec(),
            None => {}
        }
        if check.command.first().is_none_or(String::is_empty) {
            return Err(Failure::could_not(
                "broken-config",
                format!("the check '{}' has no command", name.escape_debug()),
            )
            .hint(format!("set 'checks.{name}.command' to a list such as [\"make\", \"test\"]")));
        }
        for text in list("outputs")? {
            check.outputs.push(check.report(&text)?);
        }
        for text in list("env")? {
            let Some((variable, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(check.broken("env", format!("'{}' is no NAME=value", text.escape_debug())));
            };
            check.env.push((variable.to_owned(), value.to_owned()));
        }
        for text in list("stage")? {
            let stage = <Stage as clap::ValueEnum>::from_str(&text, false);
            let words = "there are pre-commit, pre-push and complete";
            check.stages.push(stage.map_err(|_| check.broken("stage", format!("'{}'; {words}", text.escape_debug())))?);
        }
        check.files.refuse_broken(&field("paths"))?;
        check.inputs.refuse_broken(&field("inputs"))?;
        Ok(check)
    }

    fn report(&self, text: &str) -> Result<Report, Failure> {
        let wrong = || {
            let text = text.escape_debug();
            self.broken(
                "outputs",
                format!("'{text}' is no report such as 'junit:target/junit.xml' (junit, sarif, lcov, cobertura)"),
            )
        };
        let (format, path) = text.split_once(':').ok_or_else(wrong)?;
        let format = Format::ALL.into_iter().find(|known| known.to_string() == format).ok_or_else(wrong)?;
        let inside = |path: &str| {
            std::path::Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
        };
        if path.is_empty() || !inside(path) {
            return Err(self.broken("outputs", format!("'{}' leads out of the tree", path.escape_debug())));
        }
        Ok(Report { format, path: path.to_owned() })
    }

    fn broken(&self, field: &str, why: String) -> Failure {
        Failure::could_not("broken-config", format!("checks.{}.{field}: {why}", self.name.escape_debug()))
    }

    /// Says whether it writes a report about coverage.
    pub(crate) fn reports_coverage(&self) -> bool {
        self.outputs.iter().any(|report| matches!(report.format, Format::Lcov | Format::Cobertura))
    }

    /// Says whether it is asked at a stage; without one all are.
    pub(crate) fn is_of(&self, stage: Option<Stage>) -> bool {
        stage.is_none_or(|stage| self.stages.is_empty() || self.stages.contains(&stage))
    }
}

/// Checks that need each other could never begin.
fn refuse_cycle(checks: &[Check]) -> Result<(), Failure> {
    let mut done: Vec<&str> = Vec::new();
    loop {
        let ready = |check: &&Check| {
            !done.contains(&check.name.as_str()) && check.needs.iter().all(|need| done.contains(&need.as_str()))
        };
        let more: Vec<&str> = checks.iter().filter(ready).map(|check| check.name.as_str()).collect();
        if more.is_empty() {
            break;
        }
        done.extend(more);
    }
    match checks.iter().find(|check| !done.contains(&check.name.as_str())) {
        Some(check) => Err(check.broken("needs", "in the end it needs itself".to_owned())),
        None => Ok(()),
    }
}
