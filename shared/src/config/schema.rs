//! Every key that the programs know: its kind, who may set it, its default, what it is for.

use std::sync::OnceLock;

mod policies;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number, not negative.
    Integer,
    /// A time span: `90s`, `10m`, `2h`, or a number of seconds; `0` is none.
    Duration,
    /// A size in bytes: `64MiB`, `500kB`, or a number of bytes.
    Size,
    /// A list of texts.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Who may set a key without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Anybody, a repository too.
    Data,
    /// A repository only after `git task trust`: it names a command, a path outside, an environment variable.
    Command,
    /// The user alone, never a repository.
    User,
    /// Anybody, but a repository only if that makes it stricter: a later word of the choice, or a text where the user has none.
    Stricter,
}

/// One key; a `*` in its name stands for the name of an agent or a check.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its full name, such as `task.merge`.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Who may set it.
    pub class: Class,
    /// Its built-in value as TOML; empty if it has none.
    pub default: &'static str,
    /// One line for `git task config list` and the file that `git task init` makes.
    pub about: &'static str,
}

/// Every key, in the order in which they are listed.
pub const KEYS: &[Key] = &joined::<{ OWN.len() + count(policies::RULES) }>(OWN, policies::RULES);

const OWN: &[Key] = &[
    key(
        "task.base",
        Kind::Text,
        Class::Data,
        "",
        "branch that tasks start from and merge into; the main worktree's branch if not set",
    ),
    key("task.branch-prefix", Kind::Text, Class::Data, "\"task/\"", "what the name of a task's branch starts with"),
    key(
        "task.worktree-dir",
        Kind::Text,
        Class::Command,
        "\"../{repo}.worktrees/{slug}\"",
        "where a task's worktree goes, seen from the main worktree",
    ),
    key(
        "task.merge",
        Kind::Choice(&["merge", "squash", "rebase"]),
        Class::Data,
        "\"merge\"",
        "how 'git task complete' brings a task into its base",
    ),
    key(
        "merge.rules",
        Kind::List,
        Class::Data,
        "[\"identical\", \"whitespace\", \"imports\", \"union\", \"generated\", \"structural\"]",
        "rules by which 'git agent-merge resolve' solves conflicts before an agent is asked",
    ),
    key(
        "merge.imports",
        Kind::List,
        Class::Data,
        "[]",
        "paths whose import lines are united where both sides add some, as in .gitignore",
    ),
    key(
        "merge.union",
        Kind::List,
        Class::Data,
        "[]",
        "paths whose lines are united where both sides only add some, such as a list of changes, as in .gitignore",
    ),
    key(
        "merge.rerere",
        Kind::Boolean,
        Class::User,
        "false",
        "whether resolutions that git remembers (rerere) are used, whichever worktree they come from",
    ),
    key(
        "merge.agent",
        Kind::Text,
        Class::Data,
        "",
        "agent that resolves what no rule does; 'none' for nobody, that of git-worker if not set",
    ),
    key(
        "merge.attempts",
        Kind::Integer,
        Class::Data,
        "2",
        "how often the agent may try, each time told what was wrong",
    ),
    key(
        "merge.max-files",
        Kind::Integer,
        Class::Data,
        "20",
        "with more conflicted files than this the agent is not asked",
    ),
    key(
        "merge.max-hunks",
        Kind::Integer,
        Class::Data,
        "60",
        "with more conflicted hunks than this the agent is not asked",
    ),
    key(
        "merge.timeout",
        Kind::Duration,
        Class::Data,
        "\"15m\"",
        "time that the agent has for one attempt; 0 is without limit",
    ),
    key(
        "merge.budget-tokens",
        Kind::Integer,
        Class::Data,
        "0",
        "tokens that the agent may use for one attempt, in and out; 0 is without limit",
    ),
    key(
        "merge.generated.*.paths",
        Kind::List,
        Class::Data,
        "[]",
        "files that the command makes anew, as in .gitignore",
    ),
    key(
        "merge.generated.*.command",
        Kind::List,
        Class::Command,
        "[]",
        "program and arguments that make these files anew from the rest of the worktree, such as a lockfile",
    ),
    key("merge.generated.*.timeout", Kind::Duration, Class::Data, "\"10m\"", "time that the command has"),
    key("bo4.best-of", Kind::Integer, Class::Data, "4", "attempts of a run whose lanes do not say how many"),
    key(
        "bo4.lanes",
        Kind::List,
        Class::Command,
        "[]",
        "who makes the attempts, as '--lane' takes it, such as \"codex:2\"; the task's or git-worker's agent if empty",
    ),
    key("bo4.timeout", Kind::Duration, Class::Data, "\"1h\"", "time that one local attempt has; 0 for no limit"),
    key("bo4.interval", Kind::Duration, Class::Data, "\"60s\"", "time between two looks at a run"),
    key(
        "bo4.settle",
        Kind::Duration,
        Class::Data,
        "\"10m\"",
        "time in which nothing new may come of a task of a cloud that has ended, before what it lacks counts as failed",
    ),
    key(
        "bo4.command",
        Kind::List,
        Class::Command,
        "[]",
        "program and arguments of the backend 'command', which prints variants as JSON",
    ),
    key(
        "bo4.metric",
        Kind::Text,
        Class::Command,
        "",
        "command whose last number says how good a variant is, run in a worktree of its own for each",
    ),
    key(
        "bo4.metric-goal",
        Kind::Choice(&["higher", "lower"]),
        Class::Data,
        "\"higher\"",
        "whether a higher or a lower metric is better",
    ),
    key("bo4.metric-timeout", Kind::Duration, Class::Data, "\"10m\"", "time that the metric has for one variant"),
    key(
        "hydrate.include",
        Kind::List,
        Class::Data,
        "[]",
        "ignored paths to copy into a new worktree, as in .gitignore, beside those of .worktreeinclude",
    ),
    key("hydrate.exclude", Kind::List, Class::Data, "[]", "ignored paths never to copy, as in .gitignore"),
    key(
        "hydrate.mode",
        Kind::Choice(&["auto", "reflink", "copy"]),
        Class::Data,
        "\"auto\"",
        "clone files where it pays and copy the rest, clone all or fail, or copy all",
    ),
    key(
        "hydrate.clone-from",
        Kind::Integer,
        Class::Data,
        "0",
        "size in bytes from which a file is cloned; 0 for what was measured on the file system at hand",
    ),
    key(
        "hydrate.relink",
        Kind::Boolean,
        Class::Data,
        "false",
        "whether absolute links and Python environments among the ignored paths lead to the new worktree",
    ),
    key(
        "hydrate.after",
        Kind::List,
        Class::Command,
        "[]",
        "command lines to run in a worktree that was filled; {slug}, {port}, {worktree}, {donor}, {branch} are filled in",
    ),
    key(
        "hydrate.env",
        Kind::List,
        Class::Command,
        "[]",
        "NAME=value of each worktree, for the steps after and the env file; filled in as hydrate.after",
    ),
    key(
        "hydrate.env-file",
        Kind::Text,
        Class::Data,
        "\".codex-worker/env\"",
        "where hydrate.env is written in the worktree, if git ignores it there",
    ),
    key(
        "worker.agent",
        Kind::Text,
        Class::Data,
        "",
        "agent to launch when neither the task nor the command line names one",
    ),
    key(
        "worker.max-concurrency",
        Kind::Integer,
        Class::User,
        "0",
        "how many jobs of this user may live at once, others wait; 0 for no limit",
    ),
    key(
        "worker.max-concurrency-repo",
        Kind::Integer,
        Class::Data,
        "0",
        "how many jobs of the repository may live at once, others wait; 0 for no limit",
    ),
    key(
        "worker.pause",
        Kind::Duration,
        Class::User,
        "\"15m\"",
        "how long an agent is not started after an error of quota or login; 0 for not at all",
    ),
    key(
        "notify.command",
        Kind::List,
        Class::User,
        "[]",
        "program and arguments to run when a job has ended, with the job as JSON on standard input",
    ),
    key(
        "notify.terminal",
        Kind::Boolean,
        Class::User,
        "false",
        "whether the terminal of the launch is told by bell and notice (OSC 9 and 777) when a job has ended",
    ),
    key("worker.timeout", Kind::Duration, Class::Data, "\"0\"", "time after which a job is stopped; 0 for never"),
    key(
        "worker.stall",
        Kind::Duration,
        Class::Data,
        "\"0\"",
        "time without a sign of life after which a job has stalled; 0 for never",
    ),
    key(
        "worker.stall-interrupt",
        Kind::Duration,
        Class::Data,
        "\"30s\"",
        "time from the warning about a stall to the interrupt; 0 for none",
    ),
    key(
        "worker.stall-stop",
        Kind::Duration,
        Class::Data,
        "\"30s\"",
        "time from the interrupt of a stalled job to its end; 0 for never",
    ),
    key(
        "worker.step-timeout",
        Kind::Duration,
        Class::Data,
        "\"0\"",
        "time without a milestone after which a job is stopped; 0 for never",
    ),
    key("worker.grace", Kind::Duration, Class::Data, "\"5s\"", "time between TERM and KILL when a job is stopped"),
    key(
        "worker.commit",
        Kind::Choice(&["auto", "never"]),
        Class::Data,
        "\"auto\"",
        "whether what a finished task job left uncommitted becomes a commit on the task's branch",
    ),
    key(
        "worker.snapshot",
        Kind::Choice(&["auto", "never"]),
        Class::Data,
        "\"auto\"",
        "whether a job's worktree is kept as commits under refs/worker/ at milestones and at the end",
    ),
    key(
        "worker.snapshot-every",
        Kind::Duration,
        Class::Data,
        "\"30s\"",
        "the shortest time between two snapshots at milestones",
    ),
    key(
        "worker.snapshot-max-file",
        Kind::Size,
        Class::Data,
        "\"10MiB\"",
        "size of a file beyond which it is in no snapshot; 0 for all",
    ),
    key(
        "worker.env",
        Kind::List,
        Class::Command,
        "[\"PATH\", \"HOME\", \"USER\", \"LOGNAME\", \"SHELL\", \"LANG\", \"LANGUAGE\", \"LC_*\", \"TZ\", \"TERM\", \"COLORTERM\", \"NO_COLOR\", \"TMPDIR\", \"XDG_*\", \"CI\", \"CC\", \"CXX\", \"AR\", \"*FLAGS\", \"PKG_CONFIG_*\", \"LD_LIBRARY_PATH\", \"NIX_*\", \"CARGO_*\", \"RUST*\", \"GOPATH\", \"GOROOT\", \"GOCACHE\", \"GOMODCACHE\", \"GOFLAGS\", \"GOPROXY\", \"npm_config_*\", \"NODE_*\", \"PYTHON*\", \"VIRTUAL_ENV\", \"CONDA_*\", \"JAVA_HOME\", \"*_PROXY\", \"SSL_CERT_*\", \"!CARGO_*TOKEN*\", \"!npm_config_*auth*\", \"!npm_config_*password*\", \"!npm_config_*token*\", \"!NODE_AUTH_TOKEN\", \"GIT_AUTHOR_*\", \"GIT_COMMITTER_*\", \"OPENAI_*\", \"ANTHROPIC_*\", \"GEMINI_*\", \"GOOGLE_*\", \"CODEX_*\", \"CLAUDE_*\", \"OPENCODE_*\"]",
        "environment variables that a job gets, with * for anything and ! before what to leave out; [\"*\"] for all",
    ),
    key(
        "worker.budget-tokens",
        Kind::Integer,
        Class::User,
        "0",
        "tokens, in and out, after which an agent's job is stopped; 0 for no limit, and where the agent tells none",
    ),
    key(
        "worker.budget-tokens-task",
        Kind::Integer,
        Class::User,
        "0",
        "the same for all jobs of a task together, as the telemetry tells",
    ),
    key("worker.budget-tokens-day", Kind::Integer, Class::User, "0", "the same for all jobs that ended since midnight"),
    key(
        "worker.budget-cost",
        Kind::Text,
        Class::User,
        "",
        "US dollars after which an agent's job is stopped, where the cost is known",
    ),
    key("worker.budget-cost-task", Kind::Text, Class::User, "", "the same for all jobs of a task together"),
    key("worker.budget-cost-day", Kind::Text, Class::User, "", "the same for all jobs that ended since midnight"),
    key(
        "worker.budget-action",
        Kind::Choice(&["stop", "warn"]),
        Class::User,
        "\"stop\"",
        "what is done when more is used than is allowed",
    ),
    key(
        "worker.prices",
        Kind::List,
        Class::User,
        "[]",
        "what models cost: name with * for anything, then dollars a million of input, cached and output tokens",
    ),
    key(
        "worker.policy",
        Kind::Choice(&["read-only", "workspace-write", "full-access"]),
        Class::User,
        "\"workspace-write\"",
        "what a known agent may do, by its own sandbox and approvals",
    ),
    key(
        "worker.log-cap",
        Kind::Size,
        Class::User,
        "\"64MiB\"",
        "bytes of a job's log that are kept, a quarter of them the head and the rest the tail; 0 for all",
    ),
    key(
        "worker.gc-older-than",
        Kind::Duration,
        Class::User,
        "\"30d\"",
        "time after its end after which 'git worker gc' removes a job; 0 for never",
    ),
    key(
        "worker.gc-keep",
        Kind::Integer,
        Class::User,
        "10",
        "how many of the jobs of a repository that ended last 'git worker gc' keeps whatever their age and size",
    ),
    key(
        "worker.gc-max-size",
        Kind::Size,
        Class::User,
        "\"0\"",
        "bytes of ended jobs of a repository beyond which 'git worker gc' removes the oldest; 0 for no limit",
    ),
    key(
        "telemetry.store",
        Kind::Choice(&["local", "none"]),
        Class::User,
        "\"local\"",
        "whether start and end of each job are noted on this machine, for 'git worker audit'",
    ),
    key(
        "worker.redact",
        Kind::List,
        Class::User,
        "[\"*TOKEN*\", \"*SECRET*\", \"*PASSWORD*\", \"*_KEY\", \"*API_KEY*\", \"*CREDENTIAL*\"]",
        "environment variables whose values never reach a log, event or record",
    ),
    key(
        "danger.rm-outside.action",
        DANGER,
        Class::Stricter,
        "\"interrupt\"",
        "what follows when a job runs rm -r on what is neither in its worktree nor temporary nor a cache",
    ),
    key(
        "danger.force-push.action",
        DANGER,
        Class::Stricter,
        "\"interrupt\"",
        "what follows on git push --force; --force-with-lease is noted only",
    ),
    key(
        "danger.history-rewrite.action",
        DANGER,
        Class::Stricter,
        "\"note\"",
        "what follows when main or master is moved by force or deleted, or something is pushed after a filter of the history",
    ),
    key(
        "danger.publish.action",
        DANGER,
        Class::Stricter,
        "\"note\"",
        "what follows when a package, image or release is published",
    ),
    key(
        "danger.credential-read.action",
        DANGER,
        Class::Stricter,
        "\"note\"",
        "what follows when keys, passwords or tokens of the user are read",
    ),
    key(
        "danger.*.pattern",
        Kind::Text,
        Class::Stricter,
        "",
        "command lines that are dangerous as well; an expression of the regex crate",
    ),
    key("danger.*.action", DANGER, Class::Stricter, "\"note\"", "what follows when a command line matches the pattern"),
    key(
        "agents.*.command",
        Kind::List,
        Class::Command,
        "",
        "program and arguments of an agent; {prompt}, {prompt-file} and {worktree} are filled in",
    ),
    key(
        "agents.*.prompt",
        Kind::Choice(&["argument", "stdin", "file"]),
        Class::Command,
        "\"argument\"",
        "how the prompt reaches the agent: as last argument (or {prompt}), on stdin, or as {prompt-file}",
    ),
    key(
        "agents.*.preset",
        Kind::Choice(&["codex", "claude", "gemini", "opencode"]),
        Class::Command,
        "",
        "the known agent that this is another name for, with settings of its own",
    ),
    key("agents.*.arguments", Kind::List, Class::Command, "[]", "more arguments for the command"),
    key(
        "agents.*.model",
        Kind::Text,
        Class::Command,
        "",
        "model that the agent is to use; {model} in the command of one that has no preset",
    ),
    key(
        "agents.*.format",
        Kind::Choice(&["codex", "claude", "gemini", "opencode", "events"]),
        Class::Command,
        "",
        "form of what the agent prints: that of a known agent, or the events of this suite; plain text if not set",
    ),
    key(
        "agents.*.resume",
        Kind::List,
        Class::Command,
        "[]",
        "program and arguments that go on with a session, {session}, of an agent that has no preset",
    ),
    key(
        "agents.*.env",
        Kind::List,
        Class::Command,
        "[]",
        "environment variables that the agent gets beside those of worker.env; a known agent gets its own by itself",
    ),
    key(
        "agents.*.quota-pattern",
        Kind::Text,
        Class::Command,
        "'(?i)(usage|rate|session) limit|quota exceeded|insufficient_quota|too many requests'",
        "what the end of a failed job's output says if the agent's quota is used up; an expression of the regex crate",
    ),
    key(
        "agents.*.auth-pattern",
        Kind::Text,
        Class::Command,
        "'(?i)not logged in|please (log|sign) ?in|invalid api key|401 unauthorized|authentication (failed|error)'",
        "the same for an agent that is not logged in",
    ),
    key(
        "api.url",
        Kind::Text,
        Class::Command,
        "",
        "where the model of an agent 'api:<model>' is asked; that of OpenAI or Anthropic if not set",
    ),
    key(
        "api.kind",
        Kind::Choice(&["openai-chat", "openai-responses", "anthropic"]),
        Class::Command,
        "\"openai-chat\"",
        "how it is asked",
    ),
    key(
        "api.key-env",
        Kind::Text,
        Class::Command,
        "",
        "environment variable that holds the key; OPENAI_API_KEY or ANTHROPIC_API_KEY if not set",
    ),
    key("api.key-command", Kind::List, Class::Command, "[]", "program and arguments that print the key"),
    key(
        "api.timeout",
        Kind::Duration,
        Class::Data,
        "\"10m\"",
        "time for each try to get a whole reply; 0 for no limit",
    ),
    key(
        "api.retries",
        Kind::Integer,
        Class::Data,
        "4",
        "how often a model is asked again after an error that may pass",
    ),
    key(
        "api.max-tokens",
        Kind::Integer,
        Class::Data,
        "0",
        "tokens of a reply at most; 0 for what the server allows, and 8192 with Anthropic",
    ),
    key(
        "api.schema",
        Kind::Boolean,
        Class::Data,
        "true",
        "whether the server is told the schema of an answer as well; not all know how",
    ),
    key(
        "network.mode",
        Kind::Choice(&["open", "none"]),
        Class::User,
        "\"open\"",
        "whether agents may be started whose model is not on this machine",
    ),
    key("network.allow", Kind::List, Class::User, "[]", "hosts whose models may be asked though network.mode is none"),
    key(
        "checks.*.command",
        Kind::List,
        Class::Command,
        "",
        "program and arguments of a check, without a shell; exit 0 is a pass",
    ),
    key("checks.*.shell", Kind::Text, Class::Command, "", "script of a check for sh, instead of a command"),
    key(
        "checks.*.fix",
        Kind::List,
        Class::Command,
        "[]",
        "program and arguments that mend what the check finds, for --fix",
    ),
    key(
        "checks.*.timeout",
        Kind::Duration,
        Class::Command,
        "\"10m\"",
        "time after which a check is ended and counts as timed-out; 0 for never",
    ),
    key(
        "checks.*.paths",
        Kind::List,
        Class::Command,
        "[]",
        "the check runs only if a path of the tree matches one of these, as in .gitignore; always if empty",
    ),
    key("checks.*.exclude", Kind::List, Class::Command, "[]", "paths that do not count as matching, as in .gitignore"),
    key(
        "checks.*.pass-files",
        Kind::Choice(&["none", "all", "changed"]),
        Class::Command,
        "\"none\"",
        "which of the matching files are passed as arguments: none, all, or those that differ from the base",
    ),
    key("checks.*.needs", Kind::List, Class::Command, "[]", "names of the checks that have to pass before"),
    key(
        "checks.*.outputs",
        Kind::List,
        Class::Command,
        "[]",
        "reports that the check writes, such as junit:target/junit.xml (junit, sarif, lcov, cobertura)",
    ),
    key("checks.*.env", Kind::List, Class::Command, "[]", "NAME=value of variables that the check gets"),
    key(
        "checks.*.env-keys",
        Kind::List,
        Class::Command,
        "[]",
        "environment variables on which the answer depends: another value asks for a new run",
    ),
    key(
        "checks.*.inputs",
        Kind::List,
        Class::Command,
        "[]",
        "paths on which alone the answer depends, as in .gitignore: it holds in every tree that has them as they are",
    ),
    key(
        "checks.*.version",
        Kind::List,
        Class::Command,
        "[]",
        "program and arguments that print the version of what the check uses; another output asks for a new run",
    ),
    key("checks.*.serial", Kind::Boolean, Class::Command, "false", "whether nothing else runs beside the check"),
    key(
        "checks.*.stage",
        Kind::List,
        Class::Command,
        "[]",
        "when the check is asked: pre-commit, pre-push, complete; always if empty",
    ),
    key(
        "validate.jobs",
        Kind::Integer,
        Class::Data,
        "0",
        "checks to run at the same time; 0 for as many as there are processors",
    ),
    key(
        "validate.timeout",
        Kind::Duration,
        Class::Data,
        "\"0\"",
        "time for all checks of a run together; 0 for no limit",
    ),
    key(
        "validate.sign-key",
        Kind::Text,
        Class::User,
        "",
        "ssh key by which results are signed, so that other hosts count them",
    ),
    key(
        "validate.allowed-signers",
        Kind::Text,
        Class::User,
        "",
        "file of those whose signed results count, as of ssh-keygen; gpg.ssh.allowedSignersFile of git if not set",
    ),
];

