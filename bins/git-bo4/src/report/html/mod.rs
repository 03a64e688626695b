//! A report as one page of HTML, with nothing to load and nothing that runs.

mod charts;
mod colours;
mod diff;
mod lines;
mod pairs;
mod parts;

use super::{Changes, Line, Report, words};
use crate::review::findings::{Metric, Weight};
use colours::Colours;
use parts::{list, put, text};

const STYLE: &str = include_str!("page.css");

/// Renders the page.
pub(crate) fn render(report: &Report, changes: &[Changes], prompt: &str) -> String {
    let mut colours = Colours::new();
    let mut page = head(report);
    facts(&mut page, report, prompt);
    ranking(&mut page, report);
    table(&mut page, report);
    charts::render(&mut page, report);
    page.push_str("<h2 id=\"each\">Each variant</h2>\n");
    for line in report.in_order() {
        let own = changes.iter().find(|changes| changes.number == line.variant);
        variant(&mut page, report, line, own, &mut colours);
    }
    pairs::render(&mut page, report, changes, &mut colours);
    next(&mut page, report);
    page.push_str("</main>\n</body></html>\n");
    page
}

fn head(report: &Report) -> String {
    let (run, title) = (text(&report.run), text(&report.title));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"referrer\" content=\"no-referrer\"><title>Run {run}: {title}</title>\n\
         <style>\n{STYLE}</style></head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the ranking</a>\n\
         <header><p class=\"note\">best of {}, run {run}</p>\n<h1>{title}</h1>\n<nav aria-label=\"Parts of this page\"><ul>",
        report.best_of
    );
    let parts = [("main", "Ranking"), ("variants", "Variants"), ("each", "Changes"), ("next", "What next")];
    parts.iter().for_each(|(id, name)| put(&mut page, format_args!("<li><a href=\"#{id}\">{name}</a></li>")));
    for line in report.in_order() {
        put(&mut page, format_args!("<li><a href=\"#v{0}\">Variant {0}</a></li>", line.variant));
    }
    page.push_str("</ul></nav>\n");
    page
}

fn facts(page: &mut String, report: &Report, prompt: &str) {
    page.push_str("<dl>\n");
    for (name, value) in words::facts(report) {
        put(page, format_args!("<dt>{name}</dt><dd>{}</dd>\n", text(&value)));
    }
    page.push_str("</dl>\n");
    if !prompt.trim().is_empty() {
        // The first line break of a <pre> is not shown.
        put(page, format_args!("<details><summary>What was asked</summary><pre>\n{}</pre></details>\n", text(prompt)));
    }
    page.push_str("</header>\n<main id=\"main\" tabindex=\"-1\">\n");
}

fn ranking(page: &mut String, report: &Report) {
    page.push_str("<h2>Ranking</h2>\n");
    if report.ranking.is_empty() {
        return put(
            page,
            format_args!("<p>Nothing is reviewed yet: <code>git bo4 review {}</code></p>\n", text(&report.run)),
        );
    }
    let item = |page: &mut String, place: &crate::review::findings::Place| {
        let (number, reason) = (place.variant, text(&place.reason));
        put(page, format_args!("<li><a href=\"#v{number}\">Variant {number}</a>: {reason}</li>\n"));
    };
    let (can, cannot): (Vec<_>, Vec<_>) = report.ranking.iter().partition(|place| place.place.is_some());
    if can.is_empty() {
        page.push_str("<p class=\"bad\">No variant can win.</p>\n");
    } else {
        page.push_str("<ol>\n");
        can.into_iter().for_each(|place| item(page, place));
        page.push_str("</ol>\n");
    }
    if !cannot.is_empty() {
        page.push_str("<ul class=\"plain\">\n");
        cannot.into_iter().for_each(|place| item(page, place));
        page.push_str("</ul>\n");
    }
    list(page, "What remains", &report.residual);
    list(page, "Alike", &words::alike(report));
    list(page, "Judge", &words::judged(report));
}

