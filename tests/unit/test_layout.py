"""The two sides agree: bpf/recorder.h and watch.h with trace/ and the model, by name and by compiler."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from seclude.model import denial, recording
from seclude.trace import denials, kinship, layout, watch

BPF = Path(__file__).resolve().parents[2] / "bpf"
HEADERS = ("recorder.h", "watch.h")
HEADER = "\n".join((BPF / name).read_text() for name in HEADERS)
PLAIN = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)
SHARED = (BPF / "maps.h").read_text() + (BPF / "contexts.h").read_text()
MEMBERS = (BPF / "members.h").read_text()
RECORDER = MEMBERS + (BPF / "recorder.bpf.c").read_text()
WATCH = (BPF / "watch.bpf.c").read_text()
ADOPT = (BPF / "adopt.bpf.c").read_text()

STRUCTS = {
    "meta": layout.META,
    "target": layout.TARGET,
    "mark": layout.MARK_VALUE,
    "cpu": layout.CPU,
    "name": layout.NAME,
    "namespace_key": layout.NAMESPACE_KEY,
    "name_key": layout.NAME_KEY,
    "fact_key": layout.FACT_KEY,
    "fact": layout.FACT,
    "argument_call": layout.ARGUMENT_CALL,
    "argument_mask": layout.ARGUMENT_MASK,
    "argument_key": layout.ARGUMENT_KEY,
    "watch_config": denials.CONFIG,
    "scope": denials.SCOPE,
    "denial_key": denials.KEY,
    "place": denials.PLACE,
    "module": denials.MODULE,
    "denial": denials.DENIAL,
}
KERNEL_ONLY = {"set"}


def constant(name):
    found = re.search(rf"^#define {name}\s+\(?(~?\w+)\)?", PLAIN, re.M)
    assert found, name
    text = found[1].rstrip("ul")
    return ~int(text[1:], 0) & 0xFFFFFFFFFFFFFFFF if text.startswith("~") else int(text, 0)


def members(name):
    found = re.search(rf"^enum {name} {{([^}}]*)}}", PLAIN, re.M)
    assert found, name
    return [word.strip() for word in found[1].split(",") if word.strip()]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECORDER_VERSION", layout.RECORDER_VERSION),
        ("SECLUDE_MARK", layout.MARK),
        ("WORDS", layout.WORDS),
        ("NAME_BYTES", layout.NAME_BYTES),
        ("NAME_OVERFLOW", layout.NAME_OVERFLOW),
        ("SLOW_SET", layout.SLOW_SET),
        ("OTHER_NUMBER", denial.OTHER_NUMBER),
        ("FRAMES", denials.FRAMES),
        ("MODULES", denials.MODULES),
        ("MODULE_BYTES", denials.MODULE_BYTES),
        ("PATH_PARTS", denials.PATH_PARTS),
        ("PART_BYTES", denials.PART_BYTES),
        ("CGROUP_BYTES", denials.CGROUP_BYTES),
        *((name, value) for name, value in vars(layout).items() if name.startswith("FLAG_")),
    ],
)
def test_constants(name, value):
    assert constant(name) == value


def test_every_flag_is_known_here():
    assert set(re.findall(r"^#define (FLAG_\w+)", PLAIN, re.M)) == {
        name for name in vars(layout) if name.startswith("FLAG_")
    }


def test_abis_and_phases_are_those_of_the_model():
    *abis, last = members("abi")
    assert (last, [name.removeprefix("ABI_").lower() for name in abis]) == ("ABIS", list(recording.ABIS))
    *phases, last = members("phase")
    assert (last, [name.removeprefix("PHASE_").lower() for name in phases]) == (
        "PHASES",
        list(recording.PHASES),
    )
    assert (len(abis), len(phases)) == (layout.ABI_COUNT, layout.PHASE_COUNT)
    assert (recording.ABIS.index("x32"), recording.ABIS.index("arm")) == (layout.X32_ABI, layout.ARM_ABI)


def test_kinds():
    assert members("name_kind") == ["NAME_CONTEXT", "NAME_EXECUTABLE"]
    assert (layout.NAME_CONTEXT, layout.NAME_EXECUTABLE) == (0, 1)
    assert members("namespace_kind") == ["NAMESPACE_MNT", "NAMESPACE_PID"]
    assert (layout.NAMESPACE_MNT, layout.NAMESPACE_PID) == (0, 1)
    assert members("scope_kind") == ["SCOPE_MNT", "SCOPE_PID"]
    assert (watch.SCOPE_MNT, watch.SCOPE_PID) == (0, 1)


def test_every_struct_is_known_here():
    assert set(re.findall(r"^struct (\w+) {", PLAIN, re.M)) == set(STRUCTS) | KERNEL_ONLY


def _maps(source):
    """(hash maps, other maps) that a source defines."""
    hashes = set(re.findall(r"^HASH\((\w+),", source, re.M))
    return hashes, set(re.findall(r"} (\w+) SEC\(\"\.maps\"\);$", source, re.M)) - {"name"}


def test_every_map_that_is_pinned_is_in_the_program():
    hashes, others = _maps(SHARED + RECORDER)
    assert set(layout.MAPS) <= hashes | others
    assert hashes <= set(layout.MAPS)


def test_every_map_of_the_watch_is_pinned_or_shared():
    hashes, others = _maps(WATCH)
    assert hashes <= set(watch.OWN) <= hashes | others
    hashes, others = _maps(SHARED)
    assert hashes <= set(watch.SHARED) <= hashes | others
    assert set(watch.SHARED) <= set(layout.MAPS)


def test_what_adopts_shares_all_maps_but_one():
    hashes, others = _maps((BPF / "maps.h").read_text() + MEMBERS + ADOPT)
    assert hashes | others == {*kinship.SHARED, "roots"}
    assert set(kinship.SHARED) <= set(layout.MAPS)


@pytest.mark.parametrize(
    ("source", "attached"),
    [
        (RECORDER, layout.PROGRAMS),
        (WATCH, (*watch.PROGRAMS, watch.FIRST_TIMES)),
        (ADOPT, (*kinship.PROGRAMS, *kinship.ITERATORS)),
    ],
)
def test_every_program_is_attached(source, attached):
    programs = re.findall(r"^int (\w+)\(__u64 \*context\)", source, re.M)
    assert set(programs) == set(attached)


def test_a_watch_is_whole_once_its_last_link_is_pinned():
    assert f"link_{watch.PROGRAMS[-1]}" == layout.WATCH_LINK
    assert f"link_{watch.FIRST_TIMES}" == layout.STACKS_LINK


def _fields(name):
    """The members of a struct, in order."""
    body = re.search(rf"^struct {name} {{(.*?)^}};", PLAIN, re.M | re.S)
    return re.findall(r"(\w+)(?:\[\w+\])*;", body[1])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """("struct" or "struct.member" -> size or offset) as the compiler has it."""
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    assert compiler, "no C compiler (install gcc)"
    directory = tmp_path_factory.mktemp("layout")
    lines = ["#include <stddef.h>", "#include <stdio.h>", "#include <linux/types.h>"]
    lines += [f'#include "{name}"' for name in HEADERS]
    lines += ["int main(void)", "{"]
    for name in STRUCTS:
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        lines += [
            f'printf("{name}.{member} %zu\\n", offsetof(struct {name}, {member}));'
            for member in _fields(name)
        ]
    lines += ["return 0;", "}"]
    (directory / "layout.c").write_text("\n".join(lines))
    subprocess.run([compiler, f"-I{BPF}", "-o", directory / "layout", directory / "layout.c"], check=True)
    out = subprocess.run([directory / "layout"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0]: int(line.split()[1]) for line in out.splitlines()}


@pytest.mark.parametrize("name", STRUCTS)
def test_sizes(name, compiled):
    assert STRUCTS[name].size == compiled[name]


def _offsets(packing):
    """The offset of each of a packing's values, in bytes; a text counts once."""
    found, position = [], 0
    for count, letter in re.findall(r"(\d*)(\w)", packing.format.lstrip("=")):
        width = {"Q": 8, "I": 4, "i": 4, "H": 2, "B": 1, "s": 1}[letter]
        for _ in range(1 if letter == "s" else int(count or 1)):
            found.append(position)
            position += width * (int(count) if letter == "s" else 1)
    return found


