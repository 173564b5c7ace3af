"""The functions of a Go program by the table that its runtime has, stripped or not: an image in, names out."""

from __future__ import annotations

import struct

from .image import Image

MAGICS = (0xFFFFFFF0, 0xFFFFFFF1)
"""Go 1.18 and 1.20 (debug/gosym, pclntab.go); older tables are not read."""

MARKS = frozenset({".go.buildinfo", ".note.go.buildid"})
"""Sections of every Go program."""

MOST_TRIES = 16
MOST_FUNCTIONS = 500_000
LONGEST_NAME = 300


def go_functions(image: Image) -> dict[int, str]:
    """Address -> name; empty for what is no Go program or has a table of another version."""
    names = {section[0] for section in image.sections}
    for name, _, _, address, offset, size, _, _ in image.sections:
        if name.endswith(".gopclntab"):  # .data.rel.ro.gopclntab in a position-independent program
            return _read(image, address, offset, size)
    # The system's linker puts it among other data; its first bytes are known for this kind of machine.
    for segment in image.segments if names & MARKS else ():
        for magic in MAGICS:
            at, end = segment.offset - 1, segment.offset + segment.size
            start = struct.pack("<IHBB", magic, 0, 1, 8)
            for _ in range(MOST_TRIES):
                at = image.data.find(start, at + 1, end)
                if at < 0:
                    break
                if found := _read(image, segment.address + at - segment.offset, at, end - at):
                    return found
    return {}


def _read(image: Image, address: int, offset: int, size: int) -> dict[int, str]:
    try:
        found = _functions(image, address, offset, size)
    except struct.error:
        return {}
    segments = [segment for segment in image.segments if segment.executable]
    first, last = min(found, default=0), max(found, default=0)
    code = any(each.address <= first and last <= each.address + each.size for each in segments)
    return found if code else {}


def _functions(image: Image, address: int, offset: int, size: int) -> dict[int, str]:
    data = image.data[offset : offset + size]
    magic, count, _, text, names, _, _, _, table = struct.unpack_from("<I4xQQQQQQQQ", data, 0)
    if magic not in MAGICS or count > MOST_FUNCTIONS:
        return {}
    for place, _, _, addend in image.relocations() if not text else ():
        if place == address + 24:
            text = addend
    found: dict[int, str] = {}
    for index in range(count):
        entry, at = struct.unpack_from("<II", data, table + index * 8)
        position = names + struct.unpack_from("<i", data, table + at + 4)[0]
        end = data.find(b"\0", position, position + LONGEST_NAME)
        found[text + entry] = data[position : max(position, end)].decode("utf-8", "backslashreplace")
    return found
