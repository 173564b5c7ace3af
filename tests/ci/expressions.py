"""The part of GitHub's expression language that our workflows use: a text and contexts in, a value out.

Anything else is an error, so that a workflow which needs more is noticed here and not on GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)"
    r"|(?P<sign>==|!=|&&|\|\||[!(),]))"
)
_EMBEDDED = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
CONTEXTS = frozenset("github env inputs steps vars runner".split())


class ExpressionError(Exception):
    """An expression that this evaluator does not know."""


class Evaluator:
    """Evaluates with `contexts` (name -> nested mappings) and `failed` (whether an earlier step failed)."""

    def __init__(self, contexts: Mapping[str, Any], *, failed: bool = False) -> None:
        self._contexts = contexts
        self._functions: dict[str, Callable[[], bool]] = {
            "always": lambda: True,
            "success": lambda: not failed,
            "failure": lambda: failed,
        }
        self._tokens: list[tuple[str, str]] = []
        self.asked_status = False

    def text(self, template: object) -> str:
        """A value of `with` or `env`, its ${{ }} filled in."""
        return _EMBEDDED.sub(lambda match: as_text(self.value(match[1])), as_text(template))

    def condition(self, text: object) -> bool:
        """An `if`; without a status function it holds only while no step has failed."""
        inner = as_text(text).strip()
        if inner.startswith("${{") and inner.endswith("}}"):
            inner = inner[3:-2]
        self.asked_status = False
        holds = bool(self.value(inner))
        return holds and (self.asked_status or self._functions["success"]())

    def value(self, text: str) -> Any:
        """What one expression comes to."""
        self._tokens = list(_tokens(text))
        value = self._either()
        if self._tokens:
            raise ExpressionError(f"{text!r}: {self._tokens[0][1]!r} is too much")
        return value

    def _take(self, *signs: str) -> str:
        if self._tokens and self._tokens[0][0] == "sign" and self._tokens[0][1] in signs:
            return self._tokens.pop(0)[1]
        return ""

    def _either(self) -> Any:
        left = self._both()
        while self._take("||"):
            right = self._both()
            left = left or right
        return left

    def _both(self) -> Any:
        left = self._comparison()
        while self._take("&&"):
            right = self._comparison()
            left = left and right
        return left

    def _comparison(self) -> Any:
        left = self._single()
        while sign := self._take("==", "!="):
            right = self._single()
            equal = as_text(left).lower() == as_text(right).lower()
            left = equal if sign == "==" else not equal
        return left

    def _single(self) -> Any:
        if self._take("!"):
            return not self._single()
        if self._take("("):
            value = self._either()
            if not self._take(")"):
                raise ExpressionError("a parenthesis is not closed")
            return value
        if not self._tokens:
            raise ExpressionError("an expression ends too early")
        kind, text = self._tokens.pop(0)
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        if kind == "name":
            return self._name(text)
        raise ExpressionError(f"unexpected {text!r}")

    def _name(self, text: str) -> Any:
        if text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        if self._take("("):
            if text not in self._functions or not self._take(")"):
                raise ExpressionError(f"unknown function {text}")
            self.asked_status = True
            return self._functions[text]()
        context, *path = text.split(".")
        if context not in CONTEXTS or context not in self._contexts:
            raise ExpressionError(f"unknown context {context}")
        value: Any = self._contexts[context]
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def _tokens(text: str) -> Any:
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if not match:
            raise ExpressionError(f"{text!r}: cannot be read from {text[position:]!r} on")
        position = match.end()
        yield str(match.lastgroup), match[str(match.lastgroup)]


def as_text(value: object) -> str:
    """A value as GitHub puts it into text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
