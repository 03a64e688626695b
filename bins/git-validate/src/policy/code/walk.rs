//! Walking over a syntax tree of any depth, with what stands before each node.

use tree_sitter::Node;

/// How to go on after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Past it.
    Past,
    /// Into it.
    Into,
    /// Into it, and it is a place that names what is in it: [`Reader::leave`] is told at its end.
    IntoPlace,
}

/// What is done with each node.
pub(super) trait Reader<'t> {
    /// Says whether nodes of a kind belong to the one behind them: comments, attributes.
    fn is_prelude(&self, kind: &str) -> bool;

    /// Looks at a node and at the prelude before it.
    fn enter(&mut self, node: Node<'t>, prelude: &[Node<'t>]) -> Next;

    /// Is told that the last place that was entered is done.
    fn leave(&mut self) {}
}

/// The children of one node, as far as they were seen.
struct Level<'t> {
    prelude: Vec<Node<'t>>,
    last_row: Option<usize>,
    is_place: bool,
}

/// Shows each node that the reader asks for, in order.
pub(super) fn walk<'t>(root: Node<'t>, reader: &mut impl Reader<'t>) {
    let level = |is_place| Level { prelude: Vec::new(), last_row: None, is_place };
    let mut cursor = root.walk();
    let mut levels = vec![level(false)];
    loop {
        let node = cursor.node();
        let Some(now) = levels.last_mut() else { return };
        let mut next = Next::Past;
        if reader.is_prelude(node.kind()) {
            // A comment behind something on its line belongs to that.
            if now.last_row != Some(node.start_position().row) || !node.kind().contains("comment") {
                now.prelude.push(node);
            }
        } else if node.is_named() {
            next = reader.enter(node, &now.prelude);
            now.prelude.clear();
            now.last_row = Some(node.end_position().row);
        }
        if next != Next::Past {
            if cursor.goto_first_child() {
                levels.push(level(next == Next::IntoPlace));
                continue;
            }
            if next == Next::IntoPlace {
                reader.leave();
            }
        }
        while !cursor.goto_next_sibling() {
            if levels.pop().is_some_and(|level| level.is_place) {
                reader.leave();
            }
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

/// The names of the places around.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<String>);

impl Places {
    pub(super) fn push(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    /// A name behind those of the places, the outermost first; of many only some.
    pub(super) fn name(&self, name: &str, between: &str) -> String {
        let mut all: Vec<&str> = self.0.iter().take(16).map(String::as_str).filter(|place| !place.is_empty()).collect();
        all.push(name);
        all.join(between)
    }
}
