//! `git worker retry`: launch what a job ran once more, under the next number.

use shared::app::{Context, Global};
use shared::exit::Status;
use shared::failure::Failure;

use crate::given;
use crate::job;
use crate::launch;
use crate::what::{self, Again, What};

/// Launch a job that has ended once more: same command or agent, prompt and worktree, the next number
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the agent is asked in addition
    #[arg(long, value_name = "text")]
    prompt: Option<String>,
    #[command(flatten)]
    again: Again,
}

pub(crate) fn run(cx: Context, global: &Global, args: Args) -> Result<Status, Failure> {
    let job = args.again.find(&cx)?;
    let record = what::read_ended(&job)?;
    if record.request_redacted {
        return Err(given::refuse_redacted(&job));
    }
    let asked = shared::durable::read(&job.path(job::PROMPT))?;
    let prompt = match (asked, args.prompt) {
        (Some(asked), Some(more)) => Some([&asked[..], b"\n\n", more.as_bytes(), b"\n"].concat()),
        (None, Some(more)) => Some(more.into_bytes()),
        (asked, None) => asked,
    };
    let what = What::again(&record, prompt, &args.again);
    launch::launch(cx, global, what, false)
}
