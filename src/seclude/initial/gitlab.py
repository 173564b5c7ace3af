"""The place of a configuration in its repository in, the text of a GitLab pipeline out."""

from __future__ import annotations

import shlex

from .place import Placed
from .quoting import yaml

PATH = ".gitlab-ci.yml"
INCLUDED = ".gitlab/seccomp.yml"
"""Where the jobs go if the repository has a pipeline, which then includes them."""

TAG = "seclude"
REPORTS = "seclude-report"

_FIRST = "# Written by `seclude init`"
_TEXT = (
    _FIRST
    + """\
: it is yours to change. docs/init.md of seclude says how to set up the runner.
.seccomp-filter:
  stage: test
  # A runner with the shell executor on a machine of its own that has podman and {seclude}: see docs/init.md.
  tags:
    - {tag}
  timeout: 1 hour
  after_script:
    # seclude ran as root; the next job's user must be able to clean up.
    - {give_back}
  artifacts:
    when: always
    expire_in: 30 days
    paths:
      - {reports}/
      - {profile}

generate-seccomp-filter:
  extends: .seccomp-filter
  rules:
    # The job cannot push: the profile is an artifact of it.
    - if: $CI_PIPELINE_SOURCE == "push" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
  script:
    - {generate}

check-seccomp-filter:
  extends: .seccomp-filter
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  script:
    - {check}
"""
)


def path(present: str) -> str:
    """Where the jobs go, by the text of the .gitlab-ci.yml that is there (empty: none): over no pipeline of others."""
    return PATH if not present or present.startswith(_FIRST) else INCLUDED


def text(placed: Placed, *, seclude: str) -> str:
    """Two jobs: one on the default branch, whose artifact is the profile, one for merge requests that checks it."""
    command = [seclude, "ci", "--report-dir", REPORTS]
    if placed.nested:
        command += ["--config", placed.configuration]
    given_back = (placed.profile, placed.recordings, REPORTS)
    return _TEXT.format(
        seclude=seclude,
        tag=TAG,
        reports=REPORTS,
        profile=yaml(placed.profile),
        generate=yaml("sudo --non-interactive " + shlex.join(command)),
        check=yaml("sudo --non-interactive " + shlex.join([*command, "--check"])),
        give_back=yaml(
            f'sudo --non-interactive /usr/bin/chown --recursive --no-dereference "$(id -u)" -- {shlex.join(given_back)}'
            " || true"
        ),
    )
