"""A profile as libseccomp's filter, built as the container engines build it: loaded into this process, or as BPF."""

from __future__ import annotations

import ctypes
import errno
import os

from ..errors import EngineError, ProfileError
from ..model.environment import NATIVE_ABIS, Environment
from ..model.profile import NATIVE, OPERATORS, Argument, Profile, Rule
from ..syscalls import ARCHITECTURES, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LIBRARY = "libseccomp.so.2"

# include/seccomp.h.in: actions, attributes (enum scmp_filter_attr) and the number of no call.
_ACTIONS = {
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_NO_NEW_PRIVILEGES, _TSYNC, _LOG, _SPEC_ALLOW, _OPTIMIZE, _RAW_ERRORS, _WAIT_KILLABLE = 3, 4, 6, 7, 8, 9, 10
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": _TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": _LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": _SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": _WAIT_KILLABLE,
}
_UNKNOWN = -1
_PSEUDO = -10000
"""Numbers down from here stand for calls that an architecture does not have (seccomp-syscalls.h, __PNR_...)."""
_MANY_CALLS = 32
"""Calls from which on a binary tree is worth it (runc, InitSeccomp)."""

_MOST_CONDITIONS = 4096
"""Each takes an instruction, of which the kernel takes no more (BPF_MAXINSNS). Before 2.6.1 libseccomp writes beyond
its memory where they are far more (GHSA-2hqh-5c36-grrm, GHSA-46fr-jh49-xvhx)."""


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp; the operators count from 1 in the order of OPERATORS."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL:
    """libseccomp with its functions' types declared; raises EngineError where it is not installed."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EngineError(
            f"{LIBRARY} cannot be loaded",
            hint="install libseccomp: the package is libseccomp2 on Debian and Ubuntu, libseccomp on Fedora",
        ) from error
    context, comparisons = ctypes.c_void_p, ctypes.POINTER(_Comparison)
    word, number = ctypes.c_uint32, ctypes.c_int
    for name, result, parameters in (
        ("init", context, (word,)),
        ("release", None, (context,)),
        ("merge", number, (context, context)),
        ("arch_native", word, ()),
        ("arch_resolve_name", word, (ctypes.c_char_p,)),
        ("arch_add", number, (context, word)),
        ("arch_remove", number, (context, word)),
        ("attr_set", number, (context, number, word)),
        ("syscall_resolve_name", number, (ctypes.c_char_p,)),
        ("syscall_resolve_name_arch", number, (word, ctypes.c_char_p)),
        ("version", ctypes.POINTER(ctypes.c_uint * 3), ()),
        ("rule_add_array", number, (context, word, number, ctypes.c_uint, comparisons)),
        ("load", number, (context,)),
        ("export_bpf", number, (context, number)),
    ):
        function = getattr(library, f"seccomp_{name}")
        function.restype = result
        function.argtypes = parameters
    return library


class Filter:
    """A filter that is ready to be loaded. Use as a context manager, or `close` it, to free what it holds."""

    def __init__(self, library: ctypes.CDLL, context: int) -> None:
        self._library = library
        self._context = context

    def __enter__(self) -> Filter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        if self._context:
            self._library.seccomp_release(self._context)
            self._context = 0

    def load(self, *, no_new_privileges: bool) -> None:
        """Put every thread of this process under the filter, for good; raises EngineError if it is not in force.

        Without `no_new_privileges` the kernel asks for CAP_SYS_ADMIN, and set-user-id programs keep their rights.
        """
        self._set(_NO_NEW_PRIVILEGES, int(no_new_privileges))
        self._set(_TSYNC, 1)
        result = self._library.seccomp_load(self._context)
        if result == 0:
            return
        hint = ""
        if -result in (errno.EACCES, errno.EPERM) and not no_new_privileges:
            hint = "it needs CAP_SYS_ADMIN, or no-new-privileges"
        raise EngineError(
            f"the kernel did not take the seccomp filter: {os.strerror(abs(result))}", hint=hint
        )

    def export_bpf(self, descriptor: int) -> None:
        """Write the filter's BPF program (struct sock_filter, 8 bytes each) to a file; raises EngineError."""
        result = self._library.seccomp_export_bpf(self._context, descriptor)
        if result != 0:
            raise EngineError(f"the filter cannot be written: {os.strerror(abs(result))}")

    def exported(self) -> bytes:
        """The filter's BPF program; raises EngineError."""
        descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            self.export_bpf(descriptor)
            file.seek(0)
            return file.read()

    def _set(self, attribute: int, value: int) -> None:
        result = self._library.seccomp_attr_set(self._context, attribute, value)
        if result != 0:
            raise EngineError(f"libseccomp cannot set attribute {attribute}: {os.strerror(abs(result))}")


