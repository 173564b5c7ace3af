"""Several test commands in; how each ended, and one recording in which each is a context, out."""

from __future__ import annotations

import shlex
import time

from .analyse.attribution import split
from .configuration.keys import LONGEST_TEXT, MOST_TESTS
from .engines import engine_for
from .engines.docker import DockerEngine
from .errors import EngineError, RecordingError, SecludeError
from .joining import Joining
from .marking import LONGEST, bounded
from .model.frozen import frozen
from .model.recording import OVERFLOW
from .recorders import recorder_for
from .session import NothingRecorded, attached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .commandline import RunCommand
    from .model.recording import Recording
    from .session import Settings

NOT_FOUND = 127
"""The exit status that shells give for a command that is not there."""

INTERRUPTED = 130

_OPERATORS = frozenset(("&&", "||", ";", "|", "&", ">", ">>", "<", "2>", "2>&1"))
_ROOM = LONGEST - len(f" ({MOST_TESTS})")


@frozen
class Command:
    """One test command: its words, and the name of its context, which no other command of the suite has."""

    name: str
    words: tuple[str, ...]


@frozen
class Ended:
    """How a command ended: its exit status as a shell tells it, and after how many seconds.

    `reason` says why nothing of it was recorded, and is empty otherwise.
    """

    name: str
    status: int
    seconds: float
    reason: str = ""


@frozen
class Suite:
    """A recorded suite. After an interruption `ended` has fewer commands than were given."""

    ended: tuple[Ended, ...]
    recording: Recording
    interrupted: bool

    @property
    def status(self) -> int:
        """The exit status of the first command that failed, 0 if none did and none was left out."""
        failed = (each.status for each in self.ended if each.status)
        return next(failed, INTERRUPTED if self.interrupted else 0)


# Commands


def lines(text: str, source: str) -> list[tuple[str, ...]]:
    """The words of each line, empty ones and those that begin with # left out; raises SecludeError naming the line."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            found.append(words(line, f"{source}, line {number}"))
    if not found:
        raise SecludeError(f"{source} has no command", hint="write one test command a line")
    return found


def words(text: str, source: str) -> tuple[str, ...]:
    """A command, split as a shell would; no shell reads it. Raises SecludeError."""
    if len(text) > LONGEST_TEXT:
        raise SecludeError(
            f"{source} has {len(text)} characters, a command has at most {LONGEST_TEXT}",
            hint="put it into a script",
        )
    if "\0" in text:
        raise SecludeError(f"{source} has a NUL byte", hint="no command can have one")
    try:
        found = tuple(shlex.split(text))
    except ValueError as failure:
        said = str(failure)
        raise SecludeError(
            f"{source} cannot be split into words: {said[:1].lower()}{said[1:]}", hint="see its quotes"
        ) from None
    if operators := [word for word in found if word in _OPERATORS]:
        raise SecludeError(
            f"{source} has {operators[0]!r}, but no shell reads it", hint="write sh -c '...' for a shell"
        )
    if not found or not found[0]:
        raise SecludeError(f"{source} names no command", hint="write a command with its arguments")
    return found


def named(commands: Sequence[tuple[str, ...]]) -> tuple[Command, ...]:
    """Commands with their names: the command itself, bounded, and numbered from the second of a name on.

    Raises SecludeError where there are too many.
    """
    if len(commands) > MOST_TESTS:
        raise SecludeError(
            f"{len(commands)} commands are given, at most {MOST_TESTS} are recorded at once",
            hint="record them in parts: `seclude generate` and `seclude tests` take several recordings",
        )
    taken: set[str] = set()
    seen: dict[str, int] = {}
    found = []
    for each in commands:
        plain = _printable(shlex.join(each))
        if plain == OVERFLOW or split(plain)[1]:
            plain += " (1)"  # neither the recorder's word for the rest nor the step of a test
        plain = bounded(plain, _ROOM).decode()
        name = plain
        while name in taken:
            seen[plain] = seen.get(plain, 1) + 1
            name = f"{plain} ({seen[plain]})"
        taken.add(name)
        found.append(Command(name=name, words=each))
    return tuple(found)


def _printable(text: str) -> str:
    """A name goes into tables, logs and XML: whatever a terminal might act upon is escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


