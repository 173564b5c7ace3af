/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The few kernel types the recorder reads, relocated by CO-RE when it is loaded; no vmlinux.h. */
#ifndef SECLUDE_KERNEL_H
#define SECLUDE_KERNEL_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u16 __sum16;

/* include/uapi/linux/bpf.h */
enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6, BPF_MAP_TYPE_TASK_STORAGE = 29 };
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum bpf_func_id { BPF_FUNC_loop = 181 };
enum { BPF_F_NO_PREALLOC = 1, BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };

#define SECCOMP_MODE_FILTER 2
#define SECCOMP_MODE_DEAD 3	/* kernel/seccomp.c: a filter has killed the task */

#define RELOCATED __attribute__((preserve_access_index))

struct ns_common { unsigned int inum; } RELOCATED;
struct mnt_namespace { struct ns_common ns; } RELOCATED;
struct nsproxy { struct mnt_namespace *mnt_ns; } RELOCATED;
struct task_struct;
struct pid_namespace {
	struct ns_common ns;
	struct task_struct *child_reaper;
	struct pid_namespace *parent;
} RELOCATED;
struct upid { int nr; struct pid_namespace *ns; } RELOCATED;
struct pid { unsigned int level; struct upid numbers[1]; } RELOCATED;
typedef struct { int counter; } atomic_t;
struct sock_filter;
struct sock_fprog_kern { __u16 len; struct sock_filter *filter; } RELOCATED;
struct bpf_prog { struct sock_fprog_kern *orig_prog; } RELOCATED;
struct action_cache { unsigned long allow_native[8]; } RELOCATED;
struct seccomp_filter { struct action_cache cache; struct seccomp_filter *prev; struct bpf_prog *prog; } RELOCATED;
struct seccomp { int mode; atomic_t filter_count; struct seccomp_filter *filter; } RELOCATED;
struct inode { unsigned long i_ino; } RELOCATED;
struct qstr { const unsigned char *name; } RELOCATED;
struct dentry { struct dentry *d_parent; struct qstr d_name; } RELOCATED;
struct path { struct dentry *dentry; } RELOCATED;
struct file { struct path f_path; struct inode *f_inode; } RELOCATED;
struct vm_area_struct { unsigned long vm_start; unsigned long vm_pgoff; struct file *vm_file; } RELOCATED;
struct kernfs_node { const char *name; } RELOCATED;
struct cgroup;
struct cgroup_subsys_state { struct cgroup *cgroup; struct cgroup_subsys_state *parent; } RELOCATED;
struct cgroup { struct cgroup_subsys_state self; struct kernfs_node *kn; } RELOCATED;
struct css_set { struct cgroup_subsys_state *subsys[1]; struct cgroup *dfl_cgrp; } RELOCATED;
enum cgroup_subsys_id { pids_cgrp_id = 1 };
struct mm_struct { struct file *exe_file; } RELOCATED;
struct bpf_local_storage;
struct thread_info { unsigned long flags; __u32 status; } RELOCATED;
struct signal_struct { atomic_t live; } RELOCATED;
struct list_head { struct list_head *next; } RELOCATED;
struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; } RELOCATED;
struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct list_head children;
	struct list_head sibling;
	struct css_set *cgroups;
	struct mm_struct *mm;
	unsigned int ptrace;
	__u64 start_time;
	__u64 start_boottime;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct seccomp seccomp;
	struct pid *thread_pid;
	struct bpf_local_storage *bpf_storage;
} RELOCATED;
struct linux_binprm { const char *filename; } RELOCATED;

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long bx, cx, dx, si, di, bp, r8, r9, r10, orig_ax, ip, sp;
} RELOCATED;
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs { __u64 regs[31]; __u64 sp; __u64 pc; __u64 pstate; __u64 orig_x0; __s32 syscallno; } RELOCATED;
#else
#error "the recorder knows x86_64 and aarch64"
#endif

#endif
