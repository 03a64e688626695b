//! `git validate show`: the verdict that is noted, and no command run.

use shared::app::Context;
use shared::exit::Status;
use shared::failure::Failure;

use crate::gate::{Choice, Gate};
use crate::render::Form;
use crate::run;
use crate::subject::{From, Subject};
use crate::verdict::{Answer, Verdict};

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
        answers.push(look(cx, subject, &args.choice)?);
    }
    let all_pass = answers.iter().all(|answer| answer.verdict == Verdict::Pass);
    args.form.print(cx, &answers, args.from.is_range())?;
    Ok(if all_pass { Status::Done } else { Status::No })
}

/// What is known of a subject without running a command.
///
/// # Errors
/// When settings, notes or trees cannot be read.
pub(crate) fn look(cx: &Context, subject: Subject, choice: &Choice) -> Result<Answer, Failure> {
    let gate = Gate::of(cx, &subject, choice)?;
    let noted = gate.known(cx, subject.tree)?;
    let mut answer = gate.answer(subject, &noted);
    // Policies run no command, so they need not have been noted.
    let lines = run::judge_policies(cx, &gate, &answer)?;
    run::add(&mut answer, &lines);
    gate.watch(cx, &mut answer)?;
    gate.sum_up(cx, &mut answer)?;
    Ok(answer)
}
