"""A function of Python's standard library in, the system calls it is there to make out.

What is listed is the point of the function on x86_64 Linux with CPython 3.11 and glibc 2.36 (measured by
tests/kernel/test_callers.py), not all it may do: memory, locks and the look-up of files are made by every program. A
function that is not listed may make calls too.
"""

from __future__ import annotations

_TABLE = {
    "open io.open os.fdopen codecs.open": "openat",
    "os.open": "openat",
    "os.listdir os.scandir os.walk glob.glob glob.iglob": "openat getdents64",
    "os.stat os.lstat os.path.exists os.path.isfile os.path.isdir os.path.getsize os.path.getmtime": "newfstatat",
    "os.access shutil.which": "access",
    "os.readlink os.path.realpath": "readlink",
    "os.mkdir os.makedirs": "mkdir",
    "os.rmdir os.removedirs": "rmdir",
    "os.remove os.unlink": "unlink",
    "os.rename os.renames os.replace": "rename",
    "os.link": "link",
    "os.symlink": "symlink",
    "os.mkfifo os.mknod": "mknodat",
    "os.chmod": "chmod",
    "os.fchmod": "fchmod",
    "os.chown shutil.chown": "chown",
    "os.lchown": "lchown",
    "os.utime": "utimensat",
    "os.truncate": "truncate",
    "os.ftruncate": "ftruncate",
    "os.posix_fallocate": "fallocate",
    "os.sync": "sync",
    "os.fsync": "fsync",
    "os.fdatasync": "fdatasync",
    "os.sendfile": "sendfile",
    "os.copy_file_range": "copy_file_range",
    "os.splice": "splice",
    "os.pread": "pread64",
    "os.pwrite": "pwrite64",
    "os.readv": "readv",
    "os.writev": "writev",
    "os.dup": "fcntl",
    "os.dup2": "dup3",
    "os.pipe": "pipe2",
    "os.statvfs shutil.disk_usage": "statfs",
    "os.getxattr": "getxattr",
    "os.setxattr": "setxattr",
    "os.listxattr": "listxattr",
    "os.removexattr": "removexattr",
    "os.chdir": "chdir",
    "os.fchdir": "fchdir",
    "os.chroot": "chroot",
    "os.umask": "umask",
    "os.fork os.forkpty pty.fork": "clone",
    "os.execv os.execve os.execvp os.execl os.execlp": "execve",
    "os.system": "clone3 execve wait4",
    "subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.Popen "
    "subprocess.getoutput os.popen": "vfork execve wait4",
    "os.posix_spawn os.posix_spawnp": "clone3 execve",
    "multiprocessing.Process": "clone wait4",
    "os.waitpid os.wait os.wait4": "wait4",
    "os.waitid": "waitid",
    "os.kill": "kill",
    "os.killpg": "kill",
    "os.pidfd_open": "pidfd_open",
    "os.setuid": "setuid",
    "os.setgid": "setgid",
    "os.setresuid": "setresuid",
    "os.setgroups": "setgroups",
    "os.setsid": "setsid",
    "os.setpgid": "setpgid",
    "os.nice": "getpriority setpriority",
    "os.sched_setaffinity": "sched_setaffinity",
    "os.sched_getaffinity": "sched_getaffinity",
    "os.memfd_create": "memfd_create",
    "os.eventfd": "eventfd2",
    "os.uname platform.uname socket.gethostname": "uname",
    "resource.setrlimit resource.getrlimit": "prlimit64",
    "resource.getrusage": "getrusage",
    "time.sleep": "clock_nanosleep",
    "signal.alarm": "alarm",
    "signal.setitimer": "setitimer",
    "signal.signal": "rt_sigaction",
    "signal.pthread_sigmask": "rt_sigprocmask",
    "signal.pause": "pause",
    "fcntl.fcntl": "fcntl",
    "fcntl.flock": "flock",
    "fcntl.lockf": "fcntl",
    "fcntl.ioctl termios.tcgetattr termios.tcsetattr os.get_terminal_size": "ioctl",
    "mmap.mmap": "mmap",
    "select.select": "pselect6",
    "select.poll": "poll",
    "select.epoll selectors.EpollSelector selectors.DefaultSelector": "epoll_create1",
    "asyncio.run asyncio.new_event_loop": "epoll_create1 epoll_ctl epoll_wait socketpair",
    "socket.socket": "socket",
    "socket.socketpair": "socketpair",
    "socket.create_connection": "socket connect",
    "socket.create_server": "socket setsockopt bind listen",
    "socket.getaddrinfo socket.gethostbyname": "socket connect",
    "urllib.request.urlopen http.client.HTTPConnection http.client.HTTPSConnection": "socket connect sendto recvfrom",
    "shutil.copyfile shutil.copy": "openat sendfile",
    "shutil.copy2": "openat sendfile utimensat",
    "shutil.copytree": "openat getdents64 mkdir sendfile utimensat",
    "shutil.move": "rename",
    "shutil.rmtree": "openat getdents64 unlinkat rmdir",
    "tempfile.mkstemp tempfile.NamedTemporaryFile tempfile.TemporaryFile": "openat",
    "tempfile.mkdtemp tempfile.TemporaryDirectory": "mkdir",
    "threading.Thread concurrent.futures.ThreadPoolExecutor": "clone3",
    "secrets.token_bytes secrets.token_hex os.urandom os.getrandom": "getrandom",
}
"""Functions -> their calls."""


class _Index:
    """Function -> calls, built when it is first asked for."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, ...]] = {}

    def of(self) -> dict[str, tuple[str, ...]]:
        if not self._of:
            self._of = {
                name: tuple(calls.split()) for names, calls in _TABLE.items() for name in names.split()
            }
        return self._of


_INDEX = _Index()


def calls_of_function(name: str) -> tuple[str, ...]:
    """The calls of a function by its full name, such as "os.mkdir"; none where it is not known to make any."""
    return _INDEX.of().get(name, ())


def functions() -> tuple[str, ...]:
    """All that are known."""
    return tuple(_INDEX.of())
