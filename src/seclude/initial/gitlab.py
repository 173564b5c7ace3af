"""The place of a configuration in its repository in, the text of a GitLab pipeline out."""

from __future__ import annotations

import shlex

from .place import Placed
from .quoting import yaml
from .settings import PROCESS

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
  # A runner with the shell executor on a machine of its own that has {tools}{seclude}: see docs/init.md.
  tags:
    - {tag}
  timeout: 1 hour
{after}  artifacts:
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

_AFTER = """\
  after_script:
    # seclude ran as root; the next job's user must be able to clean up.
    - {give_back}
"""


def path(present: str) -> str:
    """Where the jobs go, by the text of the .gitlab-ci.yml that is there (empty: none): over no pipeline of others."""
    return PATH if not present or present.startswith(_FIRST) else INCLUDED


def text(placed: Placed, *, seclude: str, engine: str) -> str:
    """Two jobs: one on the default branch, whose artifact is the profile, one for merge requests that checks it."""
    plain = engine == PROCESS
    command = shlex.join([seclude, "ci", "--report-dir", REPORTS])
    if placed.nested:
        command += f" {shlex.join(['--config', placed.configuration])}"
    # Containers are recorded by root; plain processes by whoever starts them, without eBPF.
    sudo = "" if plain else "sudo --non-interactive "
    given_back = shlex.join((placed.profile, placed.recordings, REPORTS))
    after = _AFTER.format(
        give_back=yaml(
            f'{sudo}/usr/bin/chown --recursive --no-dereference "$(id -u)" -- {given_back} || true'
        )
    )
    return _TEXT.format(
        tools="" if plain else f"{engine} and ",
        seclude=seclude,
        tag=TAG,
        reports=REPORTS,
        profile=yaml(placed.profile),
        generate=yaml(f"{sudo}{command}"),
        check=yaml(f"{sudo}{command} --check"),
        after="" if plain else after,
    )
