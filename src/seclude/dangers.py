"""What a system call is about and what it offers to an attacker: a name in, its category and its danger out.

critical: with the capability it asks for, or a hole in what it reaches, it leads out of the container or into the
kernel or another process. high: it acts on the whole machine or on other processes, tells their secrets, or is code
of the kernel that hardly anything needs and that had holes. medium: ordinary programs make it, and attacks need it.
low: everything else. A refusal costs little at the top and breaks programs at the bottom.

Sources, named where they are used: moby's documentation of its profile ("Significant syscalls blocked by the default
profile", docs.docker.com/engine/security/seccomp), the manual pages, and the CVEs that made a call notorious.
"""

from __future__ import annotations

from .model.change import Danger

TIERS = ("critical", "high", "medium", "low")
"""The most dangerous first."""

UNKNOWN = "unknown"
"""The category of a name that no table has."""

CATEGORIES = {
    "file": (
        "_llseek access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 "
        "faccessat faccessat2 fadvise64 fadvise64_64 arm_fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 "
        "fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr file_setattr flistxattr flock "
        "fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat "
        "getcwd getdents getdents64 getxattr getxattrat io_cancel io_destroy io_getevents io_pgetevents "
        "io_pgetevents_time64 io_setup io_submit ioctl lchown lchown32 lgetxattr link linkat listxattr listxattrat "
        "llistxattr lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at "
        "newfstatat oldfstat oldlstat oldstat open open_by_handle_at openat openat2 pread64 preadv preadv2 pwrite64 "
        "pwritev pwritev2 quotactl quotactl_fd read readahead readdir readlink readlinkat readv removexattr "
        "removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 "
        "statfs statfs64 statx symlink symlinkat sync sync_file_range sync_file_range2 arm_sync_file_range syncfs tee "
        "truncate truncate64 umask unlink unlinkat ustat utime utimensat utimensat_time64 utimes vmsplice write writev "
        "fanotify_init fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch"
    ),
    "process": (
        "arch_prctl clone clone3 execve execveat exit exit_group fork get_robust_list get_thread_area get_tls getpgid "
        "getpgrp getpid getppid getrlimit getrusage getsid gettid idle personality pidfd_open prctl prlimit64 "
        "process_mrelease restart_syscall rseq rseq_slice_yield seccomp set_robust_list set_thread_area "
        "set_tid_address set_tls setpgid setrlimit setsid swapcontext times ugetrlimit ulimit uselib vfork wait4 "
        "waitid waitpid landlock_add_rule landlock_create_ruleset landlock_restrict_self spu_create spu_run "
        "switch_endian usr26 usr32"
    ),
    "memory": (
        "brk cacheflush cachectl get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create memfd_secret "
        "migrate_pages mincore mlock mlock2 mlockall mmap mmap2 modify_ldt move_pages mprotect mremap mseal msync "
        "munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise remap_file_pages "
        "riscv_flush_icache set_mempolicy set_mempolicy_home_node subpage_prot userfaultfd mpx atomic_barrier "
        "atomic_cmpxchg_32"
    ),
    "network": (
        "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
        "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair "
        "getpmsg putpmsg nfsservctl"
    ),
    "ipc": (
        "eventfd eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake ipc mq_getsetattr "
        "mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl "
        "msgget msgrcv msgsnd pipe pipe2 semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget "
        "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old poll "
        "ppoll ppoll_time64 select _newselect pselect6 pselect6_time64"
    ),
    "time": (
        "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
        "clock_nanosleep clock_nanosleep_time64 clock_settime clock_settime64 ftime getitimer gettimeofday nanosleep "
        "setitimer settimeofday stime time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
        "timer_settime timer_settime64 timerfd timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
        "timerfd_settime64"
    ),
    "signal": (
        "kill pause pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
        "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sgetmask sigaction sigaltstack signal "
        "signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend ssetmask tgkill tkill"
    ),
    "credentials": (
        "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid "
        "getresgid32 getresuid getresuid32 getuid getuid32 lsm_get_self_attr lsm_list_modules lsm_set_self_attr "
        "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid "
        "setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32"
    ),
    "namespace": (
        "chroot fsconfig fsmount fsopen fspick listmount listns mount mount_setattr move_mount open_tree "
        "open_tree_attr pivot_root setns statmount umount umount2 unshare"
    ),
    "kernel": (
        "bpf create_module delete_module finit_module get_kernel_syms init_module kexec_file_load kexec_load "
        "query_module"
    ),
    "tracing": (
        "kcmp lookup_dcookie perf_event_open pidfd_getfd process_vm_readv process_vm_writev ptrace uprobe uretprobe "
        "sys_debug_setcontext breakpoint s390_runtime_instr"
    ),
    "io_uring": "io_uring_enter io_uring_register io_uring_setup",
    "keys": "add_key keyctl request_key",
    "scheduling": (
        "getcpu getpriority ioprio_get ioprio_set nice sched_get_priority_max sched_get_priority_min "
        "sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval "
        "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield "
        "setpriority"
    ),
    "system": (
        "_sysctl acct getpagesize getrandom olduname oldolduname reboot riscv_hwprobe setdomainname sethostname "
        "swapoff swapon sysfs sysinfo syslog uname vhangup s390_guarded_storage s390_sthyi sysmips syscall "
        "multiplexer"
    ),
    "hardware": (
        "ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write rtas s390_pci_mmio_read s390_pci_mmio_write vm86 "
        "vm86old"
    ),
    "obsolete": "afs_syscall bdflush break gtty lock prof profil security stty tuxcall vserver",
}
"""Category -> its calls. Every call is in one."""

