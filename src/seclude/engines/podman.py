"""Podman: a `podman run` command in, the same command with hooks, annotations or a profile added; the hooks file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from ..commandline import Grammar, RunCommand, parse
from ..hookwords import python_words

HOOKS_DIRECTORIES = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")
"""Where podman looks unless told otherwise, the packages' directory first (oci-hooks(5))."""

HOOKS_FILE = "seclude.json"
ANNOTATIONS = r"^io\.(containers\.trace-syscall|seclude\.recording)(/[^/]+)?$"
"""What starts the hook; the part after the slash names a container of a pod (seclude/pods.py)."""

GRAMMAR = Grammar(
    engine="podman",
    # podman(1), global options that take their value as the next word.
    global_values=frozenset(
        "--cdi-spec-dir --cgroup-manager --cni-config-dir --config --conmon --connection -c --db-backend "
        "--events-backend --hooks-dir --identity --imagestore --log-level --module --namespace --network-cmd-path "
        "--network-config-dir --out --pull-option --registries-conf --root --runroot --runtime --runtime-flag --ssh "
        "--storage-driver --storage-opt --tmpdir --url --volumepath".split()
    ),
    # podman-run(1), options that take no value, and their letters.
    switches=frozenset(
        "--detach --disable-content-trust --env-host --help --http-proxy --init --interactive --no-healthcheck "
        "--no-hosts --no-hostname --oom-kill-disable --passwd --privileged --publish-all --quiet --read-only "
        "--read-only-tmpfs --replace --rm --rmi --rootfs --sig-proxy --tls-verify --tty --unsetenv-all".split()
    ),
    letters="ditPq",
    instead="record `podman run`; for other ways of starting containers use `seclude hook install`",
    example="seclude record -- podman run IMAGE COMMAND",
)


class PodmanEngine:
    """Recognises `podman run` and `podman container run`, whatever global options stand before."""

    name = "podman"

    def recognises(self, command: Sequence[str]) -> bool:
        return bool(command) and os.path.basename(command[0]) == "podman"

    def parse(self, command: Sequence[str]) -> RunCommand:
        """The parts of the command; raises EngineError where it starts no container."""
        return parse(command, GRAMMAR)

    def hooked(
        self,
        run: RunCommand,
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

    def enforced(self, run: RunCommand, profile: str) -> list[str]:
        """The command with the profile in force; raises EngineError where another would be."""
        return run.enforced(profile)


def hooks_file(arguments: Mapping[str, str], package: str) -> str:
    """The text of an OCI hooks file (oci-hooks(5), version 1.0.0) that starts this installation's hook.

    `package` is the directory that holds the package `seclude`, `arguments` the hook's.
    """
    words = python_words("hook", arguments, package)
    hook = {"path": words[0], "args": words}
    entry = {
        "version": "1.0.0",
        "hook": hook,
        "when": {"annotations": {ANNOTATIONS: ".*"}},
        "stages": ["createRuntime", "poststop"],
    }
    return json.dumps(entry, indent=2) + "\n"


def precreate_file(listener: str, package: str) -> str:
    """The same of a hook that has every container's permitted calls asked about at the socket `listener`."""
    words = python_words("notify.precreate", {"--listener": listener}, package)
    entry = {
        "version": "1.0.0",
        "hook": {"path": words[0], "args": words},
        "when": {"always": True},
        "stages": ["precreate"],
    }
    return json.dumps(entry, indent=2) + "\n"
