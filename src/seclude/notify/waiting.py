"""The code of who waits for an answer: a thread in, the Python and native frames that led to its call out.

The thread is in the kernel as long as it waits, so nothing has to be stopped. What is read takes the right to trace it
(ptrace(2), PTRACE_MODE_ATTACH): without that the frames stay out.
"""

from __future__ import annotations

from ..model.denial import Place
from ..registrations import start_of
from ..stacks.native import NativeStacks
from ..stacks.process import Process
from ..stacks.python import is_python, python_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.denial import Frame

    Fields = tuple[tuple[str, str, int, int], ...]

_WORD = 8
_NARROW = 1 << 32
"""Code below may be of 32 bits, with words of four bytes on its stack."""


class WaitingStacks:
    """Reads stacks; remembers the symbols that it read last."""

    def __init__(self) -> None:
        self._native = NativeStacks()

    def __call__(self, process: int, thread: int, pointer: int) -> tuple[Fields, Fields]:
        """(Python, native) frames, innermost first, each (module, function, line, offset); those that can be read.

        `pointer` is where the call was made.
        """
        python = python_frames(process, thread).frames if is_python(process) else ()
        return _fields(python), _fields(self._of_native_code(process, thread, pointer))

    def _of_native_code(self, process: int, thread: int, pointer: int) -> tuple[Frame, ...]:
        """Where the call was made, and what lies on top of the stack, if it may be where that returns to."""
        addresses = [pointer, *_on_top(process, thread, pointer)]
        try:
            with Process(process) as held:
                mappings = list(held.mappings())
        except OSError:
            return ()
        places = []
        for number, address in enumerate(addresses):
            for mapping in mappings:
                if mapping.start <= address < mapping.end:
                    offset = address - mapping.start + mapping.offset
                    places.append(
                        Place(
                            address=address,
                            offset=offset,
                            inode=mapping.inode,
                            module=mapping.name,
                            guess=number > 0,
                        )
                    )
        return self._native.frames(process, start_of(process), places)


def _on_top(process: int, thread: int, pointer: int) -> list[int]:
    """The word on top of a thread's stack, where it can be read."""
    if pointer < _NARROW:
        return []
    try:
        with open(f"/proc/{process}/task/{thread}/syscall", "rb") as file:
            stack = int(file.read(512).split()[-2], 16)
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
            memory.seek(stack)
            return [int.from_bytes(memory.read(_WORD), "little")]
    except (OSError, ValueError, IndexError, OverflowError):
        return []


def _fields(frames: tuple[Frame, ...]) -> Fields:
    return tuple((frame.module, frame.function, frame.line, frame.offset) for frame in frames)
