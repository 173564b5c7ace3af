"""What a machine that runs the jobs needs, as lines for its administrator: the exact commands, nothing else."""

from __future__ import annotations

from .. import __version__
from ..errors import SecludeError
from .gitlab import REPORTS
from .place import Placed
from .settings import PROCESS

SECLUDE = "/usr/local/bin/seclude"
"""Installed by root once: what sudo may start must not be what a job can write."""

LABEL = "fedora"
LIBRARIES = ("libbpf", "libseccomp")
HOME = "/home/github/actions-runner"
WORK = f"{HOME}/_work"
REPORT_DIR = f"{WORK}/_temp/seclude-report"
"""Where GitHub's instructions put a runner of the user `github`, and the directory for one job's files there."""

_INSTALL = f"""\
# Once, as root: seclude where no job can change it.
#   dnf install --assumeyes clang llvm libbpf-devel {{packages}} python3
#   python3 -m venv /opt/seclude && /opt/seclude/bin/pip install seclude=={__version__}
#   ln -s /opt/seclude/bin/seclude {SECLUDE}
"""

_DOCKER = f"""\
# And docker (such as Fedora's moby-engine) with the runtime that records:
#   {SECLUDE} runtime install --engine docker && systemctl reload docker
"""

_HONEST = """\
# These commands and no others. Still, whoever can push to the repository decides what is built and run {where}
# by root: give the runner a machine of its own, and the repository to people you trust.
"""


def packages(engine: str) -> tuple[str, ...]:
    """Fedora's packages that a runner needs whose tests run with an engine; which docker it has is its own matter."""
    return ("podman", *LIBRARIES) if engine == "podman" else LIBRARIES


def _install(engine: str) -> str:
    return _INSTALL.format(packages=" ".join(packages(engine))) + (_DOCKER if engine == "docker" else "")


def _honest(engine: str) -> str:
    return _HONEST.format(where="there" if engine == PROCESS else "in containers")


def sudoers_github(placed: Placed, engine: str) -> str:
    """The lines for /etc/sudoers.d/seclude where GitHub's runner is the user `github`."""
    placed = _plain(placed)
    commands = [
        f"/usr/bin/dnf install --assumeyes {' '.join(packages(engine))}",
        _escaped(f"{SECLUDE} ci --github --report-dir {REPORT_DIR}{_config(placed)}"),
        _escaped(f"{SECLUDE} ci --github --report-dir {REPORT_DIR}{_config(placed)} --check"),
        _escaped(f"/usr/bin/chown -R -P -h --from=0:0 1000:1000 -- {WORK}/REPOSITORY/REPOSITORY"),
        _escaped(f"/usr/bin/chown -R -P -h --from=0:0 1000:1000 -- {REPORT_DIR}"),
    ]
    return (
        _install(engine)
        + "# visudo -f /etc/sudoers.d/seclude; put in the repository's name, and for 1000:1000 what `id github` says:\n"
        + f'Defaults!{SECLUDE} env_keep += "CI GITHUB_ACTIONS GITHUB_OUTPUT GITHUB_STEP_SUMMARY"\n'
        + "".join(f"github ALL=(root) NOPASSWD: {command}\n" for command in commands)
        + _honest(engine)
    )


def sudoers_gitlab(placed: Placed, engine: str) -> str:
    """The same for GitLab's runner with the shell executor, the user `gitlab-runner`; plain processes need no root."""
    if engine == PROCESS:
        return _install(engine)
    placed = _plain(placed)
    config = f" --config {placed.configuration}" if placed.nested else ""
    files = f"{placed.profile} {placed.recordings} {REPORTS}"
    commands = [
        _escaped(f"{SECLUDE} ci --report-dir {REPORTS}{config}"),
        _escaped(f"{SECLUDE} ci --report-dir {REPORTS}{config} --check"),
        _escaped(f"/usr/bin/chown --recursive --no-dereference 1000 -- {files}"),
    ]
    return (
        _install(engine)
        + "# visudo -f /etc/sudoers.d/seclude; put in for 1000 what `id -u gitlab-runner` says:\n"
        + "".join(f"gitlab-runner ALL=(root) NOPASSWD: {command}\n" for command in commands)
        + _honest(engine)
    )


def _config(placed: Placed) -> str:
    return f" --config={placed.configuration}" if placed.nested else ""


def _plain(placed: Placed) -> Placed:
    """`placed`, if sudoers(5) can name its paths: quoting there does not reach every character."""
    if not all((c.isascii() and c.isalnum()) or c in "/._-+@" for c in placed.below):
        raise SecludeError(
            f"the directory {placed.below[:200]!r} cannot be named in a sudoers file",
            hint="rename it: letters, digits and . _ - + @ only",
        )
    return placed


def _escaped(command: str) -> str:
    """What sudoers(5) wants escaped in a command's arguments."""
    return "".join(f"\\{c}" if c in ",:=\\" else c for c in command)
