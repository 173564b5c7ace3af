"""Commit mode: what is committed and pushed, what is only checked, and what is refused."""

from __future__ import annotations

import pytest
from action_runs import WORKFLOW, Action, said, workflow
from origin import Origin
from runner import starts


def test_a_change_is_committed_and_nothing_else(origin: Origin, action: Action) -> None:
    event = origin.push({"app.py": "1", "seccomp.json": "old"})
    outcome = action.run(event, DURING="echo x >left-behind.txt")
    assert outcome.succeeded, outcome
    assert (origin.changed("main"), origin.show("seccomp.json")) == (("seccomp.json",), "new")
    assert origin.head("main~1") == event.sha
    assert origin.log(form="%B")[:5] == [
        "Update seccomp.json [seclude]",
        "",
        "Added: read write",
        f"Recorded from the tests of {event.sha}.",
        "",
    ]
    assert not starts(WORKFLOW, origin.event("refs/heads/main"))


def test_no_change_is_no_commit(origin: Origin, action: Action) -> None:
    event = origin.push({"app.py": "1", "seccomp.json": "new"})
    outcome = action.run(event)
    assert outcome.succeeded, outcome
    assert (origin.head("main"), outcome.outputs["seclude"]["commit"]) == (event.sha, "")


def test_the_counts_of_unused_calls_go_along(origin: Origin, action: Action) -> None:
    event = origin.push({"app.py": "1"})
    action.run(
        event, DURING="mkdir .seclude; echo 1 >.seclude/unused.json; echo 2 >.seclude/recording-1.json"
    )
    assert origin.changed("main") == (".seclude/unused.json", "seccomp.json")


def test_a_configuration_in_a_directory(origin: Origin, action: Action) -> None:
    event = origin.push({"api/seclude.toml": "1"})
    told = workflow(mode="commit", config="api/seclude.toml")
    during = "mkdir api/.seclude; echo 1 >api/.seclude/unused.json"
    outcome = action.run(event, told, PROFILE_PATH="api/seccomp.json", DURING=during)
    assert outcome.succeeded, outcome
    assert outcome.outputs["seclude"]["profile"] == "api/seccomp.json"
    assert origin.changed("main") == ("api/.seclude/unused.json", "api/seccomp.json")


@pytest.mark.parametrize("status", ["1", "2"])
def test_findings_and_errors_end_it(origin: Origin, action: Action, status: str) -> None:
    event = origin.push({"app.py": "1"})
    outcome = action.run(event, STATUS=status)
    assert not outcome.succeeded
    assert origin.head("main") == event.sha
    assert outcome.outputs["seclude"]["added"] == "read write"


@pytest.mark.parametrize(
    ("ref", "name", "reason"),
    [
        ("refs/tags/v1", "push", "refs/tags/v1 is no branch"),
        ("refs/pull/7/merge", "pull_request", "the event is pull_request, and only a push commits"),
        ("refs/heads/main", "pull_request_target", "the event is pull_request_target"),
        ("refs/heads/main", "workflow_run", "the event is workflow_run"),
    ],
)
def test_what_is_only_checked(origin: Origin, action: Action, ref: str, name: str, reason: str) -> None:
    """A tag, and what may come from a fork: nothing is written, and the gate holds all the same."""
    event = origin.push({"app.py": "1"})
    if ref != "refs/heads/main":
        origin.git("push", "--quiet", "origin", f"HEAD:{ref}")
    outcome = action.run(origin.event(ref, name))
    assert outcome.succeeded, outcome
    assert "--check" in action.arguments
    assert reason in said(outcome, "notice")
    assert (origin.head("main"), origin.head(ref)) == (event.sha, event.sha)
    assert not action.run(origin.event(ref, name), STATUS="2").succeeded


def test_a_tag_does_not_start_the_workflow(origin: Origin) -> None:
    origin.push({"app.py": "1"})
    origin.git("push", "--quiet", "origin", "HEAD:refs/tags/v1")
    assert not starts(WORKFLOW, origin.event("refs/tags/v1"))


def test_no_loop_with_a_token_that_starts_workflows(origin: Origin, action: Action) -> None:
    assert action.run(origin.push({"app.py": "1"})).succeeded
    first = origin.head("main")
    outcome = action.run(origin.event("refs/heads/main"), PROFILE_TEXT="newer")
    assert outcome.succeeded, outcome
    assert origin.head("main") == first
    assert "the last commit is one of ours ([seclude])" in said(outcome, "notice")
    # The words alone, or in the middle, are no marker; and with it the gate is not skipped.
    origin.push({"app.py": "2"}, "Speak of [seclude] in passing")
    action.run(origin.event("refs/heads/main"), PROFILE_TEXT="newest")
    assert origin.log()[0] == "Update seccomp.json [seclude]"


