"""The calls of a recording to their text and back, quickly, as there may be a million of them.

They say the same over and over: a suite has thousands of contexts, hundreds of calls, a few processes. So the text of a
call is taken as parts, and each part is written or read as JSON once, however often it comes. Text that is not as we
write it is left to who reads any JSON, and says what is wrong with it.
"""

from __future__ import annotations

from .formats import jsontext
from .model.frozen import bare
from .model.recording import ABIS, PHASES, Call, Dropped, FirstSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    Pairs = list[tuple[str, object]]

CHUNK = 1 << 16
"""Characters of text that are taken apart in one go: what is made of them fits the processor's cache, which is a third
of the time, and no call that we write is as long."""

MOST_KNOWN = 1 << 14
"""Distinct texts of one part that are remembered: those of a hostile recording may all be different."""

_BATCH = 256
"""Calls that are written in one go."""

_CALLS = '"calls":['
_BEGIN, _BETWEEN = '{"abi":', ',{"abi":'
_NUMBER, _TIME, _PID, _ARGUMENTS = ',"number":', ',"first":{"time":', ',"pid":', ',"arguments":['
"""Where a call is taken apart. In a string a quote has a backslash before it, so that none of these is in one."""

_HEAD, _NAME, _PROCESS = ("abi", "phase", "context"), ("number", "name"), ("pid", "tid", "comm", "executable")
_TYPES = {"number": int, "pid": int, "tid": int}
_WORDS = {"abi": ABIS, "phase": PHASES}
_WHOLE, _NUMBERS = {int}, {int, float}
_INFINITY = float("inf")
_FIRST_SEEN = {FirstSeen.__fields__, FirstSeen.__fields__[:-1]}  # type: ignore[attr-defined]
_CALL = {Call.__fields__, Call.__fields__[:-1]}  # type: ignore[attr-defined]
_Call, _FirstSeen = bare(Call), bare(FirstSeen)
_LENGTHS = {len(names) for names in (*_FIRST_SEEN, *_CALL)}
_DROPPED = Dropped()