fn table(page: &mut String, report: &Report) {
    page.push_str(
        "<h2 id=\"variants\">Variants</h2>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Table of the variants\"><table class=\"facts\"><thead><tr>",
    );
    words::HEADS.iter().for_each(|head| put(page, format_args!("<th scope=\"col\">{head}</th>")));
    page.push_str("<th scope=\"col\">branch</th></tr></thead><tbody>\n");
    for line in report.in_order() {
        let cells = words::cells(line);
        put(page, format_args!("<tr><th scope=\"row\"><a href=\"#v{0}\">{0}</a></th>", line.variant));
        for (head, cell) in words::HEADS.iter().zip(&cells).skip(1) {
            let class = if *head == "checks" { class(line) } else { "" };
            put(page, format_args!("<td class=\"{class}\">{}</td>", text(cell)));
        }
        put(page, format_args!("<td>{}</td></tr>\n", text(line.branch.as_deref().unwrap_or("-"))));
    }
    page.push_str("</tbody></table></div>\n");
}

fn class(line: &Line) -> &'static str {
    match line.verdict.as_deref() {
        Some("pass") => "good",
        Some("no-checks" | "not-validated" | "nothing") => "odd",
        Some(_) => "bad",
        None => "note",
    }
}

fn variant(page: &mut String, report: &Report, line: &Line, changes: Option<&Changes>, colours: &mut Colours) {
    let number = line.variant;
    let place = line.place.map(|place| format!(" <span class=\"note\">place {place}</span>")).unwrap_or_default();
    put(page, format_args!("<section class=\"variant\" id=\"v{number}\" aria-labelledby=\"v{number}-name\">\n"));
    put(page, format_args!("<h3 id=\"v{number}-name\">Variant {number}{place}</h3>\n<dl>\n"));
    for (name, value) in about(line) {
        put(page, format_args!("<dt>{name}</dt><dd>{}</dd>\n", text(&value)));
    }
    page.push_str("</dl>\n");
    checks(page, line);
    let weigh = |weight: Weight| match weight {
        Weight::Bars => "bad",
        Weight::Serious => "odd",
        Weight::Note => "note",
    };
    if !line.risks.is_empty() {
        page.push_str("<h4>Risks</h4>\n<ul class=\"plain\">\n");
        for risk in &line.risks {
            let (class, word, said) = (weigh(risk.weight), words::weight(risk.weight), text(&risk.text));
            put(page, format_args!("<li><span class=\"{class}\">{word}</span>: {said}</li>\n"));
        }
        page.push_str("</ul>\n");
    }
    if let Some(message) = line.message.as_ref().filter(|message| !message.trim().is_empty()) {
        put(page, format_args!("<h4>What its agent said</h4>\n<pre>\n{}</pre>\n", text(message)));
    }
    if let Some(changes) = changes.filter(|changes| !changes.files.is_empty()) {
        page.push_str("<h4>What it changes in the base</h4>\n");
        diff::render(page, &report.run, changes, colours);
    } else if line.commit.is_some() {
        page.push_str("<p class=\"note\">It changes nothing.</p>\n");
    }
    page.push_str("</section>\n");
}

/// What is known of a variant, in short.
fn about(line: &Line) -> Vec<(&'static str, String)> {
    let reason = line.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let mut facts = vec![("state", format!("{}{reason}", line.state))];
    facts.push(("by", words::by(line)));
    facts.extend(line.apply.iter().filter(|apply| *apply != "applies").map(|why| ("does not apply", why.clone())));
    facts.extend(line.branch.iter().map(|branch| ("branch", branch.clone())));
    facts.extend(line.verdict.iter().map(|_| ("verdict", words::verdict(line))));
    facts.extend(line.problem.iter().map(|problem| ("problem", problem.clone())));
    match &line.metric {
        Metric::None => {}
        Metric::Scored { value } => facts.push(("metric", value.to_string())),
        Metric::Unscored { why } => facts.push(("metric", format!("no score: {why}"))),
    }
    facts.extend(line.size.map(|size| {
        let tests = format!("tests: {} added, {} removed", size.tests_added, size.tests_removed);
        let files = words::many(size.files, "file");
        (
            "size",
            format!(
                "{} of code in {files} (+{} -{}); {tests}",
                words::many(size.code, "line"),
                size.added,
                size.removed
            ),
        )
    }));
    facts.extend(line.tokens.map(|tokens| ("tokens", words::tokens(tokens))));
    facts.extend(line.seconds.map(|seconds| ("time", words::duration(seconds))));
    facts
}

