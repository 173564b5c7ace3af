"""Calls that the tests no longer make: counted from run to run, kept as long as the configuration says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seclude.errors import OutputError, RecordingError
from seclude.keeping import Keeping, without
from seclude.model.profile import ALLOW, ERRNO, Argument, Profile, Rule


def profile(*names: str) -> Profile:
    return Profile(default_action=ERRNO, rules=(Rule(names=names, action=ALLOW),))


def names(base: Profile | None) -> tuple[str, ...]:
    assert base is not None
    return tuple(name for rule in base.rules for name in rule.names)


def test_for_good(tmp_path: Path) -> None:
    path = tmp_path / "unused.json"
    for _ in range(3):
        keeping = Keeping(str(path), -1)
        assert keeping.base(profile("read", "write"), {"read"}) == (profile("read", "write"), ())
        keeping.write()
    assert not path.exists()


def test_a_call_goes_after_so_many_runs_without_it(tmp_path: Path) -> None:
    path = str(tmp_path / "unused.json")
    kept = []
    for _ in range(4):
        keeping = Keeping(path, 2)
        base, dropped = keeping.base(profile("read", "write"), {"read"})
        keeping.write()
        kept.append((names(base), dropped))
    assert kept[0] == kept[1] == (("read", "write"), ())
    assert kept[2] == (("read",), ("write",))
    # The committed profile still has it here, which it has not once it was written: the count begins anew.
    assert kept[3] == (("read", "write"), ())


def test_a_run_that_makes_it_begins_the_count_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "unused.json")
    for made in ({"read"}, {"read", "write"}, {"read"}):
        keeping = Keeping(path, 1)
        base, dropped = keeping.base(profile("read", "write"), made)
        keeping.write()
        assert (names(base), dropped) == (("read", "write"), ())
    assert json.loads(Path(path).read_text())["calls"] == {"write": 1}


def test_at_once(tmp_path: Path) -> None:
    keeping = Keeping(str(tmp_path / "unused.json"), 0)
    assert keeping.base(profile("read", "write"), {"read"}) == (profile("read"), ("write",))


def test_without_a_committed_profile(tmp_path: Path) -> None:
    assert Keeping(str(tmp_path / "unused.json"), 0).base(None, {"read"}) == (None, ())


def test_rules_that_refuse_keep_their_names() -> None:
    args = (Argument(index=0, value=1, op="SCMP_CMP_EQ"),)
    rules = (
        Rule(names=("read", "write"), action=ALLOW),
        Rule(names=("write",), action=ALLOW, args=args),
        Rule(names=("write",), action=ERRNO),
    )
    left = without(Profile(default_action=ERRNO, rules=rules), ["write"])
    assert left.rules == (Rule(names=("read",), action=ALLOW), Rule(names=("write",), action=ERRNO))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version":2,"calls":{}}', '{"version":1,"calls":{"read":true}}', '{"version":1}'],
)
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "unused.json"
    path.write_text(text)
    with pytest.raises(RecordingError):
        Keeping(str(path), 1).base(profile("read"), {"read"})


def test_another_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "unused.json"
    keeping = Keeping(str(path), 1)
    keeping.base(profile("read"), {"read"})
    path.write_text("somebody's own")
    with pytest.raises(OutputError):
        keeping.write()
    assert path.read_text() == "somebody's own"
