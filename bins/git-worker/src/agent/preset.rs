//! The agents that are known: their command lines, as they were tried one by one.
//!
//! All read the prompt on standard input, which is a file: an open pipe keeps two of them waiting
//! for ever. What a line holds in braces is filled in when the job starts.

use super::Shape;
use crate::stream::Format;

/// A known agent.
#[derive(Debug)]
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    /// The versions that were tried, by their beginnings.
    pub(crate) tried: &'static [&'static str],
    /// Program and subcommand.
    head: &'static [&'static str],
    /// To go on with `{session}`; where in the line it stands differs.
    resume: Resume,
    always: &'static [&'static str],
    /// By policy, from the strictest on.
    policies: [&'static [&'static str]; 3],
    model: &'static [&'static str],
    /// For an answer by a JSON Schema: as `{schema}`, or as a path in `{schema-file}`.
    pub(crate) schema: &'static [&'static str],
    /// The least that a schema must be for that: what else is passed fails.
    schema_from: Shape,
    last: Option<&'static str>,
    /// Environment variables that it may see beside those of every job.
    pub(crate) env: &'static [&'static str],
    /// Name of its package, by which its version is known without starting it.
    pub(crate) package: &'static str,
    /// Whether it reads `AGENTS.md` by itself.
    pub(crate) reads_agents_md: bool,
}

/// Where a session is named.
#[derive(Debug)]
enum Resume {
    /// Right after the subcommand.
    Subcommand(&'static [&'static str]),
    Option(&'static [&'static str]),
}

/// What an agent may do, by its own sandbox and approvals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// It reads and answers.
    ReadOnly,
    /// It changes the worktree and runs commands there.
    WorkspaceWrite,
    /// It does what it likes.
    FullAccess,
}

/// How an agent is to be started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) policy: Policy,
    /// Whether a session goes on.
    pub(crate) resume: bool,
    pub(crate) model: bool,
    pub(crate) schema: Option<Shape>,
}

impl Policy {
    /// Returns the policy of this name.
    pub(crate) fn named(name: &str) -> Option<Policy> {
        clap::ValueEnum::from_str(name, false).ok()
    }
}

pub(crate) static PRESETS: [Preset; 4] = [
    Preset {
        name: "codex",
        format: Format::Codex,
        tried: &["0.169."],
        head: &["codex", "exec"],
        resume: Resume::Subcommand(&["resume", "{session}"]),
        // Its plugins would be cloned from github.com at every start.
        always: &["--json", "--skip-git-repo-check", "--disable", "plugins"],
        // `exec resume` knows no --sandbox.
        policies: [
            &["-c", "sandbox_mode=\"read-only\""],
            &["-c", "sandbox_mode=\"workspace-write\""],
            &["--dangerously-bypass-approvals-and-sandbox"],
        ],
        model: &["-m", "{model}"],
        schema: &["--output-schema", "{schema-file}"],
        schema_from: Shape::Strict,
        last: Some("-"),
        env: &["OPENAI_*", "CODEX_*"],
        package: "@openai/codex",
        reads_agents_md: true,
    },
    Preset {
        name: "claude",
        format: Format::Claude,
        tried: &["2.1."],
        head: &["claude", "-p"],
        resume: Resume::Option(&["--resume", "{session}"]),
        always: &["--output-format", "stream-json", "--verbose"],
        policies: [
            &["--permission-mode", "dontAsk"],
            &["--permission-mode", "acceptEdits"],
            &["--dangerously-skip-permissions"],
        ],
        model: &["--model", "{model}"],
        schema: &["--json-schema", "{schema}"],
        schema_from: Shape::Object,
        last: None,
        env: &["ANTHROPIC_*", "CLAUDE_*", "DISABLE_*", "IS_SANDBOX"],
        package: "@anthropic-ai/claude-code",
        reads_agents_md: false,
    },
    Preset {
        name: "gemini",
        format: Format::Gemini,
        tried: &["0.61."],
        head: &["gemini"],
        resume: Resume::Option(&["--resume", "{session}"]),
        always: &["-o", "stream-json", "--skip-trust"],
        policies: [&["--approval-mode", "plan"], &["--approval-mode", "auto_edit"], &["--approval-mode", "yolo"]],
        model: &["-m", "{model}"],
        schema: &[],
        schema_from: Shape::Strict,
        last: None,
        env: &["GEMINI_*", "GOOGLE_*"],
        package: "@google/gemini-cli",
        reads_agents_md: false,
    },
    Preset {
        name: "opencode",
        format: Format::Opencode,
        tried: &["1.18."],
        head: &["opencode", "run"],
        resume: Resume::Option(&["--session", "{session}"]),
        always: &["--format", "json"],
        policies: [&["--agent", "plan"], &[], &["--auto"]],
        model: &["--model", "{model}"],
        schema: &[],
        schema_from: Shape::Strict,
        last: None,
        // It talks to any provider.
        env: &["OPENCODE_*", "OPENAI_*", "ANTHROPIC_*", "GEMINI_*", "GOOGLE_*"],
        package: "opencode-ai",
        reads_agents_md: true,
    },
];