class TestDirty:
    def test_before(self, origin: Origin, action: Action) -> None:
        event = origin.push({"app.py": "1", "other.py": "2"})
        told = workflow(mode="commit")
        told["jobs"]["one"]["steps"].insert(1, {"run": "echo 3 >other.py"})
        outcome = action.run(event, told)
        assert not outcome.succeeded
        assert action.arguments == []  # nothing was recorded in vain
        assert "the work tree is dirty" in said(outcome)
        assert " M other.py" in said(outcome)
        assert origin.head("main") == event.sha

    def test_by_the_run(self, origin: Origin, action: Action) -> None:
        event = origin.push({"app.py": "1"})
        outcome = action.run(event, DURING="echo 2 >app.py")
        assert not outcome.succeeded
        assert "the work tree is dirty" in said(outcome)
        assert origin.head("main") == event.sha

    def test_another_commit(self, origin: Origin, action: Action) -> None:
        event = origin.push({"app.py": "1"})
        commit = (
            "git -c user.name=x -c user.email=x@example.org commit --quiet --allow-empty --message=secret"
        )
        outcome = action.run(event, DURING=commit)
        assert not outcome.succeeded
        assert "is checked out, not" in said(outcome)
        assert origin.head("main") == event.sha


class TestPush:
    def test_refused(self, origin: Origin, action: Action) -> None:
        event = origin.push({"app.py": "1"})
        origin.hook("pre-receive", "#!/bin/sh\necho '::warning::main is protected'\nexit 1\n")
        outcome = action.run(event)
        assert not outcome.succeeded
        [(level, text)] = outcome.annotations  # what the remote says is no command
        assert level == "error"
        assert "the remote refuses a push to refs/heads/main" in text
        assert "main is protected" in text
        assert "nothing was pushed" in text
        assert origin.head("main") == event.sha

    def race(self, origin: Origin, files: str) -> str:
        """A script with which somebody pushes to main before we do."""
        return (
            f"git clone --quiet {origin.path} $RUNNER_TEMP/other; cd $RUNNER_TEMP/other; {files}; git add --all; "
            "git -c user.name=x -c user.email=x@example.org commit --quiet --message=faster; "
            "git push --quiet origin main"
        )

    def test_somebody_was_faster(self, origin: Origin, action: Action) -> None:
        event = origin.push({"app.py": "1", "seccomp.json": "old"})
        outcome = action.run(event, DURING=self.race(origin, "echo 2 >app.py"))
        assert outcome.succeeded, outcome
        assert origin.log() == ["Update seccomp.json [seclude]", "faster", "A change"]
        assert (origin.show("app.py"), origin.show("seccomp.json")) == ("2\n", "new")
        assert outcome.outputs["seclude"]["commit"] == origin.head("main")

    def test_somebody_was_faster_with_the_profile(self, origin: Origin, action: Action) -> None:
        event = origin.push({"app.py": "1", "seccomp.json": "old"})
        outcome = action.run(event, DURING=self.race(origin, "echo theirs >seccomp.json"))
        assert not outcome.succeeded
        assert "did both change seccomp.json?" in said(outcome)
        assert (origin.log()[0], origin.show("seccomp.json")) == ("faster", "theirs\n")

    def test_somebody_was_faster_twice(self, origin: Origin, action: Action) -> None:
        """One retry; and whatever happens, nobody's commit is overwritten."""
        event = origin.push({"app.py": "1"})
        outcome = action.run(event, DURING=self.race(origin, "echo 2 >app.py"))
        assert outcome.succeeded
        event = origin.push({"app.py": "3"})
        during = self.race(origin, "echo 4 >app.py")
        hook = '#!/bin/sh\n[ "$(git log -1 --format=%an "$3")" != "github-actions[bot]" ]\n'
        origin.hook("update", hook)
        outcome = action.run(event, DURING=during, PROFILE_TEXT="newer")
        assert not outcome.succeeded
        assert "the push was refused again after a rebase" in said(outcome)
        assert origin.log()[0] == "faster"

    def test_no_program_of_the_repository_is_started(self, origin: Origin, action: Action) -> None:
        """Hooks, and what the configuration names: code of the tests must not run where the token is."""
        event = origin.push({"app.py": "1"})
        during = (
            "for name in pre-commit commit-msg post-commit pre-push; do "
            'printf "#!/bin/sh\\ntouch $RUNNER_TEMP/started-$0\\n" >.git/hooks/$name; chmod +x .git/hooks/$name; done; '
            "git config core.hooksPath .git/hooks; git config core.fsmonitor .git/hooks/pre-push; "
            "git config commit.gpgSign true"
        )
        outcome = action.run(event, DURING=during)
        assert outcome.succeeded, outcome
        assert not list((self_temp := action.job.workspace.parent / "temp").rglob("started*")), self_temp