/// What may follow on something dangerous, the strictest last.
const DANGER: Kind = Kind::Choice(&["never", "note", "interrupt", "stop"]);

const fn key(name: &'static str, kind: Kind, class: Class, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, class, default, about }
}

const fn count(parts: &[&[Key]]) -> usize {
    let (mut all, mut part) = (0, 0);
    while part < parts.len() {
        all += parts[part].len();
        part += 1;
    }
    all
}

const fn joined<const N: usize>(first: &[Key], parts: &[&[Key]]) -> [Key; N] {
    let mut all = [first[0]; N];
    let (mut at, mut part) = (0, 0);
    while at < first.len() {
        all[at] = first[at];
        at += 1;
    }
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() {
            all[at] = parts[part][i];
            at += 1;
            i += 1;
        }
        part += 1;
    }
    all
}

/// Finds the key that a full name such as `agents.codex.command` belongs to.
pub fn find(name: &str) -> Option<&'static Key> {
    /// What stands before and behind the `*` of each starred key; found once, since every value asks.
    static STARRED: OnceLock<Vec<(&str, &str, &Key)>> = OnceLock::new();
    let starred = STARRED.get_or_init(|| {
        let parts = |key: &'static Key| key.name.split_once('*').map(|(head, tail)| (head, tail, key));
        KEYS.iter().filter_map(parts).collect()
    });
    let is_of =
        |head: &str, tail: &str| name.len() > head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
    let plain = KEYS.iter().find(|key| key.name == name && !name.contains('*'));
    plain.or_else(|| starred.iter().find(|(head, tail, _)| is_of(head, tail)).map(|(_, _, key)| *key))
}

