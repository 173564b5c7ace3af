#!/bin/bash
# coreutils: files, links, owners and times; pipes between filters, a sort on two threads, time limits.
. "${0%/*}/common.sh"

mkdir -p tree/{a,b}/c
for number in {1..20}; do echo "line $number" >"tree/a/$number"; done
ln tree/a/1 tree/b/hard
ln -s ../a/1 tree/b/soft
mkfifo tree/b/fifo
install -m 640 tree/a/2 tree/b/installed
touch -d '2020-01-02 03:04:05' tree/b/installed
chown -R daemon:daemon tree/b
chmod -R u=rwX,go=rX tree/a
cp -a tree copy
cp --sparse=always --reflink=auto tree/a/3 copy/a/3
mv copy/a moved
truncate -s 1M hole
dd if=/dev/urandom of=noise bs=64k count=8 status=none conv=fsync
split -b 100k noise part-
cat part-* | cmp - noise
ls -lR tree >/dev/null
stat tree/b/hard tree/b/soft >/dev/null
stat -f . >/dev/null
du -s tree >/dev/null
df . >/dev/null
readlink -f tree/b/soft >/dev/null

seq 200000 | shuf | sort -n --parallel=2 -S 4M -T . | uniq | tail -n 1 | grep -qx 200000
seq 100000 | tee >(sha256sum >/dev/null) | tac | head -n 10 | wc -l >/dev/null || true
comm -12 <(seq 101 2 199) <(seq 101 3 199) | paste -s -d , >/dev/null
base64 noise | base64 -d | cksum >/dev/null
od -An -tx1 noise | cut -c1-9 | tr a-f A-F | fold -w 6 | nl | expand | md5sum >/dev/null
echo text >>followed
tail -f followed >seen &
wait_for grep -q text seen
echo more >>followed # it may not wait yet, and does when the next one comes
wait_for grep -q more seen
echo rest >>followed
wait_for grep -q rest seen
kill $!
timeout 0.3 tail -f followed >/dev/null || [ $? = 124 ]
timeout 5 sleep 0.1
nice -n 5 env -i /usr/bin/printenv || true
nohup id >/dev/null 2>&1
date >/dev/null
uname -a >/dev/null
nproc >/dev/null
who >/dev/null
stty size </dev/null >/dev/null 2>&1 || true
sync noise
shred -n 1 -u noise
rm -r tree copy moved
finish coreutils 40
