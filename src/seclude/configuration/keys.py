"""The keys of a configuration: what each may hold, the variable that overrides it and what it means."""

from __future__ import annotations

from ..model.frozen import frozen

ENGINES = ("podman", "docker", "process")
"""Engines that `seclude ci` can test with; all are in the registry of `seclude.engines`."""

CONTAINERS_ONLY = ("image", "options")
"""Keys that mean nothing to the engine `process`, which starts no container."""

TIERS = ("critical", "high", "medium", "low")
"""What `review` takes beside names of calls: how dangerous a call is (model.change.Danger)."""

PREFIX = "SECLUDE_"
OTHER_VARIABLES = ("SECLUDE_BPFFS", "SECLUDE_STATE_DIR", "SECLUDE_COMMAND")
"""Variables of ours that say nothing of a repository: cli.options reads two of them, action.yml the third."""

LARGEST = 1024 * 1024
LONGEST_NAME = 200
LONGEST_TEXT = 4096
MOST_TESTS = 1000


@frozen
class Key:
    """`name` as in the file, `kind` what it holds: text, path, command, words, names, whole, number, tests, table,
    acknowledgements. `table` is "gate" for the keys in there. `variable` is empty where there is none.
    """

    name: str
    kind: str
    table: str = ""

    @property
    def field(self) -> str:
        """The field of the model."""
        return self.name.replace("-", "_")

    @property
    def path(self) -> tuple[str, ...]:
        """Where it is in the file."""
        return (self.table, self.name) if self.table else (self.name,)

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return "" if self.kind == "acknowledgements" else PREFIX + self.field.upper()


TOP = (
    Key(name="image", kind="text"),
    Key(name="build", kind="command"),
    Key(name="engine", kind="text"),
    Key(name="options", kind="words"),
    Key(name="test", kind="tests"),
    Key(name="profile", kind="path"),
    Key(name="recordings", kind="path"),
    Key(name="baseline", kind="text"),
    Key(name="errno", kind="text"),
    Key(name="timeout", kind="number"),
    Key(name="repeat", kind="whole"),
    Key(name="keep-for", kind="whole"),
    Key(name="coverage", kind="path"),
)
GATE = (
    Key(name="deny", kind="names", table="gate"),
    Key(name="allow", kind="names", table="gate"),
    Key(name="review", kind="names", table="gate"),
    Key(name="max-added", kind="whole", table="gate"),
    Key(name="min-coverage", kind="number", table="gate"),
    Key(name="max-risk", kind="number", table="gate"),
    Key(name="acknowledged", kind="acknowledgements", table="gate"),
)
TEST = ("name", "run")
ACKNOWLEDGED = ("call", "reason", "expires")

KEYS = (*TOP, *GATE)
