//! The short name of a task, safe in a ref, a path and an argument.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest slug, in bytes.
pub const MAX_LEN: usize = 63;

/// A name of 1 to 63 characters of `a-z`, `0-9` and `-` that starts with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// A text that is no slug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotASlug(String);

impl fmt::Display for NotASlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no slug: 1 to {MAX_LEN} of a-z, 0-9 and '-', the first no '-'", self.0.escape_debug())
    }
}

impl std::error::Error for NotASlug {}

impl Slug {
    /// Makes a slug from any text, as in `Fix the login!` to `fix-the-login`; `None` if nothing is left.
    pub fn from_text(text: &str) -> Option<Slug> {
        let mut slug = String::new();
        for c in text.chars() {
            let c = c.to_ascii_lowercase();
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        // A whole word less reads better than a word cut in the middle.
        const NICE: usize = 40;
        if slug.len() > NICE {
            let end = slug[..NICE].rfind('-').unwrap_or(NICE);
            slug.truncate(end);
        }
        slug.trim_end_matches('-').parse().ok()
    }

    /// Returns this slug with a number behind it, as in `fix-login-2`.
    pub fn numbered(&self, n: u32) -> Slug {
        let tail = format!("-{n}");
        let mut head = self.0.clone();
        head.truncate(MAX_LEN - tail.len());
        Slug(head.trim_end_matches('-').to_owned() + &tail)
    }

    /// Returns the slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = NotASlug;

    fn from_str(text: &str) -> Result<Self, NotASlug> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = match text.as_bytes() {
            [first, rest @ ..] => rest.len() < MAX_LEN && plain(*first) && rest.iter().all(|b| plain(*b) || *b == b'-'),
            [] => false,
        };
        // A ref component may not end in `.lock`, which cannot be spelled here.
        if good { Ok(Slug(text.to_owned())) } else { Err(NotASlug(text.to_owned())) }
    }
}

impl TryFrom<String> for Slug {
    type Error = NotASlug;

    fn try_from(text: String) -> Result<Self, NotASlug> {
        text.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> String {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_slugs() {
        for good in ["a", "fix-login", "0", "a--b", &"x".repeat(63)] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in ["", "-rf", "../x", "A", "a b", "a\n", "é", "a.lock", &"x".repeat(64)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_title_becomes_a_slug() {
        let slug = |text| Slug::from_text(text).map(String::from);
        assert_eq!(slug("Fix the login!"), Some("fix-the-login".into()));
        assert_eq!(slug("  --  Größe: 3 "), Some("gr-e-3".into()));
        assert_eq!(slug("🎉"), None);
        let long = slug(&"word ".repeat(30)).unwrap();
        assert!(long.len() <= 40 && !long.ends_with('-'), "{long}");
    }

    #[test]
    fn a_number_fits_behind_the_longest_slug() {
        let long: Slug = "x".repeat(63).parse().unwrap();
        assert_eq!(long.numbered(12).as_str().len(), 63);
        assert!(long.numbered(12).as_str().parse::<Slug>().is_ok());
    }
}
