//! One variant against another, side by side; below each other where the screen is narrow.

use std::collections::{BTreeMap, BTreeSet};

use shared::output::path_text;
use similar::DiffOp;

use super::super::{Changes, Report};
use super::colours::Colours;
use super::diff::{self, Budget, LINES};
use super::lines::{self, Version};
use super::parts::{put, text};
use super::words;
use crate::review::change::Content;

/// So many variants are compared with each other.
const TOP: usize = 4;
/// So much text of one pair is shown.
const ALL: usize = 150 << 10;

const ABSENT: &Content = &Content::Absent;

/// Appends each pair of the best variants; of all that have work if none can win.
pub(super) fn render(page: &mut String, report: &Report, all: &[Changes], colours: &mut Colours) {
    let of = |number: usize| all.iter().find(|changes| changes.number == number && !changes.files.is_empty());
    let lines = report.in_order();
    let has_best = lines.iter().filter(|line| line.place.is_some()).count() > 1;
    let lines = lines.into_iter().filter(|line| line.place.is_some() || !has_best);
    let best: Vec<&Changes> = lines.filter_map(|line| of(line.variant)).take(TOP).collect();
    if best.len() < 2 {
        return;
    }
    page.push_str("<h2 id=\"pairs\">Variants side by side</h2>\n");
    for (at, one) in best.iter().enumerate() {
        for other in &best[at + 1..] {
            pair(page, report, [one, other], colours);
        }
    }
}

fn pair(page: &mut String, report: &Report, both: [&Changes; 2], colours: &mut Colours) {
    let numbers = both.map(|changes| changes.number);
    let share = report.similar.iter().find(|pair| numbers.contains(&pair.one) && numbers.contains(&pair.other));
    let share = share.map(|pair| match pair.same {
        true => format!(", essentially the same ({})", words::percent(pair.share)),
        false => format!(", {} of their lines in common", words::percent(pair.share)),
    });
    let files = differing(both);
    put(
        page,
        format_args!(
            "<details class=\"variant\"><summary><strong>Variant {} and variant {}</strong>\
             <span class=\"note\">: {}{}</span></summary>\n",
            numbers[0],
            numbers[1],
            match files.len() {
                0 => "no file differs".to_owned(),
                1 => "1 file differs".to_owned(),
                count => format!("{count} files differ"),
            },
            share.unwrap_or_default()
        ),
    );
    let mut budget = Budget(ALL);
    let rest = format!("<code>git diff {} {}</code>", refs(report, numbers[0]), refs(report, numbers[1]));
    for (at, (path, contents)) in files.iter().enumerate() {
        if budget.0 == 0 {
            let left = files.len() - at;
            put(page, format_args!("<p class=\"note\">{left} more files are not shown here; {rest} shows them.</p>\n"));
            break;
        }
        put(page, format_args!("<h4><code>{}</code></h4>\n", text(&path_text(path))));
        file(page, path, *contents, numbers, colours, &mut budget, &rest);
    }
    page.push_str("</details>\n");
}

/// The ref of a variant.
fn refs(report: &Report, number: usize) -> String {
    text(&format!("refs/bo4/{}/{number}", report.run))
}

/// Returns the files that are not the same in both, as each of the two has them.
fn differing<'a>(both: [&'a Changes; 2]) -> Vec<(&'a [u8], [&'a Content; 2])> {
    let [one, other] = both.map(after);
    // What only one of them touched is in the other as it was in the base.
    let [before_one, before_other] = both.map(before);
    let paths: BTreeSet<&[u8]> = one.keys().chain(other.keys()).copied().collect();
    let contents = |path: &'a [u8]| {
        let base = || before_one.get(path).or_else(|| before_other.get(path)).copied().unwrap_or(ABSENT);
        (path, [&one, &other].map(|side| side.get(path).copied().unwrap_or_else(base)))
    };
    paths.into_iter().map(contents).filter(|(_, [one, other])| one != other).collect()
}

fn after(changes: &Changes) -> BTreeMap<&[u8], &Content> {
    let gone = changes.files.iter().filter_map(|file| Some((file.old_path.as_deref()?, ABSENT)));
    let there = changes.files.iter().map(|file| (file.path.as_slice(), &file.new));
    gone.chain(there).collect()
}

fn before(changes: &Changes) -> BTreeMap<&[u8], &Content> {
    changes.files.iter().filter(|file| file.was_there()).map(|file| (file.old_name(), &file.old)).collect()
}

