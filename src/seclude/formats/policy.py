"""Policies of minijail0 -S in, a Profile out: the syntax of minijail0(5), as syscall_filter.c reads it.

`EXPRESSION; return ERRNO` allows where the expression holds and else returns the errno; to the Python compiler beside
it, whose syntax is a larger one, the same text means the opposite. What only that reads is refused.
"""

from __future__ import annotations

from ..decode import value_of
from ..errors import ProfileError
from ..model.environment import NATIVE_ABIS
from ..model.export import Losses, Read, Settings, errno_name
from ..model.profile import (
    ALLOW,
    EQUAL,
    ERRNO,
    LARGEST_ERRNO,
    LARGEST_VALUE,
    LAST_ARGUMENT,
    MASKED_EQUAL,
    Argument,
    Profile,
    Rule,
    errno_value,
)
from . import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    Clause = tuple[Argument, ...]
    Words = list[tuple[str, int]]

LARGEST = 1024 * 1024
KILL = "SCMP_ACT_KILL_PROCESS"
MOST_CLAUSES = 256
"""Alternatives of one call: `&` with several bits multiplies them."""
MOST_PARENTHESES = 16

_OPERATORS = {
    "==": EQUAL,
    "!=": "SCMP_CMP_NE",
    "<": "SCMP_CMP_LT",
    "<=": "SCMP_CMP_LE",
    ">=": "SCMP_CMP_GE",
    ">": "SCMP_CMP_GT",
}
_TOKEN = r"\|\||&&|[=!<>]=|[<>&|~();:]|[^\s|&=!<>~();:]+|\S"
_SYNTAX = "NAME: 1, NAME: return ERRNO, or NAME: arg0 == 1 && arg1 & 2 || ..."


class PolicyFormat:
    """Reads a policy."""

    name = "minijail"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def loads(self, text: str, source: str) -> Profile:
        """The profile; raises ProfileError with line and column."""
        return self.read(text, source).profile

    def read(self, text: str, source: str) -> Read:
        """What the policy says; raises ProfileError with line and column."""
        if len(text) > LARGEST:
            raise ProfileError(f"{source} is larger than {LARGEST} characters")
        reader = _Reader(text, source, NATIVE_ABIS.get(self.settings.environment.machine, "x86_64"))
        for words in _statements(text):
            reader.statement(words)
        return Read(profile=reader.profile(), losses=reader.losses.all())


def _statements(text: str) -> Iterator[Words]:
    """The words of each line, or of several that are joined by a backslash, with their places."""
    import re

    token = re.compile(_TOKEN)
    words: Words = []
    offset = 0
    for line in text.split("\n"):
        content = line.rstrip()
        joined = content.endswith("\\")
        content = content.removesuffix("\\")
        if not words and content.lstrip().startswith("#"):
            content = ""
        words += [(found.group(), offset + found.start()) for found in token.finditer(content)]
        offset += len(line) + 1
        if words and not joined:
            yield words
            words = []
    if words:
        yield words


