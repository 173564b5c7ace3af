#!/bin/bash
# Makes a directory that runs seclude on any Linux node: it holds Python and all libraries, and needs /bin/sh and a kernel.
#
# usage: assemble.sh PACKAGES DIRECTORY [PLACE]
#
# PACKAGES is what `pip install --target PACKAGES seclude` fills, DIRECTORY is made, and PLACE is where it will lie on
# nodes (DIRECTORY unless given). The Python is $PYTHON (/usr/bin/python3), of the minor version that pip ran on.
set -euo pipefail

packages=$1 directory=$2 place=${3:-$2}
python=$(readlink -f "${PYTHON:-/usr/bin/python3}")
fail() { echo "assemble: $*" >&2; exit 1; }
[ ! -e "$directory" ] || fail "$directory is there already"
[ -d "$packages/seclude" ] || fail "$packages has no seclude (pip install --target $packages seclude)"

native=$directory/lib/native
mkdir -p "$directory/bin" "$native"

# The standard library, without what nobody needs on a node.
stdlib=$("$python" -I -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
tar -C "$(dirname "$stdlib")" -c --exclude=__pycache__ --exclude='site-packages/*' --exclude='dist-packages/*' \
    --exclude='*/config-*' --exclude='*/test' --exclude='*/tests' --exclude='*/idlelib' --exclude='*/tkinter' \
    --exclude='*/turtledemo' --exclude='*/ensurepip' --exclude='*/lib2to3' --exclude='*/pydoc_data' \
    "$(basename "$stdlib")" | tar -C "$directory/lib" -x
cp -R "$packages" "$directory/lib/seclude"
find "$directory/lib/seclude" -name __pycache__ -prune -exec rm -rf {} +
cp "$python" "$native/python3"

# Every library that they load, and the loader, so that the node's own libc does not matter.
library() {
    ldconfig -p | awk -v name="$1" '$1 == name && !found { print $NF; found = 1 }'
}
roots=("$python")
for name in libbpf.so.1 libseccomp.so.2; do
    path=$(library "$name")
    [ -n "$path" ] || fail "$name is missing (apt-get install libbpf1 libseccomp2)"
    roots+=("$path")
    cp -L "$path" "$native/$name"
done
mapfile -t modules < <(find "$directory/lib" -name '*.so')
for file in "${roots[@]}" "${modules[@]}"; do
    ldd "$file" 2>/dev/null | awk '$2 == "=>" && $3 ~ "^/" { print $3 }' || true
done | sort -u | while read -r path; do
    [ -e "$native/$(basename "$path")" ] || cp -L "$path" "$native/"
done
loader=$(ldd "$python" | awk '$1 ~ "/ld-linux" { print $1 }')
[ -n "$loader" ] || fail "the loader of $python was not found"
cp -L "$loader" "$native/ld.so"

# Python goes by the name that it is called by, which is this script: what it starts again is the script, too.
cat >"$directory/bin/python3" <<END
#!/bin/sh
exec $place/lib/native/ld.so --library-path $place/lib/native --argv0 $place/bin/python3 $place/lib/native/python3 "\$@"
END
main='import sys; sys.path.insert(0, "'$place'/lib/seclude"); sys.argv[0] = "seclude"; from seclude.cli import main; sys.exit(main())'
cat >"$directory/bin/seclude" <<END
#!/bin/sh
exec $place/bin/python3 -I -S -c '$main' "\$@"
END
chmod 755 "$directory/bin/python3" "$directory/bin/seclude"
echo "assemble: $directory, $(du -sh "$directory" | cut -f1), for $place" >&2
