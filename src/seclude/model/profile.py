"""A seccomp profile as OCI runtimes, Docker and Podman read it: fields in, a frozen and validated value out.

Fields of the OCI runtime-spec (config-linux.md, "Seccomp"), of moby/profiles (archMap, includes, excludes,
minKernel, comment, name) and of containers-common (defaultErrno, errno).
"""

from __future__ import annotations

import errno

from ..errors import ProfileError
from .frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ALLOW = "SCMP_ACT_ALLOW"
ERRNO = "SCMP_ACT_ERRNO"

ACTIONS = (
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    ERRNO,
    "SCMP_ACT_TRACE",
    ALLOW,
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
)

PERMITTING = (ALLOW, "SCMP_ACT_LOG")
"""The actions under which the call is made; LOG makes it and writes it down."""

EQUAL = "SCMP_CMP_EQ"
MASKED_EQUAL = "SCMP_CMP_MASKED_EQ"
OPERATORS = ("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", EQUAL, "SCMP_CMP_GE", "SCMP_CMP_GT", MASKED_EQUAL)

NATIVE = "SCMP_ARCH_NATIVE"
_PROCESSORS = (
    "X86 X86_64 X32 ARM AARCH64 LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 "
    "PARISC PARISC64 PPC PPC64 PPC64LE RISCV64 S390 S390X SH SHEB"
)
ARCHITECTURES = (NATIVE, *(f"SCMP_ARCH_{name}" for name in _PROCESSORS.split()))

FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)

LARGEST_VALUE = 0xFFFF_FFFF_FFFF_FFFF
LARGEST_DATA = 0xFFFF
"""An action carries an errno or a tracer's number in 16 bits (seccomp.h, SCMP_ACT_TRACE); engines cut the rest."""

LARGEST_ERRNO = 4094
"""Of SCMP_ACT_ERRNO libseccomp takes only what is below MAX_ERRNO (src/system.c, sys_chk_seccomp_action)."""

LAST_ARGUMENT = 5
NARROW = 0xFFFF_FFFF


class FieldError(ProfileError):
    """A value that a field cannot have; `field` is the name in the model."""

    def __init__(self, field: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint that names the known word which was probably meant, or else all of them."""
    from difflib import get_close_matches

    close = get_close_matches(word[:80], known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"one of {', '.join(known)}"


def _known(field: str, value: str, known: Sequence[str], what: str) -> None:
    if value not in known:
        raise FieldError(field, f"unknown {what} {value[:80]!r}", hint=nearest(value, known))


def _within(field: str, value: int, largest: int, what: str) -> None:
    if not 0 <= value <= largest:
        raise FieldError(field, f"{what} {_short(value)} is out of range", hint=f"0 to {largest}")


def _short(value: int) -> str:
    return str(value) if abs(value) <= LARGEST_VALUE else hex(value)[:24] + "..."


def errno_value(name: str) -> int | None:
    """The number of an errno that is given by name or, as containers-common also reads it, in digits."""
    if name.isascii() and name.isdigit():
        return int(name) if len(name) <= len(str(LARGEST_DATA)) else None
    # EHWPOISON came into Python's table with 3.14; asm-generic's number holds for all ABIs that are recorded.
    value = getattr(errno, name, 133 if name == "EHWPOISON" else None) if name.isupper() else None
    return value if isinstance(value, int) else None


def _check_errno(prefix: str, action: str, name: str, number: int | None) -> None:
    """Refuse an errno that engines or libseccomp would refuse or cut; `prefix` of the fields' names: "default_"."""
    largest = LARGEST_ERRNO if action == ERRNO else LARGEST_DATA
    if number is not None:
        _within(f"{prefix}errno_ret", number, LARGEST_DATA if name else largest, "errno")
    if name:
        value = errno_value(name)
        if value is None:
            raise FieldError(
                f"{prefix}errno", f"unknown errno {name[:80]!r}", hint="a name such as EPERM or ENOSYS"
            )
        _within(f"{prefix}errno", value, largest, "errno")


def kernel_version(text: str) -> tuple[int, int] | None:
    """(version, major revision) at the start of a kernel's release, such as "6.18.44-generic", or None."""
    parts: list[int] = []
    for part in text.split(".")[:2]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not 0 < len(digits) <= 9:
            return None
        parts.append(int(digits))
    return (parts[0], parts[1]) if len(parts) == 2 else None


@frozen
class Argument:
    """A condition on one argument of a call. For MASKED_EQ `value` is the mask, `value_two` what must remain.

    Arguments compare as unsigned 64-bit numbers. For 32-bit ABIs libseccomp drops the upper half of a condition
    (src/db.c, _db_rule_gen_32) and the kernel zero-extends arguments: `width` is the bits that count.
    """

    index: int
    value: int
    op: str
    value_two: int = 0

    def __post_init__(self) -> None:
        _within("index", self.index, LAST_ARGUMENT, "argument index")
        _within("value", self.value, LARGEST_VALUE, "value")
        _within("value_two", self.value_two, LARGEST_VALUE, "value")
        _known("op", self.op, OPERATORS, "operator")

    def matches(self, actual: int, *, width: int = LARGEST_VALUE) -> bool:
        """Whether an argument of this value fulfils the condition."""
        actual, value = actual & width, self.value & width
        if self.op == MASKED_EQUAL:
            # Bits outside the mask are dropped on both sides (src/db.c, _db_node_mask_fixup).
            return actual & value == self.value_two & value
        return {
            "SCMP_CMP_NE": actual != value,
            "SCMP_CMP_LT": actual < value,
            "SCMP_CMP_LE": actual <= value,
            EQUAL: actual == value,
            "SCMP_CMP_GE": actual >= value,
            "SCMP_CMP_GT": actual > value,
        }[self.op]

    def vacuous(self, *, width: int = LARGEST_VALUE) -> bool:
        """Whether libseccomp leaves the condition out: a mask without bits (src/db.c, _db_arg_cmp_need_lo)."""
        return self.op == MASKED_EQUAL and not self.value & width


@frozen
class Filter:
    """Where a rule holds (includes) or does not (excludes): Go's architectures, capabilities, a kernel."""

    arches: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()
    min_kernel: str = ""

    def __post_init__(self) -> None:
        # moby/profiles, KernelVersion.UnmarshalJSON: two numbers of eight bits, not both zero.
        if self.min_kernel:
            parts = self.min_kernel.split(".")
            numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= 3]
            if len(parts) != 2 or len(numbers) != 2 or max(numbers) > 255 or not any(numbers):
                raise FieldError(
                    "min_kernel",
                    f"{self.min_kernel[:80]!r} is no kernel version",
                    hint='a version and a major revision, such as "4.8"',
                )


