"""Recordings of a fleet: what is made of them together is what is made of them one by one."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from seclude import store
from seclude.analyse import merge_recordings
from seclude.analyse.merge_recordings import Fleet
from seclude.baseline import automatic
from seclude.cli import generate
from seclude.cli import merge as merging
from seclude.conditions import LEVELS
from seclude.errors import OutputError, ProfileError, RecordingError
from seclude.formats import oci
from seclude.model.denial import Denial
from seclude.model.frozen import replace
from seclude.model.profile import Argument, Filter, Profile, Rule
from seclude.model.recording import ArgumentValues, Call, Dropped, FirstSeen, Losses, Recording
from seclude.synthesize import synthesize

FIRST = FirstSeen(time=1.0, pid=1, tid=1, comm="app", executable="/app", arguments=(0,) * 6)
NAMES = "read write socket prctl clone mprotect clone3".split()
KINDS = (
    {},
    {"machine": "aarch64"},
    {"kernel": "5.10.0-1"},
    {"capabilities": ("CAP_CHOWN",)},
    {"confined": False},
    {"engine": "process", "runtime": ""},
)


def call(name="read", abi="x86_64", phase="app", context="", **fields):
    return Call(abi=abi, phase=phase, context=context, number=len(name), name=name, first=FIRST, **fields)


def recording(*calls, **fields):
    given_fields = {
        "created": "2026-01-01T00:00:00Z", "duration": 2.0, "seclude": "0.1.0", "tracer": "ebpf",
        "kernel": "6.1.0", "machine": "x86_64", "engine": "podman", "runtime": "runc", "runtime_version": "1.1.5",
        "confined": True,
    }  # fmt: skip
    return Recording(calls=calls, **given_fields | fields)


def folded(recordings, *, detailed=False):
    fleet = Fleet(detailed=detailed)
    for each in recordings:
        fleet.add(each)
    return fleet


@st.composite
def recordings(draw):
    calls, arguments = [], []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        for phase in draw(st.sets(st.sampled_from(["app", "runtime", "denied"]), min_size=1)):
            abi = draw(st.sampled_from(["x86_64", "x86", "aarch64"]))
            calls.append(call(name, abi=abi, phase=phase, context=draw(st.sampled_from(["", "t1", "t2"]))))
        if draw(st.booleans()):
            indices = draw(st.sampled_from([(0,), (0, 2), (2,)]))
            values = draw(st.lists(st.tuples(*(st.integers(0, 6) for _ in indices)), min_size=1, unique=True))
            arguments.append(
                ArgumentValues(
                    abi=calls[-1].abi,
                    name=name,
                    indices=indices,
                    values=tuple(values),
                    complete=draw(st.booleans()),
                )
            )
    return recording(*calls, arguments=tuple(arguments), **draw(st.sampled_from(KINDS)))


BASE = Profile(
    default_action="SCMP_ACT_ERRNO",
    architectures=("SCMP_ARCH_X86_64",),
    rules=(
        Rule(names=("read",), action="SCMP_ACT_ALLOW", includes=Filter(caps=("CAP_CHOWN",))),
        Rule(names=("write",), action="SCMP_ACT_ALLOW", includes=Filter(min_kernel="5.15")),
        Rule(
            names=("socket",), action="SCMP_ACT_ALLOW", args=(Argument(index=0, value=1, op="SCMP_CMP_EQ"),)
        ),
    ),
)


def words(profile):
    """What decides, whatever the order of rules and names."""
    return {
        (name, rule.action, rule.args, rule.includes, rule.excludes)
        for rule in profile.rules
        for name in rule.names
    }, set(profile.architectures)


@given(st.lists(recordings(), min_size=1, max_size=5), st.sampled_from(LEVELS))
def test_profiles_are_the_same(each, level):
    try:
        apart = synthesize(each, arguments=level)
    except RecordingError:
        return  # nothing but refused calls
    together = synthesize(folded(each).kinds(), arguments=level)
    assert words(together.profile) == words(apart.profile)


@given(st.lists(recordings(), min_size=1, max_size=5))
def test_a_base_is_extended_by_no_less_than_the_calls(each):
    """With known arguments a rule may be put together in another way; the names are the same."""
    try:
        apart = synthesize([replace(one, arguments=()) for one in each], base=BASE)
    except RecordingError:
        return
    together = synthesize(folded([replace(one, arguments=()) for one in each]).kinds(), base=BASE)
    assert words(together.profile) == words(apart.profile)


@given(st.lists(recordings(), min_size=1, max_size=5))
def test_a_single_recording_has_all_the_calls(each):
    merged, notes = folded(each, detailed=True).single()
    assert store.loads(store.dumps(merged), "x") == merged
    for phase in ("app", "runtime", "denied"):
        assert merged.names(phase) == frozenset[str]().union(*(one.names(phase) for one in each))
    assert {(one.abi, one.name, one.context) for one in merged.calls} == {
        (one.abi, one.name, one.context) for whole in each for one in whole.calls
    }
    assert bool(notes) is (
        len({(o.machine, o.kernel, o.capabilities, o.confined, o.engine) for o in each}) > 1
    )


def test_what_the_parts_agree_on_stays():
    one = recording(
        call(count=2), counted=True, image="web", container="a", command=("app",), created="2026-01-02"
    )
    two = recording(
        call(count=3), counted=True, image="web", container="b", command=("app",), created="2026-01-01"
    )
    merged, notes = folded([one, two], detailed=True).single()
    assert (merged.image, merged.container, merged.command) == ("web", "", ("app",))
    assert (merged.created, merged.duration, merged.calls[0].count, merged.counted) == (
        "2026-01-02",
        4.0,
        5,
        True,
    )
    assert notes == ()


def test_what_they_differ_in_is_told():
    """The older kernel, confined only if all are, no runtime's name where there are several: the wider profile."""
    each = [
        recording(call(), kernel="6.18.4", runtime="crun", capabilities=("CAP_CHOWN", "CAP_KILL")),
        recording(call("write"), kernel="6.1.0", confined=False, capabilities=("CAP_KILL",)),
        recording(
            call("uname", abi="aarch64"), machine="aarch64", engine="process", capabilities=("CAP_KILL",)
        ),
    ]
    merged, notes = folded(each, detailed=True).single()
    assert (merged.kernel, merged.machine, merged.confined, merged.runtime) == ("6.1.0", "x86_64", False, "")
    assert (merged.engine, merged.capabilities) == ("podman", ("CAP_KILL",))
    assert any("differ in kernel: 6.18.4 (1), 6.1.0 (2); the merged one says 6.1.0" in note for note in notes)
    assert any("differ in machine: x86_64 (2), aarch64 (1)" in note for note in notes)
    assert notes[-1].startswith("`seclude generate` of the recordings themselves")
    profile = synthesize([merged]).profile
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"} == set(profile.architectures)


