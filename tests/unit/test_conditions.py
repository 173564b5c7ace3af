"""Conditions made of recorded values, and the calls that stand in for others elsewhere."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude import syscalls
from seclude.conditions import BEYOND, COMMANDS, SAFE, caveats, conditions, watched
from seclude.model.decision import decide
from seclude.model.environment import Environment
from seclude.model.recording import ArgumentValues, Call, FirstSeen, Recording
from seclude.portable import ALWAYS, SIBLINGS, siblings
from seclude.synthesize import synthesize

FIRST = FirstSeen(time=0, pid=1, tid=1, comm="it", executable="/it", arguments=(0,) * 6)
HERE = Environment(machine="x86_64", kernel="6.1", capabilities=())


def recording(
    values: dict[str, Sequence[int]], *others: str, complete: bool = True, abi: str = "x86_64"
) -> Recording:
    """One that made the calls of `values` with these values of the argument that is watched, and `others`."""
    names = sorted({*values, *others})
    calls = [Call(abi=abi, phase="app", context="", number=0, name=name, first=FIRST) for name in names]
    kept = [
        ArgumentValues(
            abi=abi,
            name=name,
            indices=watched({})[name],
            values=tuple((value,) for value in found),
            complete=complete,
        )
        for name, found in values.items()
    ]
    return Recording(
        created="2026-01-01T00:00:00Z",
        duration=1,
        seclude="0",
        tracer="ebpf",
        kernel="6.1",
        machine="x86_64",
        engine="process",
        calls=tuple(calls),
        arguments=tuple(kept),
    )


def allowed(seen: Sequence[Recording], level: str, name: str, *arguments: int) -> bool:
    """What a profile with conditions of this level says to a call."""
    profile = synthesize(seen, arguments=level).profile
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    return decide(profile, HERE, "x86_64", name, padded).action == "SCMP_ACT_ALLOW"


class TestSafe:
    def test_domains_of_sockets(self) -> None:
        seen = [recording({"socket": [1, 2]}, "read")]
        assert allowed(seen, "safe", "socket", 1, 5)
        assert allowed(seen, "safe", "socket", 2 | 1 << 32)  # the kernel reads 32 bits
        assert not allowed(seen, "safe", "socket", 16)
        assert allowed(seen, "none", "socket", 16)
        assert allowed(seen, "safe", "read", 99)

    def test_threads_but_no_processes(self) -> None:
        seen = [recording({"clone": [0x3D0F00]})]
        assert allowed(seen, "safe", "clone", 0x3D0F00)
        assert not allowed(seen, "safe", "clone", 17)  # fork: SIGCHLD
        assert not allowed(seen, "safe", "clone", 0x3D0F00 | 0x10000000)

    def test_processes_but_no_namespaces(self) -> None:
        seen = [recording({"clone": [17, 0x3D0F00]})]
        assert allowed(seen, "safe", "clone", 0x4111)  # vfork
        assert not allowed(seen, "safe", "clone", 0x10000011)  # CLONE_NEWUSER

    def test_namespaces_that_were_made_are_not_denied(self) -> None:
        assert allowed([recording({"clone": [0x10000011]})], "safe", "clone", 0x20000011)

    def test_write_or_execute(self) -> None:
        seen = [recording({"mmap": [1, 3, 5], "mprotect": [1]})]
        assert allowed(seen, "safe", "mmap", 0, 0, 5)
        assert allowed(seen, "safe", "mmap", 0, 0, 2)
        assert not allowed(seen, "safe", "mmap", 0, 0, 7)
        assert not allowed(seen, "safe", "mprotect", 0, 0, 5)
        assert allowed(seen, "safe", "mprotect", 0, 0, 3)

    def test_a_program_that_writes_code_is_left_alone(self) -> None:
        assert allowed([recording({"mmap": [7]})], "safe", "mmap", 0, 0, 7)

    def test_glibc_is_told_to_fall_back_on_clone(self) -> None:
        profile = synthesize([recording({"clone": [0x3D0F00]})], arguments="safe").profile
        decision = decide(profile, HERE, "x86_64", "clone3", (0,) * 6)
        assert (decision.action, decision.data) == ("SCMP_ACT_ERRNO", 38)

    def test_what_gets_around_a_condition_is_said(self) -> None:
        notes = synthesize([recording({"clone": [0x3D0F00]}, "clone3")], arguments="safe").notes
        assert any("clone3 is allowed too" in note for note in notes)
        assert caveats(["clone3"], []) == ()


class TestLevels:
    def test_commands_are_for_all_only(self) -> None:
        seen = [recording({"ioctl": [0x5401]})]
        assert allowed(seen, "safe", "ioctl", 1, 0x5413)
        assert not allowed(seen, "all", "ioctl", 1, 0x5413)
        assert allowed(seen, "all", "ioctl", 7, 0x5401)

    def test_too_many_values(self) -> None:
        assert conditions([recording({"ioctl": range(33)})], "all") == {}
        assert len(conditions([recording({"ioctl": range(32)})], "all")["ioctl"]) == 32

    def test_values_that_are_not_all_known(self) -> None:
        assert conditions([recording({"socket": [1]}, complete=False)], "all") == {}
        assert conditions([recording({}, "socket")], "all") == {}
        assert conditions([recording({"socket": [1]}), recording({}, "socket")], "all") == {}

    def test_several_recordings(self) -> None:
        seen = [recording({"socket": [1]}), recording({"socket": [2]}), recording({}, "read")]
        assert allowed(seen, "safe", "socket", 1)
        assert allowed(seen, "safe", "socket", 2)

    def test_what_the_runtime_may_call_has_no_condition(self) -> None:
        made = synthesize([recording({"prctl": [15]})], baseline=["prctl"], arguments="safe")
        assert all(not rule.args for rule in made.profile.rules)


@given(
    st.sampled_from(sorted({**SAFE, **COMMANDS})), st.sets(st.integers(0, 2**64 - 1), min_size=1, max_size=40)
)
def test_what_was_recorded_is_allowed(name: str, values: set[int]) -> None:
    index = watched({})[name][0]
    seen = [recording({name: sorted(values)})]
    for level in ("safe", "all"):
        for value in values:
            assert allowed(seen, level, name, *(0,) * index, value)


def test_conditions_are_on_numbers_only() -> None:
    known = syscalls.all_names()
    assert set(SAFE) | set(COMMANDS) | set(BEYOND) <= known


class TestPortable:
    def test_every_name_is_one(self) -> None:
        names = {name for line in SIBLINGS for name in line.split()} | set(ALWAYS)
        assert names <= syscalls.all_names()

    def test_what_stands_in(self) -> None:
        assert {"openat", "openat2", "open"} <= siblings(["open"])
        assert "fork" not in siblings(["clone3"])
        assert {"clone", "clone3"} <= siblings(["vfork"])
        assert siblings([]) == set(ALWAYS)

    @pytest.mark.parametrize("native", ["x86_64", "aarch64"])
    def test_both_processors(self, native: str) -> None:
        made = synthesize([recording({}, "open", "stat", "poll")], portable=True).profile
        assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"} <= set(made.architectures)
        environment = Environment(machine=native, kernel="6.1", capabilities=())
        for name in ("openat", "newfstatat", "ppoll", "exit_group"):
            assert decide(made, environment, native, name, (0,) * 6).action == "SCMP_ACT_ALLOW"

    def test_no_call_that_gets_around_a_condition(self) -> None:
        made = synthesize([recording({"clone": [0x3D0F00]})], portable=True, arguments="safe").profile
        assert decide(made, HERE, "x86_64", "clone3", (0,) * 6).data == 38

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="the table is this processor's")
    def test_only_calls_that_exist(self) -> None:
        made = synthesize([recording({}, "open")], portable=True).profile
        known = syscalls.names("x86_64") | syscalls.names("aarch64")
        assert set(made.rules[0].names) <= known
