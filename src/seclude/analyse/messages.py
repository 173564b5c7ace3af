"""What a failing program said in, what that tells of the refused call out: the program, the error, calls it names."""

from __future__ import annotations

import errno
import re

from ..families import family_of, members
from ..model.frozen import frozen
from ..syscalls import all_names

LONGEST = 20_000
"""Characters of text that are looked at."""

SIGSYS = "SIGSYS"

_ERRORS = (
    # (what stands in the text, the name of the error)
    (r"operation not permitted|\bEPERM\b|\[Errno 1\]|\berror=1,|os error 1\b", "EPERM"),
    (r"function not implemented|\bENOSYS\b|\[Errno 38\]|\berror=38,|os error 38\b", "ENOSYS"),
    (r"permission denied|\bEACCES\b|\[Errno 13\]|\berror=13,|os error 13\b", "EACCES"),
    (r"bad system call|\bSIGSYS\b|exit(?:ed)?(?: with)?(?: status| code)?:? 159\b", SIGSYS),
)

_OPERATIONS = {
    # What libuv (Node), Go's os package and Python's os module call an operation, where no call has the name.
    "scandir": "open directory stat",
    "opendir": "open directory",
    "readdirent": "directory",
    "listdir": "open directory stat",
    "copyfile": "copy open chmod",
    "realpath": "readlink stat",
    "mkdtemp": "mkdir",
    "makedirs": "mkdir",
    "mkstemp": "open",
    "lutime": "times",
    "futime": "times",
    "chtimes": "times",
    "utimes": "times",
    "remove": "unlink",
    "unlinkat": "unlink",
    "fork/exec": "fork exec",
    "spawn": "fork exec pipe",
    "exec": "exec",
    "popen": "fork exec pipe",
    "posix_spawn": "fork exec",
    "setrlimit": "getrlimit",
    "sethostname": "names",
}
"""Operation -> families of the calls it is made of."""

_STARTING = (
    # Text of many runtimes when a thread or process cannot be made -> families
    r"can't start new thread|unable to create (?:new )?native thread|thread failed to start|pthread_create|"
    r"failed to create (?:new OS )?thread|cannot fork|fork failed|Cannot run program|newosproc"
)

_PROGRAMS = {
    # Program or its message -> families of the calls that the message is about.
    "ls": "stat directory open",
    "stat": "stat",
    "find": "stat directory open",
    "cat": "open read",
    "head": "open read",
    "cp": "open copy stat chmod chown times setxattr",
    "mv": "rename copy open",
    "rm": "unlink directory",
    "rmdir": "unlink",
    "ln": "link symlink",
    "touch": "open times",
    "mkdir": "mkdir",
    "mknod": "mknod",
    "mkfifo": "mknod",
    "chmod": "chmod",
    "chown": "chown",
    "chgrp": "chown",
    "tar": "open chmod chown times mknod setxattr",
    "date": "set time",
    "hostname": "names",
    "mount": "mount",
    "umount": "mount",
    "unshare": "namespaces",
    "nsenter": "namespaces",
    "chroot": "root",
    "dmesg": "syslog",
    "su": "setuid setgid groups",
    "sudo": "setuid setgid groups",
    "ping": "socket send",
    "kill": "kill",
    "nice": "priority",
    "renice": "priority",
    "taskset": "affinity",
    "chrt": "scheduler",
    "strace": "other processes fork",
    "gdb": "other processes personality",
    "sleep": "sleep",
    "insmod": "modules",
    "modprobe": "modules",
    "ps": "directory open",
    "truncate": "truncate open",
    "sync": "sync",
}

_PHRASES = (
    # What the program was doing, as coreutils, busybox and others put it -> families
    (r"cannot access|cannot stat|can't stat", "stat"),
    (r"cannot open|can't open|reading directory|cannot create regular file", "open directory"),
    (r"cannot create directory|can't create directory", "mkdir"),
    (r"cannot remove|can't remove", "unlink"),
    (r"cannot move|can't rename", "rename"),
    (r"changing permissions|[Cc]annot change mode|preserving permissions", "chmod"),
    (r"changing ownership|changing group|[Cc]annot change ownership|preserve ownership", "chown"),
    (r"setting times|cannot utime|preserving times", "times"),
    (r"create (?:hard )?link", "link"),
    (r"create symbolic link", "symlink"),
    (r"cannot set date|set date", "set time"),
    (r"set priority|cannot set niceness", "priority"),
    (r"set(?:ting)? ?(?:groups|gid)|setgroups", "groups setgid"),
    (r"getcwd|current directory", "getcwd"),
    (r"clock_gettime", "time"),
    (r"error during container init", "open stat mount"),
)

