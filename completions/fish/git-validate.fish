# fish completion of 'git-validate'; fish forwards 'git validate' to it.
COMPLETE=fish git-validate | source