impl Preset {
    /// Finds a known agent.
    pub(crate) fn named(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Returns the program's name.
    pub(crate) fn program(&self) -> &'static str {
        self.head.first().copied().unwrap_or(self.name)
    }

    /// Returns the command line for a wish.
    pub(crate) fn line(&self, wish: Wish) -> Vec<&'static str> {
        let resume: &[&str] = match (&self.resume, wish.resume) {
            (Resume::Subcommand(words) | Resume::Option(words), true) => words,
            (_, false) => &[],
        };
        let (early, late) = match self.resume {
            Resume::Subcommand(_) => (resume, &[][..]),
            Resume::Option(_) => (&[][..], resume),
        };
        let policy = self.policies[wish.policy as usize];
        let model = if wish.model { self.model } else { &[] };
        // What a program does not take it is not given: the prompt says it as well, and we look ourselves.
        let schema = if wish.schema >= Some(self.schema_from) { self.schema } else { &[] };
        [self.head, early, self.always, policy, model, late, schema].concat()
    }

    /// Returns the word that stands after all others.
    pub(crate) fn last(&self) -> Option<&'static str> {
        self.last
    }

    /// Says whether a version is among those that were tried.
    pub(crate) fn is_tried(&self, version: &str) -> bool {
        self.tried.iter().any(|tried| version.starts_with(tried))
    }

    /// Says of a version that it was not tried; none if it was.
    pub(crate) fn doubt(&self, version: &str) -> Option<String> {
        let tried: Vec<&str> = self.tried.iter().map(|tried| tried.trim_end_matches('.')).collect();
        let (name, tried) = (self.name, tried.join(", "));
        (!self.is_tried(version)).then(|| format!("{name} {version} was not tried with this program ({tried} was)"))
    }

    /// Returns the environment variables that are the business of other agents only.
    pub(crate) fn env_of_others(&self) -> Vec<&'static str> {
        let all = PRESETS.iter().flat_map(|preset| preset.env);
        let mut others: Vec<&str> = all.copied().filter(|name| !self.env.contains(name)).collect();
        others.dedup();
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, policy: Policy, resume: bool, more: bool) -> String {
        let wish = Wish { policy, resume, model: more, schema: more.then_some(Shape::Strict) };
        Preset::named(name).unwrap().line(wish).join(" ")
    }

    #[test]
    fn each_agent_has_its_own_line() {
        assert_eq!(
            line("codex", Policy::WorkspaceWrite, false, false),
            "codex exec --json --skip-git-repo-check --disable plugins -c sandbox_mode=\"workspace-write\""
        );
        assert_eq!(
            line("codex", Policy::FullAccess, true, true),
            "codex exec resume {session} --json --skip-git-repo-check --disable plugins \
             --dangerously-bypass-approvals-and-sandbox -m {model} --output-schema {schema-file}"
        );
        assert_eq!(
            line("claude", Policy::ReadOnly, true, true),
            "claude -p --output-format stream-json --verbose --permission-mode dontAsk --model {model} \
             --resume {session} --json-schema {schema}"
        );
        assert_eq!(line("opencode", Policy::FullAccess, false, false), "opencode run --format json --auto");
    }

    #[test]
    fn what_is_said_of_a_version_names_the_one_that_was_tried() {
        let codex = Preset::named("codex").unwrap();
        let doubt = codex.doubt("0.172.0");
        assert_eq!(doubt.as_deref(), Some("codex 0.172.0 was not tried with this program (0.169 was)"));
        assert_eq!(codex.doubt("0.169.3"), None);
    }

    #[test]
    fn an_agent_sees_no_key_of_another() {
        let others = Preset::named("codex").unwrap().env_of_others();
        assert!(others.contains(&"ANTHROPIC_*") && !others.contains(&"OPENAI_*"));
    }
}
