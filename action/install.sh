#!/bin/bash
# Installs seclude for one job: what it needs from the distribution, and itself in a virtual environment.
#
# In: INPUT_SECLUDE or SECLUDE_COMMAND (a seclude that is there: nothing is installed), INPUT_PYTHON.
# Out, in GITHUB_OUTPUT: `command`, the path of an executable, and `installed`, whether it was not there before.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=action/common.sh
. "$here/common.sh"

DEBIAN=(clang llvm libbpf-dev libbpf1 libseccomp2 podman python3-venv)
FEDORA=(clang llvm libbpf-devel libbpf libseccomp podman python3)

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

install_packages() {
    local wanted
    if command -v apt-get >/dev/null; then
        mapfile -t wanted < <(missing "${DEBIAN[@]}")
        [ "${#wanted[@]}" -gt 0 ] || return 0
        echo "installing with apt-get: ${wanted[*]}"
        as_root apt-get -q -y update
        as_root apt-get -q -y install --no-install-recommends "${wanted[@]}"
    elif command -v dnf >/dev/null; then
        mapfile -t wanted < <(missing "${FEDORA[@]}")
        [ "${#wanted[@]}" -gt 0 ] || return 0
        echo "installing with dnf: ${wanted[*]}"
        as_root dnf -q -y install "${wanted[@]}"
    else
        fail "neither apt-get nor dnf is here: install seclude on the runner and set SECLUDE_COMMAND to its path"
    fi
}

installed=false
command=${INPUT_SECLUDE:-${SECLUDE_COMMAND:-}}
if [ -n "$command" ]; then
    command -v -- "$command" >/dev/null || fail "there is no executable $command (input seclude, or SECLUDE_COMMAND)"
    command=$(command -v -- "$command")
else
    python=${INPUT_PYTHON:-python3}
    install_packages
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than Python 3.11: set the input python to a newer one"
    # Not in the workspace, where it would be in the way of the build and of git.
    environment=$(mktemp -d "${RUNNER_TEMP:-/tmp}/seclude-XXXXXX")
    "$python" -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check "$here/.."
    command=$environment/bin/seclude
    installed=true
fi
"$command" --version
output command "$command"
output installed "$installed"