def version() -> str:
    """The library's version, such as "2.5.4"; raises EngineError where it is not installed."""
    return ".".join(map(str, _library().seccomp_version().contents))


def unnamed(names: Iterable[str], *, machine: str, abis: Iterable[str]) -> dict[str, frozenset[str]]:
    """ABI -> those of `names` that have a number there, but for which `build` can make no rule.

    libseccomp has no name for them. On the machine's own ABI `build` adds them by number.
    """
    library, wanted = _library(), frozenset(names)
    found: dict[str, frozenset[str]] = {}
    for abi in abis:
        token = library.seccomp_arch_resolve_name(
            ARCHITECTURES[abi].removeprefix("SCMP_ARCH_").lower().encode()
        )
        resolved = {
            name: library.seccomp_syscall_resolve_name_arch(token, name.encode("utf-8", "replace"))
            for name in wanted
            if number_of(abi, name) is not None
        }
        lacking = (name for name, number in resolved.items() if number == _UNKNOWN or number <= _PSEUDO)
        found[abi] = frozenset() if abi == NATIVE_ABIS.get(machine) else frozenset(lacking)
    return found


def build(
    profile: Profile,
    *,
    capabilities: Sequence[str],
    machine: str,
    kernel: str,
    optimize: bool | None = None,
) -> Filter:
    """The filter that `profile` means on this machine for a process with this capability bounding set.

    `optimize`: whether calls are found by a binary search; None: as runc does it, from some 32 calls on.

    As with the engines, rules whose action is the default's, and names that neither libseccomp nor seclude knows
    here, are passed over. Names that only seclude's tables know are added by their number on the native architecture.
    Raises ProfileError for what cannot be enforced on a plain process, EngineError if libseccomp refuses.
    """
    environment = Environment(machine=machine, kernel=kernel, capabilities=tuple(capabilities))
    rules = [rule for rule in profile.rules if environment.applies(rule) and rule.outcome != profile.outcome]
    if "SCMP_ACT_NOTIFY" in (profile.outcome[0], *(rule.outcome[0] for rule in rules)):
        raise ProfileError(
            "SCMP_ACT_NOTIFY needs an agent that answers", hint="only a container engine can start one"
        )
    count = len({(name, each) for rule in rules for each in rule.args for name in rule.names})
    if count > _MOST_CONDITIONS:
        raise ProfileError(
            f"{count} conditions, where a filter has at most {_MOST_CONDITIONS} instructions",
            hint="allow the calls that have most of them without conditions, or for ranges of values",
        )
    builder = _Builder(_library(), profile, environment)
    try:
        for rule in rules:
            builder.add(rule)
        if optimize is None:
            optimize = sum(len(rule.names) for rule in rules) > _MANY_CALLS
        return builder.finish(optimize=optimize)
    except BaseException:
        builder.abandon()
        raise