_CRITICAL = {
    # moby: "Deny manipulation and functions on kernel modules. Also gated by CAP_SYS_MODULE."
    "it loads code into the kernel": "init_module finit_module create_module",
    "it removes code from the kernel, protections that are modules included": "delete_module",
    # moby: "Deny loading a new kernel for later execution. Also gated by CAP_SYS_BOOT."
    "it starts another kernel": "kexec_load kexec_file_load",
    # moby; CVE-2017-16995 (the verifier let a program read and write the kernel's memory).
    "it loads programs into the kernel, and holes in their verifier gave root": "bpf",
    # ptrace(2): below Linux 4.8 the tracer is past seccomp; CVE-2019-13272 (PTRACE_TRACEME); CVE-2016-9962 (a
    # process that was entering a container).
    "it controls other processes of the container, and below Linux 4.8 it goes past seccomp": "ptrace",
    # process_vm_readv(2): the permission to ptrace is all that it asks for.
    "it writes into the memory of other processes": "process_vm_writev",
    # moby: "Deny mounting, already gated by CAP_SYS_ADMIN."; CVE-2022-0185 (fsconfig's heap overflow).
    "it changes what files are where, and has been the way out of many containers": "mount move_mount open_tree "
    "open_tree_attr",
    "it makes file systems, through code that was written for root alone": "fsopen fsconfig fsmount fspick",
    "it replaces the root directory": "pivot_root",
    "it changes how mounts are protected, read-only ones included": "mount_setattr",
    # moby: "Deny associating a thread with a namespace."
    "it enters other namespaces, those of the host included where one is within reach": "setns",
    # moby: "Deny cloning new namespaces for processes"; CVE-2022-0185 needed a new user namespace.
    "new namespaces, user namespaces above all, make code of the kernel reachable that is otherwise for root "
    "alone": "unshare",
    # moby: "Cause of an old container breakout. Also gated by CAP_DAC_READ_SEARCH." (the exploit "shocker")
    "it opens any file of a mounted file system by number, also outside the container": "open_by_handle_at",
    # moby: "Prevent containers from modifying kernel I/O privilege levels. Already gated by CAP_SYS_RAWIO."
    "it reaches hardware directly": "iopl ioperm pciconfig_iobase pciconfig_read pciconfig_write rtas "
    "s390_pci_mmio_read s390_pci_mmio_write",
    # moby pull 46762, containerd pull 9320; six in ten exploits that Google's kCTF was sent in 2022 used it.
    "what goes through the ring is not seen by seccomp, and holes in it were ways out of containers": "io_uring_setup "
    "io_uring_enter io_uring_register",
}

