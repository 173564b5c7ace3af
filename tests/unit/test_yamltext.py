"""YAML within bounds: plain values, where they stand, and what is refused before it costs anything."""

import pytest

from seclude.errors import ProfileError
from seclude.yamltext import DEEPEST, LARGEST, MOST_EVENTS, documents, word


def values(text):
    return [document.value for document in documents(text, "x.yaml", error=ProfileError)]


def refused(text):
    with pytest.raises(ProfileError) as caught:
        documents(text, "x.yaml", error=ProfileError)
    return caught.value.message


def test_values():
    text = "a: 1\nb: [x, 0x10, 0o17, -3, ~, true, 'y', 1.5]\nc: {d: |\n  e\n  }\n"
    assert values("a: 1\nb: [x, 0x10, 0o17, -3, ~, true, 'y', 1.5]\nc:\n  d: |\n    e\n") == [
        {"a": 1, "b": ["x", 16, 15, -3, None, True, "y", "1.5"], "c": {"d": "e\n"}}
    ]
    assert values("---\n---\na: yes\n") == [None, {"a": "yes"}]
    assert "x.yaml" in refused(text)


def test_places():
    (document,) = documents("a:\n  b: [1,\n    22]\n", "x.yaml", error=ProfileError)
    assert document.located(("a", "b", 1), "odd").splitlines() == [
        "x.yaml: line 3, column 5: odd",
        "      22]",
        "      ^",
    ]
    assert document.located(("a", "b"), "odd", key=True).startswith("x.yaml: line 2, column 3: odd")
    assert document.located(("a", "b"), "odd").startswith("x.yaml: line 2, column 6: odd")
    assert document.located(("a", "absent", 7), "odd").startswith("x.yaml: line 2, column 3: odd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "line 2, column 4: an alias"),
        ("a: !!python/name:os.system x\n", "line 1, column 4: the tag"),
        ("a: !mine x\n", "the tag '!mine' is not read"),
        ("a: 1\na: 2\n", "line 2, column 1: 'a' is given twice"),
        ("? [a]\n: b\n", "a key must be a string"),
        ("a: 2001-12-14\n", "a value of the type 'timestamp' is not read"),
        ("a: !!binary aGk=\n", "the tag"),
        ("a: " + "9" * 50 + "\n", "is no whole number that we read"),
        ("a: [\n", "x.yaml: line 2"),
        ("a: \x07\n", "x.yaml"),
        ("[" * (DEEPEST + 1), f"nested more than {DEEPEST} deep"),
        ("- a\n" * (MOST_EVENTS + 1), f"more than {MOST_EVENTS} values"),
        ("a" * (LARGEST + 1), f"is larger than {LARGEST} characters"),
    ],
)
def test_what_is_refused(text, message):
    assert message in refused(text)


@pytest.mark.parametrize(
    "text", ["read", "a.b/c-d", "SCMP_ACT_ALLOW", "null", "Yes", "1", "", "a b", "é", "-", "#", "a: b", "y"]
)
def test_words_are_strings_to_everyone(text):
    assert values(f"a: {word(text)}\n") == [{"a": text}]
    assert (word(text) == text) is (text in ("read", "a.b/c-d", "SCMP_ACT_ALLOW"))