fn checks(page: &mut String, line: &Line) {
    if line.checks.is_empty() {
        return;
    }
    page.push_str("<h4>Checks</h4>\n<ul class=\"plain\">\n");
    for check in &line.checks {
        let class = match check.status.as_str() {
            "pass" => "good",
            "skipped" => "note",
            _ => "bad",
        };
        let time = check.seconds.map(|seconds| format!(" <span class=\"note\">{}</span>", words::duration(seconds)));
        let (name, status) = (text(&check.name), text(&check.status));
        put(page, format_args!("<li>{name}: <span class=\"{class}\">{status}</span>{}", time.unwrap_or_default()));
        if !check.tail.trim().is_empty() {
            let tail = text(&check.tail);
            put(
                page,
                format_args!("<details><summary>What '{name}' printed last</summary><pre>\n{tail}</pre></details>"),
            );
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ul>\n");
}

fn next(page: &mut String, report: &Report) {
    page.push_str("<h2 id=\"next\">What next</h2>\n<ul class=\"plain\">\n");
    for step in &report.next {
        put(page, format_args!("<li><code>{}</code>: {}</li>\n", text(&step.command), text(&step.why)));
    }
    page.push_str("</ul>\n");
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::review::analysis::tests::file;

    #[test]
    fn whatever_agents_wrote_is_text_in_the_page() {
        let evil = "\"><img src=x onerror=alert(1)><script>alert(2)</script>\u{202e}";
        let mut report = report();
        report.title = evil.to_owned();
        for line in &mut report.variants {
            line.message = Some(evil.to_owned());
            line.reason = Some(evil.to_owned());
            line.agent = Some(evil.to_owned());
            line.checks.iter_mut().for_each(|check| {
                check.name = evil.to_owned();
                check.tail = evil.to_owned();
            });
            line.risks.iter_mut().for_each(|risk| risk.text = evil.to_owned());
        }
        report.ranking.iter_mut().for_each(|place| place.reason = evil.to_owned());
        let files = vec![file(&format!("{evil}.rs"), Some(evil), Some("fn a() {}\n"))];
        let other = vec![file(&format!("{evil}.rs"), Some(evil), Some("fn b() {}\n"))];
        let page = render(&report, &[Changes { number: 1, files }, Changes { number: 2, files: other }], evil);
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}'));
        assert!(page.contains("&lt;script&gt;alert(2)&lt;/script&gt;\\u{202e}"));
        assert!(page.contains("Variants side by side"));
    }

    #[test]
    fn a_large_change_is_cut_and_says_how_to_see_the_rest() {
        let many: String = (0..5000).map(|n| format!("line {n}\n")).collect();
        let files = vec![file("a.txt", Some(""), Some(&many)), file("b.bin", None, Some("\0"))];
        let page = render(&report(), &[Changes { number: 1, files }], "");
        assert!(page.contains("The rest of it is not shown here; <code>git bo4 diff r1 --variant 1</code> shows all."));
        assert!(page.contains("Binary: 0 bytes → 1 bytes") && !page.contains("line 2500"));
        let long = "x".repeat(1900) + "\n";
        let files = (0..400).map(|n| file(&format!("{n}.txt"), None, Some(&long))).collect();
        let page = render(&report(), &[Changes { number: 1, files }], "");
        assert!(page.contains("more files are not shown here") && page.len() < 1 << 20, "{}", page.len());
    }
}
