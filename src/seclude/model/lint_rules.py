"""The rules of `seclude lint`: a stable id in; a title, what it means, why it matters and what to do out."""

from __future__ import annotations

LINT_RULES = {
    "lint/engine-refuses": (
        "A profile that engines refuse",
        "The engine or libseccomp ends with an error when it reads the profile: two rules with the same conditions and "
        "different actions, `SCMP_ACT_NOTIFY` where it cannot be, or an architecture of another byte order.",
        "No container starts under the profile.",
        "Change what the finding names. For two rules with the same conditions keep the one that was meant.",
    ),
    "lint/default-allow": (
        "What is not named is allowed",
        "The default action makes the call, so that the profile refuses only what it names.",
        "Linux gets new calls with every version, and many do what an older one does. Nobody has judged them for this "
        "profile.",
        "Let the default be `SCMP_ACT_ERRNO` and list what the program needs; `seclude record` finds that out.",
    ),
    "lint/upper-half": (
        "Conditions that the upper half of an argument gets past",
        "The kernel reads 32 bits of the argument, and the filter compares 64. There are arguments that are refused, "
        "and made with other bits above, which the kernel throws away.",
        "Whoever wants to make the call sets bit 32 and makes it: CVE-2019-10063 in flatpak, CVE-2019-7303 in snapd.",
        "Compare under a mask: `SCMP_CMP_MASKED_EQ` with `value` 4294967295 and the number as `valueTwo`. A condition "
        "that a value is not something, or beyond something, cannot be said so: list the values that are allowed. "
        "`seclude check` shows what happens to one call.",
    ),
    "lint/way-around": (
        "A call does what another is kept from",
        "A call is restricted by its arguments, or refused by a rule of its own, while another call that does the same "
        "is allowed without conditions: `openat2` beside `openat`, `socketcall` beside `socket` in 32-bit programs.",
        "The restriction holds for programs that mean well. The arguments of `socketcall`, `openat2` and `clone3` lie "
        "behind a pointer, where a filter cannot look.",
        "Refuse the other call too, best with ENOSYS, so that libraries make the restricted one. For `socketcall` "
        "leave 32-bit x86 out of the architectures if no program needs it.",
    ),
    "lint/io-uring": (
        "io_uring is allowed",
        "With `io_uring_setup` a process opens, connects, sends and renames without making the calls.",
        "seccomp is asked about system calls only, so what the profile refuses is done by a ring. io_uring also had "
        "many holes; Docker and containerd took it out of their default profiles (moby pull 46762).",
        "Take the three calls out. Libraries fall back to epoll, most of them also after EPERM.",
    ),
    "lint/user-namespace": (
        "A user namespace in spite of a refused unshare",
        "`unshare(CLONE_NEWUSER)` is refused, but `clone` with that flag or `clone3` with any flags is allowed.",
        "In a user namespace of its own a process has every capability, and so reaches code of the kernel that is "
        "otherwise for root alone. The finding is a note where nothing in the profile tries to prevent it.",
        "Allow `clone` under the condition that argument 0 under the mask 0x7e020000 is 0, and answer `clone3` with "
        "ENOSYS, as Docker does: libraries then make `clone`.",
    ),
    "lint/terminal": (
        "ioctl can type into the terminal",
        "`ioctl` is allowed with TIOCSTI or TIOCLINUX.",
        "Where a container has the terminal of whoever started it, it can type commands there that run outside "
        "(CVE-2017-5226, CVE-2023-28100). Default profiles allow it, because engines give a terminal of its own.",
        "Nothing, if containers run without a terminal or with one of their own (`-t`). Since Linux 6.2 the sysctl "
        "dev.tty.legacy_tiocsti switches TIOCSTI off.",
    ),
    "lint/dangerous-call": (
        "A critical call is allowed in every container",
        "A call of the tier critical (see diff.md) is allowed without conditions, whether the container has the "
        "capability that the call mostly needs or not.",
        "The finding says what the call offers. In most containers the kernel refuses it for want of a capability; a "
        "container that gets a user namespace or one more capability has it at once.",
        "Take it out if the program does not make it, or bind it to the capability with `includes.caps`, as Docker's "
        "default profile does.",
    ),
    "lint/needs-enosys": (
        "An errno that keeps programs from falling back",
        "A newer call is refused with something other than ENOSYS, and the older call that libraries make in its "
        "place is allowed.",
        "Libraries try the older call after ENOSYS only, and take EPERM for the answer: threads cannot be started, "
        "files seem not to be accessible. runc helps for calls that are newer than all that the profile names.",
        "Allow the call, give it a rule with `errnoRet` 38, or let the default be ENOSYS, as podman does.",
    ),
    "lint/missing-call": (
        "A call without which no process starts or ends",
        "`execve`, `exit_group`, `exit`, `rt_sigreturn` or `restart_syscall` is refused.",
        "The runtime starts the program with `execve` under the filter. Without `exit` and `exit_group` processes hang "
        "or crash at their end, without `rt_sigreturn` at the first signal. `restart_syscall` is made by the kernel "
        "after a stopped process goes on.",
        "Allow it.",
    ),
    "lint/runtime-call": (
        "A call that the OCI runtime makes is refused",
        "Measured: this version of the runtime makes the call after loading the filter, at least with some options "
        "(a terminal, another user). With no-new-privileges it makes fewer, as it loads the filter later.",
        "The container does not start, or not with these options. A note where no `--runtime` was given.",
        "Allow the calls; `seclude generate --baseline runc,crun` adds them.",
    ),
    "lint/runtime-update": (
        "A call that newer runtimes make is refused",
        "runc makes `openat2` and `statx` after loading the filter since the security releases 1.2.8, 1.3.3 and 1.4.0.",
        'After the update no container starts: "error during container init" (runc issues 4984 and 5059).',
        "Allow both, or record again with the runtime in use.",
    ),
    "lint/no-effect": (
        "A rule or a name that changes nothing",
        "Without it every call is decided as with it, for all arguments and wherever the profile may be used: the "
        "action is the default's, another rule decides first or says the same, no arguments fulfil the conditions, or "
        "no container is among what it includes and does not exclude.",
        "Often it was meant to do something, such as to refuse a call that a rule without conditions allows elsewhere.",
        "Remove it, or change the rule that comes before it.",
    ),
    "lint/merged-conditions": (
        "Conditions that libseccomp may compile to something else",
        "Several rules on one call, some with several conditions, are in a shape of which it is not known that "
        "libseccomp compiles it to what it says.",
        "libseccomp merges conditions into a tree and loses some (seccomp/libseccomp issue 118). A call may be made "
        "that should be refused, or the reverse.",
        "Try the calls that matter. Rules with one condition each are safe.",
    ),
    "lint/unknown-call": (
        "A name that no call has",
        "No processor's table of calls has the name.",
        "Engines pass over it without a word: what was to be allowed is refused, what was to be refused is not.",
        "Correct the name. A call that is newer than this version of seclude is reported too.",
    ),
    "lint/unknown-capability": (
        "A capability that does not exist",
        "`includes` or `excludes` names a capability that Linux does not have.",
        "A rule that includes it is never in force, one that excludes it always.",
        "Correct the name: in capitals, with CAP_ before it.",
    ),
    "lint/unknown-arch": (
        "An architecture that does not exist",
        "`includes` or `excludes` names an architecture that Go does not have.",
        "The rule is never in force, or always. Here Go's names are read (amd64, arm64), not SCMP_ARCH_X86_64.",
        "Write Go's name.",
    ),
    "lint/arch-map": (
        "An entry of archMap that is never used",
        "Engines take the first entry that has the machine's architecture. This one comes later, or has a name that "
        "no machine has.",
        "The architectures in it are not in the filter, and their programs are killed.",
        "Put the entries together, and name the architecture itself.",
    ),
    "lint/siblings": (
        "Architectures that the machine runs too are left out",
        "x86_64 also runs 32-bit x86 and x32 programs, aarch64 those of arm, and the profile does not list them.",
        "libseccomp kills a thread that makes a call of an architecture that is not in the filter, whatever the "
        "default action is. That is safe; 32-bit programs do not run.",
        "Nothing, unless such programs are to run.",
    ),
    "lint/other-architecture": (
        "Calls that none of the architectures has",
        "The profile lists its architectures, and names calls that exist on others only.",
        "Engines pass over them.",
        "Nothing: they make the profile fit for architectures that are added later.",
    ),
    "lint/duplicate": (
        "A name that is given twice",
        "One rule has the same name twice.",
        "It does no harm, but one of them may have been meant to be another.",
        "Take one out.",
    ),
    "lint/legacy-name": (
        "A rule with `name`",
        "The rule has `name` in place of `names`.",
        "Docker and podman read it, the OCI runtime specification does not know it: a runtime that gets the profile "
        "itself passes over the rule or refuses it.",
        "Write `names` with a list.",
    ),
    "lint/min-kernel": (
        "A minKernel that always holds",
        "The rule asks for a kernel that every kernel with seccomp filters is at least.",
        "It says nothing.",
        "Leave it out.",
    ),
    "lint/slow-path": (
        "A call that is made all the time is looked at every time",
        "The call depends on arguments or is logged.",
        "Since Linux 5.11 the kernel lets calls that are always allowed pass without running the filter (commit "
        "8e01b51a31a1). For this one it runs the filter each time, some tens of nanoseconds or more.",
        "Allow it without conditions, where they are not worth it.",
    ),
}
"""Id -> (title, meaning, why it matters, what to do), as FindingRule has them."""
