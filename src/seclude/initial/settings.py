"""What a directory seems to be in, the text of its seclude.toml out."""

from __future__ import annotations

from .detect import Surroundings
from .quoting import toml, toml_list

FALLBACK = ("./test.sh",)
"""The test command where none was found: the seed of a script that somebody has yet to write."""


def build_command(around: Surroundings) -> tuple[str, ...]:
    """What builds the image; empty without a Containerfile."""
    if not around.containerfile:
        return ()
    return ("podman", "build", "--tag", around.image, "--file", around.containerfile, ".")


def test_command(around: Surroundings) -> tuple[str, ...]:
    """The likeliest test command."""
    return around.runners[0].command if around.runners else FALLBACK


def text(around: Surroundings) -> str:
    """A seclude.toml with all that was found, and the common keys as comments with their defaults."""
    build = build_command(around)
    lines = [
        "# What `seclude ci` does with this repository. All keys: docs/configuration.md of seclude.",
        "",
        "# The image that the tests run in.",
        f"image = {toml(around.image)}",
        "",
        "# What builds it: words, no shell runs them. Without this key the image must be there.",
        f"build = {toml_list(build)}" if build else '# build = ["podman", "build", "--tag", "...", "."]',
        "",
        "# The engine: podman, docker (once `seclude runtime install` has run), or process for tests without an image.",
        '# engine = "podman"',
        "",
        "# The profile that is kept up to date.",
        'profile = "seccomp.json"',
        "",
        "# A test command runs in a container of the image. The profile allows what the tests do and nothing else:",
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