class _Known(dict):  # type: ignore[type-arg]
    """What `make` makes of a text or of values, made once; `make` raises ValueError for what is not ours."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __missing__(self, key: Any) -> Any:
        made = self._make(key)
        if len(self) >= MOST_KNOWN:
            self.clear()
        self[key] = made
        return made


# To text


def put_in(text: str, calls: Sequence[Call]) -> Iterator[str]:
    """Pieces of the text of a recording, given its text without a call, and its calls."""
    before, empty, after = text.partition(_CALLS + "]")
    yield before + empty[:-1]
    yield from _pieces(calls)
    yield empty[-1:] + after


def _pieces(calls: Sequence[Call]) -> Iterator[str]:
    heads = _Known(lambda values: f"{_text(_HEAD, values)},")
    names = _Known(lambda values: f'{_text(_NAME, values)[1:]},"first":')
    processes = _Known(lambda values: f',{_text(_PROCESS, values)[1:]},"arguments":')
    arguments = _Known(jsontext.encode)
    for start in range(0, len(calls), _BATCH):
        batch = calls[start : start + _BATCH]
        times = jsontext.encode(
            [call.first.time if isinstance(call.first, FirstSeen) else 0 for call in batch]
        )
        texts = []
        for call, time in zip(batch, times[1:-1].split(","), strict=True):
            first = call.first
            head, name = heads[call.abi, call.phase, call.context], names[call.number, call.name]
            count = f',"count":{jsontext.encode(call.count)}}}' if call.count else "}"
            if isinstance(first, FirstSeen):
                process = processes[first.pid, first.tid, first.comm, first.executable]
                result = f',"result":{jsontext.encode(first.result)}}}' if first.result else "}"
                seen = f'{{"time":{time}{process}{arguments[first.arguments]}{result}'
            else:
                seen = jsontext.encode({} if first == _DROPPED else {"reason": first.reason})
            texts.append(f"{head}{name}{seen}{count}")
        yield ("," if start else "") + ",".join(texts)


def _text(names: tuple[str, ...], values: tuple[object, ...]) -> str:
    """An object without its last brace."""
    return jsontext.encode(dict(zip(names, values, strict=True)))[:-1]


# From text


def taken_out(chunks: Iterable[str]) -> tuple[str, tuple[Call, ...]]:
    """(text of a recording without its calls, its calls), of its whole text in chunks of CHUNK.

    The calls are checked, the rest is not looked at. Raises ValueError unless it is all as we write it.
    """
    following = iter(chunks)
    before, found, pending = next(following, "").partition(_CALLS + _BEGIN)
    if not found:
        raise ValueError
    reader = _Reader()
    rest, last = "", False
    while not rest:
        if last:
            raise ValueError
        chunk = next(following, "")
        texts = (pending + chunk).split(_BETWEEN)
        # What goes on beyond a chunk is the last call, and what follows the calls.
        last = not chunk or len(texts[-1]) > CHUNK
        pending = "" if last else texts.pop()
        rest = reader.add(texts)
    if not last:
        rest += _BETWEEN + pending
    return "".join((before, _CALLS, rest, *following)), tuple(reader.calls)


class _Reader:
    """Makes calls of their texts, from which _BEGIN is taken away.

    Each part, put into braces, has to be an object with just the members that belong there; so the whole is one too.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        facts = Facts()
        self._shared = facts.shared
        self._scan = jsontext.scanner(jsontext.unique, parse_float=float)
        self._scan_call = jsontext.scanner(facts)
        self._heads = _Known(lambda text: self._members(_BEGIN + text, _HEAD))
        self._names = _Known(lambda text: self._members(f'{{"number":{text}', _NAME))
        self._processes = _Known(lambda text: self._members(f'{{"pid":{text}', _PROCESS))
        self._arguments, self._counts, self._ends = (
            _Known(self._values),
            _Known(self._count),
            _Known(self._end),
        )

    def add(self, texts: Sequence[str]) -> str:
        """Make the calls of these texts; returns the text from the end of all calls on, if that is in one of them."""
        parts = []
        times = []
        for text in texts:
            head, _, rest = text.partition(_NUMBER)
            name, timed, rest = rest.partition(_TIME)
            time, _, rest = rest.partition(_PID)
            process, _, end = rest.partition(_ARGUMENTS)
            parts.append((head, name, process, end))
            times.append(time if timed else "0")
        heads, names, processes, ends = self._heads, self._names, self._processes, self._ends
        append = self.calls.append
        # Almost all times are different: they are read together.
        for place, seconds in enumerate(self._times(times)):
            head, name, process, end = parts[place]
            call, first = _Call(), _FirstSeen()
            try:
                call.abi, call.phase, call.context = heads[head]
                call.number, call.name = names[name]
                first.pid, first.tid, first.comm, first.executable = processes[process]
                first.arguments, first.result, call.count = ends[end]
            except ValueError:
                # It has no first time, or is the last one.
                call, rest = self._one(texts[place])
                append(call)
                if rest:
                    return _BETWEEN.join((rest, *texts[place + 1 :]))
                continue
            first.time = seconds
            first.__class__ = FirstSeen
            call.first = first
            call.__class__ = Call
            append(call)
        return ""

    def _one(self, text: str) -> tuple[Call, str]:
        """The call that the text begins with; what follows it is the end of all calls, or nothing."""
        call, end = _scanned(self._scan_call, _BEGIN + text)
        rest = text[end - len(_BEGIN) :]
        if type(call) is not Call or rest[:1] not in ("", "]"):
            raise ValueError
        return call, rest

    def _value(self, text: str) -> Any:
        value, end = _scanned(self._scan, text)
        if end != len(text):
            raise ValueError
        return value

    def _members(self, text: str, names: tuple[str, ...]) -> tuple[Any, ...]:
        """The values of an object's members, given its text without the last brace."""
        members = self._value(text + "}")
        if tuple(members) != names:
            raise ValueError
        for name, value in members.items():
            if type(value) is not _TYPES.get(name, str) or value not in _WORDS.get(name, (value,)):
                raise ValueError
        return tuple(self._shared(value) if type(value) is str else value for value in members.values())

    def _times(self, texts: Sequence[str]) -> list[float]:
        times = self._value(f"[{','.join(texts)}]")
        if len(times) != len(texts) or not {*map(type, times)} <= _NUMBERS:
            raise ValueError
        if _INFINITY in times or -_INFINITY in times:
            raise ValueError
        return times  # type: ignore[no-any-return]

    def _end(self, text: str) -> tuple[tuple[int, ...], int, int]:
        """(arguments, result, count) of what begins with the first argument."""
        arguments, _, rest = text.partition("]")
        return (self._arguments[arguments], *self._counts[rest])

    def _values(self, text: str) -> tuple[int, ...]:
        values = self._value(f"[{text}]")
        if not {*map(type, values)} <= _WHOLE:
            raise ValueError
        return tuple(values)

    def _count(self, text: str) -> tuple[int, int]:
        """(result, count) of what follows the arguments, the end of the first time and of the call."""
        members = self._value(f'{{"first":{{"arguments":[]{text}')
        first, count = members.pop("first"), members.pop("count", 0)
        result = first.pop("result", 0)
        if members or len(first) > 1 or not type(result) is type(count) is int:
            raise ValueError
        return result, count


