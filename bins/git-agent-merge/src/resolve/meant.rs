//! Which attempt a command is about: that of a branch, or of one that has gone since.

use shared::app::Context;
use shared::failure::Failure;
use shared::slug::Slug;

use super::store::{State, Store};
use crate::names::short;

/// The attempt that is meant.
#[derive(Debug)]
pub(crate) struct Meant {
    pub(crate) slug: Slug,
    /// The full name of its branch, if that is there.
    branch: Option<String>,
}

impl Meant {
    /// Finds it by the name of a task or branch; if there is none any more, by what is recorded.
    pub(crate) fn find(cx: &Context, name: Option<&str>) -> Result<Meant, Failure> {
        let failure = match super::branch(cx, name) {
            Ok(side) => return Ok(Meant { slug: super::slug(&side)?, branch: side.branch }),
            Err(failure) => failure,
        };
        let Some(name) = name else { return Err(failure) };
        let Some(slug) = Slug::from_text(name) else { return Err(failure) };
        let is_own = slug.as_str() == name;
        let branch = (!is_own).then(|| format!("refs/heads/{name}"));
        if Store::is_there(cx, &slug)? { Ok(Meant { slug, branch }) } else { Err(failure) }
    }

    /// Refuses the attempt of another branch whose name makes the same slug.
    pub(super) fn refuse_other(&self, state: &State) -> Result<(), Failure> {
        let Some(branch) = self.branch.as_ref().filter(|branch| **branch != state.branch) else { return Ok(()) };
        let (own, other, slug) = (short(branch), short(&state.branch), &self.slug);
        let message = format!("the attempt that is called '{slug}' is of '{other}', not of '{own}'");
        Err(Failure::could_not("taken", message)
            .hint(format!("'git agent-merge resolve --status {}' shows it", state.called())))
    }
}