# Recording


class SuiteRecorder:
    """Records test commands one after another, each after the words of `prefix` (`podman run IMAGE`, or none).

    `tracer`, `say`, `base`, `arguments`: as for recorder_for. Each command is a recording of its own until they are
    joined: from inside a container nothing has to be marked, and each command has a new one.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        prefix: Sequence[str],
        settings: Settings,
        *,
        tracer: str = "auto",
        say: Callable[[str], None] = lambda _: None,
        base: str = "",
        arguments: dict[str, tuple[int, ...]],
    ) -> None:
        self._commands = commands
        self._prefix = tuple(prefix)
        self._settings = settings
        self._check()
        line = (*self._prefix, *commands[0].words)
        self._recorder = recorder_for(line, tracer, settings, say, base=base, arguments=arguments)

    def _check(self) -> None:
        """Raise EngineError for what cannot be recorded, or not together, before anything runs."""
        kinds: dict[str, str] = {}
        for command in self._commands:
            line = (*self._prefix, *command.words)
            kind = engine_for(line).name
            if kind != "process":
                _repeatable(_attached(kind, line), len(self._commands))
            kinds.setdefault(kind, command.name)
        if len(kinds) > 1:
            raise EngineError(
                f"{' and '.join(map(repr, kinds.values()))} are not run by the same engine",
                hint="record them apart, and make one profile of both with `seclude generate`",
            )

    def record(self, tell: Callable[[Ended], None], progress: Callable[[str], None]) -> Suite:
        """Run all commands; `tell` hears how each ended. Raises SecludeError, also where none could be recorded."""
        joining = Joining()
        ended: list[Ended] = []
        first_error: SecludeError | None = None
        interrupted = False
        for command in self._commands:
            started = time.monotonic()
            reason, status = "", 0
            try:
                line = (*self._prefix, *command.words)
                recorded = self._recorder.record(line, self._settings, progress)
                joining.add(recorded.recording, command.name)
                status, interrupted = recorded.status, recorded.interrupted
            except NothingRecorded as error:
                status, interrupted, reason = error.status or 1, error.interrupted, error.message
                first_error = first_error or error
            except EngineError as error:
                status, reason = NOT_FOUND, error.message
                first_error = first_error or error
            except KeyboardInterrupt:
                interrupted = True  # between two commands; during one it is the command's
                break
            seconds = time.monotonic() - started
            ended.append(Ended(name=command.name, status=status, seconds=seconds, reason=reason))
            tell(ended[-1])
            if interrupted:
                break
        if all(each.reason for each in ended):
            why = first_error.message if first_error else "it was interrupted"
            hint = first_error.hint if first_error else "run it again"
            raise RecordingError(f"nothing was recorded: {why}", hint=hint) from first_error
        return Suite(ended=tuple(ended), recording=joining.recording(), interrupted=interrupted)


def _attached(engine: str, line: Sequence[str]) -> RunCommand:
    """The parts of a `run` that returns when its container has ended; raises EngineError for any other."""
    if engine == "podman":
        return attached(line)
    run = DockerEngine().parse(line)
    if run.detached:
        raise EngineError(
            "a detached container is still running when docker returns", hint="leave out --detach"
        )
    return run


def _repeatable(run: RunCommand, times: int) -> None:
    """Raises EngineError for a container whose name is still taken when the next one wants it."""
    if times < 2 or run.switched_on("--rm", "--replace"):
        return
    fixed = [name for name, _ in run.given() if name in ("--name", "--cidfile")]
    if fixed:
        raise EngineError(
            f"each command runs in a container of its own, and {fixed[0]} allows one only",
            hint="add --rm, or leave it out",
        )


def failed(ended: Iterable[Ended]) -> list[Ended]:
    """Those that did not end with status 0."""
    return [each for each in ended if each.status]
