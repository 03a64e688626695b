//! The envelope in which a model without tools answers: files and patches between lines of marks.

use std::collections::BTreeSet;

/// What a model that is to change files is told.
pub(super) const PROTOCOL: &str = "\
You have no tools: you see only what is written here, and your reply is applied as a whole or not at all.
Change files in your reply with blocks of these forms, each mark alone on its line, no code fence around them:
<<<FILE path/of/the/file>>>
the whole new content of the file
<<<END>>>
<<<DELETE path/of/the/file>>>
<<<PATCH>>>
a unified diff as git makes it, with a/ and b/ before the paths
<<<END>>>
Paths are those below, seen from the folder. One block for each file; a file is in a FILE block or in a patch, not in both.
Outside of the blocks say in a few words what you did, or why nothing is to be changed.
";

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    File { path: String, content: String },
    Delete { path: String },
    Patch { text: String },
}

/// Splits a reply into its blocks and the words around them.
///
/// # Errors
/// When a mark stands where it does not belong, or a path twice.
pub(super) fn parse(reply: &str) -> Result<(Vec<Block>, String), String> {
    let (mut blocks, mut words) = (Vec::new(), String::new());
    let mut open: Option<Block> = None;
    for line in reply.split_inclusive('\n') {
        let mark = line.trim_end();
        match (&mut open, mark.strip_prefix("<<<").and_then(|rest| rest.strip_suffix(">>>"))) {
            (Some(_), Some("END")) => blocks.extend(open.take()),
            (Some(_), Some(mark)) if is_mark(mark) => {
                return Err(format!("'<<<{mark}>>>' stands before the <<<END>>> of the block above"));
            }
            (Some(Block::File { content: text, .. } | Block::Patch { text }), _) => text.push_str(line),
            (None, Some("END")) => return Err("<<<END>>> stands where no block has begun".to_owned()),
            (None, Some("PATCH")) => open = Some(Block::Patch { text: String::new() }),
            (None, Some(mark)) => match mark.split_once(' ') {
                Some(("FILE", path)) => open = Some(Block::File { path: path.to_owned(), content: String::new() }),
                Some(("DELETE", path)) => blocks.push(Block::Delete { path: path.to_owned() }),
                Some(_) | None => words.push_str(line),
            },
            (Some(Block::Delete { .. }) | None, _) => words.push_str(line),
        }
    }
    if open.is_some() {
        return Err("the last block has no <<<END>>>".to_owned());
    }
    let mut paths = BTreeSet::new();
    for block in &blocks {
        if let Block::File { path, .. } | Block::Delete { path } = block
            && !paths.insert(path)
        {
            return Err(format!("'{path}' stands in two blocks"));
        }
    }
    Ok((blocks, words.trim().to_owned()))
}

fn is_mark(mark: &str) -> bool {
    mark == "PATCH" || mark.starts_with("FILE ") || mark.starts_with("DELETE ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_words_are_told_apart() {
        let reply = "I did it.\n<<<FILE a b.txt>>>\none\n\n<<not a mark>>\n<<<END>>>\n<<<DELETE old>>>\n<<<PATCH>>>\n--- a/x\n<<<END>>>\nBye.";
        let (blocks, words) = parse(reply).unwrap();
        assert_eq!(words, "I did it.\nBye.");
        assert_eq!(
            blocks,
            [
                Block::File { path: "a b.txt".to_owned(), content: "one\n\n<<not a mark>>\n".to_owned() },
                Block::Delete { path: "old".to_owned() },
                Block::Patch { text: "--- a/x\n".to_owned() },
            ]
        );
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for reply in [
            "<<<FILE a>>>\nx\n",
            "<<<FILE a>>>\n<<<FILE b>>>\n<<<END>>>",
            "<<<END>>>",
            "<<<FILE a>>>\n<<<END>>>\n<<<DELETE a>>>",
        ] {
            assert!(parse(reply).is_err(), "{reply}");
        }
    }
}
