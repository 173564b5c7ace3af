#!/bin/bash
# Runs `seclude ci` as root in the workspace, with the action's inputs as its options.
#
# In: SECLUDE (the executable), INSTALLED (true if this job installed it), INPUT_* (the inputs, empty: not given).
# Out: what `seclude ci --github` writes, and in GITHUB_OUTPUT also `commit` (whether the next step may commit) and
# `state` (the file beside the profile that counts calls which are no longer made). Ends with seclude's exit status.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=action/common.sh
. "$here/common.sh"
# shellcheck source=action/repository.sh
. "$here/repository.sh"

unset SECLUDE_COMMAND  # seclude would ask what it means

reports=${INPUT_REPORT_DIR:-${RUNNER_TEMP:-/tmp}/seclude-report}
options=(ci --github --report-dir "$reports")

# Adds option $1 where $2 says something. With "=", so that no value can be taken for an option.
add() { [ -z "$2" ] || options+=("$1=$2"); }

add --config "${INPUT_CONFIG:-}"
add --image "${INPUT_IMAGE:-}"
add --engine "${INPUT_ENGINE:-}"
add --build "${INPUT_BUILD:-}"
add --profile "${INPUT_PROFILE:-}"
add --max-added "${INPUT_MAX_ADDED:-}"
add --min-coverage "${INPUT_MIN_COVERAGE:-}"
add --max-risk "${INPUT_MAX_RISK:-}"
add --deny "${INPUT_DENY:-}"
add --review "${INPUT_REVIEW:-}"
add --timeout "${INPUT_TIMEOUT:-}"
while IFS= read -r line; do add --test "$line"; done <<<"${INPUT_TEST:-}"

# Runs seclude as root. A seclude that the runner's administrator installed is started by plain sudo, whose policy says
# which variables it keeps (docs/ci.md): whoever may pass any variable to a program of root's can make it do anything.
seclude() {
    if [ "$(id -u)" = 0 ]; then
        "$SECLUDE" "$@"
    elif [ "${INSTALLED:-false}" = true ]; then
        as_root_with "GITHUB_(OUTPUT|STEP_SUMMARY|ACTIONS)|CI|SECLUDE_.*|CONTAINERS_.*|$DOCKER_VARIABLES" "$SECLUDE" "$@"
    else
        as_root "$SECLUDE" "$@"
    fi
}

# Gives what root wrote to the runner's user, whose workspace it is; links are changed themselves, not followed.
give_back() {
    local place
    [ "$(id -u)" != 0 ] || return 0
    for place in "$PWD" "$reports"; do
        [ ! -e "$place" ] || as_root chown -R -P -h --from=0:0 "$(id -u):$(id -g)" -- "$place" ||
            fail "$place: what seclude wrote as root cannot be given back: let the runner's sudo start chown"
    done
}

may_commit=false
case ${INPUT_MODE:-check} in
    check | pull-request) options+=(--check) ;;
    commit)
        if reason=$(why_not_to_commit); then
            notice "Nothing is committed, the profile is only checked: $reason"
            options+=(--check)
        else
            refuse_other_commit
            # shellcheck disable=SC2119
            refuse_changes
            may_commit=true
        fi
        ;;
    *) fail "the mode is check, commit or pull-request, not ${INPUT_MODE}" ;;
esac

status=0
# One stream: seclude tells GitHub to take no commands from what tests write, which must not overtake that.
seclude "${options[@]}" 2>&1 || status=$?
give_back

directory=$(dirname -- "${INPUT_CONFIG:-.}")/
output state "${directory#./}${SECLUDE_RECORDINGS:-.seclude}/unused.json"
[ "$status" != 0 ] || output commit "$may_commit"

# For the job that posts comment.md: which pull request this was.
if [[ ${GITHUB_REF:-} =~ ^refs/pull/([0-9]+)/ && -d $reports ]]; then
    printf '%s\n' "${BASH_REMATCH[1]}" >"$reports/pull-request.txt"
fi
exit "$status"
