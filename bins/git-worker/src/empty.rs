//! Empty files that say something by being there.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Makes one for the user alone; one that is there is as good.
pub(crate) fn make(path: &Path) -> Result<()> {
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    made.map(drop).with_context(|| format!("cannot create '{}'", path.display()))
}
