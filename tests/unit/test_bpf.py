"""Classic BPF: what is a program, what it answers, how it reads; as the kernel has it (see kernel/test_compile.py)."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.errors import ProfileError
from seclude.formats.bpf import LARGEST_FILTER, Machine, Program, call_data, disassemble, loads, run

from .bpf_samples import DATA, interpreted, programs

GOLD = Path(__file__).parents[1] / "gold"
ALLOW = (0x06, 0, 0, 0x7FFF_0000)
EPERM = (0x06, 0, 0, 0x0005_0001)
NUMBER, ARCH = (0x20, 0, 0, 0), (0x20, 0, 0, 4)
NONE = (0,) * 16


def program(*instructions):
    return Program(instructions=instructions)


def answer(*instructions, data=NONE):
    return Machine(program(*instructions)).answer(data)


class TestPrograms:
    @pytest.mark.parametrize(
        ("instructions", "message"),
        [
            ((), "without instructions"),
            ((NUMBER,), "instruction 0: the last one must be a return"),
            (((0x20, 0, 0, 2), ALLOW), "offset 2 is not that of a word"),
            (((0x20, 0, 0, 64), ALLOW), "offset 64 is not that of a word"),
            (((0x30, 0, 0, 0), ALLOW), "operation 0x30 is not allowed"),  # a byte
            (((0x40, 0, 0, 0), ALLOW), "operation 0x40 is not allowed"),  # indexed
            (((0x94, 0, 0, 2), ALLOW), "operation 0x94 is not allowed"),  # the remainder
            (((0x0E, 0, 0, 0), ALLOW), "operation 0xe is not allowed"),  # return X
            (((0xFFFF, 0, 0, 0), ALLOW), "operation 0xffff is not allowed"),
            (((0x34, 0, 0, 0), ALLOW), "instruction 0: division by 0"),
            (((0x64, 0, 0, 32), ALLOW), "a shift by 32 bits of 32"),
            (((0x74, 0, 0, 99), ALLOW), "a shift by 99 bits of 32"),
            (((0x02, 0, 0, 16), ALLOW), "memory word 16 does not exist, there are 16"),
            (((0x60, 0, 0, 3), ALLOW), "memory word 3 is read before it is written"),
            (((0x05, 0, 0, 1), ALLOW), "a jump over 1 instructions, where 1 follow"),
            (((0x05, 0, 0, 0xFFFF_FFFF), ALLOW), "a jump over 4294967295 instructions"),
            (((0x15, 0, 1, 5), ALLOW), "a jump over 1 instructions"),
            (((0x15, 7, 0, 5), ALLOW), "a jump over 7 instructions"),
            ((ALLOW,) * 4097, "4097 instructions, of which the kernel takes 4096"),
        ],
    )
    def test_what_the_kernel_refuses(self, instructions, message):
        with pytest.raises(ProfileError, match=message):
            program(*instructions)

    def test_memory_must_be_written_on_every_way(self):
        either = ((0x15, 0, 1, 5), (0x02, 0, 0, 0), (0x60, 0, 0, 0), ALLOW)
        with pytest.raises(ProfileError, match="instruction 2: memory word 0"):
            program(*either)
        assert len(program((0x02, 0, 0, 0), *either)) == 5

    def test_the_largest_program(self):
        assert len(program(*((ALLOW,) * LARGEST_FILTER))) == LARGEST_FILTER

    @pytest.mark.parametrize("data", [b"", b"1234567", bytes(9)])
    def test_bytes_that_are_no_program(self, data):
        with pytest.raises(ProfileError, match=f"x: {len(data)} bytes are no BPF program"):
            loads(data, "x")

    def test_bytes_that_are_no_good_program(self):
        with pytest.raises(ProfileError, match=r"filter\.bpf: instruction 0: the last one"):
            loads(bytes(8), "filter.bpf")
        with pytest.raises(ProfileError, match="the filter: 5000 instructions"):
            loads(bytes(40_000))

    def test_the_layout_is_little_endian(self):
        assert loads(bytes.fromhex("2000000004000000060000000000ff7f")).instructions == (ARCH, ALLOW)

    @given(programs())
    def test_round_trip(self, made):
        assert loads(made.encode()) == made

    @given(st.binary(min_size=0, max_size=80))
    def test_any_bytes_are_a_program_or_an_error(self, data):
        try:
            assert loads(data).encode() == data
        except ProfileError as error:
            assert error.message.startswith("the filter: ")


class TestAnswers:
    def test_the_number_the_architecture_and_an_argument(self):
        data = call_data("x86_64", 59, (1, 2, 0x5_0000_0007, 0, 0, 0), pointer=0x9_0000_0008)
        assert data[:10] == (59, 0xC000_003E, 8, 9, 1, 0, 2, 0, 7, 5)
        assert call_data("x32", 59, (0,) * 6)[:2] == (0x4000_003B, 0xC000_003E)
        assert call_data("x86", -1, (0,) * 6)[:2] == (0xFFFF_FFFF, 0x4000_0003)

    def test_a_list_of_calls(self):
        """Of two comparisons with one value the first counts."""
        listed = (NUMBER, (0x15, 3, 0, 5), (0x15, 3, 0, 6), (0x15, 2, 0, 5), EPERM, ALLOW, (0x06, 0, 0, 7))
        machine = Machine(program(*listed))
        found = [machine.answer(call_data("x86_64", number, (0,) * 6)) for number in (5, 6, 7)]
        assert found == [0x7FFF_0000, 7, 0x0005_0001]

    def test_comparisons_that_are_entered_from_elsewhere(self):
        made = program(
            (0x20, 0, 0, 16),
            (0x15, 1, 0, 9),
            (0x15, 2, 0, 5),
            (0x15, 1, 0, 5),
            (0x15, 1, 2, 9),
            EPERM,
            ALLOW,
            ALLOW,
        )
        for value in (5, 9, 7):
            data = call_data("x86_64", 0, (value, 0, 0, 0, 0, 0))
            assert Machine(made).answer(data) == interpreted(made, data)

    @pytest.mark.parametrize(
        ("code", "a", "operand", "result"),
        [
            (0x04, 0xFFFF_FFFF, 2, 1),
            (0x14, 1, 2, 0xFFFF_FFFF),
            (0x24, 0x8000_0001, 2, 2),
            (0x34, 7, 2, 3),
            (0x44, 5, 2, 7),
            (0x54, 7, 2, 2),
            (0x64, 0x8000_0001, 1, 2),
            (0x74, 0x8000_0001, 1, 0x4000_0000),
            (0xA4, 7, 2, 5),
        ],
    )
    def test_computing(self, code, a, operand, result):
        assert answer((0x00, 0, 0, a), (code, 0, 0, operand), (0x16, 0, 0, 0)) == result
        with_x = ((0x00, 0, 0, a), (0x01, 0, 0, operand), (code | 8, 0, 0, 0), (0x16, 0, 0, 0))
        assert answer(*with_x) == result

    def test_division_by_x_of_0_and_wide_shifts(self):
        assert answer((0x00, 0, 0, 7), (0x3C, 0, 0, 0), ALLOW) == 0
        assert answer((0x00, 0, 0, 1), (0x01, 0, 0, 33), (0x6C, 0, 0, 0), (0x16, 0, 0, 0)) == 2

    def test_the_rest(self):
        assert answer((0x80, 0, 0, 0), (0x16, 0, 0, 0)) == 64
        assert answer((0x81, 0, 0, 0), (0x87, 0, 0, 0), (0x84, 0, 0, 0), (0x16, 0, 0, 0)) == 0xFFFF_FFC0
        stored = ((0x00, 0, 0, 9), (0x07, 0, 0, 0), (0x03, 0, 0, 15), (0x00, 0, 0, 1), (0x60, 0, 0, 15))
        assert answer(*stored, (0x16, 0, 0, 0)) == 9
        assert (
            answer((0x00, 0, 0, 9), (0x02, 0, 0, 1), (0x61, 0, 0, 1), (0x87, 0, 0, 0), (0x16, 0, 0, 0)) == 9
        )

    @pytest.mark.parametrize(
        ("returned", "meaning"),
        [
            (0x7FFF_0005, ("SCMP_ACT_ALLOW", 0)),
            (0x0005_0026, ("SCMP_ACT_ERRNO", 38)),
            (0x0005_FFFF, ("SCMP_ACT_ERRNO", 4095)),
            (0x7FF0_FFFF, ("SCMP_ACT_TRACE", 0xFFFF)),
            (0x0003_0001, ("SCMP_ACT_TRAP", 0)),
            (0x7FC0_0000, ("SCMP_ACT_NOTIFY", 0)),
            (0x7FFC_0000, ("SCMP_ACT_LOG", 0)),
            (0x0000_0001, ("SCMP_ACT_KILL_THREAD", 0)),
            (0x8000_0000, ("SCMP_ACT_KILL_PROCESS", 0)),
            (0x1234_0000, ("SCMP_ACT_KILL_PROCESS", 0)),
        ],
    )
    def test_what_is_returned(self, returned, meaning):
        assert run(program((0x06, 0, 0, returned)), NONE) == meaning

    @given(programs(), st.lists(DATA, min_size=1, max_size=5))
    @settings(max_examples=400)
    def test_as_an_interpreter_that_does_one_instruction_after_the_other(self, made, many):
        machine = Machine(made)
        for data in many:
            assert machine.answer(data) == interpreted(made, data)


class TestListing:
    def test_as_expected(self):
        made = program(
            ARCH,
            (0x15, 3, 0, 0xC000_003E),
            (0x15, 0, 12, 0x4000_0003),
            NUMBER,
            (0x15, 9, 10, 120),
            NUMBER,
            (0x35, 0, 2, 0x4000_0000),
            (0x15, 1, 0, 0xFFFF_FFFF),
            (0x15, 5, 6, 0x4000_0038),
            (0x15, 0, 5, 56),
            (0x20, 0, 0, 16),
            (0x54, 0, 0, 0x7E02_0000),
            (0x15, 1, 0, 0),
            (0x05, 0, 0, 1),
            ALLOW,
            (0x06, 0, 0, 0),
        )
        assert disassemble(made) == (GOLD / "compile-listing.txt").read_text()

    def test_every_operation(self):
        made = program(
            (0x00, 0, 0, 5), (0x01, 0, 0, 5), (0x02, 0, 0, 0), (0x03, 0, 0, 1), (0x60, 0, 0, 0), (0x61, 0, 0, 1),
            (0x80, 0, 0, 0), (0x81, 0, 0, 0), (0x07, 0, 0, 0), (0x87, 0, 0, 0), (0x84, 0, 0, 0), (0x0C, 0, 0, 0),
            (0x64, 0, 0, 3), (0x4D, 0, 0, 0), (0x20, 0, 0, 12), (0x20, 0, 0, 60), (0x06, 0, 0, 0x7FF0_0007),
            (0x16, 0, 0, 0),
        )  # fmt: skip
        texts = [line.split(": ", 1)[1].split(";")[0].strip() for line in disassemble(made).splitlines()]
        assert texts == [
            "ld 0x5", "ldx 0x5", "st M[0]", "stx M[1]", "ld M[0]", "ldx M[1]", "ld len", "ldx len", "tax", "txa",
            "neg", "add X", "lsh 0x3", "jset X, 14, 14", "ld [12]", "ld [60]", "ret TRACE(7)", "ret A",
        ]  # fmt: skip

    def test_calls_are_named_only_where_the_architecture_is_known(self):
        made = program(
            NUMBER, (0x15, 0, 0, 59), ARCH, (0x15, 0, 0, 0xC000_003E), NUMBER, (0x15, 0, 0, 59), ALLOW
        )
        assert "execve" not in disassemble(made)

    @given(programs())
    def test_a_line_for_each_instruction(self, made):
        lines = disassemble(made).splitlines()
        assert [int(line.split(":")[0]) for line in lines] == list(range(len(made)))
