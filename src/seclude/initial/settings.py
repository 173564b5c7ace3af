"""What a directory seems to be in, the text of its seclude.toml out."""

from __future__ import annotations

from .detect import Surroundings
from .quoting import toml, toml_list

PROCESS = "process"
"""The engine that uses no image."""

FALLBACK = ("./test.sh",)
"""The test command where none was found: the seed of a script that somebody has yet to write."""


_CONTAINER = "# A test command runs in a container of the image."
_MACHINE = "# A test command runs here, on the machine itself."


def build_command(around: Surroundings, engine: str) -> tuple[str, ...]:
    """What builds the image; empty without a Containerfile, or where no image is used."""
    if not around.containerfile or engine == PROCESS:
        return ()
    return (engine, "build", "--tag", around.image, "--file", around.containerfile, ".")


def test_command(around: Surroundings) -> tuple[str, ...]:
    """The likeliest test command."""
    return around.runners[0].command if around.runners else FALLBACK


def text(around: Surroundings, engine: str) -> str:
    """A seclude.toml with all that was found, and the common keys as comments with their defaults."""
    lines = [
        "# What `seclude ci` does with this repository. All keys: docs/configuration.md of seclude.",
        "",
        *(_machine() if engine == PROCESS else _image(around, engine)),
        "",
        "# The profile that is kept up to date.",
        'profile = "seccomp.json"',
        "",
        f"{_MACHINE if engine == PROCESS else _CONTAINER} The profile allows what the tests do and nothing else:",
        "# they should reach as much of the code as they can. More tables of this kind are more commands.",
        "[[test]]",
        'name = "tests"',
        f"run = {toml_list(test_command(around))}",
        *(f"# run = {toml_list(other.command)}" for other in around.runners[1:]),
        "",
        "# What may come into the profile. Calls that reach the kernel or other processes never may by default.",
        "[gate]",
        'review = ["high"]',
        "# max-added = 5",
        "# min-coverage = 80",
        "# max-risk = 0.1",
        "",
        "# [[gate.acknowledged]]",
        '# call = "ptrace"',
        '# reason = "the crash handler needs it"',
        '# expires = "2027-01-31"',
    ]
    return "\n".join(lines) + "\n"


def _image(around: Surroundings, engine: str) -> list[str]:
    build = build_command(around, engine)
    return [
        "# The image that the tests run in.",
        f"image = {toml(around.image)}",
        "",
        "# What builds it: words, no shell runs them. Without this key the image must be there.",
        f"build = {toml_list(build)}" if build else f'# build = ["{engine}", "build", "--tag", "...", "."]',
        "",
        "# The engine: podman, docker (once `seclude runtime install` has run), or process for tests without an image.",
        '# engine = "podman"' if engine == "podman" else f"engine = {toml(engine)}",
    ]


def _machine() -> list[str]:
    return [
        "# The tests are plain processes: no container, no image. podman and docker are the other engines.",
        f"engine = {toml(PROCESS)}",
        "",
        "# What they need built first: words, no shell runs them.",
        '# build = ["make"]',
        "",
        "# For use in a container, the profile needs what the OCI runtimes call, too.",
        '# baseline = "runc,crun"',
    ]