EVERYWHERE = Filter()
"""The filter that says nothing."""


@frozen
class Rule:
    """What happens to some calls. `errno` (a name) outranks `errno_ret`; `legacy_name`: written as `name`."""

    names: tuple[str, ...]
    action: str
    args: tuple[Argument, ...] = ()
    comment: str = ""
    includes: Filter = EVERYWHERE
    excludes: Filter = EVERYWHERE
    errno_ret: int | None = None
    errno: str = ""
    legacy_name: bool = False

    def __post_init__(self) -> None:
        if "" in self.names:
            raise FieldError("names", "a system call without a name")
        if self.legacy_name and len(self.names) != 1:
            raise FieldError("names", f"`name` holds one name, not {len(self.names)}", hint="use `names`")
        _known("action", self.action, ACTIONS, "action")
        _check_errno("", self.action, self.errno, self.errno_ret)

    @property
    def permits(self) -> bool:
        """Whether a call that this rule decides is made."""
        return self.action in PERMITTING

    @property
    def outcome(self) -> tuple[str, int]:
        """(action, errno or 0), equal for what the kernel does not tell apart."""
        return _outcome(self.action, self.errno, self.errno_ret)

    def matches(self, values: dict[int, int], *, width: int = LARGEST_VALUE) -> bool:
        """Whether a call with these arguments (index -> value, all indices of `args`) fulfils the conditions.

        All must hold; but where two are on one argument engines add each as a rule of its own, so that one is
        enough (runc libcontainer/seccomp matchCall, crun libcrun_generate_seccomp: "multiple_args").
        """
        met = [argument.matches(values[argument.index], width=width) for argument in self.args]
        return any(met) if self.alternatives else all(met)

    def unconditional(self, *, width: int = LARGEST_VALUE) -> bool:
        """Whether every call with one of the names is decided, for want of a condition that is not vacuous."""
        vacuous = [argument.vacuous(width=width) for argument in self.args]
        return any(vacuous) if self.alternatives else all(vacuous)

    @property
    def alternatives(self) -> bool:
        """Whether two conditions are on one argument."""
        return len({argument.index for argument in self.args}) < len(self.args)


def _outcome(action: str, name: str, number: int | None) -> tuple[str, int]:
    if action == "SCMP_ACT_KILL":
        action = "SCMP_ACT_KILL_THREAD"
    if action not in (ERRNO, "SCMP_ACT_TRACE"):
        return action, 0
    named = errno_value(name) if name else number
    return action, errno.EPERM if named is None else named


@frozen
class SubArchitectures:
    """One entry of archMap: on the native `architecture`, the filter also holds for the others."""

    architecture: str
    sub_architectures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _known("architecture", self.architecture, ARCHITECTURES, "architecture")
        for name in self.sub_architectures:
            _known("sub_architectures", name, ARCHITECTURES, "architecture")


@frozen
class Profile:
    """A whole profile. `flags` None lets the engine choose (runc and crun: SPEC_ALLOW), () sets none."""

    default_action: str
    default_errno_ret: int | None = None
    default_errno: str = ""
    architectures: tuple[str, ...] = ()
    arch_map: tuple[SubArchitectures, ...] = ()
    rules: tuple[Rule, ...] = ()
    flags: tuple[str, ...] | None = None
    listener_path: str = ""
    listener_metadata: str = ""

    def __post_init__(self) -> None:
        _known("default_action", self.default_action, ACTIONS, "action")
        _check_errno("default_", self.default_action, self.default_errno, self.default_errno_ret)
        for name in self.architectures:
            _known("architectures", name, ARCHITECTURES, "architecture")
        if self.architectures and self.arch_map:
            both = "both architectures and archMap are given"
            raise FieldError("arch_map", both, hint="engines take only one")
        for name in self.flags or ():
            _known("flags", name, FLAGS, "flag")
        if self.listener_metadata and not self.listener_path:
            raise FieldError("listener_metadata", "listenerMetadata is given without listenerPath")

    @property
    def permits(self) -> bool:
        """Whether a call without a rule is made."""
        return self.default_action in PERMITTING

    @property
    def outcome(self) -> tuple[str, int]:
        """(action, errno or 0) for a call without a rule; see Rule.outcome."""
        return _outcome(self.default_action, self.default_errno, self.default_errno_ret)
