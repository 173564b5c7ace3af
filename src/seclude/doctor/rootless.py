"""What ordinary users can do here: user namespaces, their ranges of ids, and recording without eBPF."""

from __future__ import annotations

import os
import stat

from . import look
from .check import Check, degraded, ok

_KNOBS = {
    "/proc/sys/kernel/unprivileged_userns_clone": "0",  # Debian's patch
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",  # Ubuntu 24.04: by AppArmor profile only
    "/proc/sys/user/max_user_namespaces": "0",
}
"""Switch of the kernel -> the value with which users get no user namespace."""


def check(root: str = "", search: tuple[str, ...] = (), user: tuple[str, ...] = ()) -> Check:
    """Whether rootless containers can run, and be recorded by user notification, for eBPF is refused there.

    `user` has the names of whoever asks, none for root, who asks for everybody.
    """
    name = "rootless"
    # Even 0 gives users only what sees their own sockets, no tracing (bpf(2), EPERM).
    value = look.contents(root, "/proc/sys/kernel/unprivileged_bpf_disabled").strip()
    setting = f"unprivileged_bpf_disabled {value or 'unknown'}"
    ebpf = f"eBPF is root's ({setting}): rootless containers are recorded by notify"
    lacking = []
    actions = look.contents(root, "/proc/sys/kernel/seccomp/actions_avail").split()
    if actions and "user_notif" not in actions:
        lacking.append(("the kernel has no user notification, which notify needs", "boot Linux 5.5 or newer"))
    for knob, closed in _KNOBS.items():
        if look.contents(root, knob).strip() == closed:
            lacking.append(
                (
                    f"{os.path.basename(knob)} is {closed}",
                    f"`sysctl -w {_sysctl(knob)}`, if users may have namespaces",
                )
            )
    for program in ("newuidmap", "newgidmap"):
        files = look.programs(program, search)
        if not files:
            lacking.append((f"no {program}", "`apt-get install uidmap`, `dnf install shadow-utils`"))
        elif not _privileged(files[0]):
            lacking.append(
                (f"{files[0]} has no privilege", f"`chmod u+s {files[0]}`, or install its package again")
            )
    for file in ("/etc/subuid", "/etc/subgid"):
        users = _users(look.contents(root, file))
        if not (set(user) & set(users) if user else users):
            whose = f" for {user[0]}" if user else ""
            step = "--add-subuids 100000-165535 --add-subgids 100000-165535"
            lacking.append((f"no ranges{whose} in {file}", f"`usermod {step} {user[0] if user else 'USER'}`"))
    if not lacking:
        shown = ", ".join(user[:1] or _users(look.contents(root, "/etc/subuid"))[:4])
        return ok(name, f"possible for users with ranges of ids ({shown}); {ebpf}")
    found = "; ".join(what for what, _ in lacking)
    return degraded(name, f"{found}; {ebpf}", ", ".join(dict.fromkeys(step for _, step in lacking)))


def _privileged(path: str) -> bool:
    """Set-user-id, or with capabilities of its own."""
    try:
        return bool(os.stat(path).st_mode & stat.S_ISUID) or "security.capability" in os.listxattr(path)
    except OSError:
        return False


def _users(text: str) -> list[str]:
    """The users (names or numbers) that have a range: "user:100000:65536" a line (subuid(5))."""
    lines = [line.split(":") for line in text.splitlines() if not line.startswith("#")]
    return list(dict.fromkeys(parts[0][:32] for parts in lines if len(parts) == 3 and parts[0]))


def _sysctl(knob: str) -> str:
    name = knob.removeprefix("/proc/sys/").replace("/", ".")
    return f"{name}={'0' if _KNOBS[knob] == '1' else '28633' if 'max' in name else '1'}"
