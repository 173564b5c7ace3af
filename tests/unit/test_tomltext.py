"""Places in TOML text: each key and value where it is, for whatever tomllib accepts."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude.errors import SecludeError
from seclude.formats import tomltext
from seclude.initial import quoting

TRICKY = """\
# comment with [table] and key = 1
a.b . "c d" = 'x # no comment' # one
  "quoted\\"key" = \"\"\"
[no.table]
\\\"\"\" ""\"\"\"
'lit' = '''
x = 1'''
when = 2027-01-31 10:00:00
numbers = [ # comment ]
  1, [2, 3], { q = [4], r.s = "}" },
]
[t]
x = 1
[ t . "u.v" ]
x = 2
[[t.many]]
x = 3
[[t.many]]
x = 4
[t.many.inner]
y = 5
[[t.many.inner2]]
z = 6
[[t.many.inner2]]
z = 7
"""


def paths(value, path=()):
    """Every path in a decoded document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        yield (*path, step)
        yield from paths(inner, (*path, step))


@pytest.mark.parametrize("text", [TRICKY, TRICKY.replace("\n", "\r\n")])
def test_every_path_is_found_and_no_other(text):
    assert set(tomltext.places_of(text)) == set(paths(tomllib.loads(text)))


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("a",), "a.b", "a.b"),
        (("a", "b", "c d"), '"c d"', "'x # no"),
        (('quoted"key',), '"quoted', '"""'),
        (("numbers",), "numbers", "[ #"),
        (("numbers", 1, 1), "3]", "3]"),
        (("numbers", 2, "r", "s"), 's = "}"', '"}"'),
        (("t", "u.v", "x"), "x = 2", "2"),
        (("t", "many", 1, "x"), "x = 4", "4"),
        (("t", "many", 1, "inner", "y"), "y = 5", "5"),
        (("t", "many", 1, "inner2", 1, "z"), "z = 7", "7"),
        (("t", "many", 1, "none", "z"), "many]]\nx = 4", "many]]\nx = 4"),
    ],
)
def test_places(path, key, value):
    assert TRICKY[tomltext.offset_of(TRICKY, path) :].startswith(key)
    assert TRICKY[tomltext.offset_of(TRICKY, path, value=True) :].startswith(value)


def test_what_is_not_there():
    assert tomltext.offset_of("a = 1\n", ("b",)) is None
    assert tomltext.offset_of("[a", ("a",)) is None


@pytest.mark.parametrize("text", ["x = 1\n" + "a." * 500_000 + "b = 1", "[" + "a." * 500_000 + "b]"])
def test_a_key_of_many_parts_costs_no_time(text):
    with pytest.raises(SecludeError, match=r"somewhere: line \d: it has more than 1000 dots"):
        tomltext.decode(text, "somewhere")


SCALARS = st.one_of(st.text(max_size=8).map(lambda text: quoting.toml(text)), st.integers().map(str))
KEYS = st.one_of(
    st.text("ab-_1", min_size=1, max_size=3), st.text(max_size=4).map(lambda text: quoting.toml(text))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[\n {' , '.join(items)} # ]\n]"),
        st.dictionaries(KEYS, inner, max_size=3).map(
            lambda items: "{ " + ", ".join(f"{key} = {value}" for key, value in items.items()) + " }"
        ),
    ),
    max_leaves=6,
)
PAIRS = st.tuples(st.lists(KEYS, min_size=1, max_size=3).map(".".join), VALUES).map(" = ".join)
HEADERS = st.tuples(st.sampled_from(("[", "[[")), st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)).map(
    lambda header: f"{header[0]}{header[1]}{']' * len(header[0])}"
)


@given(st.lists(st.one_of(PAIRS, HEADERS), max_size=8).map("\n".join))
def test_any_document(text):
    try:
        decoded = tomllib.loads(text)
    except ValueError:
        with pytest.raises(SecludeError, match="somewhere: line "):
            tomltext.decode(text, "somewhere")
        return
    assert tomltext.decode(text, "somewhere") == decoded
    assert set(tomltext.places_of(text)) == set(paths(decoded))


@given(st.text(max_size=60))
def test_any_text(text):
    try:
        tomltext.decode(text, "somewhere")
    except SecludeError as failure:
        assert "line" in failure.message or "deep" in failure.message
    tomltext.offset_of(text, ("a", 0))
