# Run by postgres.sh as the user postgres, with PostgreSQL's own programs on the PATH.
. "${BASH_SOURCE[0]%/*}/common.sh"

export PGHOST=$PWD PGDATABASE=postgres PGDATA=$PWD/data
initdb -D data --no-sync --auth=trust --no-locale --encoding=UTF8 >/dev/null
cat >>data/postgresql.conf <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = '$PWD'
shared_buffers = 16MB
deadlock_timeout = 10ms
autovacuum_naptime = 1s
autovacuum_vacuum_threshold = 1
autovacuum_analyze_threshold = 1
log_autovacuum_min_duration = 0
wal_writer_delay = 50ms
max_wal_size = 32MB
min_wal_size = 32MB
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
END
pg_ctl -s -w -l log start
pgbench -q -i -s 1 2>/dev/null
pgbench -c 8 -j 2 -t 40 >load 2>&1
pgbench -h 127.0.0.1 -C -S -c 4 -j 2 -t 10 >>load 2>&1
grep -q 'number of transactions actually processed: 320/320' load

psql -qAtX -v ON_ERROR_STOP=1 >/dev/null <<'END'
SET vacuum_cost_delay = '1ms';
SET vacuum_cost_limit = 400;
VACUUM (ANALYZE) pgbench_accounts;
SELECT sum(abalance), count(*) FROM pgbench_accounts WHERE aid % 3 = 1;
CREATE TABLE fifth AS SELECT * FROM pgbench_accounts WHERE aid % 5 = 1;
SET work_mem = '64kB';
SELECT count(*) FROM (SELECT * FROM fifth ORDER BY filler, -aid) AS sorted;
CREATE INDEX ON fifth (abalance, bid);
CHECKPOINT;
SELECT pg_switch_wal();
CHECKPOINT;
VACUUM FULL fifth;
SELECT pg_sleep(0.1);
END
# Whoever asks for a held lock waits, and after deadlock_timeout looks for a deadlock; then it is cancelled.
psql -qX -c 'BEGIN; LOCK pgbench_branches; SELECT pg_sleep(0.2); COMMIT' >/dev/null &
sleep 0.1
psql -qX -c "SET statement_timeout = '5s'" -c 'UPDATE pgbench_branches SET bbalance = 0' >/dev/null
wait $!
psql -qX -c "SET statement_timeout = '50ms'" -c 'SELECT pg_sleep(5)' >/dev/null 2>&1 || true
pg_dump -Fc -T pgbench_accounts -f dump
pg_restore -l dump >/dev/null
wait_for grep -q 'automatic vacuum' log
pg_ctl -s reload
pg_ctl -s -w -m fast stop
finish postgres 47
