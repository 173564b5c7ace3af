"""Frozen classes: built by keyword, checked, compared by value, never changed."""

from __future__ import annotations

import pytest

from seclude.errors import RecordingError
from seclude.model.frozen import frozen, replace
from seclude.model.recording import ABIS, Call, Dropped, FirstSeen, Recording


@frozen
class Point:
    """Two numbers, the first one not negative."""

    x: int
    y: int = 0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is negative")

    def __len__(self) -> int:
        return self.x + self.y


@frozen
class Plane:
    """As Point, so that values of two classes can be compared."""

    x: int
    y: int = 0


def call(name: str = "read", phase: str = "app", abi: str = "x86_64") -> Call:
    return Call(abi=abi, phase=phase, context="", number=0, name=name, first=Dropped())


def recording(*calls: Call) -> Recording:
    return Recording(
        created="2024-01-01T00:00:00Z",
        duration=1.0,
        seclude="0.1.0",
        tracer="ebpf",
        kernel="6.1",
        machine="x86_64",
        engine="podman",
        calls=calls,
    )


def test_fields_and_defaults() -> None:
    point = Point(x=1)
    assert (point.x, point.y, len(point)) == (1, 0, 1)
    assert Point(y=5, x=2).y == 5


@pytest.mark.parametrize("name", ["x", "y", "z"])
def test_nothing_can_be_changed(name: str) -> None:
    point = Point(x=1)
    with pytest.raises(AttributeError, match=f"Point is frozen: {name}"):
        setattr(point, name, 2)
    with pytest.raises(AttributeError, match="frozen"):
        delattr(point, name)
    assert point == Point(x=1)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(TypeError, match="Point: x is missing"):
        Point(y=1)  # type: ignore[call-arg]


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(TypeError, match="Point: unknown a, z"):
        Point(x=1, z=2, a=3)  # type: ignore[call-arg]


def test_positions_are_refused() -> None:
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[misc]


def test_the_check_runs_on_construction_and_on_replacement() -> None:
    with pytest.raises(ValueError, match="negative"):
        Point(x=-1)
    with pytest.raises(ValueError, match="negative"):
        replace(Point(x=1), x=-1)


def test_equality_and_hash_go_by_value_and_class() -> None:
    assert Point(x=1, y=2) == Point(y=2, x=1)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Plane(x=1)  # type: ignore[comparison-overlap]
    assert Point(x=1) != 1  # type: ignore[comparison-overlap]
    assert len({Point(x=1), Point(x=1), Point(x=2)}) == 2


def test_replace_leaves_the_first_as_it_was() -> None:
    first = Point(x=1, y=2)
    assert replace(first, y=3) == Point(x=1, y=3)
    assert first == Point(x=1, y=2)
    with pytest.raises(TypeError, match="unknown z"):
        replace(first, z=1)


def test_repr_can_be_read_back() -> None:
    assert repr(Point(x=1, y=2)) == "Point(x=1, y=2)"
    assert eval(repr(Point(x=1, y=2))) == Point(x=1, y=2)


def test_calls_are_checked() -> None:
    with pytest.raises(RecordingError, match="unknown ABI 'vax'") as raised:
        call(abi="vax")
    assert ABIS[0] in raised.value.hint
    with pytest.raises(RecordingError, match="unknown phase 'later'"):
        call(phase="later")


def test_a_call_without_a_name() -> None:
    assert call("read").named
    assert not call("#999").named


def test_names_leave_out_refused_and_unnamed_calls() -> None:
    seen = recording(
        call("read"),
        call("#999"),
        call("mkdir", "denied"),
        call("capset", "runtime"),
        call("mmap2", abi="x86"),
    )
    assert seen.names() == {"read", "capset", "mmap2"}
    assert seen.names("app") == {"read", "mmap2"}
    assert seen.names("app", abi="x86") == {"mmap2"}
    assert seen.names("denied") == {"mkdir"}


def test_abis_come_in_their_own_order() -> None:
    assert recording(call(abi="x86"), call(abi="x86_64")).abis() == ("x86_64", "x86")
    assert recording(call(phase="denied", abi="x32")).abis() == ()


def test_nested_values_compare() -> None:
    seen = FirstSeen(time=0.5, pid=1, tid=1, comm="ls", executable="/bin/ls", arguments=(1, 2, 3, 4, 5, 6))
    assert replace(call(), first=seen) == replace(call(), first=replace(seen, result=0))
    assert hash(replace(call(), first=seen)) != hash(call())
