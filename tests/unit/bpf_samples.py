"""Programs of classic BPF for tests: hypothesis strategies, and an interpreter as plain as the kernel's description."""

from hypothesis import strategies as st

from seclude.formats.bpf import Program

WORD = 0xFFFF_FFFF
WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 31, 32, 0x7FFF_FFFF, 0x8000_0000, WORD]),
    st.integers(0, WORD),
    st.integers(0, 9),
)
MEMORY = 4
"""Words of memory that programs use; each is written at the start, as the kernel wants it before it is read."""

RETURNS = st.sampled_from(
    [
        0x7FFF_0000,
        0x0005_0001,
        0x0005_FFFF,
        0,
        0x8000_0000,
        0x7FF0_0003,
        0x7FFC_0000,
        0x0003_0000,
        0x1234_0000,
    ]
)
START = tuple((0x02, 0, 0, word) for word in range(MEMORY))


@st.composite
def instruction(draw, following):
    """One instruction, before `following` others, that is no return."""
    kind = draw(st.integers(0, 9))
    if kind <= 1:
        return (0x20, 0, 0, 4 * draw(st.integers(0, 15)))
    if kind <= 4 and following:
        code = draw(st.sampled_from([0x15, 0x15, 0x15, 0x25, 0x35, 0x45])) | draw(st.sampled_from([0, 0, 8]))
        skips = st.integers(0, min(following - 1, 255))
        return (code, draw(skips), draw(skips), draw(WORDS))
    if kind == 5 and following:
        return (0x05, 0, 0, draw(st.integers(0, following - 1)))
    if kind <= 7:
        code = draw(st.sampled_from([0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0xA4]))
        if draw(st.booleans()):
            return (code | 8, 0, 0, 0)
        k = draw(st.integers(0, 31)) if code in (0x64, 0x74) else draw(WORDS)
        return (code, 0, 0, k or 1 if code == 0x34 else k)
    code = draw(st.sampled_from([0x00, 0x01, 0x60, 0x61, 0x80, 0x81, 0x02, 0x03, 0x07, 0x87, 0x84]))
    k = draw(st.integers(0, MEMORY - 1)) if code in (0x60, 0x61, 0x02, 0x03) else draw(WORDS)
    return (code, 0, 0, k)


@st.composite
def bodies(draw, ending, largest=40):
    """Instructions before an `ending`, whose first they may jump to."""
    count = draw(st.integers(0, largest))
    made = [draw(instruction(count - at - 1 + len(ending[:1]))) for at in range(count)]
    return (*START, *made, *ending)


@st.composite
def programs(draw):
    """A program that the kernel takes."""
    ending = draw(st.sampled_from([((0x16, 0, 0, 0),), ((0x06, 0, 0, draw(RETURNS)),)]))
    made = list(draw(bodies(ending)))
    for at in draw(st.lists(st.integers(MEMORY, len(made) - 1), max_size=3)):
        made[at] = (0x06, 0, 0, draw(RETURNS))
    return Program(instructions=tuple(made))


DATA = st.lists(WORDS, min_size=16, max_size=16).map(tuple)

OPERATIONS = {
    0x00: lambda a, b: a + b,
    0x10: lambda a, b: a - b,
    0x20: lambda a, b: a * b,
    0x30: lambda a, b: a // b,
    0x40: lambda a, b: a | b,
    0x50: lambda a, b: a & b,
    0x60: lambda a, b: a << (b & 31),
    0x70: lambda a, b: a >> (b & 31),
    0x80: lambda a, b: -a,
    0xA0: lambda a, b: a ^ b,
}
CONDITIONS = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: bool(a & b),
}


def loaded(mode, k, data, memory):
    return data[k // 4] if mode == 0x20 else memory[k] if mode == 0x60 else 64 if mode == 0x80 else k


def interpreted(program, data):
    """What a program returns, one instruction after the other (net/core/filter.c, before it became eBPF)."""
    a = x = at = 0
    memory = [0] * 16
    while True:
        code, jt, jf, k = program.instructions[at]
        at += 1
        operand = x if code & 8 else k
        match code & 7:
            case 0:
                a = loaded(code & 0xE0, k, data, memory)
            case 1:
                x = loaded(code & 0xE0, k, data, memory)
            case 2:
                memory[k] = a
            case 3:
                memory[k] = x
            case 4:
                if code & 0xF0 == 0x30 and not operand:
                    return 0
                a = OPERATIONS[code & 0xF0](a, operand) & WORD
            case 5:
                at += k if code == 5 else jt if CONDITIONS[code & 0xF0](a, operand) else jf
            case 6:
                return a if code & 0x10 else k
            case 7:
                a, x = (x, x) if code & 0x80 else (a, a)
