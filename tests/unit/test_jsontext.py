"""The JSON codec: strict where `json` is lenient, exact about the place of an error, the same with and without C."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude.errors import ProfileError, SecludeError
from seclude.formats import jsontext

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(params=["c", "python"])
def codec(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setitem(sys.modules, "_json", None)
    return jsontext


@given(VALUES)
def test_values_come_back(value):
    text = jsontext.encode(value)
    assert text.isascii()
    assert jsontext.decode(text, "text") == value
    assert text == json.dumps(value, separators=(",", ":"))


@given(VALUES, st.sampled_from([None, 1, "\t"]))
def test_indented_text_is_read_like_json_does(value, indent):
    text = "\n " + json.dumps(value, indent=indent, ensure_ascii=False) + " \n"
    assert jsontext.decode(text, "text") == value


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \n\\"', max_size=30))
def test_what_json_refuses_is_refused(text):
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(SecludeError):
            jsontext.decode(text, "text")
    else:
        try:
            assert jsontext.decode(text, "text") == expected
        except SecludeError as error:
            assert "twice" in str(error) or "too large" in str(error)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "line 1, column 1", "a JSON value is expected"),
        ('{"a": }', "line 1, column 7", "a JSON value is expected"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6", "expecting ':' delimiter"),
        ('{"a": 1} x', "line 1, column 10", "something follows the JSON value"),
        ('{"a": "\n"}', "line 1, column 8", "invalid control character"),
        ('{"a": 1,\n "a": 2}', "line 2, column 2", "the field 'a' is given twice"),
        ('[{"a": 1}, {"b": [NaN]}]', "line 1, column 19", "NaN is no JSON value"),
        ("[-Infinity]", "line 1, column 2", "-Infinity is no JSON value"),
        ("[1e999]", "line 1, column 2", "the number is too large"),
        ("[\n\n " + "1" * 5000 + "]", "line 3, column 2", "the number has too many digits"),
        ("\ufeff{}", "line 1, column 1", "a JSON value is expected"),
        ("{'a': 1}", "line 1, column 2", "expecting property name enclosed in double quotes"),
    ],
)
def test_errors_say_where_and_what(codec, text, where, what):
    with pytest.raises(ProfileError) as caught:
        codec.decode(text, "a.json", error=ProfileError)
    assert str(caught.value).startswith(f"a.json: {where}: {what}")


def test_the_caret_stands_under_the_place(codec):
    with pytest.raises(SecludeError) as caught:
        codec.decode('{\n  "a": 1,\n  "b": oops,\n}', "a.json")
    lines = str(caught.value).splitlines()
    assert lines[1:] == ['    "b": oops,', "         ^"]
    assert lines[1][lines[2].index("^")] == "o"


def test_a_long_line_is_cut_and_the_caret_still_fits(codec):
    with pytest.raises(SecludeError) as caught:
        codec.decode('["' + "x" * 1000 + '", ?, "' + "y" * 1000 + '"]', "a.json")
    _, shown, caret = str(caught.value).splitlines()
    assert len(shown) < 120
    assert shown[caret.index("^")] == "?"


def test_control_characters_do_not_reach_the_terminal(codec):
    with pytest.raises(SecludeError) as caught:
        codec.decode('["\x1b[31m", \x9b', "a.json")
    assert str(caught.value).isascii()
    assert "\x1b" not in str(caught.value)


def test_nothing_of_the_text_is_shown_without_quote(codec):
    with pytest.raises(SecludeError) as caught:
        codec.decode("root:$6$secret:19000", "/etc/shadow", quote=False)
    assert str(caught.value) == "/etc/shadow: line 1, column 1: a JSON value is expected"


def test_depth_and_size_are_bounded(codec):
    assert codec.decode("[" * 64 + "]" * 64, "text")
    for depth in (65, 900, 100_000):
        with pytest.raises(SecludeError, match="nested more than 64 deep"):
            codec.decode("[" * depth + "]" * depth, "text")
        with pytest.raises(SecludeError, match="nested more than 64 deep"):
            codec.decode('{"a":' * depth + "1" + "}" * depth, "text")
    with pytest.raises(SecludeError, match="larger than 10 characters"):
        codec.decode('"123456789"', "text", largest=10)


TEXT = '{\n  "a": [1, {"b": "x]}"}],\n  "c": {"a": null}\n}'


@pytest.mark.parametrize(
    ("path", "value", "position"),
    [
        ((), False, (1, 1)),
        (("a",), False, (2, 3)),
        (("a",), True, (2, 8)),
        (("a", 0), False, (2, 9)),
        (("a", 1), False, (2, 12)),
        (("a", 1, "b"), False, (2, 13)),
        (("a", 1, "b"), True, (2, 18)),
        (("c", "a"), False, (3, 9)),
        (("c", "a"), True, (3, 14)),
        (("c", "missing"), True, (3, 3)),
        (("missing",), False, (1, 1)),
        (("a", 7), False, (2, 3)),
    ],
)
def test_positions(path, value, position):
    assert jsontext.position_of(TEXT, path, value=value) == position


@given(VALUES, st.sampled_from([None, 2]))
def test_every_member_is_found_where_it_stands(value, indent):
    text = json.dumps(value, indent=indent)

    def members(inside, path):
        yield inside, path
        items = (
            inside.items()
            if isinstance(inside, dict)
            else enumerate(inside)
            if isinstance(inside, list)
            else ()
        )
        for key, member in items:
            yield from members(member, (*path, key))

    for member, path in members(value, ()):
        offset = jsontext.offset_of(text, path, value=True)
        assert json.JSONDecoder().raw_decode(text, offset)[0] == member


def test_what_has_no_form_in_json_is_refused(codec):
    with pytest.raises(TypeError):
        codec.encode({"a": object()})
    with pytest.raises(ValueError, match="JSON compliant"):
        codec.encode([float("nan")])
    assert codec.encode({"a": (1, "\u2028\x1b\ud800")}) == '{"a":[1,"\\u2028\\u001b\\ud800"]}'


def test_good_text_is_read_and_written_without_the_json_package():
    program = (
        "import sys\n"
        "from seclude.formats import oci\n"
        "oci.dumps(oci.loads(sys.stdin.read(), 'stdin'))\n"
        "heavy = {'json', 're', 'typing', 'dataclasses', 'enum', 'functools', 'collections', 'ctypes'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    profile = '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}'
    root = jsontext.__file__.rpartition("/seclude/")[0]
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {root!r})\n{program}"],
        input=profile,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("text", ["[1e]", "[1.", '["\\', '["\\u12', '{"a" 1}', '["a\n"]', "[01]", "[1,"])
def test_bad_text_is_named_without_the_json_package(text):
    """The scanner in C takes the class of its errors from `json.decoder`, and crashes where nobody has imported it."""
    program = (
        "from seclude.errors import SecludeError\n"
        "from seclude.formats import jsontext\n"
        "assert 'json' not in sys.modules\n"
        "try: jsontext.decode(sys.argv[1], 'it')\n"
        "except SecludeError as error: print(error)\n"
    )
    root = jsontext.__file__.rpartition("/seclude/")[0]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {root!r})\n{program}", text],
        capture_output=True,
        text=True,
        check=True,
    )
    with pytest.raises(SecludeError) as found:
        jsontext.decode(text, "it")
    assert done.stdout == f"{found.value}\n"


PIECES = st.sampled_from(
    [
        "1e999",
        "1e",
        "1.",
        "NaN",
        "-Infinity",
        "-",
        '"',
        "\\",
        '"\\u12',
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "tru",
        "9" * 5000,
        " ",
        "\n",
    ]
)


@given(VALUES, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3), PIECES), min_size=1, max_size=3))
def test_damaged_text_is_refused_or_means_what_it_means_to_json(value, damages):
    text = json.dumps(value)
    for place, gone, piece in damages:
        start = place % (len(text) + 1)
        text = text[:start] + piece + text[start + gone :]
    try:
        read = jsontext.decode(text, "it")
    except SecludeError as error:
        assert str(error).startswith("it")
    else:
        assert read == json.loads(text)
