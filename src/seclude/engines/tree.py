"""A running container or process: its first process in, all processes that belong to it out, as often as asked."""

from __future__ import annotations

import os

from ..model.frozen import frozen


@frozen
class Tree:
    """All descendants of process `first`; of a container also who is in its control groups and mount namespace.

    `groups`: (hierarchy, path) of its control groups. `mnt`: the inode number of a mount namespace that it has for
    itself, 0 for none.
    """

    first: int
    groups: tuple[tuple[str, str], ...] = ()
    mnt: int = 0

    def processes(self) -> tuple[int, ...]:
        """Who belongs to it now, by number, the first included; without ourselves."""
        parents = {pid: parent_of(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}
        found = {self.first}
        # A child's number is the lower one where the numbers have begun again.
        pending = [pid for pid in parents if pid != self.first]
        while True:
            found.update(pid for pid in pending if parents[pid] in found or self._is_inside(pid))
            rest = [pid for pid in pending if pid not in found]
            if len(rest) == len(pending):
                break
            pending = rest
        return tuple(sorted(found.intersection(parents) - {os.getpid()}))

    def _is_inside(self, pid: int) -> bool:
        try:
            if self.mnt and os.stat(f"/proc/{pid}/ns/mnt").st_ino == self.mnt:
                return True
        except OSError:
            return False
        return bool(self.groups) and any(
            hierarchy == ours and (path == group or path.startswith(f"{group}/"))
            for hierarchy, path in _groups_of(pid)
            for ours, group in self.groups
        )


def tree_of(first: int, identity: str, mnt: int) -> Tree:
    """The tree of a container with this id (empty: of a process), whose own mount namespace is `mnt` (0: none)."""
    groups = []
    for hierarchy, path in _groups_of(first) if identity else ():
        parts = path.split("/")
        # Up to the container's own: crun and systemd make more below it. An engine's helper (conmon) is beside it.
        inside = [index for index, part in enumerate(parts) if identity in part]
        if inside:
            groups.append((hierarchy, "/".join(parts[: inside[0] + 1])))
    return Tree(first=first, groups=tuple(groups), mnt=mnt)


def parent_of(pid: int) -> int:
    """The number of a process's parent, 0 where it has none, or has ended (proc(5), stat)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command name may hold spaces and brackets; the fields go on after its last bracket.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _groups_of(pid: int) -> list[tuple[str, str]]:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return []
    return [(line[0], line[2]) for line in lines if len(line) == 3]
