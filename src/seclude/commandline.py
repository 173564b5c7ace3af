"""Command lines of container engines: words and an engine's grammar in, the parts of its `run` command out."""

from __future__ import annotations

from .errors import EngineError
from .model.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@frozen
class Grammar:
    """What must be known of an engine's options to tell them from their values, the image and its command.

    `global_values`: global options that take the next word as their value; `switches`: options of `run` that take none,
    `letters`: those of them that have one letter. `instead`: what to do with a command that is not `run`; `example`: a
    whole command.
    """

    engine: str
    global_values: frozenset[str]
    switches: frozenset[str]
    letters: str
    instead: str
    example: str


@frozen
class RunCommand:
    """An engine's `run`, split where something can be added: program, its options, `run`, and the rest."""

    grammar: Grammar
    program: str
    options: tuple[str, ...]
    verb: tuple[str, ...]
    rest: tuple[str, ...]

    def given(self) -> Iterator[tuple[str, str]]:
        """The options of `run` itself, before the image's name: (name, value), empty where a switch has none.

        Letters may be joined, and the last may have its value joined to it: -itd, -eA=b.
        """
        return self._given(iter(self.rest), [])

    def _given(self, words: Iterator[str], image: list[str]) -> Iterator[tuple[str, str]]:
        for word in words:
            if not word.startswith("-") or word == "--":
                image.append(next(words, "") if word == "--" else word)
                return
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                takes_value = not equals and name not in self.grammar.switches
            else:
                letters = name[1:]
                switches = letters[: len(letters) - len(letters.lstrip(self.grammar.letters))]
                yield from ((f"-{letter}", value) for letter in switches)
                if switches == letters:
                    continue
                joined = word[len(switches) + 2 :]
                name, value, takes_value = f"-{letters[len(switches)]}", joined.removeprefix("="), not joined
            yield name, next(words, "") if takes_value else value

    @property
    def image(self) -> str:
        """The image that the command names; empty where it names none."""
        image: list[str] = []
        for _ in self._given(iter(self.rest), image):
            pass
        return image[0] if image else ""

    def values(self, name: str) -> tuple[str, ...]:
        """The values that an option of `run` is given, in their order."""
        return tuple(value for given, value in self.given() if given == name)

    def switched_on(self, *names: str) -> bool:
        """Whether a switch is on, under any of its names; the last word counts, and it may be --switch=false."""
        said = [value for given, value in self.given() if given in names]
        return bool(said) and said[-1].lower() not in ("false", "f", "0")

    @property
    def detached(self) -> bool:
        """Whether the engine returns before the container ends."""
        return self.switched_on("--detach", "-d")

    def enforced(self, profile: str, more: Sequence[str] = ()) -> list[str]:
        """The command with the profile in force and more arguments; raises EngineError where another one would be.

        Of several profiles the last one counts, for podman and for docker (which once took a colon for the sign).
        """
        for option in self.values("--security-opt"):
            if option.replace(":", "=", 1).startswith("seccomp="):
                raise EngineError(
                    f"{self.grammar.engine} would take `--security-opt {option[:80]}` in place of the profile",
                    hint="leave that option out",
                )
        return self.command(arguments=["--security-opt", f"seccomp={profile}", *more])

    def command(self, *, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> list[str]:
        """The command with more global options and more arguments of `run`."""
        return [self.program, *self.options, *options, *self.verb, *arguments, *self.rest]


def parse(command: Sequence[str], grammar: Grammar) -> RunCommand:
    """The parts of `ENGINE run` and `ENGINE container run`; raises EngineError where it is neither."""
    index = 1
    while index < len(command) and command[index].startswith("-"):
        index += 2 if command[index] in grammar.global_values else 1
    verbs = 2 if command[index : index + 1] == ["container"] else 1
    verb = tuple(command[index : index + verbs])
    if verb not in (("run",), ("container", "run")):
        raise EngineError(f"`{' '.join([grammar.engine, *verb])}` starts no container", hint=grammar.instead)
    if index + verbs >= len(command):
        raise EngineError(f"`{grammar.engine} run` names no image", hint=grammar.example)
    return RunCommand(
        grammar=grammar,
        program=command[0],
        options=tuple(command[1:index]),
        verb=verb,
        rest=tuple(command[index + verbs :]),
    )
