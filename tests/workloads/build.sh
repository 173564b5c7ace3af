#!/usr/bin/env bash
# Compiles every workload here into the directory given, statically; CC chooses the compiler (cc, gcc or clang otherwise).
set -euo pipefail

[ $# = 1 ] || { echo "usage: build.sh DIRECTORY" >&2; exit 64; }
out=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

compiler=${CC:-}
for candidate in cc gcc clang; do
    [ -n "$compiler" ] || ! command -v "$candidate" >/dev/null || compiler=$candidate
done
[ -n "$compiler" ] || { echo "build.sh: no C compiler (install gcc and libc6-dev)" >&2; exit 1; }

mkdir -p "$out"
for source in "$here"/*.c; do
    name=$(basename "$source" .c)
    if [ "$name" = compat ]; then
        # Without libc and its headers, so that -m32 works where no multilib is installed.
        [ "$(uname -m)" = x86_64 ] || continue
        "$compiler" -m32 -O1 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -fno-pie \
            -fno-stack-protector -o "$out/$name" "$source"
    else
        "$compiler" -O1 -Wall -Wextra -Werror -static -pthread -I"$here" -I"$here/../../bpf" \
            -o "$out/$name" "$source"
    fi
done
