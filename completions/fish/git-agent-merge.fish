# fish completion of 'git-agent-merge'; fish forwards 'git agent-merge' to it.
COMPLETE=fish git-agent-merge | source
