"""Podman: a `podman run` command in, the same command with hooks, annotations or a profile added; the hooks file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

from ..errors import EngineError
from ..model.frozen import frozen

HOOKS_DIRECTORIES = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")
"""Where podman looks unless told otherwise, the packages' directory first (oci-hooks(5))."""

HOOKS_FILE = "seclude.json"
ANNOTATIONS = r"^io\.(containers\.trace-syscall|seclude\.recording)$"

# podman(1), global options that take their value as the next word.
_GLOBAL_WITH_VALUE = frozenset(
    "--cdi-spec-dir --cgroup-manager --cni-config-dir --config --conmon --connection -c --db-backend --events-backend "
    "--hooks-dir --identity --imagestore --log-level --module --namespace --network-cmd-path --network-config-dir "
    "--out --pull-option --registries-conf --root --runroot --runtime --runtime-flag --ssh --storage-driver "
    "--storage-opt --tmpdir --url --volumepath".split()
)

# podman-run(1), options that take no value, and their letters.
_RUN_SWITCHES = frozenset(
    "--detach --disable-content-trust --env-host --help --http-proxy --init --interactive --no-healthcheck --no-hosts "
    "--no-hostname --oom-kill-disable --passwd --privileged --publish-all --quiet --read-only --read-only-tmpfs "
    "--replace --rm --rmi --rootfs --sig-proxy --tls-verify --tty --unsetenv-all".split()
)
_RUN_LETTERS = "ditPq"


@frozen
class PodmanRun:
    """A `podman run` command, split where something can be added: podman, its options, `run`, and the rest."""

    program: str
    options: tuple[str, ...]
    verb: tuple[str, ...]
    rest: tuple[str, ...]

    @property
    def detached(self) -> bool:
        """Whether podman returns before the container ends, judged by the words before the image's name."""
        words = iter(self.rest)
        for word in words:
            if not word.startswith("-"):
                return False
            name, equals, value = word.partition("=")
            if name == "--detach":
                return value != "false"
            if name.startswith("--"):
                takes_value = not equals and name not in _RUN_SWITCHES
            else:
                # Letters may be joined, and the last may have its value joined to it: -itd, -eA=b.
                letters = name[1:]
                switches = letters[: len(letters) - len(letters.lstrip(_RUN_LETTERS))]
                if "d" in switches:
                    return value != "false"
                takes_value = not equals and len(letters) == len(switches) + 1
            if takes_value:
                next(words, None)
        return False

    def command(self, *, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> list[str]:
        """The command with more global options and more arguments of `run`."""
        return [self.program, *self.options, *options, *self.verb, *arguments, *self.rest]


class PodmanEngine:
    """Recognises `podman run` and `podman container run`, whatever global options stand before."""

    name = "podman"

    def recognises(self, command: Sequence[str]) -> bool:
        return bool(command) and os.path.basename(command[0]) == "podman"

    def parse(self, command: Sequence[str]) -> PodmanRun:
        """The parts of the command; raises EngineError where it starts no container."""
        index = 1
        while index < len(command) and command[index].startswith("-"):
            index += 2 if command[index] in _GLOBAL_WITH_VALUE else 1
        verbs = 2 if command[index : index + 1] == ["container"] else 1
        verb = tuple(command[index : index + verbs])
        if verb not in (("run",), ("container", "run")):
            raise EngineError(
                f"`{' '.join(['podman', *verb])}` starts no container",
                hint="record `podman run`; for other ways of starting containers use `seclude hook install`",
            )
        if index + verbs >= len(command):
            raise EngineError(
                "`podman run` names no image", hint="seclude record -- podman run IMAGE COMMAND"
            )
        return PodmanRun(
            program=command[0],
            options=tuple(command[1:index]),
            verb=verb,
            rest=tuple(command[index + verbs :]),
        )

    def hooked(
        self,
        run: PodmanRun,
        hooks_directory: str,
        annotations: Mapping[str, str],
        more: Sequence[str] = (),
    ) -> list[str]:
        """The command with our hooks directory beside those that podman would read, annotations and options."""
        given = any(option.split("=")[0] == "--hooks-dir" for option in run.options)
        directories = [] if given else [path for path in HOOKS_DIRECTORIES if os.path.isdir(path)]
        options = [word for path in (*directories, hooks_directory) for word in ("--hooks-dir", path)]
        arguments = [
            word for name, value in annotations.items() for word in ("--annotation", f"{name}={value}")
        ]
        return run.command(options=options, arguments=[*arguments, *more])

    def enforced(self, run: PodmanRun, profile: str) -> list[str]:
        """The command with the profile in force."""
        return run.command(arguments=["--security-opt", f"seccomp={profile}"])


def hooks_file(arguments: Mapping[str, str], package: str) -> str:
    """The text of an OCI hooks file (oci-hooks(5), version 1.0.0) that starts this installation's hook.

    `package` is the directory that holds the package `seclude`, `arguments` the hook's. Python starts isolated and
    without site-packages: nothing in the environment or the working directory can change what root runs.
    """
    start = f"import sys; sys.path.insert(0, {package!r}); from seclude.hook import leave; leave()"
    python = os.path.realpath(sys.executable)
    words = [word for name, value in arguments.items() for word in (name, value)]
    hook = {"path": python, "args": [python, "-I", "-S", "-c", start, *words]}
    entry = {
        "version": "1.0.0",
        "hook": hook,
        "when": {"annotations": {ANNOTATIONS: ".*"}},
        "stages": ["createRuntime", "poststop"],
    }
    return json.dumps(entry, indent=2) + "\n"
