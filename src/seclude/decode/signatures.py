"""Which arguments a system call has: its name in, one word for each argument out, as include/linux/syscalls.h has them.

A word is a kind of constants.py or one of these: `fd`, `dirfd` and `int` (signed, 32 bits), `uint`, `size` and
`long` (as wide as the ABI), `mode` (octal), `ptr` and `hex` (hexadecimal), `num` (anything that is mostly small).
In 32-bit ABIs a 64-bit argument takes two, in arm from an even one on (its procedure call standard).
"""

from __future__ import annotations

SIGNATURES = """
_llseek fd hex hex ptr whence
_newselect int ptr ptr ptr ptr
_sysctl ptr
accept fd ptr ptr
accept4 fd ptr ptr sock_flags
access ptr access
acct ptr
add_key ptr ptr ptr size key_spec
adjtimex ptr
alarm uint
arch_prctl arch_prctl ptr
arm_fadvise64_64 fd fadvise hex hex hex hex
arm_sync_file_range fd sync_range hex hex hex hex
bdflush int num
bind fd ptr uint
bpf bpf ptr uint
breakpoint
brk ptr
cacheflush ptr ptr uint
cachestat fd ptr ptr uint
capget ptr ptr
capset ptr ptr
chdir ptr
chmod ptr mode
chown ptr int int
chown32 ptr int int
chroot ptr
clock_adjtime clock ptr
clock_adjtime64 clock ptr
clock_getres clock ptr
clock_getres_time64 clock ptr
clock_gettime clock ptr
clock_gettime64 clock ptr
clock_nanosleep clock timer ptr ptr
clock_nanosleep_time64 clock timer ptr ptr
clock_settime clock ptr
clock_settime64 clock ptr
clone clone ptr ptr ptr ptr
clone3 ptr size
close fd
close_range uint uint close_range
connect fd ptr uint
copy_file_range fd ptr fd ptr size uint
creat ptr mode
create_module ptr size
delete_module ptr delete_module
dup fd
dup2 fd fd
dup3 fd fd cloexec
epoll_create int
epoll_create1 epoll
epoll_ctl fd epoll_ctl fd ptr
epoll_pwait fd ptr int int ptr size
epoll_pwait2 fd ptr int ptr ptr size
epoll_wait fd ptr int int
eventfd uint
eventfd2 uint efd
execve ptr ptr ptr
execveat dirfd ptr ptr ptr at
exit int
exit_group int
faccessat dirfd ptr access
faccessat2 dirfd ptr access faccessat
fadvise64 fd long size fadvise
fadvise64@x86 fd hex hex size fadvise
fadvise64_64 fd hex hex hex hex fadvise
fallocate fd fallocate long long
fallocate@32 fd fallocate hex hex hex hex
fanotify_init fanotify open
fanotify_mark fd fanotify_mark hex dirfd ptr
fanotify_mark@32 fd fanotify_mark hex hex dirfd ptr
fchdir fd
fchmod fd mode
fchmodat dirfd ptr mode
fchmodat2 dirfd ptr mode at
fchown fd int int
fchown32 fd int int
fchownat dirfd ptr int int at
fcntl fd fcntl num
fcntl64 fd fcntl num
fdatasync fd
fgetxattr fd ptr ptr size
file_getattr dirfd ptr ptr size at
file_setattr dirfd ptr ptr size at
finit_module fd ptr finit_module
flistxattr fd ptr size
flock fd flock
fork
fremovexattr fd ptr
fsconfig fd fsconfig ptr ptr int
fsetxattr fd ptr ptr size xattr
fsmount fd fsmount mount_attr
fsopen ptr fsopen
fspick dirfd ptr fspick
fstat fd ptr
fstat64 fd ptr
fstatat64 dirfd ptr ptr at
fstatfs fd ptr
fstatfs64 fd size ptr
fsync fd
ftruncate fd long
ftruncate64@x86 fd hex hex
ftruncate64@arm fd hex hex hex
futex ptr futex num ptr ptr num
futex_requeue ptr uint int int
futex_time64 ptr futex num ptr ptr num
futex_wait ptr num hex futex2 ptr clock
futex_waitv ptr uint uint ptr clock
futex_wake ptr hex int futex2
futimesat dirfd ptr ptr
get_kernel_syms ptr
get_mempolicy ptr ptr size ptr mpol_get
get_robust_list int ptr ptr
get_thread_area ptr
get_tls
getcpu ptr ptr ptr
getcwd ptr size
getdents fd ptr uint
getdents64 fd ptr uint
getegid
getegid32
geteuid
geteuid32
getgid
getgid32
getgroups int ptr
getgroups32 int ptr
getitimer itimer ptr
getpeername fd ptr ptr
getpgid int
getpgrp
getpid
getppid
getpriority priority int
getrandom ptr size getrandom
getresgid ptr ptr ptr
getresgid32 ptr ptr ptr
getresuid ptr ptr ptr
getresuid32 ptr ptr ptr
getrlimit rlimit ptr
getrusage rusage ptr
getsid int
getsockname fd ptr ptr
getsockopt fd level num ptr ptr
gettid
gettimeofday ptr ptr
getuid
getuid32
getxattr ptr ptr ptr size
getxattrat dirfd ptr at ptr ptr size
idle
init_module ptr size ptr
inotify_add_watch fd ptr inotify_mask
inotify_init
inotify_init1 inotify
inotify_rm_watch fd int
io_cancel hex ptr ptr
io_destroy hex
io_getevents hex long long ptr ptr
io_pgetevents hex long long ptr ptr ptr
io_pgetevents_time64 hex long long ptr ptr ptr
io_setup uint ptr
io_submit hex long ptr
io_uring_enter fd uint uint io_uring_enter ptr size
io_uring_register fd io_uring_register ptr uint
io_uring_setup uint ptr
ioctl fd ioctl hex
ioperm size size int
iopl uint
ioprio_get ioprio int
ioprio_set ioprio int hex
ipc ipc num num num ptr num
kcmp int int kcmp num num
kexec_file_load fd fd size ptr kexec_file
kexec_load ptr size ptr kexec
keyctl keyctl num num num num
kill int signal
landlock_add_rule fd landlock_rule ptr uint
landlock_create_ruleset ptr size landlock_ruleset
landlock_restrict_self fd uint
lchown ptr int int
lchown32 ptr int int
lgetxattr ptr ptr ptr size
link ptr ptr
linkat dirfd ptr dirfd ptr at
listen fd int
listmount ptr ptr size uint
listns ptr ptr size uint
listxattr ptr ptr size
listxattrat dirfd ptr at ptr size
llistxattr ptr ptr size
lookup_dcookie hex ptr size
lookup_dcookie@32 hex hex ptr size
lremovexattr ptr ptr
lseek fd long whence
lsetxattr ptr ptr ptr size xattr
lsm_get_self_attr num ptr ptr uint
lsm_list_modules ptr ptr uint
lsm_set_self_attr num ptr uint uint
lstat ptr ptr
lstat64 ptr ptr
madvise ptr size madvise
map_shadow_stack ptr size uint
mbind ptr size mempolicy ptr size mpol_move
membarrier membarrier uint int
memfd_create ptr memfd
memfd_secret cloexec
migrate_pages int size ptr ptr
mincore ptr size ptr
mkdir ptr mode
mkdirat dirfd ptr mode
mknod ptr mode hex
mknodat dirfd ptr mode hex
mlock ptr size
mlock2 ptr size mlock
mlockall mlockall
mmap ptr size prot map fd size
mmap@x86 ptr
mmap2 ptr size prot map fd size
modify_ldt int ptr size
mount ptr ptr ptr mount ptr
mount_setattr dirfd ptr at ptr size
move_mount dirfd ptr dirfd ptr move_mount
move_pages int size ptr ptr ptr mpol_move
mprotect ptr size prot
mq_getsetattr fd ptr ptr
mq_notify fd ptr
mq_open ptr open mode ptr
mq_timedreceive fd ptr size ptr ptr
mq_timedreceive_time64 fd ptr size ptr ptr
mq_timedsend fd ptr size uint ptr
mq_timedsend_time64 fd ptr size uint ptr
mq_unlink ptr
mremap ptr size size mremap ptr
mseal ptr size hex
msgctl int msgctl ptr
msgget hex ipc_flags
msgrcv int ptr size long msgrcv
msgsnd int ptr size ipc_flags
msync ptr size msync
munlock ptr size
munlockall
munmap ptr size
name_to_handle_at dirfd ptr ptr ptr at
nanosleep ptr ptr
newfstatat dirfd ptr ptr at
nfsservctl int ptr ptr
nice int
oldfstat fd ptr
oldlstat ptr ptr
oldolduname ptr
oldstat ptr ptr
olduname ptr
open ptr open mode
open_by_handle_at fd ptr open
open_tree dirfd ptr open_tree
open_tree_attr dirfd ptr open_tree ptr size
openat dirfd ptr open mode
openat2 dirfd ptr ptr size
pause
pciconfig_iobase num num num
pciconfig_read num num num num ptr
pciconfig_write num num num num ptr
perf_event_open ptr int int fd perf
personality personality
pidfd_getfd fd fd uint
pidfd_open int pidfd
pidfd_send_signal fd signal ptr pidfd_signal
pipe ptr
pipe2 ptr cloexec
pivot_root ptr ptr
pkey_alloc uint pkey
pkey_free int
pkey_mprotect ptr size prot int
poll ptr uint int
ppoll ptr uint ptr ptr size
ppoll_time64 ptr uint ptr ptr size
prctl prctl num num num num
pread64 fd ptr size long
pread64@x86 fd ptr size hex hex
pread64@arm fd ptr size hex hex hex
preadv fd ptr size long
preadv@32 fd ptr size hex hex
preadv2 fd ptr size hex hex rwf
prlimit64 int rlimit ptr ptr
process_madvise fd ptr size madvise uint
process_mrelease fd uint
process_vm_readv int ptr size ptr size uint
process_vm_writev int ptr size ptr size uint
pselect6 int ptr ptr ptr ptr ptr
pselect6_time64 int ptr ptr ptr ptr ptr
ptrace ptrace int ptr ptr
pwrite64 fd ptr size long
pwrite64@x86 fd ptr size hex hex
pwrite64@arm fd ptr size hex hex hex
pwritev fd ptr size long
pwritev@32 fd ptr size hex hex
pwritev2 fd ptr size hex hex rwf
query_module ptr int ptr size ptr
quotactl hex ptr int ptr
quotactl_fd fd hex int ptr
read fd ptr size
readahead fd long size
readahead@x86 fd hex hex size
readahead@arm fd hex hex hex size
readdir fd ptr uint
readlink ptr ptr int
readlinkat dirfd ptr ptr int
readv fd ptr size
reboot reboot_magic1 reboot_magic2 reboot ptr
recv fd ptr size msg
recvfrom fd ptr size msg ptr ptr
recvmmsg fd ptr uint msg ptr
recvmmsg_time64 fd ptr uint msg ptr
recvmsg fd ptr msg
remap_file_pages ptr size prot size map
removexattr ptr ptr
removexattrat dirfd ptr at ptr
rename ptr ptr
renameat dirfd ptr dirfd ptr
renameat2 dirfd ptr dirfd ptr rename
request_key ptr ptr ptr key_spec
restart_syscall
rmdir ptr
rseq ptr uint rseq hex
rseq_slice_yield
rt_sigaction signal ptr ptr size
rt_sigpending ptr size
rt_sigprocmask sigmask ptr ptr size
rt_sigqueueinfo int signal ptr
rt_sigreturn
rt_sigsuspend ptr size
rt_sigtimedwait ptr ptr ptr size
rt_sigtimedwait_time64 ptr ptr ptr size
rt_tgsigqueueinfo int int signal ptr
sched_get_priority_max sched
sched_get_priority_min sched
sched_getaffinity int uint ptr
sched_getattr int ptr uint uint
sched_getparam int ptr
sched_getscheduler int
sched_rr_get_interval int ptr
sched_rr_get_interval_time64 int ptr
sched_setaffinity int uint ptr
sched_setattr int ptr uint
sched_setparam int ptr
sched_setscheduler int sched ptr
sched_yield
seccomp seccomp num ptr
select int ptr ptr ptr ptr
select@x86 ptr
semctl int int semctl num
semget hex int ipc_flags
semop int ptr uint
semtimedop int ptr uint ptr
semtimedop_time64 int ptr uint ptr
send fd ptr size msg
sendfile fd fd ptr size
sendfile64 fd fd ptr size
sendmmsg fd ptr uint msg
sendmsg fd ptr msg
sendto fd ptr size msg ptr uint
set_mempolicy mempolicy ptr size
set_mempolicy_home_node ptr size size uint
set_robust_list ptr size
set_thread_area ptr
set_tid_address ptr
set_tls ptr
setdomainname ptr int
setfsgid int
setfsgid32 int
setfsuid int
setfsuid32 int
setgid int
setgid32 int
setgroups int ptr
setgroups32 int ptr
sethostname ptr int
setitimer itimer ptr ptr
setns fd namespaces
setpgid int int
setpriority priority int int
setregid int int
setregid32 int int
setresgid int int int
setresgid32 int int int
setresuid int int int
setresuid32 int int int
setreuid int int
setreuid32 int int
setrlimit rlimit ptr
setsid
setsockopt fd level num ptr uint
settimeofday ptr ptr
setuid int
setuid32 int
setxattr ptr ptr ptr size xattr
setxattrat dirfd ptr at ptr ptr size
sgetmask
shmat int ptr shmat
shmctl int shmctl ptr
shmdt ptr
shmget hex size shmget
shutdown fd shutdown
sigaction signal ptr ptr
sigaltstack ptr ptr
signal signal ptr
signalfd fd ptr size
signalfd4 fd ptr size sfd
sigpending ptr
sigprocmask sigmask ptr ptr
sigreturn
sigsuspend hex hex hex
socket domain sock num
socketcall socketcall ptr
socketpair domain sock num ptr
splice fd ptr fd ptr size splice
ssetmask hex
stat ptr ptr
stat64 ptr ptr
statfs ptr ptr
statfs64 ptr size ptr
statmount ptr ptr size uint
statx dirfd ptr at statx ptr
stime ptr
swapoff ptr
swapon ptr swapon
symlink ptr ptr
symlinkat ptr dirfd ptr
sync
sync_file_range fd long long sync_range
sync_file_range@x86 fd hex hex hex hex sync_range
syncfs fd
sysfs int num num
sysinfo ptr
syslog syslog ptr int
tee fd fd size splice
tgkill int int signal
time ptr
timer_create clock ptr ptr
timer_delete int
timer_getoverrun int
timer_gettime int ptr
timer_gettime64 int ptr
timer_settime int timer ptr ptr
timer_settime64 int timer ptr ptr
timerfd_create clock timerfd
timerfd_gettime fd ptr
timerfd_gettime64 fd ptr
timerfd_settime fd timerfd_set ptr ptr
timerfd_settime64 fd timerfd_set ptr ptr
times ptr
tkill int signal
truncate ptr long
truncate64@x86 ptr hex hex
truncate64@arm ptr hex hex hex
ugetrlimit rlimit ptr
umask mode
umount ptr
umount2 ptr umount
uname ptr
unlink ptr
unlinkat dirfd ptr unlinkat
unshare namespaces
uprobe
uretprobe
uselib ptr
userfaultfd userfaultfd
usr26
usr32
ustat uint ptr
utime ptr ptr
utimensat dirfd ptr ptr at
utimensat_time64 dirfd ptr ptr at
utimes ptr ptr
vfork
vhangup
vm86 num ptr
vm86old ptr
vmsplice fd ptr size splice
wait4 int ptr wait ptr
waitid idtype int ptr wait ptr
waitpid int ptr wait
write fd ptr size
writev fd ptr size
"""
"""A line is a name and its words; a name with "@" holds for one ABI, or for x86 and arm ("@32")."""

