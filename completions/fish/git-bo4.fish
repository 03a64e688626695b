# fish completion of 'git-bo4'; fish forwards 'git bo4' to it.
COMPLETE=fish git-bo4 | source