_HIGH = {
    # moby: "Restrict process inspection capabilities, already blocked by dropping CAP_SYS_PTRACE."
    "it reads the memory of other processes": "process_vm_readv",
    # pidfd_getfd(2)
    "it takes open files out of other processes": "pidfd_getfd",
    "it tells about kernel objects of other processes": "kcmp",
    # moby; Documentation/admin-guide/perf-security.rst; CVE-2013-2094 (a local root).
    "it measures and observes other processes and the kernel, and has had many holes": "perf_event_open",
    # moby; Documentation/admin-guide/sysctl/vm.rst, unprivileged_userfaultfd.
    "it can hold the kernel up in a copy, which exploits use to win races": "userfaultfd",
    # umount(2)
    "it can uncover what was mounted over to hide it": "umount umount2",
    # chroot(2): "This call does not change the current working directory, so that ..."
    "it replaces the root directory, and with CAP_SYS_CHROOT a process can get out of one": "chroot",
    # moby: "Don't let containers reboot the host. Also gated by CAP_SYS_BOOT."
    "it restarts the machine where the container has CAP_SYS_BOOT": "reboot",
    # moby: "Deny start/stop swapping to file/device. Also gated by CAP_SYS_ADMIN."
    "it starts or stops the swapping of the whole machine": "swapon swapoff",
    # moby: "Time/date is not namespaced. Also gated by CAP_SYS_TIME."
    "it sets the clock of the whole machine": "settimeofday clock_settime clock_settime64 stime",
    # moby: "... could let containers disable their own resource limits or process accounting."
    "it lets a container out of accounting or of its own quota": "acct quotactl quotactl_fd",
    # syslog(2); moby gates it by CAP_SYSLOG.
    "it reads or clears the kernel's log, which has addresses in it": "syslog",
    # moby: "Sister syscall to open_by_handle_at."
    "it makes the numbers by which files outside the container can be opened": "name_to_handle_at",
    # moby: "Tracing/profiling syscall, which could leak information on the host."
    "it tells about the kernel's memory": "lookup_dcookie",
    # moby: "Prevent containers from using the kernel keyring, which isn't namespaced."; CVE-2016-0728.
    "the kernel's keyring is shared with the host's processes of the same user": "keyctl add_key request_key",
    # moby: "In-kernel x86 real mode virtual machine." and "Older syscall related to shared libraries"; modify_ldt(2),
    # CVE-2015-3290 (its segments and nested NMIs gave root).
    "old code of the kernel that little else uses": "modify_ldt vm86 vm86old uselib",
    # moby: "Not inherently dangerous, but poorly tested, potential for kernel vulns."; personality(2)
    "it can turn off the randomisation of addresses": "personality",
    # moby: "Syscall that modifies kernel memory and NUMA settings."
    "it moves the memory of other processes between nodes": "move_pages migrate_pages",
    # moby gates it by CAP_SYS_ADMIN; fanotify(7)
    "it watches, and can hold up, what others do with the files of a whole mount": "fanotify_init",
}

