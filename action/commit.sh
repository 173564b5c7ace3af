#!/bin/bash
# Commits the profile, if it changed, and pushes it to the branch of this run: never by force.
#
# In: PROFILE and STATE (paths relative to the workspace), ADDED and REMOVED (calls, for the message), TOKEN (to push
# with; empty: the credentials of the checkout). Out: `commit` in GITHUB_OUTPUT, empty if nothing was committed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=action/common.sh
. "$here/common.sh"
# shellcheck source=action/repository.sh
. "$here/repository.sh"

NAME="github-actions[bot]"
EMAIL="41898282+github-actions[bot]@users.noreply.github.com"
REMOTE=origin

token=${TOKEN:-}
unset TOKEN

# git for the remote. The token is in the environment of this one process, not in its arguments, which all users of
# the machine can read, and not in .git/config, where later steps would find it. It is sent to GitHub's address only,
# and the empty value before it takes away what checkout may have left there: two such headers are refused.
remote_git() {
    local key header
    if [ -z "$token" ]; then
        quiet_git "$@"
        return
    fi
    key="http.${GITHUB_SERVER_URL%/}/.extraheader"
    header="Authorization: Basic $(printf 'x-access-token:%s' "$token" | base64 -w 0)"
    GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=$key GIT_CONFIG_VALUE_0='' GIT_CONFIG_KEY_1=$key GIT_CONFIG_VALUE_1=$header \
        quiet_git "$@"
}

message() {
    printf 'Update %s %s\n\n' "${PROFILE##*/}" "$MARKER"
    [ -z "${ADDED:-}" ] || printf 'Added: %s\n' "$ADDED"
    [ -z "${REMOVED:-}" ] || printf 'Removed: %s\n' "$REMOVED"
    printf 'Recorded from the tests of %s.\n' "$GITHUB_SHA"
}

as_bot() { quiet_git -c user.name="$NAME" -c user.email="$EMAIL" "$@"; }

# Pushes HEAD; what the remote says goes to `said`.
push() { said=$(remote_git push --porcelain "$REMOTE" "HEAD:$GITHUB_REF" 2>&1); }

# Ends the step; the remote's own words are part of the message.
refused() { fail "commit mode: $1; nothing was pushed
$said"; }

paths=("$PROFILE")
if [ -e "${STATE:-}" ] && ! quiet_git check-ignore --quiet -- "$STATE"; then
    paths+=("$STATE")
fi
refuse_other_commit
refuse_changes "${paths[@]}"
export GIT_LITERAL_PATHSPECS=1
if [ -z "$(quiet_git status --porcelain --untracked-files=all -- "${paths[@]}")" ]; then
    echo "$PROFILE is unchanged: nothing to commit"
    output commit ""
    exit 0
fi
quiet_git add -- "${paths[@]}"
message | as_bot commit --quiet --no-verify --file=- -- "${paths[@]}"

if ! push; then
    first=$said
    said=$(remote_git fetch --quiet --no-tags "$REMOTE" "$GITHUB_REF" 2>&1) || refused "$GITHUB_REF cannot be fetched"
    if quiet_git merge-base --is-ancestor FETCH_HEAD HEAD; then
        said=$first
        refused "the remote refuses a push to $GITHUB_REF (is it protected? does the token have contents: write?)"
    fi
    # Somebody was faster. Our one commit goes on top of theirs, once; where both changed the profile, theirs stays.
    said=$(as_bot rebase --quiet --onto FETCH_HEAD HEAD~1 2>&1) || {
        quiet_git rebase --abort >/dev/null 2>&1 || true
        refused "$GITHUB_REF has moved, and our commit does not go on top of it (did both change $PROFILE?)"
    }
    push || refused "$GITHUB_REF moved, and the push was refused again after a rebase"
fi
commit=$(quiet_git rev-parse HEAD)
output commit "$commit"
notice "Committed $PROFILE as $commit"
