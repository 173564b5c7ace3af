#!/bin/bash
# tar: archives with links, owners, holes and long names; compressed, compared, updated, in a pipe.
. "${0%/*}/common.sh"

mkdir -p tree/deep
for number in {1..300}; do echo "content of file $number" >"tree/deep/$number"; done
head -c 2000000 /dev/urandom >tree/noise
ln tree/noise tree/hard
ln -s deep/1 tree/soft
mkfifo tree/fifo
truncate -s 3M tree/hole
touch "tree/$(printf 'long%.0s' {1..40})"
chown -R 12:34 tree/deep

tar -cf all.tar --sparse --xattrs --acls tree
tar -tvf all.tar >/dev/null
tar --compare -f all.tar
mkdir out
tar -xpf all.tar -C out --numeric-owner
tar --compare -f all.tar -C out
tar -czf all.tar.gz tree
rm -r out/tree
tar -xzf all.tar.gz -C out
tar -cf - tree | tar -xf - -C out
echo more >tree/more
tar --update -f all.tar tree
tar --append -f all.tar tree/more
tar --listed-incremental=snapshot -cf full.tar tree
echo changed >tree/deep/1
tar --listed-incremental=snapshot -cf changes.tar tree
tar -cf volumes.tar --multi-volume --tape-length=1M tree/noise \
    --new-volume-script='echo volumes-$TAR_VOLUME.tar >&$TAR_FD'
tar --delete -f changes.tar tree/deep/1
tar -xf all.tar --to-command='cat >/dev/null' tree/deep/1 tree/deep/2
finish tar 41
