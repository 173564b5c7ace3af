#!/bin/bash
# strace: traces a shell and its children, then joins a sleeping process, whose call is interrupted and restarted.
. "${0%/*}/common.sh"

strace -f -q -o started bash -c '
    trap "exit 7" USR1
    for i in 1 2 3; do (ls / | wc -l; exit $i); done >/dev/null
    kill -USR1 $$
' || [ $? = 7 ]
grep -q 'SIGUSR1' started
sleep 0.5 &
sleep 0.1
kill -STOP $!
sleep 0.1
kill -CONT $!
wait $!
sleep 0.5 &
sleep 0.1
strace -f -q -o joined -p $! &
wait_for grep -q restart_syscall joined
wait
grep -q 'exited with 0' joined
finish strace 52
