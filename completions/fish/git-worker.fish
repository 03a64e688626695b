# fish completion of 'git-worker'; fish forwards 'git worker' to it.
COMPLETE=fish git-worker | source
