#!/bin/bash
# Installs seclude for one job: what it needs from the distribution, itself in a virtual environment, and the engine that
# the tests run with, if that is not there.
#
# In: INPUT_SECLUDE or SECLUDE_COMMAND (a seclude that is there: nothing is installed), INPUT_PYTHON; what says which
# engine it is: INPUT_ENGINE, SECLUDE_ENGINE, INPUT_CONFIG or the configuration in the workspace.
# Out, in GITHUB_OUTPUT: `command`, the path of an executable, and `installed`, whether it was not there before; then
# also `python`, that of its environment, and `engine`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=action/common.sh
. "$here/common.sh"

DEBIAN=(clang llvm libbpf-dev libbpf1 libseccomp2 python3-venv)
FEDORA=(clang llvm libbpf-devel libbpf libseccomp python3)
updated=false

missing() {
    local package
    for package in "$@"; do
        if command -v dpkg-query >/dev/null; then
            [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
        else
            rpm -q --quiet "$package" || printf '%s\n' "$package"
        fi
    done
}

# Which of the distributions that we know this one is like: apt or dnf.
manager() {
    if command -v apt-get >/dev/null; then
        echo apt
    elif command -v dnf >/dev/null; then
        echo dnf
    else
        fail "neither apt-get nor dnf is here: install seclude on the runner and set SECLUDE_COMMAND to its path" >&2
    fi
}

install_packages() {
    local wanted
    mapfile -t wanted < <(missing "$@")
    [ "${#wanted[@]}" -gt 0 ] || return 0
    if [ "$manager" = apt ]; then
        echo "installing with apt-get: ${wanted[*]}"
        $updated || as_root apt-get -q -y update
        updated=true
        as_root apt-get -q -y install --no-install-recommends "${wanted[@]}"
    else
        echo "installing with dnf: ${wanted[*]}"
        as_root dnf -q -y install "${wanted[@]}"
    fi
}

# Installs the engine $1 unless a program of this name is there, whatever package it is from: GitHub's runners have a
# docker that is none of the distribution's.
install_engine() {
    [ "$1" != process ] || return 0
    ! command -v "$1" >/dev/null || return 0
    case $1-$manager in
        docker-apt) install_packages docker.io ;;
        docker-dnf)
            install_packages moby-engine
            as_root systemctl start docker # Debian's package does so itself
            ;;
        *) install_packages "$1" ;;
    esac
}

installed=false
command=${INPUT_SECLUDE:-${SECLUDE_COMMAND:-}}
if [ -n "$command" ]; then
    command -v -- "$command" >/dev/null || fail "there is no executable $command (input seclude, or SECLUDE_COMMAND)"
    command=$(command -v -- "$command")
else
    python=${INPUT_PYTHON:-python3}
    manager=$(manager)
    if [ "$manager" = apt ]; then install_packages "${DEBIAN[@]}"; else install_packages "${FEDORA[@]}"; fi
    "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than Python 3.11: set the input python to a newer one"
    # Not in the workspace, where it would be in the way of the build and of git. Isolated (-I): the workspace's modules
    # are not Python's.
    environment=$(mktemp -d "${RUNNER_TEMP:-/tmp}/seclude-XXXXXX")
    "$python" -I -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --retries 8 "$here/.."
    command=$environment/bin/seclude
    installed=true
    python=$environment/bin/python
    engine=$("$python" -I "$here/engine.py" 2>&1) || fail "$engine"
    install_engine "$engine"
    output python "$python"
    output engine "$engine"
fi
"$command" --version
output command "$command"
output installed "$installed"
