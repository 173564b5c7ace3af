"""A Page in, one file of HTML out that loads nothing and runs nothing but its own few lines of script.

Whatever is in the page was named by the code under test. Every value goes through `finalize` below and through
jinja2's escaping, and the policy in the page's head admits the one style and the one script by their hashes.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from ..dangers import TIERS
from ..errors import SecludeError
from .page import Page
from .picture import drawing
from .text import visible

LONGEST = 420
LONGEST_ESCAPED = 600
"""Characters of one text as it came (the recorder cuts names at 248 bytes), and with its escapes."""

MARKER = "<!-- seclude report -->"
_HEAD = f"<!doctype html>\n{MARKER}\n"


def looks_like_report(text: str) -> bool:
    """Whether a file is one of ours, which may be replaced."""
    return text.startswith(_HEAD)


def html(page: Page, *, version: str) -> str:
    """The whole file; `version` of seclude is named at its end. Raises SecludeError where jinja2 is missing."""
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise SecludeError("jinja2 is missing, which draws the page", hint="pip install jinja2") from error
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    style, script = _template("report.css"), _template("report.js")
    text = environment.from_string(_template("report.html")).render(
        page=page,
        tiers=TIERS,
        anchors={call.name: call.anchor for category in page.categories for call in category.calls},
        largest=max((each.total for each in page.surfaces), default=0),
        drawing=drawing(page.curve) if page.curve else None,
        policy=Markup.escape(_policy(style, script)),
        # Ours, without a value in them; their hashes are of exactly what is between the tags.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        version=version,
    )
    return f"{_HEAD}{text}\n"


def _plain(value: object) -> object:
    """What is printed for a value of the template: names in one line, without anything that hides or reorders."""
    if type(value) is not str:
        return value
    if len(value) <= LONGEST and value.isascii() and value.isprintable():
        return value
    shown = visible(value, longest=LONGEST)
    return shown if len(shown) <= LONGEST_ESCAPED else shown[: LONGEST_ESCAPED - 3] + "..."


def _policy(style: str, script: str) -> str:
    """What the page may load and run: nothing but its own style and script; data: is for the empty icon."""
    hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _template(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text("utf-8")
