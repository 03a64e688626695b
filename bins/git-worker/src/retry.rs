//! `git worker retry`: launch what a job ran once more, under the next number.

use clap_complete::ArgValueCompleter;
use shared::app::{Context, Global};
use shared::exit::Status;
use shared::failure::Failure;

use crate::cli;
use crate::given;
use crate::job::{self, Jobs, Name};
use crate::launch;
use crate::what::What;

/// Launch a job that has ended once more: same command or agent, prompt and worktree, the next number
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Job, as slug#number, or slug for its latest
    #[arg(value_name = "job", add = ArgValueCompleter::new(cli::complete_job))]
    job: Name,
    /// What the agent is asked in addition
    #[arg(long, value_name = "text")]
    prompt: Option<String>,
    /// Allow other live jobs in the same worktree
    #[arg(long)]
    share: bool,
    /// Start the agent although it is paused after an error of quota or login
    #[arg(long)]
    force: bool,
    /// Say what would be started and start nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(cx: Context, global: &Global, args: Args) -> Result<Status, Failure> {
    let job = Jobs::here(&cx)?.find(&args.job)?;
    let record = job.read()?;
    if !record.state.is_terminal() {
        let message = format!("job '{}' has not ended: it is {}", job.id(), record.state);
        return Err(Failure::could_not("live-job", message).hint("'git worker wait' waits for its end"));
    }
    if record.request_redacted {
        return Err(given::refuse_redacted(&job));
    }
    let asked = shared::durable::read(&job.path(job::PROMPT))?;
    let prompt = match (asked, args.prompt) {
        (Some(asked), Some(more)) => Some([&asked[..], b"\n\n", more.as_bytes(), b"\n"].concat()),
        (None, Some(more)) => Some(more.into_bytes()),
        (asked, None) => asked,
    };
    let what = What::again(&record, prompt, args.share, args.force, args.dry_run);
    launch::launch(cx, global, what, false)
}
