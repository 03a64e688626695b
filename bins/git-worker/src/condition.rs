//! What a job can wait for without working: a file, a port, the end of another job, a span of time.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::config::layer::parse_duration;

use crate::job::Job;
use crate::rules::{millis, spell_span};

/// A port that does not answer in this time is not there.
const PATIENCE: Duration = Duration::from_millis(200);
/// What an agent waits for at most when it does not say.
const USUAL: Duration = Duration::from_secs(60 * 60);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A line of this form asks for a wait.
const WAIT: &str = "::wait::";

/// Something that comes true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Condition {
    /// There is something at this path, seen from the worktree.
    File(String),
    /// Somebody listens on this port of this machine.
    Port(u16),
    /// The job of this name in the same repository has ended.
    Job(String),
    /// So many milliseconds have gone by.
    Time(u64),
}

/// A wait that an agent asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: Condition,
    pub(crate) timeout: Duration,
}

impl Condition {
    /// Says whether it is true by now; `waited` is how long it was waited for.
    pub(crate) fn holds(&self, job: &Job, worktree: &Path, waited: Duration) -> bool {
        match self {
            Condition::File(path) => worktree.join(path).symlink_metadata().is_ok(),
            Condition::Port(port) => {
                let here = [SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), (Ipv6Addr::LOCALHOST, *port).into()];
                here.iter().any(|address| TcpStream::connect_timeout(address, PATIENCE).is_ok())
            }
            Condition::Job(id) => {
                let other = id.split_once('#').and_then(|(slug, n)| Job::at(&job.repository().join(slug).join(n)));
                // One that is gone has ended.
                other.is_none_or(|other| other.is_unended().is_ok_and(|unended| !unended))
            }
            Condition::Time(ms) => waited >= Duration::from_millis(*ms),
        }
    }
}

impl Wait {
    /// Finds a wait in the words of an agent: their last line, alone.
    pub(crate) fn asked_in(text: &str) -> Option<Result<Wait, String>> {
        let line = text.trim_end().lines().next_back()?.trim();
        let rest = line.strip_prefix(WAIT)?;
        Some(Wait::read(rest))
    }

    fn read(words: &str) -> Result<Wait, String> {
        let (mut until, mut timeout) = (None, USUAL);
        for word in words.split_whitespace() {
            match word.split_once('=') {
                Some(("until", condition)) => until = Some(condition.parse()?),
                Some(("timeout", span)) => {
                    timeout = parse_duration(span).ok_or_else(|| format!("'{span}' is no span of time"))?;
                }
                _ => return Err(format!("'{word}' is not understood")),
            }
        }
        let until = until.ok_or("it does not say until what")?;
        Ok(Wait { until, timeout: timeout.min(LONGEST) })
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let wrong =
            || format!("'{text}' is no condition: file:<path>, port:<number>, job:<slug#number> or time:<span>");
        let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "file" if !value.is_empty() => Ok(Condition::File(value.to_owned())),
            "port" => value.parse().map(Condition::Port).map_err(|_| wrong()),
            "job" if is_job(value) => Ok(Condition::Job(value.to_owned())),
            "time" => parse_duration(value).map(|span| Condition::Time(millis(span))).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

/// Says whether a text is the id of a job; it becomes part of a path.
fn is_job(text: &str) -> bool {
    let parts = text.split_once('#');
    parts.is_some_and(|(slug, n)| slug.parse::<shared::slug::Slug>().is_ok() && n.parse::<u32>().is_ok())
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::File(path) => write!(f, "file:{path}"),
            Condition::Port(port) => write!(f, "port:{port}"),
            Condition::Job(id) => write!(f, "job:{id}"),
            Condition::Time(ms) => write!(f, "time:{}", spell_span(*ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_the_last_line_of_what_is_said() {
        let asked = Wait::asked_in("The build runs.\n::wait:: until=file:out/done timeout=5m\n").unwrap().unwrap();
        assert_eq!(asked, Wait { until: Condition::File("out/done".into()), timeout: Duration::from_secs(300) });
        assert!(Wait::asked_in("::wait:: until=file:x\nand more").is_none());
        assert!(Wait::asked_in("say `::wait:: until=file:x`").is_none());
        for wrong in ["::wait::", "::wait:: until=x", "::wait:: until=job:../x#1", "::wait:: until=port:99999 a=b"] {
            assert!(Wait::asked_in(wrong).unwrap().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_condition_is_read_as_it_is_spelled() {
        for text in ["file:a b", "port:8080", "job:gate#2", "time:10m"] {
            assert_eq!(text.parse::<Condition>().unwrap().to_string(), text);
        }
    }
}
