//! What a variant changes in the base, file by file.

use shared::output::path_text;
use similar::DiffOp;

use super::super::Changes;
use super::colours::Colours;
use super::lines::{self, Version};
use super::parts::{put, text};
use crate::review::change::{Content, FileChange, LINK};

/// So much of one variant's text is shown.
const ALL: usize = 400 << 10;
/// A file with more changed lines is cut.
pub(super) const LINES: usize = 2000;
/// A change with fewer lines is shown without being asked for.
const SHORT: usize = 150;

/// How much may still be shown.
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// Takes as much as a text needs; says no once there is nothing left.
    pub(super) fn takes(&mut self, text: &str) -> bool {
        let had_some = self.0 > 0;
        self.0 = self.0.saturating_sub(text.len() + 1);
        had_some
    }
}

/// Appends the files of a variant.
pub(super) fn render(page: &mut String, run: &str, changes: &Changes, colours: &mut Colours) {
    let mut budget = Budget(ALL);
    let rest = format!("<code>git bo4 diff {} --variant {}</code>", text(run), changes.number);
    let is_short = changes.files.iter().map(|file| file.added + file.removed).sum::<usize>() <= SHORT;
    for (at, file) in changes.files.iter().enumerate() {
        if budget.0 == 0 {
            let left = changes.files.len() - at;
            put(page, format_args!("<p class=\"note\">{left} more files are not shown here; {rest} shows them.</p>\n"));
            return;
        }
        let open = if is_short { " open" } else { "" };
        put(page, format_args!("<details class=\"file\"{open}><summary>{}</summary>\n", head(file)));
        body(page, file, colours, &mut budget, &rest);
        page.push_str("</details>\n");
    }
}

/// The name of a file and what becomes of it.
fn head(file: &FileChange) -> String {
    let name = text(&path_text(&file.path));
    let name = match &file.old_path {
        Some(old) => format!("{} → {name}", text(&path_text(old))),
        None => name,
    };
    let what = match (file.was_there(), file.is_there()) {
        (false, _) => " new",
        (_, false) => " deleted",
        (true, true) => "",
    };
    let mode = if file.was_there() && file.is_there() && file.old_mode != file.new_mode {
        format!(" mode {:o} → {:o}", file.old_mode, file.new_mode)
    } else {
        String::new()
    };
    format!(
        "{name} <span class=\"note\">{what}{mode}</span> <span class=\"good\">+{}</span> <span class=\"bad\">-{}</span>",
        file.added, file.removed
    )
}

fn body(page: &mut String, file: &FileChange, colours: &mut Colours, budget: &mut Budget, rest: &str) {
    if let Some(why) = unshown([&file.old, &file.new]) {
        return put(page, format_args!("<p class=\"note\">{why}</p>\n"));
    }
    if file.old == file.new {
        return page.push_str("<p class=\"note\">What it holds does not change.</p>\n");
    }
    if file.new_mode == LINK {
        page.push_str("<p class=\"note\">A symlink; what it holds is where it points.</p>\n");
    }
    let texts = [file.old.bytes(), file.new.bytes()];
    let [old, new] = lines::versions(colours, [file.old_name(), &file.path], texts);
    page.push_str(
        "<table class=\"diff\"><thead class=\"cols\"><tr><th class=\"n o\" scope=\"col\">old line</th>\
         <th class=\"n\" scope=\"col\">new line</th><th class=\"m\" scope=\"col\">change</th>\
         <th scope=\"col\">text</th></tr></thead><tbody>\n",
    );
    let mut left = LINES;
    let mut is_cut = false;
    for (at, group) in lines::groups(&old, &new).iter().enumerate() {
        if at > 0 {
            page.push_str("<tr class=\"gap\"><td class=o></td><td colspan=\"3\">…</td></tr>\n");
        }
        for op in group {
            is_cut = is_cut || !part(page, [&old, &new], op, &mut left, budget);
        }
    }
    page.push_str("</tbody></table>\n");
    if old.is_cut != new.is_cut && file.was_there() && file.is_there() {
        let which = if new.is_cut { "new" } else { "old" };
        put(page, format_args!("<p class=\"note\">The {which} version has no newline at its end.</p>\n"));
    }
    if is_cut {
        put(page, format_args!("<p class=\"note\">The rest of it is not shown here; {rest} shows all.</p>\n"));
    }
}

/// Says why two contents cannot be shown as lines, if so.
pub(super) fn unshown(both: [&Content; 2]) -> Option<String> {
    if both.iter().any(|content| matches!(content, Content::Module(_))) {
        let commit = |content: &Content| match content {
            Content::Module(commit) => format!("commit <code>{}</code>", text(commit)),
            Content::Absent | Content::Bytes(_) | Content::TooLarge(_) => "none".to_owned(),
        };
        return Some(format!("A submodule: {} → {}", commit(both[0]), commit(both[1])));
    }
    if both.iter().any(|content| matches!(content, Content::TooLarge(_))) {
        return Some("Too large to be shown.".to_owned());
    }
    let size = |content: &Content| content.bytes().len();
    let is_binary = both.iter().any(|content| content.is_binary());
    is_binary.then(|| format!("Binary: {} bytes → {} bytes", size(both[0]), size(both[1])))
}

/// Appends the lines of one part; says whether all of them are there.
fn part(page: &mut String, versions: [&Version; 2], op: &DiffOp, left: &mut usize, budget: &mut Budget) -> bool {
    let (old, new) = (op.old_range(), op.new_range());
    if matches!(op, DiffOp::Equal { .. }) {
        return old.zip(new).all(|(a, b)| {
            let has_room = budget.takes(&versions[1].lines[b]);
            if has_room {
                row(page, versions[1], [Some(a), Some(b)], b, &[]);
            }
            has_room
        });
    }
    let pairs = old.clone().zip(new.clone());
    let marks: Vec<_> = pairs.map(|(a, b)| lines::marks(&versions[0].lines[a], &versions[1].lines[b])).collect();
    for (side, range) in [old, new].into_iter().enumerate() {
        for (nth, at) in range.enumerate() {
            if *left == 0 || !budget.takes(&versions[side].lines[at]) {
                return false;
            }
            *left -= 1;
            let numbers = if side == 0 { [Some(at), None] } else { [None, Some(at)] };
            row(page, versions[side], numbers, at, marks.get(nth).map_or(&[], |both| &both[side]));
        }
    }
    true
}

fn row(page: &mut String, version: &Version, numbers: [Option<usize>; 2], at: usize, marks: &[std::ops::Range<usize>]) {
    let (class, sign) = match numbers {
        [Some(_), None] => (" class=d", "-"),
        [None, Some(_)] => (" class=a", "+"),
        [_, _] => ("", ""),
    };
    let [old, new] = numbers.map(|number| number.map(|at| (at + 1).to_string()).unwrap_or_default());
    put(page, format_args!("<tr{class}><td class=\"n o\">{old}</td><td class=n>{new}</td><td class=m>{sign}</td><td>"));
    version.paint(page, at, marks);
    page.push_str("</td></tr>\n");
}
