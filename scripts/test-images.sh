#!/usr/bin/env bash
# Makes the root file systems of the test images, DIR/NAME.tar, where they are missing or stale.
#
# usage: test-images.sh [DIR [NAME...]]     (as root)
#
# DIR is ${XDG_CACHE_HOME:-~/.cache}/seclude/images unless given, and NAME all of these:
#   workloads  tests/workloads, compiled, and busybox
#   debian     a minimal Debian (or Ubuntu, where the host is one) with Python
#   programs   the same with the servers, interpreters and tools of tests/workloads/programs
#
# Beside each NAME.tar lies NAME.key, a hash of all that went into it: what imports an image can tell when to do it again.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
workloads=$here/../tests/workloads
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/seclude/images}
names=("${@:2}")
[ "${#names[@]}" -gt 0 ] || names=(workloads debian programs)

say() { echo "test-images: $*" >&2; }
fail() { say "$*"; exit 1; }

key_of() { sha256sum | cut -c1-16; }

# True where image $1 is there and was made from what key $2 stands for.
current() { [ -s "$dir/$1.tar" ] && [ "$(cat "$dir/$1.key" 2>/dev/null)" = "$2" ]; }

# Packs tree $2 as image $1 with key $3; the key comes last, so that an interrupted run is seen as such.
publish() {
    rm -f "$dir/$1.key"
    tar -C "$2" --numeric-owner --sort=name --mtime=@0 -cf "$work/$1.tar" .
    mv "$work/$1.tar" "$dir/$1.tar"
    echo "$3" >"$work/$1.key"
    mv "$work/$1.key" "$dir/$1.key"
    say "$1.tar is $(du -h "$dir/$1.tar" | cut -f1)"
}

make_workloads() {
    local tree=$work/workloads-tree busybox applet
    busybox=$(command -v busybox) || fail "busybox is missing (apt-get install busybox-static)"
    say "compiling the workloads of tests/workloads"
    mkdir -p "$tree"/{bin,dev,etc,proc,root,run,sys,tmp,var,workloads}
    ln -s bin "$tree/sbin"
    chmod 1777 "$tree/tmp"
    "$workloads/build.sh" "$tree/workloads"
    cp "$busybox" "$tree/bin/busybox"
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
    echo 'root:x:0:' >"$tree/etc/group"
    # A dynamically linked busybox would pass until its first use in a container.
    chroot "$tree" /bin/busybox true || fail "$busybox is not static (apt-get install busybox-static)"
    publish workloads "$tree" "$1"
}

make_debian() {
    local tree=$work/debian-tree
    command -v debootstrap >/dev/null || fail "debootstrap is missing (apt-get install debootstrap)"
    say "building a $suite root file system with debootstrap (about half a minute)"
    # In a mount namespace of its own: an interrupted run leaves no /proc mounted where we remove files.
    unshare --mount debootstrap --variant=minbase --include="$packages" "$suite" "$tree" ${mirror:+"$mirror"} \
        >"$work/debootstrap.log" 2>&1 || {
        tail -n 20 "$work/debootstrap.log" >&2
        fail "debootstrap of $suite failed"
    }
    trim "$tree"
    publish debian "$tree" "$1"
}

