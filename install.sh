#!/bin/sh
# Builds the programs and installs them for this user: programs, pages, completions.
# Never asks for root, never edits a file of the shell; says what is left to add.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
prefix=${PREFIX:-$HOME/.local}
destdir=${DESTDIR:-}
mode=install
dry_run=false
demo=false
agent=

usage() {
    cat <<'TXT'
usage: ./install.sh [--prefix <dir>] [--dry-run] [--demo [--agent <name>]] [uninstall]

  --prefix <dir>   install below this folder instead of ~/.local (or $PREFIX)
  --dry-run        say what would be done and do nothing
  --demo           after installing, run three tasks through their whole life on a clone
  --agent <name>   let codex, claude, gemini or opencode do the demo's work
  uninstall        remove what was installed, and nothing else

$DESTDIR is put before every path, for those who make packages.
TXT
}

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 128
}

wrong() {
    printf 'error: %s\n' "$1" >&2
    usage >&2
    exit 129
}

while [ $# -gt 0 ]; do
    case $1 in
        --prefix) [ $# -gt 1 ] || wrong "'--prefix' needs a folder"; prefix=$2; shift ;;
        --prefix=*) prefix=${1#*=} ;;
        --dry-run | -n) dry_run=true ;;
        --demo) demo=true ;;
        --agent) [ $# -gt 1 ] || wrong "'--agent' needs a name"; agent=$2; shift ;;
        --agent=*) agent=${1#*=} ;;
        uninstall) mode=uninstall ;;
        -h | --help) usage; exit 0 ;;
        *) wrong "unknown argument '$1'" ;;
    esac
    shift
done
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
[ -z "$agent" ] || $demo || wrong "'--agent' goes with '--demo'"

root=$destdir$prefix
manifest=$root/share/doc/codex-agents/installed-files
programs=$(cd "$here/bins" && echo git-*)

# Prints "<source><tab><place below the prefix><tab><mode>" for every file.
files() {
    for program in $programs; do
        printf '%s\t%s\t755\n' "$target/release/$program" "bin/$program"
        printf '%s\t%s\t644\n' "$here/man/$program.1" "share/man/man1/$program.1"
        printf '%s\t%s\t644\n' "$here/completions/bash/$program" "share/bash-completion/completions/$program"
        printf '%s\t%s\t644\n' "$here/completions/zsh/_$program" "share/zsh/site-functions/_$program"
        printf '%s\t%s\t644\n' "$here/completions/fish/$program.fish" "share/fish/vendor_completions.d/$program.fish"
    done
    printf '%s\t%s\t644\n' "$here/completions/fish/codex-agents.fish" "share/fish/vendor_conf.d/codex-agents.fish"
}

# Beside and renamed: a program that runs keeps its old file, a reader never sees half a new one.
put() {
    mkdir -p "$(dirname -- "$root/$2")"
    cp -- "$1" "$root/$2.new.$$"
    chmod "$3" "$root/$2.new.$$"
    mv -f -- "$root/$2.new.$$" "$root/$2"
}

build() {
    command -v cargo >/dev/null 2>&1 || fail "there is no cargo on PATH: install Rust first"
    target=${CARGO_TARGET_DIR:-$here/target}
    if $dry_run; then
        echo "would build: cargo build --release --locked --workspace --bins"
        return
    fi
    echo "building the programs (a few minutes the first time)"
    (cd "$here" && cargo build --release --locked --workspace --bins --quiet)
}

install_files() {
    tab=$(printf '\t')
    files | while IFS=$tab read -r source place file_mode; do
        if $dry_run; then
            echo "would install $root/$place"
        else
            put "$source" "$place" "$file_mode"
        fi
    done
    $dry_run && return
    mkdir -p "$(dirname -- "$manifest")"
    { files | cut -f2; echo share/doc/codex-agents/installed-files; } >"$manifest.new.$$"
    mv -f -- "$manifest.new.$$" "$manifest"
    echo "installed $(echo "$programs" | wc -w) programs, their pages and completions below $root"
}

uninstall() {
    [ -f "$manifest" ] || { echo "nothing is installed below $root"; return; }
    while IFS= read -r place; do
        # The list is our own, and still a line that leads out of the prefix is not followed.
        case $place in bin/git-* | share/*) ;; *) continue ;; esac
        case $place in *..*) continue ;; esac
        if $dry_run; then echo "would remove $root/$place"; else rm -f -- "$root/$place"; fi
    done <"$manifest"
    $dry_run && return
    for folder in share/doc/codex-agents share/doc share/fish/vendor_conf.d share/fish/vendor_completions.d share/fish \
        share/zsh/site-functions share/zsh share/bash-completion/completions share/bash-completion share/man/man1 share/man share bin; do
        rmdir -- "$root/$folder" 2>/dev/null || true
    done
    echo "removed what was installed below $root"
}

# Says what the shell lacks to find what was installed.
advise() {
    [ -z "$destdir" ] || return 0
    case :$PATH: in
        *":$prefix/bin:"*) ;;
        *) echo "add to your shell's start file:  export PATH=\"$prefix/bin:\$PATH\"" ;;
    esac
    if command -v man >/dev/null 2>&1 && ! PATH="$prefix/bin:$PATH" man -w git-task >/dev/null 2>&1; then
        echo "for 'git help task' add:  export MANPATH=\"$prefix/share/man:\$MANPATH\""
    fi
    case ${SHELL:-} in
        */zsh) echo "for completion in zsh add before compinit:  fpath=($prefix/share/zsh/site-functions \$fpath)" ;;
    esac
}

# ---- the demo: three tasks from idea to merged, on a clone of this repository ----

say() { printf '\n\033[1m%s\033[0m\n' "$1" | if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }

# Shows a command, runs it, and shows how long it took.
step() {
    printf '$'
    for word in "$@"; do
        case $word in *[!A-Za-z0-9/._=-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    echo
    begin=$(date +%s%N)
    status=0
    "$@" || status=$?
    end=$(date +%s%N)
    # A date without nanoseconds leaves the N as it is.
    case $begin$end in *N*) ;; *) printf '  (%d ms)\n' $(((end - begin) / 1000000)) ;; esac
    return $status
}

demo_agent() {
    cat >"$place/agent" <<'AGENT'
#!/bin/sh
# An agent that is a plain command: it reads what is asked, and edits files.
set -e
echo "::milestone:: reading the brief"
sleep 1
case $(sed -n 's/^Branch: //p' "$1") in
    *greeting*) sed 's/^greeting = .*/greeting = "Good day"/' demo.conf >demo.new ;;
    *language*) sed 's/^greeting = .*/greeting = "Bonjour"/' demo.conf >demo.new ;;
    *) { cat demo.conf; echo 'farewell = "Good bye"'; } >demo.new ;;
esac
echo "::milestone:: changing demo.conf"
sleep 1
mv demo.new demo.conf
AGENT
    chmod +x "$place/agent"
}

demo_repository() {
    if git -C "$here" rev-parse --verify --quiet HEAD >/dev/null; then
        git clone --quiet --no-hardlinks "$here" "$place/repo"
    else
        mkdir "$place/repo"
        (cd "$here" && tar -cf - --exclude=./target --exclude=./.git .) | (cd "$place/repo" && tar -xf -)
        git -C "$place/repo" init --quiet
    fi
    cd "$place/repo"
    git checkout --quiet -B main
    git config user.name >/dev/null || git config user.name "Demo"
    git config user.email >/dev/null || git config user.email demo@localhost
    printf 'greeting = "Hello"\nname = "world"\n' >demo.conf
    mkdir -p .codex-agent
    cat >.codex-agent/config.toml <<'TOML'
[[checks]]
name = "keys"
command = ["sh", "-c", "grep -q '^greeting = ' demo.conf && grep -q '^name = ' demo.conf"]

[[checks]]
name = "quotes"
command = ["sh", "-c", "! grep -v '^[a-z]* = \".*\"$' demo.conf"]
TOML
    git add demo.conf .codex-agent
    git commit --quiet -m "Settings for the demo"
}

# Launches a task with the demo's agent, or the one that was asked for.
demo_launch() {
    step git worker launch "$1" --agent "${agent:-demo}"
}

run_demo() {
    if [ -n "$agent" ]; then
        command -v "$agent" >/dev/null 2>&1 || fail "the agent '$agent' is not on PATH"
    fi
    place=$(mktemp -d "${TMPDIR:-/tmp}/codex-agents-demo.XXXXXX")
    place=$(CDPATH='' cd -- "$place" && pwd -P)
    XDG_DATA_HOME_BEFORE=${XDG_DATA_HOME:-}
    # All records of the demo stay in its own folder.
    export PATH="$root/bin:$PATH" XDG_DATA_HOME="$place/home/data" XDG_STATE_HOME="$place/home/state"
    if [ "$agent" = opencode ]; then
        # It keeps its login where our records would be.
        mkdir -p "$place/home/data"
        ln -s "${XDG_DATA_HOME_BEFORE:-$HOME/.local/share}/opencode" "$place/home/data/opencode"
    fi
    export XDG_CACHE_HOME="$place/home/cache"
    demo_agent
    say "A clone of this repository, with two checks that its settings name"
    demo_repository
    # The user's git settings still count; only ours are the demo's.
    git config codex-agents.agents.demo.command "[\"$place/agent\", \"{prompt-file}\"]"
    step git task trust --yes

    say "1. Three tasks: two will touch the same line, the third waits for the first"
    step git task add "Change the greeting" --slug greeting --goal "In demo.conf set greeting to \"Good day\". Change nothing else."
    step git task add "Speak another language" --slug language --goal "In demo.conf set greeting to \"Bonjour\". Change nothing else."
    step git task add "Say farewell" --slug farewell --depends-on greeting --goal "In demo.conf add a line: farewell = \"Good bye\". Change nothing else."
    step git task list

    say "2. A worktree for each task that is ready, filled from this one"
    step git task worktree add greeting
    step git task worktree add language

    say "3. Both agents at work in the background, side by side"
    demo_launch greeting
    demo_launch language
    step git worker list
    step git worker wait greeting language
    step git worker logs greeting
    step git task status

    say "4. Validated: each branch by the checks, on exactly its content"
    step git validate task/greeting
    step git validate task/language

    say "5. Checked against each other, before anyone merges"
    if step git agent-merge check --all; then
        [ -n "$agent" ] || fail "the conflict was not found"
    fi

    say "6. The first is merged; that makes the third ready"
    step git task complete greeting
    step git task worktree add farewell
    demo_launch farewell
    step git worker wait farewell
    step git validate task/farewell
    step git task complete farewell

    say "7. The second conflicts now, and is not merged"
    if step git task complete language; then
        [ -n "$agent" ] || fail "a conflict was merged"
    fi

    say "What became of it"
    git --no-pager log --graph --oneline -n 6
    echo
    step git task status
    step git task doctor
    cat <<TXT

merged:   greeting, farewell
waiting:  language, in $place/repo.worktrees/language, for someone to solve its conflict
clone:    $place/repo, with the finished branches under refs/backup/
records:  $place/home (the registry, the jobs and their logs)

Remove $place when you have seen enough; nothing else was touched.
TXT
}

if [ "$mode" = uninstall ]; then
    uninstall
    exit 0
fi
build
install_files
$dry_run || advise
if $demo && ! $dry_run; then
    run_demo
fi