class _Builder:
    """Two filters that become one: of the native architecture, and of the others.

    libseccomp translates a number to the other architectures by its name, so that a number it has no name for is
    refused as soon as they share a filter (src/arch.c, arch_syscall_translate).
    """

    def __init__(self, library: ctypes.CDLL, profile: Profile, environment: Environment) -> None:
        self._library = library
        self._profile = profile
        self._abi = NATIVE_ABIS.get(environment.machine, "")
        self._native = self._foreign = 0
        native = library.seccomp_arch_native()
        if self._token(environment.architecture) != native:
            raise EngineError(
                f"this libseccomp is not one for {environment.machine}",
                hint="build the filter where it is used",
            )
        others = [self._token(name) for name in environment.architectures(profile) if name != NATIVE]
        self._native = self._init()
        others = [token for token in dict.fromkeys(others) if token != native]
        try:
            if others:
                self._foreign = self._init()
                for token in others:
                    self._expect(library.seccomp_arch_add(self._foreign, token), "adding an architecture")
                self._expect(library.seccomp_arch_remove(self._foreign, native), "removing an architecture")
        except BaseException:
            self.abandon()
            raise

    def _init(self) -> int:
        context = self._library.seccomp_init(_code(self._profile.outcome))
        if not context:
            raise EngineError("libseccomp cannot make a filter")
        return int(context)

    def _token(self, architecture: str) -> int:
        name = architecture.removeprefix("SCMP_ARCH_").lower()
        token = int(self._library.seccomp_arch_resolve_name(name.encode()))
        if not token:
            raise EngineError(f"this libseccomp does not know {architecture or 'the architecture'}")
        return token

    def _expect(self, result: int, what: str) -> None:
        if result != 0:
            raise EngineError(f"libseccomp failed at {what}: {os.strerror(abs(result))}")

    def add(self, rule: Rule) -> None:
        """Add a rule for all of its names; two conditions on one argument become two rules, as the engines do it."""
        groups = [(argument,) for argument in rule.args] if rule.alternatives else [rule.args]
        for name in rule.names:
            number = self._library.seccomp_syscall_resolve_name(name.encode("utf-8", "replace"))
            known = number_of(self._abi, name) if self._abi else None
            if number == _UNKNOWN or number <= _PSEUDO:
                targets = {self._native: known, self._foreign: None if number == _UNKNOWN else number}
            else:
                targets = {self._native: number, self._foreign: number}
            for context, target in targets.items():
                if context and target is not None:
                    for group in groups:
                        self._add(context, _code(rule.outcome), target, group, name)

    def _add(self, context: int, action: int, number: int, group: tuple[Argument, ...], name: str) -> None:
        comparisons = (_Comparison * len(group))(*(_comparison(argument) for argument in group))
        result = self._library.seccomp_rule_add_array(context, action, number, len(group), comparisons)
        self._expect(result, f"the rule for {name}")

    def finish(self, *, optimize: bool) -> Filter:
        """The one filter, with the profile's flags; the builder is of no use any more."""
        if self._foreign:
            self._expect(self._library.seccomp_merge(self._native, self._foreign), "merging architectures")
            self._foreign = 0
        result = Filter(self._library, self._native)
        flags = self._profile.flags
        for flag in flags or ():
            result._set(_FLAGS[flag], 1)
        for attribute, value in (
            (_SPEC_ALLOW, int(flags is None)),
            (_RAW_ERRORS, 1),
            (_OPTIMIZE, 1 + optimize),
        ):
            # What an older library lacks of these costs speed or a precise error, no safety.
            if value or attribute != _SPEC_ALLOW:
                self._library.seccomp_attr_set(self._native, attribute, value)
        self._native = 0
        return result

    def abandon(self) -> None:
        """Free what has been made so far."""
        for context in filter(None, (self._native, self._foreign)):
            self._library.seccomp_release(context)
        self._native = self._foreign = 0


def _code(outcome: tuple[str, int]) -> int:
    action, value = outcome
    return _ACTIONS[action] | value


def _comparison(argument: Argument) -> _Comparison:
    operator = OPERATORS.index(argument.op) + 1
    return _Comparison(argument.index, operator, argument.value, argument.value_two)
