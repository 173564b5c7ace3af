#!/bin/bash
# redis under redis-benchmark: an append-only file, a snapshot, a rewrite, memory given back, an orderly end.
. "${0%/*}/common.sh"

redis-server --bind 127.0.0.1 --port 6379 --dir "$PWD" --save '' --appendonly yes --appendfsync everysec \
    --io-threads 2 --daemonize no >server.log &
server=$!
# Not by asking it: what a client does that is refused depends on when the kernel tells it.
wait_for grep -q 'Ready to accept connections' server.log
redis-benchmark -q -n 2000 -c 20 -P 8 -d 100 -t ping,set,get,lpush,lrange_100 >load
redis-benchmark -q -n 2000 -c 20 -d 100 --threads 2 -t set >>load
redis-benchmark -q -n 500 -c 10 -r 10000 -d 20000 -t set >>load
grep -q 'requests per second' load

idle() { redis-cli info persistence | tr -d '\r' | grep -c -E '^(rdb_bgsave|aof_rewrite)_in_progress:0$' | grep -qx 2; }

redis-cli bgsave >/dev/null
wait_for idle
redis-cli bgrewriteaof >/dev/null
redis-benchmark -q -n 2000 -c 10 -r 1000 -d 1000 -t set >>load
wait_for idle
redis-cli eval 'for i = 1, 1000 do redis.call("set", "lua" .. i, i) end return 1' 0 >/dev/null
redis-cli flushall async >/dev/null
redis-cli memory purge >/dev/null
redis-cli -x set large <load >/dev/null
sleep 0.3
redis-cli shutdown
wait "$server"
finish redis 46
