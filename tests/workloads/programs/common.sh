# Sourced by the programs beside it: errors end them, their files are in a directory of their own, servers are awaited.
#
# A workload that is recorded once and then held to its profile must make the same calls each time. So what depends
# on timing is made to happen always: whoever waits sleeps before the first look, locks are contended on purpose,
# what a server does once a second or on a signal is asked for.
set -euo pipefail

directory=$(mktemp -d)
cd "$directory"

# Succeeds once the command does, which is asked for 20 times a second; ends the workload after a minute.
wait_for() {
    local attempt
    for ((attempt = 0; attempt < 1200; attempt++)); do
        sleep 0.05
        if "$@" >/dev/null 2>&1; then return; fi
    done
    echo "no success within 60 s: $*" >&2
    exit 1
}

# Whether a process waits for something.
asleep() { [ "$(cut -d ' ' -f 3 "/proc/$1/stat")" = S ]; }

# The last line and the exit status by which the workload is known.
finish() {
    echo "$1 done"
    exit "$2"
}