trim() {
    say "trimming caches and documentation"
    rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/usr/share/{doc,man,info,lintian}/* "$1"/tmp/*
    find "$1/var/log" -type f -delete
    find "$1/usr/share/locale" -mindepth 1 -maxdepth 1 ! -name locale.alias -exec rm -rf {} +
    find "$1/dev" -mindepth 1 -delete
}

make_programs() {
    local tree=$work/programs-tree
    command -v apt-get >/dev/null || fail "apt-get is missing: the image programs can be made on Debian and Ubuntu only"
    say "adding ${#programs[@]} packages to a copy of the image debian (about half a minute)"
    mkdir "$tree"
    tar -C "$tree" --numeric-owner -xpf "$dir/debian.tar"
    # Nothing is started while it is installed, and the workload makes its own cluster.
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod +x "$tree/usr/sbin/policy-rc.d"
    mkdir -p "$tree/etc/postgresql-common"
    echo 'create_main_cluster = false' >"$tree/etc/postgresql-common/createcluster.conf"
    if grep -q '^ID=ubuntu' "$tree/etc/os-release"; then
        sed -i 's/ main$/ main universe/' "$tree/etc/apt/sources.list"
    fi
    unshare --mount --propagation private bash -euc "$install" install "$tree" "${programs[@]}" \
        >"$work/apt.log" 2>&1 || {
        tail -n 20 "$work/apt.log" >&2
        fail "apt-get could not install the programs"
    }
    rm "$tree/usr/sbin/policy-rc.d"
    trim "$tree"
    # A fifth of the image, for compiled queries only: PostgreSQL does without where they are missing.
    find "$tree/usr/lib" \( -name 'libLLVM*' -o -name 'libz3.so*' -o -name 'llvmjit*' \) -exec rm -rf {} +
    rm -rf "$tree"/usr/share/i18n/*
    publish programs "$tree" "$1"
}

# Installs packages $2... in tree $1, with devices and /proc that are there in this mount namespace alone. The host's
# apt-get fetches them, with its configuration, proxies and certificates; dpkg runs in the tree.
install=$(
    cat <<'END'
tree=$1
shift
mount -t proc proc "$tree/proc"
mount -t tmpfs tmpfs "$tree/run"
mount -t tmpfs tmpfs "$tree/dev"
for device in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
    mknod -m 666 "$tree/dev/${device% *}" c 1 "${device#* }"
done
ln -s /proc/self/fd "$tree/dev/fd"
apt() {
    env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y \
        -o Dir="$tree" -o Dir::State::status="$tree/var/lib/dpkg/status" -o DPkg::Chroot-Directory="$tree" \
        -o APT::Architecture="$(dpkg --print-architecture)" -o APT::Architectures="$(dpkg --print-architecture)" \
        -o APT::Sandbox::User=root -o Dpkg::Use-Pty=false -o Dpkg::Options::=--force-unsafe-io \
        -o Acquire::Retries=10 "$@"
}
apt update
apt install --no-install-recommends "$@"
END
)

[ "$(id -u)" = 0 ] || fail "needs root: debootstrap makes devices and changes root"
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# The host's own suite where debootstrap knows it, as it is on Debian and Ubuntu.
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
[ -e "/usr/share/debootstrap/scripts/$suite" ] || suite=bookworm
mirror=${SECLUDE_MIRROR:-}
packages=python3-minimal
programs=(
    coreutils tar git sqlite3 python3 nginx wrk redis-server redis-tools postgresql nodejs openssl perl curl strace
    python3-flask python3-pytest gunicorn python3-waitress
)

debian_key=$(echo "1 $suite $packages $(uname -m)" | key_of)
programs_key=$(echo "2 $debian_key ${programs[*]}" | key_of)
workloads_key=$({
    cat "$0" "$workloads"/*.[ch] "$workloads/build.sh"
    cat "$here/../bpf/recorder.h" 2>/dev/null || true
    stat -L -c '%s %Y' "$(command -v busybox || echo /)"
    uname -m
} | key_of)

key() {
    case $1 in
        workloads) echo "$workloads_key" ;;
        debian) echo "$debian_key" ;;
        programs) echo "$programs_key" ;;
        *) fail "there is no image $1: it is workloads, debian or programs" ;;
    esac
}

missing() {
    local name key
    for name in "${names[@]}"; do
        key=$(key "$name") || exit
        current "$name" "$key" || return 0
    done
    return 1
}

missing || exit 0
exec 9>"$dir/.lock"
flock --nonblock 9 || { say "waiting for another run on $dir"; flock 9; }

rm -rf --one-file-system "$dir"/.work-*  # of runs that were killed: nobody else is here now
work=$(mktemp -d "$dir/.work-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM

make_missing() { current "$1" "$(key "$1")" || "make_$1" "$(key "$1")"; }

for name in "${names[@]}"; do
    [ "$name" != programs ] || current programs "$programs_key" || make_missing debian
    make_missing "$name"
done
