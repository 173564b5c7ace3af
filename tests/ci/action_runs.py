"""Runs of the action with a seclude that does as told: a workflow and an event in, the outcome out.

That seclude records nothing. It is for tests of what comes before and after it; test_pipeline.py has the real one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner import ROOT, Event, Job, Outcome, load, plainly

WORKFLOW = load(ROOT / "examples" / "flask-api" / ".github" / "workflows" / "seccomp.yml")

# Its arguments to a file, the outputs as `seclude ci --github` writes them, the profile unless it only checks.
SECLUDE = """\
#!/bin/bash
set -e
[ "$1" != --version ] || { echo "seclude, version 0"; exit; }
printf '%s\\n' "$@" >"$ARGUMENTS"
env >"$ARGUMENTS.env"
if [ -n "${DURING:-}" ]; then bash -e -c "$DURING" >/dev/null 2>&1; fi
profile=${PROFILE_PATH:-seccomp.json}
printf '%s\\n' "profile=$profile" changed=true "added=read write" removed= denied= report= >>"$GITHUB_OUTPUT"
case " $* " in *" --check "*) ;; *) printf '%s' "${PROFILE_TEXT:-new}" >"$profile" ;; esac
exit "${STATUS:-0}"
"""


class Action:
    """Runs a workflow on events with a seclude as told."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir()
        self._seclude = directory / "seclude"
        self._seclude.write_text(SECLUDE)
        self._seclude.chmod(0o755)
        self._count = 0
        self.job: Job

    def run(
        self, event: Event, workflow: Mapping[str, Any] = WORKFLOW, launch: Any = plainly, **told: str
    ) -> Outcome:
        """`told`: variables of the runner, DURING, PROFILE_TEXT and STATUS for the seclude among them."""
        self._count += 1
        self.arguments_file = self._directory / f"arguments-{self._count}"
        settings = {"SECLUDE_COMMAND": str(self._seclude), "ARGUMENTS": str(self.arguments_file)}
        self.job = Job(event, self._directory / f"job-{self._count}", launch, os.environ | settings | told)
        return self.job.run(workflow)

    @property
    def arguments(self) -> list[str]:
        """What the last run gave to seclude; empty if it was not started."""
        return self.arguments_file.read_text().splitlines() if self.arguments_file.exists() else []


def workflow(**inputs: str) -> dict[str, Any]:
    """A workflow with one use of the action."""
    uses = "seclude-project/seclude@v0"
    checkout = WORKFLOW["jobs"]["generate-seccomp-filter"]["steps"][0]
    steps = [checkout, {"id": "seclude", "uses": uses, "with": inputs}]
    return {"on": "push", "jobs": {"one": {"runs-on": "ubuntu-24.04", "steps": steps}}}


def said(outcome: Outcome, level: str = "error") -> str:
    return "\n".join(text for each, text in outcome.annotations if each == level)
