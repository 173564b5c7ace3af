#!/bin/sh
# What the image does on a node: `install` or `uninstall` the runtime, place `profiles`, `wait`.
#
# The node's directories are mounted below /host, in the places that they have there; see daemonset.yaml.
set -eu

host=${HOST:-/host}
config=${CONFIG:-/etc/containerd/config.toml}
real=${RUNTIME:-/usr/sbin/runc}
launcher=/opt/seclude/seclude-runtime

say() { echo "seclude: $*"; }
fail() { say "$*" >&2; exit 1; }

# seclude, as it will run on the node: with the node's shell, and everything else of its own.
on_node() {
    for link in bin sbin lib lib64; do
        [ -e "$host/$link" ] || [ -L "$host/$link" ] || ln -s "usr/$link" "$host/$link"
    done
    chroot "$host" "$@"
}

# The image holds one version, in a directory of its own: containers that run keep the version that began them.
version() {
    for place in /opt/seclude/*/; do
        basename "$place"
    done
}

install() {
    version=$(version)
    if [ ! -e "$host/opt/seclude/$version" ]; then
        rm -rf "$host/opt/seclude/.new"
        cp -R "/opt/seclude/$version" "$host/opt/seclude/.new"
        mv "$host/opt/seclude/.new" "$host/opt/seclude/$version"
        say "copied version $version to /opt/seclude"
    fi
    [ -x "$host$real" ] || fail "there is no runtime $real on this node: set RUNTIME to its path"
    on_node "/opt/seclude/$version/bin/seclude" runtime install --engine containerd --config "$config" \
        --runtime "$real" --launcher "$launcher"
}

uninstall() {
    on_node "/opt/seclude/$(version)/bin/seclude" runtime uninstall --engine containerd --config "$config"
    say "remove /opt/seclude once no container of the handler runs any more"
}

# Copies each profile when it is new or another: whole, so that no pod ever starts with half of one.
place() {
    mkdir -p "$host/profiles"
    for file in /profiles/*.json; do
        [ -e "$file" ] || continue
        name=$(basename "$file")
        cmp -s "$file" "$host/profiles/$name" && continue
        cp "$file" "$host/profiles/.$name.new"
        chmod 644 "$host/profiles/.$name.new"
        mv "$host/profiles/.$name.new" "$host/profiles/$name"
        say "placed profiles/$name"
    done
}

# A shell that is process 1 ignores SIGTERM unless it says otherwise, and waits only for its children.
forever() {
    trap 'exit 0' TERM INT
    while :; do
        "$@"
        sleep 15 &
        wait "$!"
    done
}

case ${1:-}${2:+ $2} in
    install | uninstall) "$1" ;;
    "profiles once") place ;;
    profiles) forever place ;;
    wait) forever true ;;
    *) fail "give install, uninstall, profiles or wait" ;;
esac
