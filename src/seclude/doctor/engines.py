"""Container engines and runtimes: the directories of programs in, versions, places and whether they answer out."""

from __future__ import annotations

from ..model.frozen import frozen
from . import look
from .check import Check, degraded, ok

RUNTIMES = ("runc", "crun")


@frozen
class Program:
    """One file of the name and what it says of itself; `version` is empty where it says none."""

    path: str
    version: str
    answer: look.Answer

    def __str__(self) -> str:
        return f"{self.version or 'says no version'} ({self.path})"


def _programs(name: str, search: tuple[str, ...], timeout: float) -> tuple[Program, ...]:
    found = []
    for path in look.programs(name, search):
        answer = look.ask((path, "--version"), timeout)
        version = version_in(answer.text)
        if not version and answer.status >= 0:
            answer = look.ask((path, "--version"), timeout, errors=True)  # for what it complains of
        found.append(Program(path=path, version=version, answer=answer))
    return tuple(found)


def version_in(text: str) -> str:
    """The first word of the first line with one that looks like a version: digits, a dot, digits.

    "podman version 4.3.1", "Docker version 28.2.2, build e6534b4", "containerd github.com/... 1.6.20~ds1 ..."
    """
    for line in text.splitlines()[:16]:
        for word in line.split():
            word = word.rstrip(",;").removeprefix("v")
            major, dot, rest = word.partition(".")
            if dot and major.isdecimal() and rest[:1].isdecimal():
                return word[:64]
    return ""


def _silent(program: Program) -> str:
    return f"{program.path} --version: {program.answer.last_line} (status {program.answer.status})"


def podman(search: tuple[str, ...], timeout: float) -> Check:
    """The engine whose containers are recorded."""
    name = "podman"
    found = _programs(name, search, timeout)
    if not found:
        next_step = "install podman to record containers: `apt-get install podman`, `dnf install podman`"
        return degraded(name, "not installed; plain processes can be recorded", next_step)
    if not found[0].version:
        return degraded(name, _silent(found[0]), "see that it runs, or install it again")
    return _listed(name, found)


def docker(search: tuple[str, ...], timeout: float) -> Check:
    """The client, and whether it reaches an engine."""
    name = "docker"
    found = _programs(name, search, timeout)
    if not found:
        return ok(name, "not installed; not needed for podman")
    client = found[0]
    if "podman" in client.answer.text.lower():
        return ok(name, f"podman under this name: {client}")
    if not client.version:
        return degraded(name, _silent(client), "see that it runs, or install it again")
    answer = look.ask((client.path, "version", "--format", "{{.Server.Version}}"), timeout, errors=True)
    if answer.status == 0 and version_in(answer.text):
        return ok(name, f"client {client}, engine {version_in(answer.text)}")
    next_step = "start it (`systemctl start docker`), or set DOCKER_HOST; not needed for podman"
    return degraded(name, f"client {client}, no engine answers: {answer.last_line}", next_step)


def containerd(search: tuple[str, ...], timeout: float) -> Check:
    """The engine below docker and Kubernetes."""
    name = "containerd"
    found = _programs(name, search, timeout)
    if not found:
        return ok(name, "not installed; not needed for podman")
    if not found[0].version:
        return degraded(name, _silent(found[0]), "see that it runs, or install it again")
    return _listed(name, found)


def runtimes(search: tuple[str, ...], timeout: float) -> tuple[Check, ...]:
    """What starts containers for the engines; one of them will do."""
    installed = {name: _programs(name, search, timeout) for name in RUNTIMES}
    return tuple(_runtime(name, found, any(installed.values())) for name, found in installed.items())


def _runtime(name: str, found: tuple[Program, ...], any_installed: bool) -> Check:
    if not found:
        if any_installed:
            return ok(name, "not installed; another runtime is")
        return degraded(
            name, "not installed", f"install runc or crun to start containers: `apt-get install {name}`"
        )
    if not found[0].version:
        return degraded(name, _silent(found[0]), "see that it runs, or install it again")
    return _listed(name, found)


def _listed(name: str, found: tuple[Program, ...]) -> Check:
    first = found[0]
    text = f"{first}{_seccomp_of(first)}"
    if len(found) == 1:
        return ok(name, text)
    text += "; also " + ", ".join(map(str, found[1:]))
    if len({program.version for program in found}) == 1:
        return ok(name, text)
    return degraded(name, text, f"see which of them is meant: {_which(name)}")


def _which(name: str) -> str:
    if name in RUNTIMES:
        return "`podman info --format '{{.Host.OCIRuntime.Path}}'`, or `runtimes` in containers.conf"
    return "PATH decides, root's may differ"


def _seccomp_of(program: Program) -> str:
    """runc says which libseccomp it uses, which may be linked into it: "libseccomp: 2.5.4"."""
    for line in program.answer.text.splitlines()[:32]:
        label, colon, value = line.partition(":")
        if colon and label.strip() == "libseccomp":
            return f", with libseccomp {value.strip()[:32]}"
    return ""
