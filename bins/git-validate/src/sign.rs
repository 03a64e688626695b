//! Signed results: what another host ran counts if its signature is allowed.
//!
//! A line of its own in the note signs the hashes of other lines, by `ssh-keygen -Y sign` with the
//! namespace `git-validate` (PROTOCOL.sshsig of OpenSSH). The tree is signed with them, so that a
//! line cannot be moved to another tree.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use gix::ObjectId;
use serde::{Deserialize, Serialize};
use shared::app::Context;
use shared::failure::Failure;
use shared::process;
use shared::repository::{Scope, user_settings};

use crate::journal::digest;
use crate::user_file;

const NAMESPACE: &str = "git-validate";

/// A note longer than this many signatures is not looked through to its end.
const MOST: usize = 50;

#[derive(Debug, Serialize, Deserialize)]
struct Signature {
    schema: u32,
    /// The hashes of the lines.
    signed: Vec<String>,
    signature: String,
}

/// Signs lines, if a key is configured; returns the line to add.
///
/// # Errors
/// When the key does not sign.
pub(crate) fn sign(cx: &Context, tree: ObjectId, lines: &[Vec<u8>]) -> Result<Option<Vec<u8>>, Failure> {
    let Some(key) = cx.config()?.text("validate.sign-key")? else { return Ok(None) };
    let signed: Vec<String> = lines.iter().map(|line| digest(line)).collect();
    let mut command = ssh_keygen()?;
    command.args(["-Y", "sign", "-n", NAMESPACE, "-f", &key]);
    let signature = feed(command, &message(tree, &signed))
        .with_context(|| format!("cannot sign the verdict with the key '{key}' of 'validate.sign-key'"))?;
    let signature = String::from_utf8(signature).context("the signature is no text")?;
    let line = Signature { schema: 1, signed, signature };
    Ok(Some(serde_json::to_vec(&line).context("cannot write JSON")?))
}

/// Returns the hashes of lines of a note that somebody allowed has signed for this tree.
///
/// # Errors
/// When the settings cannot be read.
pub(crate) fn verified(cx: &Context, tree: ObjectId, note: &[u8]) -> Result<HashSet<String>, Failure> {
    let lines = note.split(|byte| *byte == b'\n');
    let signatures = lines.filter_map(|line| serde_json::from_slice::<Signature>(line).ok());
    let mut signatures = signatures.filter(|signature| signature.schema == 1).take(MOST).peekable();
    let mut found = HashSet::new();
    if signatures.peek().is_none() {
        return Ok(found);
    }
    let Some(allowed) = allowed_signers(cx)? else { return Ok(found) };
    for signature in signatures {
        if verify(&allowed, tree, &signature).is_ok() {
            found.extend(signature.signed);
        }
    }
    Ok(found)
}

/// The user's own setting only: a repository must not say whom to believe.
fn allowed_signers(cx: &Context) -> Result<Option<String>, Failure> {
    if let Some(path) = cx.config()?.text("validate.allowed-signers")? {
        return Ok(Some(path));
    }
    let own = user_settings("gpg").into_iter().rev();
    let mut own = own.filter(|setting| setting.scope == Scope::User && setting.key == "ssh.allowedsignersfile");
    Ok(own.next().map(|setting| user_file::expand(&setting.value).to_string_lossy().into_owned()))
}

fn verify(allowed: &str, tree: ObjectId, signature: &Signature) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    file.write_all(signature.signature.as_bytes())?;
    let path = file.path().to_str().context("the temporary folder has an odd name")?;
    let mut find = ssh_keygen()?;
    find.args(["-Y", "find-principals", "-s", path, "-f", allowed]);
    let principals = String::from_utf8(feed(find, b"")?)?;
    let principal = principals.lines().next().context("nobody who is allowed has signed it")?;
    let mut verify = ssh_keygen()?;
    verify.args(["-Y", "verify", "-f", allowed, "-I", principal, "-n", NAMESPACE, "-s", path]);
    feed(verify, &message(tree, &signature.signed)).map(drop)
}

fn message(tree: ObjectId, signed: &[String]) -> Vec<u8> {
    format!("git-validate/1\n{tree}\n{}\n", signed.join("\n")).into_bytes()
}

fn ssh_keygen() -> Result<Command> {
    let program: PathBuf = process::find("ssh-keygen", None).context("there is no ssh-keygen on PATH")?;
    Ok(process::command(program))
}

fn feed(mut command: Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // A few hundred bytes: they fit the pipe.
    child.stdin.take().context("it has no input")?.write_all(input)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(output.stdout)
}