CHOICES = """
fcntl 1 F_DUPFD F_DUPFD_CLOEXEC F_DUPFD_QUERY : fd fcntl fd
fcntl 1 F_GETFD F_GETFL F_GETOWN F_GETSIG F_GETLEASE F_GETPIPE_SZ F_GET_SEALS F_CREATED_QUERY : fd fcntl
fcntl 1 F_SETFD : fd fcntl fd_flags
fcntl 1 F_SETFL : fd fcntl open
fcntl 1 F_SETOWN : fd fcntl int
fcntl 1 F_SETSIG : fd fcntl signal
fcntl 1 F_SETLEASE : fd fcntl lease
fcntl 1 F_ADD_SEALS : fd fcntl seals
fcntl 1 F_SETPIPE_SZ : fd fcntl uint
fcntl64 = fcntl
getsockopt 1 SOL_SOCKET : fd level so ptr ptr
getsockopt 1 IPPROTO_TCP : fd level tcp ptr ptr
getsockopt 1 IPPROTO_IP : fd level ip ptr ptr
getsockopt 1 IPPROTO_IPV6 : fd level ipv6 ptr ptr
setsockopt 1 SOL_SOCKET : fd level so ptr uint
setsockopt 1 IPPROTO_TCP : fd level tcp ptr uint
setsockopt 1 IPPROTO_IP : fd level ip ptr uint
setsockopt 1 IPPROTO_IPV6 : fd level ipv6 ptr uint
prctl 0 PR_SET_PDEATHSIG : prctl signal num num num
prctl 0 PR_CAPBSET_READ PR_CAPBSET_DROP : prctl capability num num num
prctl 0 PR_CAP_AMBIENT : prctl ambient capability num num
prctl 0 PR_SET_SECCOMP : prctl seccomp_mode ptr num num
seccomp 0 SECCOMP_SET_MODE_FILTER : seccomp seccomp_flags ptr
socket 0 AF_INET AF_INET6 : domain sock ipproto
socket 0 AF_NETLINK : domain sock netlink
keyctl 0 KEYCTL_GET_KEYRING_ID KEYCTL_REVOKE KEYCTL_DESCRIBE KEYCTL_CLEAR KEYCTL_READ : keyctl key_spec num num num
"""
"""What one argument makes of the others: name, index, the constants it is one of, ":" and the words then."""

WIDE = frozenset(
    "size long ptr hex num prot map mremap mount namespaces mempolicy mpol_get mpol_move kexec kexec_file perf".split()
)
"""The words of arguments that are as wide as the ABI's registers; of the others the kernel reads 32 bits."""
