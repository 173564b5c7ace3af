#!/usr/bin/env bash
# Makes the root file systems of the test images, DIR/debian.tar and DIR/workloads.tar, where they are missing or stale.
#
# usage: test-images.sh [DIR]     (as root; DIR is ${XDG_CACHE_HOME:-~/.cache}/seclude/images unless given)
#
# Beside each NAME.tar lies NAME.key, a hash of all that went into it: what imports an image can tell when to do it again.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
workloads=$here/../tests/workloads
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/seclude/images}

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
    say "trimming caches and documentation"
    rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* "$tree"/usr/share/{doc,man,info,lintian}/* \
        "$tree"/tmp/*
    find "$tree/usr/share/locale" -mindepth 1 -maxdepth 1 ! -name locale.alias -exec rm -rf {} +
    find "$tree/dev" -mindepth 1 -delete
    publish debian "$tree" "$1"
}

[ "$(id -u)" = 0 ] || fail "needs root: debootstrap makes devices and changes root"
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# The host's own suite where debootstrap knows it, as it is on Debian and Ubuntu.
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
[ -e "/usr/share/debootstrap/scripts/$suite" ] || suite=bookworm
mirror=${SECLUDE_MIRROR:-}
packages=python3-minimal

debian_key=$(echo "1 $suite $packages $(uname -m)" | key_of)
workloads_key=$({
    cat "$0" "$workloads"/*.[ch] "$workloads/build.sh"
    cat "$here/../bpf/recorder.h" 2>/dev/null || true
    stat -L -c '%s %Y' "$(command -v busybox || echo /)"
    uname -m
} | key_of)

missing() { ! current workloads "$workloads_key" || ! current debian "$debian_key"; }

missing || exit 0
exec 9>"$dir/.lock"
flock --nonblock 9 || { say "waiting for another run on $dir"; flock 9; }

rm -rf --one-file-system "$dir"/.work-*  # of runs that were killed: nobody else is here now
work=$(mktemp -d "$dir/.work-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM
current workloads "$workloads_key" || make_workloads "$workloads_key"
current debian "$debian_key" || make_debian "$debian_key"
