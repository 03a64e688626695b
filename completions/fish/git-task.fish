# fish completion of 'git-task'; fish forwards 'git task' to it.
COMPLETE=fish git-task | source