/// Returns the known key whose name is nearest to `name`, if one is near enough to be meant.
pub fn nearest(name: &str) -> Option<String> {
    let candidate = |key: &Key| match key.name.split_once('*') {
        // Compare with the name that was given to the agent or check.
        Some((head, _)) if name.starts_with(head) => {
            let middle = name[head.len()..].split('.').next().unwrap_or_default();
            key.name.replacen('*', middle, 1)
        }
        Some(_) | None => key.name.to_owned(),
    };
    KEYS.iter()
        .map(candidate)
        .map(|known| (strsim::damerau_levenshtein(name, &known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .map(|(_, known)| known)
}

/// Returns the environment variable of a key: `CODEX_AGENTS_TASK_MERGE` for `task.merge`.
pub fn variable(name: &str) -> String {
    let upper = name.to_ascii_uppercase().replace(['.', '-'], "_");
    format!("{VARIABLE_PREFIX}{upper}")
}

/// What the environment variables of the keys start with.
pub const VARIABLE_PREFIX: &str = "CODEX_AGENTS_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starred_key_is_found_by_any_name() {
        assert_eq!(find("checks.unit tests.command").map(|k| k.name), Some("checks.*.command"));
        assert_eq!(find("task.merge").map(|k| k.name), Some("task.merge"));
        assert!(find("checks..command").is_none() && find("task.mege").is_none());
    }

    #[test]
    fn a_typing_error_finds_its_key() {
        assert_eq!(nearest("task.mege").as_deref(), Some("task.merge"));
        assert_eq!(nearest("checks.lint.comand").as_deref(), Some("checks.lint.command"));
        assert_eq!(nearest("zzzzzzzzzzzz"), None);
    }

    #[test]
    fn every_default_is_good_toml() {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            assert!(key.default.parse::<toml::Value>().is_ok(), "{}", key.name);
        }
    }
}
