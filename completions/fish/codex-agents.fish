# fish 3.6.0 alone does not forward 'git task' to the completions of 'git-task' (fixed in 3.6.1).
if test "$version" = 3.6.0
    for c in task hydrate worker validate agent-merge bo4
        complete -c git -f -n "__fish_git_using_command $c" -a "(__fish_git_complete_custom_command $c)"
        complete -c git -f -n __fish_git_needs_command -a $c
    end
end
