#!/bin/bash
# sqlite3: transactions in a rollback journal and in a write-ahead log, a writer that waits for another, a backup.
. "${0%/*}/common.sh"

fill="WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO entries (name, size) SELECT 'entry ' || i, i * 7919 % 10007 FROM n;"

for mode in DELETE WAL; do
    sqlite3 "$mode.db" "PRAGMA journal_mode = $mode;" \
        "CREATE TABLE entries (id INTEGER PRIMARY KEY, name, size);" >/dev/null
    sqlite3 "$mode.db" "PRAGMA cache_size = 20;" "BEGIN;" "$fill" "CREATE INDEX sizes ON entries (size);" "COMMIT;"
    # The second finds the database locked, and asks again until it is not.
    sqlite3 "$mode.db" "BEGIN IMMEDIATE;" "DELETE FROM entries WHERE size < 100;" \
        ".shell touch locked; sleep 0.2" "COMMIT;" &
    wait_for test -e locked
    sqlite3 "$mode.db" ".timeout 5000" "INSERT INTO entries (name, size) VALUES ('late', 1);"
    wait
    rm locked
    sqlite3 "$mode.db" "PRAGMA temp_store = FILE; PRAGMA cache_size = 20;" \
        "SELECT count(*) FROM (SELECT name FROM entries ORDER BY size * 31 % 97, name);" >/dev/null
    sqlite3 "$mode.db" "BEGIN;" "DELETE FROM entries WHERE size > 5000;" "ROLLBACK;" \
        "PRAGMA wal_checkpoint(TRUNCATE);" >/dev/null
    sqlite3 "$mode.db" "PRAGMA mmap_size = 1000000;" "SELECT sum(size) FROM entries;" >/dev/null
    sqlite3 "$mode.db" ".backup copy-$mode.db" "VACUUM;" "PRAGMA integrity_check;" | grep -qx ok
    sqlite3 "$mode.db" .dump | sqlite3 "again-$mode.db"
done
cmp <(sqlite3 copy-WAL.db .dump) <(sqlite3 again-WAL.db .dump)
finish sqlite3 43