_NODE = re.compile(r"\bE[A-Z]{2,14}: [a-z ,-]{3,60}, ([a-z_]{2,20})(?: '([^'\n]{1,400})')?")
_GO = re.compile(
    r"\b([a-z][a-z0-9_/]{1,24})(?: ([^\s:][^:\n]{0,400}))?: "
    r"(?:operation not permitted|function not implemented|permission denied)"
)
_C = re.compile(
    r"(?:^|[:\s])([a-z_][a-z0-9_]{1,24})\(?\)?: (?:Operation not permitted|Function not implemented)"
)
_PYTHON = re.compile(r"\b(?:os|socket|shutil|subprocess|signal|time|ctypes)\.([a-z_0-9]{2,24})\(")
_CALLED = re.compile(r"\b([a-z_][a-z0-9_]{1,30})\(")
_WORD = re.compile(r"\b[a-z_][a-z0-9_]{3,30}\b")
_PROGRAM = re.compile(r"^(?:[\w./-]{0,100}/)?([A-Za-z][\w.+-]{0,40}): ")
_NO_PROGRAM = re.compile(r"^E[A-Z0-9]+$|Error$|Exception$|^error$|^panic$|^fatal$|^Traceback$", re.I)
_PATH = re.compile("(?:^|[\\s'\"\u2018\u201c`=(])(/[^\\s'\"\u2019\u201d`:,)]{0,400})")


@frozen
class Message:
    """What a text tells. `calls`: those it names, or that make up what it names, the likeliest first.

    `certain`: whether the text names a call itself. `error`: EPERM, ENOSYS, EACCES, SIGSYS or empty.
    """

    calls: tuple[str, ...] = ()
    certain: bool = False
    program: str = ""
    path: str = ""
    error: str = ""

    @property
    def number(self) -> int:
        """The errno, 0 where there is none."""
        value = getattr(errno, self.error, 0) if self.error else 0
        return value if isinstance(value, int) else 0


def read_message(text: str) -> Message:
    """What `text`, a line of a log or several, tells; a bare name of a call is taken for that call."""
    text = text[:LONGEST]
    bare = text.strip().removesuffix("()")
    if bare in all_names():
        return Message(calls=(bare,), certain=True)
    error = next((name for pattern, name in _ERRORS if re.search(pattern, text, re.I)), "")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    telling = [
        line for line in lines if any(re.search(pattern, line, re.I) for pattern, _ in _ERRORS)
    ] or lines
    named = _named(telling, lines)
    programs = (found[1] for line in telling if (found := _PROGRAM.match(line)))
    program = next((name for name in programs if not _NO_PROGRAM.search(name)), "")
    if program in named:
        program = ""
    rest = (_PROGRAM.sub("", line, count=1) if program else line for line in telling)
    path = next((found[1] for line in rest if (found := _PATH.search(line))), "")
    return Message(
        calls=named or _meant(telling, program),
        certain=bool(named),
        program=program,
        path=path,
        error=error,
    )


def _named(telling: list[str], lines: list[str]) -> tuple[str, ...]:
    """The calls that the text names, as Node, Go, C programs, strace and Python's tracebacks do."""
    found: list[str] = []
    for line in telling:
        for pattern in (_NODE, _GO, _C):
            for match in pattern.finditer(line):
                found += _calls_of(match[1])
        for match in _CALLED.finditer(line):
            found += _exact(match[1])
        for word in _WORD.findall(line):
            # "open" or "read" may be English; openat2 or io_uring_setup are not.
            if "_" in word or word[-1].isdigit():
                found += _exact(word)
    if not found:
        # The innermost frame of a traceback comes last.
        for line in reversed(lines):
            for match in _PYTHON.finditer(line):
                found += _calls_of(match[1])
            if found:
                break
    return tuple(dict.fromkeys(found))


def _exact(word: str) -> list[str]:
    return [word] if word in all_names() else []


def _calls_of(operation: str) -> list[str]:
    """The calls behind an operation's name: those of its family, the one of that name first."""
    if operation in _OPERATIONS:
        return _interleaved(_OPERATIONS[operation].split())
    if operation in all_names():
        return list(dict.fromkeys((operation, *members(family_of(operation)))))
    return []


def _meant(telling: list[str], program: str) -> tuple[str, ...]:
    """The calls that what the program was doing is usually made of."""
    text = "\n".join(telling)
    families: list[str] = []
    if re.search(_STARTING, text):
        return (*members("fork"), "execve")
    for pattern, meant in _PHRASES:
        if re.search(pattern, text):
            families += meant.split() if members(meant) == () else [meant]
    if not families:
        meant = _PROGRAMS.get(program, "")
        families = [meant] if members(meant) else meant.split()
    return tuple(_interleaved(families))


def _interleaved(families: list[str]) -> list[str]:
    """The first call of each family, then the second of each: none is likelier than another for its family."""
    rows = [list(members(family)) or _exact(family) for family in dict.fromkeys(families)]
    most = max((len(row) for row in rows), default=0)
    return list(dict.fromkeys(row[at] for at in range(most) for row in rows if at < len(row)))
