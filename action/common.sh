# shellcheck shell=bash
# What the action's scripts share: words for the workflow's log, one step's outputs, and git as we want it.

# The marker at the end of the subject of our own commits: nothing is committed on top of one.
# shellcheck disable=SC2034  # used by the scripts that read this file
MARKER="[seclude]"

# The variables that say which docker it is and how it builds; others with this beginning may be secrets.
# shellcheck disable=SC2034
DOCKER_VARIABLES='DOCKER_(HOST|CONFIG|CONTEXT|BUILDKIT)'

# Text as the message of a workflow command: on one line, so that no name in it begins a command of its own.
escaped() {
    local text=$1
    text=${text//'%'/%25}
    text=${text//$'\r'/%0D}
    printf '%s' "${text//$'\n'/%0A}"
}

notice() { printf '::notice title=seclude::%s\n' "$(escaped "$*")"; }

fail() {
    printf '::error title=seclude::%s\n' "$(escaped "$*")"
    exit 1
}

# Adds output $1 with value $2 to those of the step; a value of several lines would be other outputs.
output() {
    local value=${2//[$'\r\n']/ }
    printf '%s=%s\n' "$1" "$value" >>"$GITHUB_OUTPUT"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@"
    else
        fail "root is needed for: $* (run the job as root, or give the runner sudo without a password)"
    fi
}

# As root, with the variables whose names fit $1 (an extended regular expression), all of which sudo must let through:
# for programs that this job installed itself.
as_root_with() {
    local names
    names=$(compgen -e | grep -E "^($1)\$" | paste -s -d , || true)
    shift
    if [ "$(id -u)" = 0 ] || [ -z "$names" ]; then
        as_root "$@"
    else
        as_root --preserve-env="$names" "$@"
    fi
}

# git that starts no program which the repository's configuration names, and never asks for a password.
quiet_git() {
    GIT_TERMINAL_PROMPT=0 git -c safe.directory="$PWD" -c core.hooksPath=/dev/null -c core.fsmonitor=false \
        -c commit.gpgSign=false "$@"
}