fn file(
    page: &mut String,
    path: &[u8],
    contents: [&Content; 2],
    numbers: [usize; 2],
    colours: &mut Colours,
    budget: &mut Budget,
    rest: &str,
) {
    if let Some(side) = contents.iter().position(|content| **content == Content::Absent) {
        // What the other makes of it stands among its own changes.
        return put(page, format_args!("<p class=\"note\">Only variant {} has it.</p>\n", numbers[1 - side]));
    }
    if let Some(why) = diff::unshown(contents) {
        return put(page, format_args!("<p class=\"note\">{why}</p>\n"));
    }
    let [old, new] = lines::versions(colours, [path, path], contents.map(Content::bytes));
    put(
        page,
        format_args!(
            "<table class=\"pair\"><thead><tr><th class=\"n side\" scope=\"col\"><span class=\"hidden\">line</span></th>\
             <th class=\"side old\" scope=\"col\">variant {}</th>\
             <th class=\"n side\" scope=\"col\"><span class=\"hidden\">line</span></th>\
             <th class=\"side new\" scope=\"col\">variant {}</th></tr></thead>\n",
            numbers[0], numbers[1]
        ),
    );
    let mut left = LINES;
    let mut is_whole = true;
    for (at, group) in lines::groups(&old, &new).iter().enumerate() {
        if at > 0 {
            page.push_str("<tbody><tr class=\"gap\"><td colspan=\"4\">…</td></tr></tbody>\n");
        }
        for op in group {
            is_whole = is_whole && part(page, [&old, &new], op, &mut left, budget);
        }
    }
    page.push_str("</table>\n");
    if !is_whole {
        put(page, format_args!("<p class=\"note\">The rest of it is not shown here; {rest} shows all.</p>\n"));
    }
}

/// Appends one part as rows of two; says whether all of it is there.
fn part(page: &mut String, versions: [&Version; 2], op: &DiffOp, left: &mut usize, budget: &mut Budget) -> bool {
    let (old, new) = (op.old_range(), op.new_range());
    let is_same = matches!(op, DiffOp::Equal { .. });
    page.push_str(if is_same { "<tbody class=same>" } else { "<tbody>" });
    let mut is_whole = true;
    for nth in 0..old.len().max(new.len()) {
        let at = [old.clone().nth(nth), new.clone().nth(nth)];
        let lines =
            [0, 1].map(|side: usize| at[side].and_then(|at| versions[side].lines.get(at)).map_or("", String::as_str));
        if (*left == 0 && !is_same) || !budget.takes(lines[0]) || !budget.takes(lines[1]) {
            is_whole = false;
            break;
        }
        *left = left.saturating_sub(usize::from(!is_same));
        let marks = if is_same || at.contains(&None) { Default::default() } else { lines::marks(lines[0], lines[1]) };
        page.push_str("<tr>");
        for side in [0, 1] {
            let class = match (is_same, at[side], side) {
                (true, _, 0) => "old",
                (true, _, _) => "new",
                (false, Some(_), 0) => "old d",
                (false, Some(_), _) => "new a",
                (false, None, _) => "e",
            };
            let number = at[side].map(|at| (at + 1).to_string()).unwrap_or_default();
            put(page, format_args!("<td class=n>{number}</td><td class=\"{class}\">"));
            if let Some(at) = at[side] {
                versions[side].paint(page, at, &marks[side]);
            }
            page.push_str("</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n");
    is_whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::analysis::tests::file;
    use crate::review::change::FileChange;

    #[test]
    fn what_only_one_touches_is_compared_with_the_base() {
        let renamed = FileChange { old_path: Some(b"old".to_vec()), ..file("new", Some("o\n"), Some("o\n")) };
        let one = Changes {
            number: 1,
            files: vec![file("a", Some("1\n"), Some("2\n")), file("b", None, Some("x\n")), renamed],
        };
        let other = Changes { number: 2, files: vec![file("b", None, Some("x\n")), file("old", Some("o\n"), None)] };
        let found = differing([&one, &other]);
        let bytes: Vec<_> = found.iter().map(|(path, both)| (*path, both.map(Content::bytes))).collect();
        assert_eq!(bytes, [(&b"a"[..], [&b"2\n"[..], &b"1\n"[..]]), (&b"new"[..], [&b"o\n"[..], &b""[..]])]);
    }
}
