//! XML, piece by piece: no tree is built, nothing is expanded, and nesting costs no stack.

use std::borrow::Cow;

use anyhow::{Context as _, Result, bail, ensure};
use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

/// One piece of a document; an element without content begins and ends.
pub(super) enum Piece<'a> {
    Begin(Element<'a>),
    Text(&'a str),
    End,
}

/// The beginning of an element.
pub(super) struct Element<'a>(&'a BytesStart<'a>);

impl Element<'_> {
    /// Its name without a prefix.
    pub(super) fn name(&self) -> String {
        self.0.local_name().as_ref().to_owned()
    }

    /// Returns the value of an attribute.
    ///
    /// # Errors
    /// When the attributes are malformed, or name an entity that XML itself does not know.
    pub(super) fn attribute(&self, name: &str) -> Result<Option<String>> {
        let mut attributes = self.0.attributes();
        // Looking for doubles takes a time that grows with the square of their number.
        for attribute in attributes.with_checks(false) {
            let attribute = attribute.context("an attribute is malformed")?;
            if attribute.key.local_name().as_ref() == name {
                let value = unescape(&attribute.value).context("an attribute cannot be read")?;
                return Ok(Some(value.into_owned()));
            }
        }
        Ok(None)
    }

    /// Returns the value of an attribute that is a number.
    ///
    /// # Errors
    /// As [`Element::attribute`].
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.attribute(name)?.and_then(|value| value.trim().parse().ok()))
    }
}

/// Shows all pieces of a whole document, whose root has one of these names.
///
/// # Errors
/// When it is no such document, is torn, or has an entity that XML itself does not know.
pub(super) fn walk(bytes: &[u8], roots: &[&str], mut see: impl FnMut(Piece<'_>) -> Result<()>) -> Result<()> {
    ensure!(!bytes.starts_with(b"\xff\xfe") && !bytes.starts_with(b"\xfe\xff"), "it is UTF-16, which is not read");
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let mut reader = Reader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    let mut depth = 0_usize;
    let mut seen_root = false;
    loop {
        match reader.read_event().with_context(|| format!("at byte {}", reader.buffer_position()))? {
            Event::Start(start) => {
                if depth == 0 {
                    let element = Element(&start);
                    ensure!(!seen_root, "there is more than one root");
                    ensure!(roots.contains(&element.name().as_str()), "the root is no <{}>", roots.join("> or <"));
                    seen_root = true;
                }
                depth += 1;
                see(Piece::Begin(Element(&start)))?;
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                see(Piece::End)?;
            }
            Event::Text(text) if depth > 0 => see(Piece::Text(&text.xml10_content()))?,
            Event::CData(text) if depth > 0 => see(Piece::Text(&text.xml10_content()))?,
            Event::GeneralRef(entity) => {
                let known = match entity.resolve_char_ref().context("a character is malformed")? {
                    Some(character) => Some(Cow::Owned(character.to_string())),
                    None => resolve_predefined_entity(&entity.xml10_content()).map(Cow::Borrowed),
                };
                match known {
                    Some(text) => see(Piece::Text(&text))?,
                    None => bail!("it has an entity of its own, which is not expanded"),
                }
            }
            Event::Eof => break,
            Event::Text(text) => ensure!(text.xml10_content().trim().is_empty(), "there is text outside of the root"),
            Event::CData(_) => bail!("there is text outside of the root"),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    ensure!(seen_root, "there is no element in it");
    ensure!(depth == 0, "it breaks off before its end");
    Ok(())
}
