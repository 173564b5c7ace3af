# shellcheck shell=bash
# What commit mode asks of the event and of the checked-out repository before it commits anything.

# Says why nothing may be committed here; fails where it may.
why_not_to_commit() {
    case ${GITHUB_EVENT_NAME:-} in
        push | schedule | workflow_dispatch | repository_dispatch) ;;
        # Others run code that has not been merged, a fork's perhaps, and some do so with this repository's rights.
        *) printf 'the event is %s, and only a push commits' "${GITHUB_EVENT_NAME:-unknown}"; return 0 ;;
    esac
    case ${GITHUB_REF:-} in
        refs/heads/*) ;;
        *) printf '%s is no branch' "${GITHUB_REF:-the reference}"; return 0 ;;
    esac
    # A push with a personal access token starts workflows; this one would go on for ever.
    case $(quiet_git log -1 --format=%s) in
        *"$MARKER") printf 'the last commit is one of ours (%s)' "$MARKER"; return 0 ;;
    esac
    return 1
}

# Ends the step unless what is checked out is what the workflow was started for: a push would publish the rest.
refuse_other_commit() {
    local head
    head=$(quiet_git rev-parse HEAD)
    [ "$head" = "${GITHUB_SHA:-}" ] ||
        fail "commit mode: $head is checked out, not ${GITHUB_SHA:-GITHUB_SHA}, which the workflow was started for"
}

# shellcheck disable=SC2120  # its arguments are optional
# Ends the step if tracked files differ from the commit, those given apart: the profile would be that of other code.
refuse_changes() {
    local changed path
    local pathspec=(.)
    for path in "$@"; do pathspec+=(":(exclude,top,literal)$path"); done
    changed=$(quiet_git status --porcelain --untracked-files=no -- "${pathspec[@]}")
    [ -z "$changed" ] ||
        fail "commit mode: the work tree is dirty; commit these files, or do not change them before and during the run:
$(head -n 20 <<<"$changed")"
}