class _Reader:
    """One policy; statements come one after the other."""

    def __init__(self, text: str, source: str, abi: str) -> None:
        self.losses = Losses(PolicyFormat.name)
        self._text = text
        self._source = source
        self._abi = abi
        self._allowed: list[str] = []
        self._refused: dict[int, list[str]] = {}
        self._conditional: list[Rule] = []
        self._seen: set[str] = set()

    def _refuse(self, what: str, place: int, hint: str = _SYNTAX) -> NoReturn:
        raise ProfileError(jsontext.located(self._text, place, self._source, what), hint=hint)

    def statement(self, words: Words) -> None:
        """One line."""
        (name, place), *rest = words
        if name == "@frequency":
            return
        if name.startswith("@") or name == "{":
            self._refuse(
                f"{name[:40]!r} is not read", place, hint="put the lines of other files here, a call a line"
            )
        if not rest or rest[0][0] != ":":
            self._refuse("a colon is expected after the name of the call", rest[0][1] if rest else place)
        if name in self._seen:
            self._refuse(f"{name[:80]} has been given already", place)
        self._seen.add(name)
        rest = rest[1:]
        if not rest:
            self._refuse("nothing follows the colon", words[-1][1])
        if rest[0][0] in ("1", "allow") and len(rest) == 1:
            self._allowed.append(name)
        elif rest[0][0] == "return":
            self._refused.setdefault(self._errno(rest[1:], rest[0][1]), []).append(name)
        else:
            self._expression(name, rest)

    def _errno(self, words: Words, place: int) -> int:
        if len(words) != 1:
            self._refuse("one errno is expected after return", words[1][1] if words else place)
        word, place = words[0]
        number = self._number(word) if word[:1].isdigit() else errno_value(word)
        if number is None or number > LARGEST_ERRNO:
            self._refuse(f"unknown errno {word[:80]!r}", place, hint="a name such as EPERM")
        return number

    def _expression(self, name: str, words: Words) -> None:
        marks = [index for index, (word, _) in enumerate(words) if word == ";"]
        if marks:
            rest = words[marks[0] + 1 :]
            if not rest or rest[0][0] != "return":
                self._refuse("return is expected", words[marks[0]][1])
            number = self._errno(rest[1:], rest[0][1])
            answer = errno_name(number) if number else "0"
            text = f"a profile cannot answer {answer} to {{}} with other arguments: the process is killed"
            self.losses.add("return", text, name)
            words = words[: marks[0]]
        clauses: list[Clause] = []
        for part in _split(words, "||"):
            found = self._clause(name, part, words[-1][1])
            clauses += found
            if len(clauses) > MOST_CLAUSES:
                self._refuse(f"more than {MOST_CLAUSES} alternatives", part[0][1])
        self._conditional += [
            Rule(names=(name,), action=ALLOW, args=clause) for clause in dict.fromkeys(clauses)
        ]

    def _clause(self, name: str, words: Words, end: int) -> list[Clause]:
        """What a conjunction says, in alternatives, as `&` asks for any of several bits."""
        choices: list[list[Argument]] = [[]]
        for atom in _split(words, "&&"):
            if len(atom) < 3:
                self._refuse("a comparison such as arg0 == 1 is expected", atom[0][1] if atom else end)
            options = self._atom(name, atom)
            choices = [[*chosen, option] for chosen in choices for option in options]
            if len(choices) > MOST_CLAUSES:
                self._refuse(f"more than {MOST_CLAUSES} alternatives", atom[0][1])
        merged = [self._merged(chosen, words[0][1]) for chosen in choices]
        return [clause for clause in merged if clause is not None]

    def _atom(self, name: str, words: Words) -> list[Argument]:
        (left, place), (operator, where), *right = words
        index = left.removeprefix("arg")
        if left == index or not index.isdigit() or len(index) > 1 or int(index) > LAST_ARGUMENT:
            self._refuse(f"{left[:40]!r} is no argument", place, hint=f"arg0 to arg{LAST_ARGUMENT}")
        number = int(index)
        value = self._value(name, number, right)
        if operator in _OPERATORS:
            return [Argument(index=number, value=value, op=_OPERATORS[operator])]
        if operator == "in":
            return [Argument(index=number, value=LARGEST_VALUE & ~value, op=MASKED_EQUAL)]
        if operator != "&":
            self._refuse(
                f"{operator[:40]!r} is no operator", where, hint=f"one of {' '.join(_OPERATORS)} & in"
            )
        bits = [1 << bit for bit in range(64) if value & 1 << bit]
        if not bits:
            self._refuse("no bit is asked for, so this never holds", where)
        return [Argument(index=number, value=bit, value_two=bit, op=MASKED_EQUAL) for bit in bits]

    def _value(self, name: str, index: int, words: Words) -> int:
        """A constant: parts joined by |, each with ~ before it or in parentheses."""
        if sum(word == "(" for word, _ in words) > MOST_PARENTHESES:
            self._refuse(f"more than {MOST_PARENTHESES} parentheses", words[0][1])
        value, place = self._sum(name, index, words, 0)
        if place < len(words):
            self._refuse(f"{words[place][0][:40]!r} is not expected", words[place][1])
        return value

    def _sum(self, name: str, index: int, words: Words, place: int) -> tuple[int, int]:
        value = 0
        while True:
            part, place = self._part(name, index, words, place)
            value |= part
            if place >= len(words) or words[place][0] != "|":
                return value, place
            place += 1

    def _part(self, name: str, index: int, words: Words, place: int) -> tuple[int, int]:
        if place >= len(words):
            self._refuse("a constant is expected", words[-1][1])
        word, where = words[place]
        if word == "~" and place + 1 < len(words) and words[place + 1][0] != "~":
            value, place = self._part(name, index, words, place + 1)
            return LARGEST_VALUE & ~value, place
        if word == "(":
            value, place = self._sum(name, index, words, place + 1)
            if place >= len(words) or words[place][0] != ")":
                self._refuse("the parenthesis is not closed", where)
            return value, place + 1
        if word.lstrip("-")[:1].isdigit():
            value_ = self._number(word)
            if value_ is None:
                self._refuse(f"{word[:40]!r} is no number of 64 bits", where)
            return value_, place + 1
        try:
            return value_of(name, index, word, self._abi), place + 1
        except ValueError as failure:
            self._refuse(str(failure), where, hint="a number can always be given")

    def _number(self, word: str) -> int | None:
        """As strtol(3) reads it, with base 0, and strtoul(3)."""
        digits = word.removeprefix("-").lower()
        base = 16 if digits.startswith("0x") else 8 if digits[:1] == "0" else 10
        try:
            value = int(digits, base) if len(digits) <= 24 and "_" not in digits else -1
        except ValueError:
            return None
        negative = word.startswith("-")
        if not 0 <= value <= ((LARGEST_VALUE >> 1) + 1 if negative else LARGEST_VALUE):
            return None
        return -value & LARGEST_VALUE if negative else value

    def _merged(self, arguments: list[Argument], place: int) -> Clause | None:
        """One condition an argument, since engines take two for alternatives; None where they exclude each other."""
        found: dict[int, Argument] = {}
        for each in arguments:
            other = found.get(each.index)
            if other is None or other == each:
                found[each.index] = each
                continue
            if {each.op, other.op} != {MASKED_EQUAL}:
                what = f"two comparisons of arg{each.index} at once"
                self._refuse(what, place, hint="a profile's rule has one condition for each argument")
            if (each.value_two ^ other.value_two) & each.value & other.value:
                return None
            mask, two = each.value | other.value, each.value_two | other.value_two
            found[each.index] = Argument(index=each.index, value=mask, value_two=two, op=MASKED_EQUAL)
        return tuple(found.values())

    def profile(self) -> Profile:
        """All that has been read."""
        rules = [Rule(names=tuple(self._allowed), action=ALLOW)] if self._allowed else []
        rules += [
            Rule(names=tuple(names), action=ERRNO, errno_ret=number)
            for number, names in self._refused.items()
        ]
        return Profile(default_action=KILL, rules=(*rules, *self._conditional))


def _split(words: Words, mark: str) -> Iterator[Words]:
    part: Words = []
    for word in words:
        if word[0] == mark:
            yield part
            part = []
        else:
            part.append(word)
    yield part
