"""What `seclude ci` is told: one frozen value for a repository, checked when it is made."""

from __future__ import annotations

from ..errors import SecludeError
from .frozen import frozen

DENIED = (
    "ptrace process_vm_readv process_vm_writev kexec_load kexec_file_load init_module finit_module delete_module bpf "
    "perf_event_open userfaultfd mount umount2 pivot_root move_mount fsopen fsmount open_tree setns unshare "
    "open_by_handle_at add_key request_key keyctl reboot swapon swapoff iopl ioperm acct settimeofday clock_settime "
    "io_uring_setup io_uring_enter io_uring_register"
)
"""Calls that the gate never lets in unless the configuration says otherwise."""


class ConfigurationError(SecludeError):
    """A configuration that cannot be read, or that says what cannot be."""


@frozen
class TestCommand:
    """A test command, which is a context of its own: `run` goes into the container after the image's name, or is the
    command itself where the engine is `process`.
    """

    name: str
    run: tuple[str, ...]


@frozen
class Acknowledgement:
    """That somebody has looked at a call: why it may come in, and until when (YYYY-MM-DD, empty: for good)."""

    call: str
    reason: str
    expires: str = ""


@frozen
class Gate:
    """What may come into the profile. `review`: names that need an acknowledgement (the tier "high" stands for all of
    that tier and above); `max_added` -1: any number; `min_coverage`: percent of lines, 0: not asked; `max_risk`: the
    probability, at 95 % confidence, that the next test makes a call that is not in the profile, 0 or 1: not asked.
    """

    deny: tuple[str, ...] = tuple(DENIED.split())
    review: tuple[str, ...] = ("high",)
    acknowledged: tuple[Acknowledgement, ...] = ()
    max_added: int = -1
    min_coverage: float = 0.0
    max_risk: float = 0.0


@frozen
class Configuration:
    """All of it, defaults filled in. Paths are relative to the directory of the configuration and lie in it.

    `engine`: podman, docker, or process for plain commands, where `image` and `options` are empty; `build` builds the
    image, or what else the tests need (empty: it is there already); `options` go to the engine's run before the image;
    `timeout` is in seconds for each test command; `keep_for`: runs for which a call stays that the tests no longer
    make, -1 for good; `coverage`: a report that the tests leave in the repository (empty: none); `repeat`: runs of the
    tests under the new profile.
    """

    image: str
    tests: tuple[TestCommand, ...]
    engine: str = "podman"
    build: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    profile: str = "seccomp.json"
    recordings: str = ".seclude"
    baseline: str = "auto"
    errno: str = ""
    timeout: float = 600.0
    repeat: int = 1
    keep_for: int = -1
    coverage: str = ""
    gate: Gate = Gate()
