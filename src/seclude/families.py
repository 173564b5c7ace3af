"""Families of system calls, whose members do the same work in different ways: a call in, its relatives out.

A library chooses among the members by its version, the kernel and the options of the call, so a test that makes one
of them often stands for code that makes another elsewhere.
"""

from __future__ import annotations

FAMILIES = {
    "open": "openat open openat2 creat",
    "stat": "newfstatat statx fstat stat lstat fstatat64 stat64 lstat64 fstat64 oldstat oldlstat oldfstat",
    "statfs": "statfs fstatfs statfs64 fstatfs64 ustat statmount",
    "access": "access faccessat faccessat2",
    "readlink": "readlink readlinkat",
    "directory": "getdents64 getdents readdir",
    "mkdir": "mkdir mkdirat",
    "unlink": "unlink unlinkat rmdir",
    "rename": "rename renameat renameat2",
    "link": "link linkat",
    "symlink": "symlink symlinkat",
    "mknod": "mknod mknodat",
    "chmod": "chmod fchmod fchmodat fchmodat2",
    "chown": "chown lchown fchown fchownat chown32 lchown32 fchown32",
    "times": "utime utimes futimesat utimensat utimensat_time64",
    "truncate": "truncate ftruncate truncate64 ftruncate64 fallocate",
    "seek": "lseek _llseek",
    "read": "read readv pread64 preadv preadv2",
    "write": "write writev pwrite64 pwritev pwritev2",
    "copy": "sendfile sendfile64 copy_file_range splice tee vmsplice",
    "sync": "sync syncfs fsync fdatasync sync_file_range arm_sync_file_range msync",
    "advise": "fadvise64 fadvise64_64 arm_fadvise64_64 readahead",
    "dup": "dup dup2 dup3",
    "close": "close close_range",
    "pipe": "pipe pipe2",
    "fcntl": "fcntl fcntl64 flock",
    "getxattr": "getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat",
    "setxattr": "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat",
    "fork": "clone3 clone vfork fork",
    "exec": "execve execveat",
    "wait": "wait4 waitid waitpid",
    "exit": "exit exit_group",
    "kill": "kill tkill tgkill pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo",
    "sigaction": "rt_sigaction sigaction signal",
    "sigprocmask": "rt_sigprocmask sigprocmask sgetmask ssetmask",
    "sigreturn": "rt_sigreturn sigreturn",
    "sigwait": "rt_sigtimedwait rt_sigtimedwait_time64 rt_sigsuspend sigsuspend pause signalfd signalfd4",
    "poll": "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64",
    "epoll create": "epoll_create epoll_create1",
    "epoll wait": "epoll_wait epoll_pwait epoll_pwait2",
    "eventfd": "eventfd eventfd2",
    "inotify": "inotify_init inotify_init1",
    "futex": "futex futex_time64 futex_wait futex_wake futex_requeue futex_waitv",
    "sleep": "nanosleep clock_nanosleep clock_nanosleep_time64",
    "time": "clock_gettime gettimeofday time clock_gettime64",
    "clock resolution": "clock_getres clock_getres_time64",
    "set time": "clock_settime settimeofday stime clock_settime64 adjtimex clock_adjtime clock_adjtime64",
    "alarm": "alarm setitimer getitimer",
    "timer": "timer_create timer_settime timer_settime64 timer_gettime timer_gettime64 timer_delete timer_getoverrun",
    "timerfd": "timerfd_create timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64",
    "socket": "socket socketpair socketcall",
    "accept": "accept accept4",
    "bind": "bind listen",
    "send": "send sendto sendmsg sendmmsg",
    "receive": "recv recvfrom recvmsg recvmmsg recvmmsg_time64",
    "map": "mmap mmap2 mremap brk munmap remap_file_pages",
    "protect": "mprotect pkey_mprotect",
    "lock memory": "mlock mlock2 mlockall munlock munlockall",
    "madvise": "madvise process_madvise",
    "getrlimit": "getrlimit ugetrlimit prlimit64 setrlimit",
    "affinity": "sched_getaffinity sched_setaffinity",
    "scheduler": "sched_setscheduler sched_setparam sched_setattr sched_getscheduler sched_getparam sched_getattr",
    "priority": "nice getpriority setpriority",
    "uid": "getuid geteuid getresuid getuid32 geteuid32 getresuid32",
    "gid": "getgid getegid getresgid getgid32 getegid32 getresgid32",
    "setuid": "setuid setreuid setresuid setfsuid setuid32 setreuid32 setresuid32 setfsuid32",
    "setgid": "setgid setregid setresgid setfsgid setgid32 setregid32 setresgid32 setfsgid32",
    "groups": "getgroups setgroups getgroups32 setgroups32",
    "capabilities": "capget capset",
    "names": "uname olduname oldolduname sethostname setdomainname",
    "namespaces": "unshare setns",
    "mount": "mount umount umount2 fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr",
    "root": "chroot pivot_root",
    "aio": "io_setup io_submit io_getevents io_pgetevents io_pgetevents_time64 io_cancel io_destroy",
    "io_uring": "io_uring_setup io_uring_enter io_uring_register",
    "keys": "add_key request_key keyctl",
    "modules": "init_module finit_module delete_module create_module query_module",
    "kexec": "kexec_load kexec_file_load",
    "other processes": "ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp",
    "file handles": "name_to_handle_at open_by_handle_at",
    "semaphores": "semget semop semctl semtimedop semtimedop_time64 ipc",
    "message queues": "msgget msgsnd msgrcv msgctl",
    "shared memory": "shmget shmat shmdt shmctl",
    "POSIX queues": "mq_open mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64 mq_notify "
    "mq_getsetattr mq_unlink",
    "random": "getrandom",
    "landlock": "landlock_create_ruleset landlock_add_rule landlock_restrict_self",
}
"""Family -> its calls, roughly those that programs of today make most first. A call is in one family at most."""


class _Index:
    """Call -> family, built when it is first asked for."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def of(self, name: str) -> str:
        if not self._of:
            self._of = {call: family for family, calls in FAMILIES.items() for call in calls.split()}
        return self._of.get(name, "")


_INDEX = _Index()


def family_of(name: str) -> str:
    """The family of a call, the empty string where it has none."""
    return _INDEX.of(name)


def members(family: str) -> tuple[str, ...]:
    """The calls of a family in the order of the table; none for a family that is not known."""
    return tuple(FAMILIES.get(family, "").split())


def relatives(name: str) -> tuple[str, ...]:
    """The other calls of its family."""
    return tuple(call for call in members(family_of(name)) if call != name)
