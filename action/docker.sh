#!/bin/bash
# Adds seclude's runtime to the docker of this machine for one job (`add`), or takes it out again (`remove`): docker's
# configuration is afterwards what it was.
#
# In: SECLUDE (the executable that this job installed), PYTHON (of its environment); for `remove` also CONFIG.
# Out: for `add`, in GITHUB_OUTPUT: `config`, docker's file that is changed; empty where nothing has to be.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=action/common.sh
. "$here/common.sh"

unset SECLUDE_COMMAND  # seclude would ask what it means

# Runs dockerd.py as root, which finds the same docker as `seclude ci` does; ends the step with what it said if it fails.
dockerd() {
    said=$(as_root_with "SECLUDE_.*|$DOCKER_VARIABLES" "$PYTHON" -I "$here/dockerd.py" "$SECLUDE" "$@") || fail "$said"
}

as_root true || fail "docker cannot be changed as root: give the runner sudo without a password"

case ${1:-} in
    add)
        dockerd find
        # Before anything is changed, so that the step which removes runs in any case.
        output config "$said"
        if [ -z "$said" ]; then
            notice "docker has the runtime seclude already; it stays as it is"
            exit 0
        fi
        file=$said
        dockerd add "$file"
        echo "docker has the runtime seclude now ($file)"
        ;;
    remove)
        dockerd remove "$CONFIG"
        echo "docker has the runtime seclude no more ($CONFIG)"
        ;;
    *) fail "docker.sh add or docker.sh remove, not ${1:-nothing}" ;;
esac
