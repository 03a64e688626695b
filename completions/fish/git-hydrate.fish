# fish completion of 'git-hydrate'; fish forwards 'git hydrate' to it.
COMPLETE=fish git-hydrate | source