@pytest.mark.parametrize("name", STRUCTS)
def test_each_member_begins_where_a_value_is_unpacked(name, compiled):
    offsets = set(_offsets(STRUCTS[name]))
    assert {compiled[f"{name}.{member}"] for member in _fields(name)} <= offsets


def test_the_places_that_are_read_by_position(compiled):
    """Of `target` and `fact`, which are unpacked into more than a few values (trace/observation.py)."""
    offsets = _offsets(layout.TARGET)
    after = [
        "started",
        "lost_calls",
        "lost_facts",
        "lost_contexts",
        "lost_executables",
        "lost_markers",
        "flags",
    ]
    for index, member in enumerate([*after, "base_filters"]):
        assert compiled[f"target.{member}"] == offsets[layout.SET_WORDS + index]
    assert compiled["target.last_name"] == offsets[layout.SET_WORDS + 14]
    offsets = _offsets(layout.FACT)
    for index, member in (
        (0, "time"),
        (1, "count"),
        (2, "arguments"),
        (8, "tgid"),
        (9, "tid"),
        (10, "executable"),
    ):
        assert compiled[f"fact.{member}"] == offsets[index]
    assert compiled["fact.comm"] == offsets[12]
    offsets = _offsets(denials.DENIAL)
    for index, member in enumerate(("count", "first", "last", "started", "arguments")):
        assert compiled[f"denial.{member}"] == offsets[index]
    after = "tid mnt pid paused places_used modules_used parts_used compat comm cgroup".split()
    for index, member in enumerate(after):
        assert compiled[f"denial.{member}"] == offsets[10 + index]
    assert compiled["denial.path"] == offsets[21]
    assert compiled["denial.modules"] == denials.SIZE - denials.MODULES * denials.MODULE.size


def test_slots_lead_back_to_numbers():
    for abi, name in enumerate(recording.ABIS):
        numbers = [0, 1, 511, *([0xF0001, 0xF0005, 0xF000F] if name == "arm" else [512, 547])]
        for number in numbers:
            slot = layout.slot_of_number(abi, number)
            assert slot < layout.WORDS * 64
            assert layout.number_of_slot(abi, slot) == number