_MEDIUM = {
    "it starts another program, which is what most attacks do first": "execve execveat",
    "it starts processes, and can make new namespaces where no condition on its flags forbids them": "clone",
    "its flags are behind a pointer, where no filter sees them: it can also make namespaces": "clone3",
    "it starts processes": "fork vfork",
    "it makes memory executable, which injected code needs": "mprotect pkey_mprotect",
    "it makes files in memory that can be run without ever being on a disk": "memfd_create",
    "it hides memory from the kernel and so from those who look for malware": "memfd_secret",
    "it acts on the memory of other processes": "process_madvise process_mrelease",
    # moby: "Syscall that modifies kernel memory and NUMA settings. Already gated by CAP_SYS_NICE."
    "it changes where memory is placed": "mbind set_mempolicy set_mempolicy_home_node",
    "it opens a way to the network, or to the services of the machine": "socket connect",
    "it waits for connections, as a backdoor does": "bind listen accept accept4",
    "it stands for many other calls, which a filter cannot tell apart": "socketcall ipc multiplexer syscall",
    "it changes who the process is, to root where it may": (
        "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid "
        "setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32"
    ),
    # capset(2), lsm_set_self_attr(2)
    "it changes what the process may do": "capset lsm_set_self_attr",
    "it sets many properties of a process, its name and its dumpability among them": "prctl",
    "it can make a file set-user-id or executable": "chmod fchmod fchmodat fchmodat2",
    "it gives files to other users": "chown chown32 fchown fchown32 fchownat lchown lchown32",
    "it can give capabilities to a file, or change its labels": (
        "setxattr setxattrat lsetxattr fsetxattr removexattr removexattrat lremovexattr fremovexattr file_setattr"
    ),
    "it makes device files, where the container has CAP_MKNOD": "mknod mknodat",
    "it is the door to every driver of the kernel": "ioctl",
    # CVE-2022-0847, "Dirty Pipe"
    "it moves pages between files and pipes, and a hole in it overwrote read-only files": "splice vmsplice tee",
    "it asks for memory of the kernel for operations that go on without the process": "io_setup io_submit",
    "it slows down or speeds up the clock of the whole machine, where it may": (
        "adjtimex clock_adjtime clock_adjtime64"
    ),
    "it renames the container, or the machine where it has no names of its own": "sethostname setdomainname",
    "it hangs up the terminal": "vhangup",
    "it watches the files of a whole mount, with a descriptor of fanotify_init": "fanotify_mark",
    # moby: "Obsolete."
    "old code of the kernel that nothing should use any more": (
        "_sysctl sysfs ustat nfsservctl query_module get_kernel_syms bdflush afs_syscall vserver tuxcall security "
        "remap_file_pages"
    ),
    "it tells about the hypervisor, or switches special modes of the processor": (
        "s390_sthyi s390_runtime_instr s390_guarded_storage sys_debug_setcontext spu_create spu_run sysmips"
    ),
}

_LOW = {
    "file": "it works on files that are open or within the container's reach already",
    "process": "it is about the process itself",
    "memory": "it is about the memory of the process itself",
    "network": "it works on connections that are there already",
    "ipc": "it waits for, or talks to, processes of the same container",
    "time": "it reads clocks or sets timers of the process itself",
    "signal": "it is about signals within the container",
    "credentials": "it only asks who the process is",
    "namespace": "it tells about namespaces and mounts that are within reach",
    "kernel": "it only asks about the kernel",
    "tracing": "the kernel itself makes or takes it, not the program",
    "io_uring": "it is about rings",
    "keys": "it is about keys",
    "scheduling": "it is about when and where the process runs",
    "system": "it only asks about the system",
    "hardware": "it only asks about hardware",
    "obsolete": "no kernel of today has it",
}

_UNKNOWN_DANGER = Danger(
    tier="high", reason="this version of seclude does not know it, so nobody has judged it"
)


class _Index:
    """Both tables by name, built when they are first asked for."""

    def __init__(self) -> None:
        self._categories: dict[str, str] = {}
        self._dangers: dict[str, Danger] = {}

    def categories(self) -> dict[str, str]:
        if not self._categories:
            self._categories = {
                name: category for category, names in CATEGORIES.items() for name in names.split()
            }
        return self._categories

    def dangers(self) -> dict[str, Danger]:
        if not self._dangers:
            for tier, table in zip(TIERS, (_CRITICAL, _HIGH, _MEDIUM), strict=False):
                for reason, names in table.items():
                    self._dangers |= {name: Danger(tier=tier, reason=reason) for name in names.split()}
        return self._dangers


_INDEX = _Index()


def category_of(name: str) -> str:
    """What the call is about, one of CATEGORIES; UNKNOWN for a name that no table has."""
    return _INDEX.categories().get(name, UNKNOWN)


def danger_of(name: str) -> Danger:
    """How much the call offers to an attacker. What is unknown is high: somebody should look."""
    known = _INDEX.dangers().get(name)
    if known is not None:
        return known
    category = category_of(name)
    return _UNKNOWN_DANGER if category == UNKNOWN else Danger(tier="low", reason=_LOW[category])


def at_least(tier: str, least: str) -> bool:
    """Whether a tier is as dangerous as another, or more so."""
    return TIERS.index(tier) <= TIERS.index(least)