def test_the_baseline_stays():
    """Of containers of one runtime, some confined and some not, as much is added as for each of them."""
    for runtime, version in (("runc", "1.1.5"), ("crun", "1.8.1")):
        each = [
            recording(
                call(), runtime=runtime, runtime_version=version, confined=confined, no_new_privileges=True
            )
            for confined in (True, False)
        ]
        merged, _ = folded(each, detailed=True).single()
        assert set(automatic(merged)) >= set(automatic(each[1]))


def test_limits(monkeypatch):
    """Contexts beyond the limit are one, and told as lost; the set of calls is whole. So are values: not all known."""
    monkeypatch.setattr(merge_recordings, "MOST_CALLS", 3)
    monkeypatch.setattr(merge_recordings, "MOST_VALUES", 2)
    each = [recording(call(name, context=f"t{n}")) for n, name in enumerate(NAMES)]
    merged, _ = folded(each, detailed=True).single()
    assert merged.names() == set(NAMES)
    assert {one.context for one in merged.calls} == {"t0", "t1", "t2", "(other)"}
    assert merged.losses == Losses(contexts=4)
    values = [
        recording(
            call(),
            arguments=(
                ArgumentValues(abi="x86_64", name="read", indices=(0,), values=((n,),), complete=True),
            ),
        )
        for n in range(3)
    ]
    (kind,) = folded(values).kinds()
    assert kind.arguments[0].complete is False and len(kind.arguments[0].values) == 2


def test_details():
    """A first sight is better than none; the same denial of many nodes is one, with all its times counted."""
    denial = Denial(
        action="SCMP_ACT_ERRNO", data=1, abi="x86_64", number=1, name="mount", arguments=(0,) * 6, pid=1, tid=1,
        comm="app", executable="/app", count=2, first=5.0, last=6.0,
    )  # fmt: skip
    dropped = replace(call(), first=Dropped())
    one = recording(dropped, denials=(denial,), losses=Losses(facts=1))
    two = recording(
        call(), denials=(replace(denial, pid=7, count=3, first=1.0, last=9.0),), losses=Losses(calls=2)
    )
    merged, _ = folded([one, two], detailed=True).single()
    assert merged.calls[0].first == FIRST
    assert [(each.pid, each.count, each.first, each.last) for each in merged.denials] == [(1, 5, 5.0, 9.0)]
    assert merged.losses == Losses(calls=2, facts=1)
    (kind,) = folded([one, two]).kinds()
    assert kind.denials == () and kind.losses.calls == 2


def run(module, *arguments, stdin=""):
    result = CliRunner().invoke(
        module.command, [str(each) for each in arguments], input=stdin, standalone_mode=False
    )
    if result.exception:
        raise result.exception
    return result


def test_commands(tmp_path):
    """Directories, lists and single files; of the merged recording comes the same profile as of its parts."""
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    for number, name in enumerate(NAMES):
        (nodes / f"{number}.json").write_text(store.dumps(recording(call(name), container=str(number))))
    paths = [str(path) for path in sorted(nodes.iterdir())]
    apart, together, merged = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "all.json"
    assert "7 calls from 7 recordings" in run(generate, *paths, "-o", apart).stderr
    run(generate, "--from-file", "-", "-o", together, stdin="\n".join(paths))
    assert together.read_text() == apart.read_text()
    result = run(merging, nodes, "-o", merged)
    assert "7 calls from 7 recordings; wrote" in result.stderr
    run(generate, merged, "-o", together)
    assert together.read_text() == apart.read_text()
    assert json.loads(run(merging, "--json", nodes, "-o", merged).stderr)["recordings"] == 7
    with pytest.raises(RecordingError, match="recordings have no intersection"):
        run(merging, "--intersection", nodes, "-o", merged)
    with pytest.raises(RecordingError, match="is a profile, no recording"):
        run(merging, nodes, apart, "-o", merged)
    with pytest.raises(ProfileError, match="is a recording, no profile"):
        run(merging, apart, nodes, "-o", merged)
    before = merged.read_text()
    (nodes / "9.json").write_text(store.dumps(recording(call()))[:-20])
    with pytest.raises(RecordingError, match=r"9\.json"):
        run(merging, nodes, "-o", merged)
    assert merged.read_text() == before
    (nodes / "9.json").unlink()
    with pytest.raises(OutputError, match="is no recording; it is not replaced"):
        run(merging, nodes, "-o", apart)
    assert oci.looks_like_profile(apart.read_text())
