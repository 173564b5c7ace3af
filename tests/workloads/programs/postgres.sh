#!/bin/bash
# postgres under pgbench, as its own user: clients that wait for each other, vacuums, checkpoints, parallel queries.
. "${0%/*}/common.sh"

chown postgres "$PWD"
exec setpriv --reuid postgres --regid postgres --clear-groups --inh-caps=-all \
    env HOME="$PWD" PATH="$(echo /usr/lib/postgresql/*/bin):$PATH" bash "${0%/*}/postgres-inside.sh"
