//! `git validate show`: the verdict that is noted, and no command run.

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::gate::{Choice, Gate};
use crate::render::Form;
use crate::run;
use crate::subject::From;
use crate::verdict::Verdict;

/// Show the verdict on a tree as it is noted, without running a command
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    form: Form,
}

pub(crate) fn run(cx: &Context, args: Args) -> Result<Status, Failure> {
    let mut answers = Vec::new();
    for from in args.from.each(cx)? {
        let subject = from.find(cx)?;
        let gate = Gate::of(cx, &subject, &args.choice)?;
        let noted = gate.known(cx, subject.tree)?;
        let mut answer = gate.answer(subject, &noted);
        // Policies run no command, so they need not have been noted.
        let lines = run::judge_policies(cx, &gate, &answer)?;
        run::add(&mut answer, &lines);
        gate.watch(cx, &mut answer)?;
        gate.sum_up(cx, &mut answer)?;
        answers.push(answer);
    }
    let all_pass = answers.iter().all(|answer| answer.verdict == Verdict::Pass);
    args.form.print(cx, &answers, args.from.is_range())?;
    Ok(if all_pass { Status::Done } else { Status::No })
}
