"""The place of a configuration in its repository in, the text of a GitHub workflow out."""

from __future__ import annotations

from .. import __version__
from .place import Placed
from .quoting import yaml

PATH = ".github/workflows/seccomp.yml"

ACTION = "seclude-project/seclude"
"""The repository with the action, whose action.yml is at the root."""

CHECKOUT = ("actions/checkout", "3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1")
"""Action, commit and the tag that this commit has; raise both together."""

_HEAD = """\
# Written by `seclude init`: it is yours to change. docs/init.md of seclude says why it is as it is.
name: Generate Seccomp Filter

on:
  push:
    # Dependabot's pushes come with a token that cannot write.
    branches:
      - "**"
      - "!dependabot/**"
    # What the workflow commits itself.
    paths-ignore:
{ignored}
{pull_request}
permissions: {{}}

concurrency:
  group: ${{{{ github.workflow }}}}-${{{{ github.ref }}}}
  cancel-in-progress: false

jobs:
"""

_GENERATE = """\
  generate-seccomp-filter:
    name: Generate Seccomp Filter
{condition}{runs_on}
    timeout-minutes: 60
    permissions:
      contents: write # to push the profile to the branch that it was recorded for
    steps:
{checkout}{tools}
      - name: Record the tests, prove the profile, commit it
        uses: {action}
        with:
          mode: commit
{inputs}"""

_CHECK = """
  check-seccomp-filter:
    name: Check Seccomp Filter
    # A branch of this repository was pushed, and the job above has it. The token of a fork cannot write.
    if: >-
      github.event_name == 'pull_request'
      && github.event.pull_request.head.repo.full_name != github.repository
    runs-on: ubuntu-24.04
    timeout-minutes: 60
    permissions:
      contents: read
      pull-requests: read
    steps:
{checkout}
      - name: Record the tests, prove the profile, compare it
        uses: {action}
        with:
          mode: check
{inputs}"""

_CHECKOUT = """\
      - name: Check out repository
        uses: {action}@{commit} # {tag}
        with:
          persist-credentials: false
"""


def hosted(placed: Placed, pin: str = "") -> str:
    """The workflow for GitHub's own runners: pushes commit the profile, pull requests of forks are checked.

    `pin`: the commit of the action, where it is known.
    """
    return (
        _head(placed, "  pull_request:\n")
        + _GENERATE.format(
            condition="    if: github.event_name == 'push'\n",
            runs_on="    runs-on: ubuntu-24.04",
            checkout=_checkout(),
            tools="",
            action=_action(pin),
            inputs=_inputs(placed),
        )
        + _CHECK.format(checkout=_checkout(), action=_action(pin), inputs=_inputs(placed))
    )


def self_hosted(
    placed: Placed, *, label: str, packages: tuple[str, ...], seclude: str, reports: str, pin: str = ""
) -> str:
    """The workflow for one's own runner that is called `label`: pushes only, since the code of a fork's pull request
    must not run on a machine that is kept. `seclude`: the executable there; `reports`: where its reports go.
    """
    tools = f"""
      - name: Install tools
        run: sudo dnf install --assumeyes {" ".join(packages)}
"""
    return _head(
        placed, "# No pull_request: what a fork sends must not run on a machine that is kept.\n"
    ) + _GENERATE.format(
        condition="",
        runs_on="    # Self-hosted; the repository's variable SECLUDE_RUNNER names a runner with another label.\n"
        f"    runs-on: ${{{{ vars.SECLUDE_RUNNER || '{label}' }}}}",
        checkout=_checkout(),
        tools=tools,
        action=_action(pin),
        inputs=f"          seclude: {yaml(seclude)}\n          report-dir: {yaml(reports)}\n{_inputs(placed)}",
    )


def _head(placed: Placed, pull_request: str) -> str:
    ignored = (placed.profile, f"{placed.recordings}/**")
    lines = [f"      - {yaml(pattern(each, wild='/**'))}" for each in ignored]
    return _HEAD.format(ignored="\n".join(lines), pull_request=pull_request)


def _checkout() -> str:
    action, commit, tag = CHECKOUT
    return _CHECKOUT.format(action=action, commit=commit, tag=tag)


def _action(pin: str) -> str:
    if pin:
        return f"{ACTION}@{pin} # v{__version__}"
    return (
        f"{ACTION}@v{__version__} # zizmor: ignore[unpinned-uses] put the release's commit here: "
        f"git ls-remote https://github.com/{ACTION} v{__version__}"
    )


def _inputs(placed: Placed) -> str:
    return f"          config: {yaml(placed.configuration)}\n" if placed.nested else ""


def pattern(path: str, *, wild: str = "") -> str:
    """A path as a pattern of GitHub that fits nothing else ("Filter pattern cheat sheet"); `wild` at its end stays."""
    kept = wild if wild and path.endswith(wild) else ""
    plain = path.removesuffix(kept)
    return "".join(f"\\{character}" if character in "*?+[]!\\" else character for character in plain) + kept
