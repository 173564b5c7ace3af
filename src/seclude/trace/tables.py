"""The recorder's tables: a target's number in, its entries out, written or removed.

The hook's first start needs no more than this, so what only reading takes is imported by whoever reads.
"""

from __future__ import annotations

from . import layout
from .text import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .libbpf import LibBpf

APP_WORDS = slice(layout.ABI_COUNT * layout.WORDS, 2 * layout.ABI_COUNT * layout.WORDS)


def names_of(library: LibBpf, descriptor: int) -> dict[int, dict[int, str]]:
    """Target's number -> id -> name, of all contexts and executables that the recorder has met."""
    found: dict[int, dict[int, str]] = {}
    key_size, value_size = layout.MAPS["names"]
    for keys, values in library.entries(descriptor, key_size, value_size):
        for index in range(len(keys) // key_size):
            target, _, name = layout.NAME_KEY.unpack_from(keys, index * key_size)
            number, _ = layout.NAME.unpack_from(values, index * value_size)
            found.setdefault(target, {})[number] = text_of(name)
    return found


class Tables:
    """The entries of one target in the recorder's maps; OSError passes through."""

    def __init__(self, library: LibBpf, map_of: Callable[[str], int]) -> None:
        self._library = library
        self._map = map_of

    def target(self, number: int) -> tuple[int, ...] | None:
        value = self._library.lookup(self._map("targets"), layout.ID.pack(number), layout.TARGET.size)
        return layout.TARGET.unpack(value) if value is not None else None

    def stillborn(self) -> tuple[int, ...]:
        """The numbers of targets that have ended without a call of the application."""
        found = []
        size = layout.TARGET.size
        for keys, values in self._library.entries(self._map("targets"), *layout.MAPS["targets"]):
            for index in range(len(keys) // 4):
                target = layout.TARGET.unpack_from(values, index * size)
                if target[-1] and not any(target[APP_WORDS]):
                    found.append(layout.ID.unpack_from(keys, index * 4)[0])
        return tuple(found)

    def of(self, name: str, number: int) -> Iterator[tuple[bytes, bytes]]:
        """The (key, value) pairs of a map whose key begins with the target's number."""
        key_size, value_size = layout.MAPS[name]
        prefix = layout.ID.pack(number)
        for keys, values in self._library.entries(self._map(name), key_size, value_size):
            for index in range(len(keys) // key_size):
                if keys.startswith(prefix, index * key_size):
                    yield (
                        keys[index * key_size : (index + 1) * key_size],
                        values[index * value_size : (index + 1) * value_size],
                    )

    def ask_arguments(self, number: int, arguments: Mapping[str, Sequence[int]]) -> None:
        """Have the distinct values kept of the arguments at these indices, call name -> indices."""
        from .. import syscalls
        from ..model.recording import ABIS

        for name, indices in arguments.items():
            mask = sum(1 << index for index in set(indices))
            for abi, label in enumerate(ABIS):
                call = syscalls.number_of(label, name)
                if call is not None:
                    key = layout.ARGUMENT_CALL.pack(number, layout.slot_of_number(abi, call), abi)
                    self._library.update(self._map("argument_masks"), key, layout.ARGUMENT_MASK.pack(mask, 0))

    def remove(self, number: int) -> None:
        """Take every entry of the target away, the target itself first so that nothing is added meanwhile."""
        target = self.target(number)
        self._library.delete(self._map("targets"), layout.ID.pack(number))
        for keys, values in self._library.entries(self._map("namespaces"), *layout.MAPS["namespaces"]):
            size = layout.NAMESPACE_KEY.size
            for index in range(len(values) // 4):
                if values[index * 4 : index * 4 + 4] == layout.ID.pack(number):
                    self._library.delete(self._map("namespaces"), keys[index * size : (index + 1) * size])
        with_arguments = target is None or target[layout.SET_WORDS + 6] & layout.FLAG_ARGUMENTS
        for name in ("facts", "names", *(("argument_masks", "argument_values") if with_arguments else ())):
            for key, _ in list(self.of(name, number)):
                self._library.delete(self._map(name), key)
