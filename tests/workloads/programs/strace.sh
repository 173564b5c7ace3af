#!/bin/bash
# strace: traces a shell and its children, then joins a sleeping process, whose call is interrupted and restarted.
. "${0%/*}/common.sh"

strace -f -q -o started bash -c '
    trap "exit 7" USR1
    for i in 1 2 3; do (ls / | wc -l; exit $i); done >/dev/null
    kill -USR1 $$
' || [ $? = 7 ]
grep -q 'SIGUSR1' started
sleep 600 &
sleeper=$!
wait_for asleep $sleeper
kill -STOP $sleeper
wait_for grep -q '^State:.*stopped' /proc/$sleeper/status
kill -CONT $sleeper
wait_for asleep $sleeper
strace -f -q -o joined -p $sleeper &
wait_for grep -q restart_syscall joined
kill $sleeper
wait
grep -q 'killed by SIGTERM' joined
finish strace 52