def _scanned(scan: Callable[[str, int], tuple[Any, int]], text: str) -> tuple[Any, int]:
    """(value, where it ends); raises ValueError."""
    try:
        return scan(text, 0)
    except (StopIteration, RecursionError, SystemError):
        raise ValueError from None


class Facts:
    """Makes calls and their first times as JSON is read, if all is well with them: for jsontext's `build`.

    What is not as we write it stays an object of JSON, for who knows where it stands to say what is wrong. Equal texts
    become one.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._dropped: dict[str, Dropped] = {}

    def shared(self, text: str) -> str:
        """The first text that was equal to this one."""
        return self._texts.setdefault(text, text)

    def __call__(self, pairs: Pairs) -> object:
        made: object = None
        if len(pairs) in _LENGTHS:
            names, values = zip(*pairs, strict=True)
            if names in _FIRST_SEEN:
                made = self._first(*values)
            elif names in _CALL:
                made = self._call(*values)
        return jsontext.unique(pairs) if made is None else made

    def _first(
        self, time: Any, pid: Any, tid: Any, comm: Any, executable: Any, arguments: Any, result: Any = 0
    ) -> FirstSeen | None:
        if (
            type(time) not in _NUMBERS
            or not type(pid) is type(tid) is type(result) is int
            or not type(comm) is type(executable) is str
            or type(arguments) is not list
            or not {*map(type, arguments)} <= _WHOLE
        ):
            return None
        first = _FirstSeen()
        first.time, first.pid, first.tid = time, pid, tid
        first.comm, first.executable = self.shared(comm), self.shared(executable)
        first.arguments, first.result = tuple(arguments), result
        first.__class__ = FirstSeen
        return first  # type: ignore[no-any-return]

    def _call(
        self, abi: Any, phase: Any, context: Any, number: Any, name: Any, first: Any, count: Any = 0
    ) -> Call | None:
        if type(first) is dict and first.keys() <= {"reason"} and type(first.get("reason", "")) is str:
            reason = first.get("reason", _DROPPED.reason)
            first = self._dropped.setdefault(reason, Dropped(reason=reason))
        if (
            not type(abi) is type(phase) is type(context) is type(name) is str
            or abi not in ABIS
            or phase not in PHASES
            or not type(number) is type(count) is int
            or type(first) not in (FirstSeen, Dropped)
        ):
            return None
        call = _Call()
        call.abi, call.phase, call.context = self.shared(abi), self.shared(phase), self.shared(context)
        call.number, call.name, call.first, call.count = number, self.shared(name), first, count
        call.__class__ = Call
        return call  # type: ignore[no-any-return]
