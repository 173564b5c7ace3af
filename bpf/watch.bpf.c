// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Sees the calls that seccomp refuses or logs, of recorded processes and of those that a scope names.
//
// At a call's exit the task's filters are run once more on what the call was made with. So no call need be followed
// from its enter to its exit, and the kernel's own cache of what is always allowed spares most calls even that.
#include <stdbool.h>
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "recorder.h"
#include "maps.h"
#include "contexts.h"
#include "abi.h"
#include "watch.h"
#include "verdict.h"

#define SIGSTOP 19
#define BPF_F_USER_STACK (1ull << 8)
/* The kernel's table of allowed calls says nothing of numbers beyond its calls, whose bits are set up to the end of a
 * word (bitmap_fill in seccomp_cache_prepare). It has had the table since Linux 5.11, whose calls end here.
 */
#define FIRST_UNSURE 442

/* The native calls that this CPU's last filtered task may always make. */
struct allowed {
	__u64 filter;
	__u64 task;
	__u64 start;		/* of the task: as long as it lives its filter is not given up, and so means the same */
	__u64 calls[8];
};

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct watch_config); } watch_config SEC(".maps");
HASH(scopes, struct scope, __u32, MAX_SCOPES);
HASH(denials, struct denial_key, struct denial, MAX_DENIALS);
HASH(merged, struct denial_key, struct denial, MAX_MERGED);
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } lost_denials SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct allowed); } allowed SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct machine); } machines SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct denial); } drafts SEC(".maps");
/* A struct of this size cannot be zeroed otherwise. */
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct denial); } blanks SEC(".maps");
/* Threads whose death by seccomp has been noted at their call's exit. */
struct { __uint(type, BPF_MAP_TYPE_TASK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, __u32); } dying SEC(".maps");

/* linux/audit.h */
static __always_inline __u32 audit_arch(__u32 abi)
{
	return abi == ABI_X86 ? 0x40000003 : abi == ABI_AARCH64 ? 0xc00000b7 : abi == ABI_ARM ? 0x40000028 : 0xc000003e;
}

/* Loops are calls of bpf_loop where they can be: the verifier would follow each turn of any other. */
struct climb {
	struct task_struct *task;
	__u32 ancestor;
	__u32 found;
};

static long climb_up(__u32 index, struct climb *climb)
{
	struct task_struct *task = climb->task;
	__u32 tgid = BPF_CORE_READ(task, tgid);

	climb->found = tgid == climb->ancestor;
	climb->task = BPF_CORE_READ(task, real_parent);
	return climb->found || tgid <= 1;
}

static __always_inline bool is_descendant(struct task_struct *task, __u32 ancestor)
{
	struct climb climb = { .task = task, .ancestor = ancestor };

	bpf_loop(64, climb_up, &climb, 0);
	return climb.found;
}

static __always_inline __u32 mnt_of(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
}

/* The innermost pid namespace of a task. */
static __always_inline struct pid_namespace *pid_namespace_of(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);

	if (!pid || level > 32)
		return 0;
	return BPF_CORE_READ((struct upid *)((void *)pid + bpf_core_field_offset(pid->numbers) +
					     level * bpf_core_type_size(struct upid)), ns);
}

/* Whether somebody wants to know of a task's denials, and under which target and context. */
static __noinline bool is_watched(struct task_struct *task, struct denial_key *key)
{
	struct watch_config *config;
	struct pid_namespace *ns;
	struct mark *mark;
	struct scope scope = {};
	__u32 zero = 0;
	int i;

	if (!task || !key)
		return false;
	mark = mark_of(bpf_get_current_task_btf());
	if (mark && mark->flags & FLAG_WATCH) {
		key->target = mark->target;
		key->context = mark->context;
		return true;
	}
	config = bpf_map_lookup_elem(&watch_config, &zero);
	if (!config)
		return false;
	if (config->all)
		return true;
	if (config->ancestor && is_descendant(task, config->ancestor))
		return true;
	scope.kind = SCOPE_MNT;
	scope.inum = mnt_of(task);
	if (bpf_map_lookup_elem(&scopes, &scope))
		return true;
	scope.kind = SCOPE_PID;
	ns = pid_namespace_of(task);
	for (i = 0; i < 8 && ns; i++) {
		scope.inum = BPF_CORE_READ(ns, ns.inum);
		if (bpf_map_lookup_elem(&scopes, &scope))
			return true;
		ns = BPF_CORE_READ(ns, parent);
	}
	return false;
}

struct search {
	struct denial *draft;
	__u32 index;
};

/* Says in which mapped file an address lies. */
static long found(struct task_struct *task, struct vm_area_struct *vma, struct search *search)
{
	struct denial *draft = search->draft;
	__u32 index = search->index, i, used;
	struct place *place;
	struct file *file;
	__u64 inode;

	if (!draft)
		return 0;
	file = vma->vm_file;
	if (!file)
		return 0;
	place = &draft->places[index & (FRAMES - 1)];
	place->offset = place->address - vma->vm_start + (vma->vm_pgoff << 12);
	inode = BPF_CORE_READ(file, f_inode, i_ino);
	used = draft->modules_used;
	for (i = 0; i < MODULES; i++) {
		if (i >= used) {
			draft->modules[i].inode = inode;
			bpf_probe_read_kernel_str(draft->modules[i].name, MODULE_BYTES,
						  BPF_CORE_READ(file, f_path.dentry, d_name.name));
			draft->modules_used = i + 1;
			place->module = i + 1;
			return 0;
		}
		if (draft->modules[i].inode == inode) {
			place->module = i + 1;
			return 0;
		}
	}
	return 0;
}

static long locate(__u32 index, struct search *search)
{
	struct denial *draft = search->draft;

	if (!draft)
		return 1;
	search->index = index;
	bpf_find_vma((struct task_struct *)bpf_get_current_task_btf(), draft->places[index & (FRAMES - 1)].address, found,
		     search, 0);
	return 0;
}

/* The addresses: where the call was made, what may be its caller's, and those that frame pointers lead to. */
static __always_inline void unwind(void *context, struct denial *draft, __u64 ip, __u64 sp,
				   bool walk)
{
	struct search search = { .draft = draft };
	__u64 stack[FRAMES - 1] = {};
	__u32 used = 1, i;

	draft->places[0].address = ip;
	if (!bpf_probe_read_user(&draft->places[1].address, draft->compat ? 4 : 8, (void *)sp)) {
		draft->places[1].guess = 1;
		used = 2;
	}
	/* Its first entry is the instruction pointer again. */
	if (walk && bpf_get_stack(context, stack, sizeof(stack), BPF_F_USER_STACK) > 8) {
		for (i = 1; i < FRAMES - 1; i++) {
			if (!stack[i])
				break;
			draft->places[i + 1].address = stack[i];
			used = i + 2;
		}
	}
	draft->places_used = used;
	bpf_loop(used, locate, &search, 0);
}

struct walk {
	struct dentry *dentry;
	struct denial *draft;
};

static long read_part(__u32 index, struct walk *walk)
{
	struct dentry *dentry = walk->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
	struct denial *draft = walk->draft;

	if (!draft || !dentry || parent == dentry)
		return 1;
	if (index >= PATH_PARTS) {
		draft->parts_used = PATH_PARTS + 1;	/* there is more */
		return 1;
	}
	bpf_probe_read_kernel_str(draft->path[index], PART_BYTES, BPF_CORE_READ(dentry, d_name.name));
	draft->parts_used = index + 1;
	walk->dentry = parent;
	return 0;
}

/* The last parts of the path of what the process executes. */
static __always_inline void read_path(struct task_struct *task, struct denial *draft)
{
	struct walk walk = { .dentry = BPF_CORE_READ(task, mm, exe_file, f_path.dentry), .draft = draft };

	bpf_loop(PATH_PARTS + 1, read_part, &walk, 0);
}

/* The names of the control group that tells the container: of version 2, or of the pids controller of version 1. */
static __always_inline void read_cgroup(struct task_struct *task, struct denial *draft)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup *group = BPF_CORE_READ(set, dfl_cgrp);
	struct cgroup_subsys_state *state, *above = BPF_CORE_READ(group, self.parent);

	if (!above && bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id)) {
		__u64 index = bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id);

		if (bpf_probe_read_kernel(&state, sizeof(state),
					  (void *)set + bpf_core_field_offset(set->subsys) + 8 * index))
			return;
		group = BPF_CORE_READ(state, cgroup);
		above = BPF_CORE_READ(group, self.parent);
	}
	bpf_probe_read_kernel_str(draft->cgroup[0], CGROUP_BYTES, BPF_CORE_READ(group, kn, name));
	bpf_probe_read_kernel_str(draft->cgroup[1], CGROUP_BYTES, BPF_CORE_READ(above, cgroup, kn, name));
}

static __always_inline void add(struct denial *known)
{
	__sync_fetch_and_add(&known->count, 1);
	known->last = bpf_ktime_get_boot_ns();
}

/* Notes one more denial of a watched task. `walk`: its stack can be walked from here. */
static __always_inline void note(void *context, struct task_struct *task, struct pt_regs *regs, struct denial_key *key,
				 bool walk)
{
	struct watch_config *config;
	struct pid_namespace *ns;
	struct denial *known, *draft, *blank;
	struct target *target;
	__u64 *lost;
	__u32 zero = 0, word;

	key->tgid = task->tgid;
	known = bpf_map_lookup_elem(&denials, key);
	if (known) {
		add(known);
		return;
	}
	if (key->target) {
		target = bpf_map_lookup_elem(&targets, &key->target);
		if (!target)
			return;	/* the recording has ended, the process has not */
		word = key->number / 64;
		if (key->abi < ABIS && word < WORDS && !(key->action << 16 == RET_LOG || key->action << 16 == RET_ALLOW))
			__sync_fetch_and_or(&target->calls[PHASE_DENIED][key->abi][word], 1ull << (key->number % 64));
	}
	draft = bpf_map_lookup_elem(&drafts, &zero);
	config = bpf_map_lookup_elem(&watch_config, &zero);
	blank = bpf_map_lookup_elem(&blanks, &zero);
	if (!draft || !blank || !config)
		return;
	bpf_probe_read_kernel(draft, sizeof(*draft), blank);
	draft->count = 1;
	draft->first = draft->last = bpf_ktime_get_boot_ns();
	draft->started = task->group_leader->start_boottime;
	arguments_of(regs, key->abi, draft->arguments);
	draft->tid = task->pid;
	draft->mnt = mnt_of(task);
	ns = pid_namespace_of(task);
	draft->pid = BPF_CORE_READ(ns, ns.inum);
	draft->compat = key->abi == ABI_X86 || key->abi == ABI_ARM;
	bpf_get_current_comm(draft->comm, sizeof(draft->comm));
	read_cgroup(task, draft);
	read_path(task, draft);
	unwind(context, draft, instruction_of(regs), stack_of(regs), walk);
	if (walk && task->seccomp.mode != SECCOMP_MODE_DEAD && config->pause_until > draft->first && !task->ptrace)
		draft->paused = 1;
	if (!bpf_map_update_elem(&denials, key, draft, BPF_NOEXIST)) {
		/* To the thread: of two that are sent to the process before it stops, the second is dropped, and its
		 * thread would go on until the first has stopped it.
		 */
		if (draft->paused)
			bpf_send_signal_thread(SIGSTOP);
		return;
	}
	draft->paused = 0;
	known = bpf_map_lookup_elem(&denials, key);
	if (known) {	/* another thread of the process was first */
		add(known);
		return;
	}
	key->tgid = 0;
	known = bpf_map_lookup_elem(&merged, key);
	if (known) {
		add(known);
		return;
	}
	if (bpf_map_update_elem(&merged, key, draft, BPF_NOEXIST)) {
		lost = bpf_map_lookup_elem(&lost_denials, &zero);
		if (lost)
			__sync_fetch_and_add(lost, 1);
	}
}

/* Whether the call ended as it does after this answer; not so if the filter came only while the call was under way. */
static __always_inline bool fits(__u32 verdict, __u32 number, __s32 result, bool dead)
{
	__u32 data = verdict & RET_DATA;

	switch (verdict & RET_ACTION_FULL) {
	case RET_ERRNO: return result == -(__s32)(data > MAX_ERRNO ? MAX_ERRNO : data);
	case RET_TRACE: return result == -38;	/* ENOSYS: without a tracer; what a tracer does is not the filter's */
	case RET_TRAP: return result == (__s32)number;	/* syscall_rollback */
	case RET_LOG: return true;
	default: return dead;
	}
}

/* A marker that the filter refuses: the recorder cannot see it, but it counts all the same. */
static __noinline int enter_refused(__s64 result, const void *text)
{
	struct mark *mark = mark_of(bpf_get_current_task_btf());
	struct target *target;

	if (!mark || result == -22)	/* EINVAL is the kernel's own answer: it was not refused */
		return 0;
	target = bpf_map_lookup_elem(&targets, &mark->target);
	if (target)
		enter_context(mark, target, text);
	return 0;
}

/* What the task's filters answer to the call that it is leaving, in machine->verdict; false where they cannot be run. */
static __always_inline bool ask(struct machine *machine, struct task_struct *task, struct pt_regs *regs, __u32 abi,
				__u32 number, const __u64 *arguments)
{
	__u64 ip = instruction_of(regs);
	int i;

	machine->data[0] = number;
	machine->data[1] = audit_arch(abi);
	machine->data[2] = ip;
	machine->data[3] = ip >> 32;
	for (i = 0; i < 6; i++) {
		machine->data[4 + 2 * i] = arguments[i];
		machine->data[5 + 2 * i] = arguments[i] >> 32;
	}
	return judge(machine, task->seccomp.filter);
}

/* A call that the cache does not know to be allowed. */
static __noinline int leave_slowly(__u64 *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)context[0];
	__u32 number = number_at_exit(regs), abi = abi_of(is_compat(task), number), zero = 0, yes = 1;
	bool dead = task->seccomp.mode == SECCOMP_MODE_DEAD;
	struct denial_key key = {};
	struct machine *machine;
	__u64 arguments[6];

	if (!is_watched(task, &key))
		return 0;
	machine = bpf_map_lookup_elem(&machines, &zero);
	if (!machine)
		return 0;
	arguments_of(regs, abi, arguments);
	key.number = slot_of(abi, number);
	if (is_prctl(abi, key.number) && arguments[0] == SECLUDE_MARK) {
		enter_refused(context[1], (const void *)arguments[1]);
		return 0;
	}
	if (!ask(machine, task, regs, abi, number, arguments)) {
		__u64 *lost = bpf_map_lookup_elem(&lost_denials, &zero);

		if (lost)
			__sync_fetch_and_add(lost, 1);
		return 0;
	}
	if ((machine->verdict & RET_ACTION_FULL) == RET_ALLOW ||
	    !fits(machine->verdict, number, (__s32)context[1], dead))
		return 0;
	/* One thread that is killed leaves without an exit of its call, the last one with it. */
	if (dead)
		bpf_task_storage_get(&dying, task, &yes, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (key.number >= 64 * WORDS)
		key.number = OTHER_NUMBER;
	key.abi = abi;
	key.action = machine->verdict >> 16;
	key.data = machine->verdict & RET_DATA;
	note(context, task, regs, &key, true);
	return 0;
}

SEC("tp_btf/sys_exit")
int on_exit(__u64 *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)context[0];
	struct seccomp_filter *filter;
	__u32 number, zero = 0, size;
	struct allowed *known;

	if (task->seccomp.mode < SECCOMP_MODE_FILTER)
		return 0;
	number = number_at_exit(regs);
	if (number == (__u32)-1)
		return 0;	/* rt_sigreturn, or a number that a tracer took away */
	filter = task->seccomp.filter;
	known = bpf_map_lookup_elem(&allowed, &zero);
	if (!known || !filter)
		return 0;
	if (known->filter != (__u64)filter || known->task != (__u64)task || known->start != task->start_time) {
		known->filter = (__u64)filter;
		known->task = (__u64)task;
		known->start = task->start_time;
		__builtin_memset(known->calls, 0, sizeof(known->calls));
		/* Since 8e01b51a31a1 (Linux 5.11), as long as the table of calls. */
		if (bpf_core_field_exists(filter->cache)) {
			size = bpf_core_field_size(filter->cache.allow_native);
			bpf_probe_read_kernel(known->calls, size > 64 ? 64 : size, &filter->cache.allow_native);
		}
	}
	if (number < FIRST_UNSURE && known->calls[(number / 64) & 7] & (1ull << (number % 64)) && !is_compat(task))
		return 0;
	return leave_slowly(context);
}

/* Attached where a target asks for stacks: the first time of each call that was made, by process and context. */
SEC("tp_btf/sys_exit")
int on_first(__u64 *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)context[0];
	struct denial_key key = { .action = RET_ALLOW >> 16 };
	struct mark *mark = mark_of(task);
	__u32 number, zero = 0;
	struct machine *machine;
	__u64 arguments[6];

	if (!mark || (mark->flags & (FLAG_STACKS | FLAG_APP)) != (FLAG_STACKS | FLAG_APP))
		return 0;
	number = number_at_exit(regs);
	if (number == (__u32)-1)
		return 0;
	key.target = mark->target;
	key.context = mark->context;
	key.tgid = task->tgid;
	key.abi = abi_of(is_compat(task), number);
	key.number = slot_of(key.abi, number);
	/* After exec the stack is another program's. */
	if (key.number >= 64 * WORDS || is_exec(key.abi, key.number) || bpf_map_lookup_elem(&denials, &key))
		return 0;
	arguments_of(regs, key.abi, arguments);
	if (is_prctl(key.abi, key.number) && arguments[0] == SECLUDE_MARK)
		return 0;
	if (task->seccomp.mode >= SECCOMP_MODE_FILTER) {
		machine = bpf_map_lookup_elem(&machines, &zero);
		if (!machine || !ask(machine, task, regs, key.abi, number, arguments) ||
		    (machine->verdict & RET_ACTION_FULL) != RET_ALLOW)
			return 0;	/* refused or logged: on_exit has it */
	}
	note(context, task, regs, &key, true);
	return 0;
}

/* Of several threads one that is killed ends at once (__seccomp_filter), without its call's exit or its filter. */
SEC("tp_btf/sched_process_exit")
int on_death(__u64 *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct denial_key key = {};
	struct pt_regs *regs;

	if (task->seccomp.mode != SECCOMP_MODE_DEAD || bpf_task_storage_get(&dying, task, 0, 0) ||
	    !is_watched(task, &key))
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	key.number = number_at_exit(regs);
	key.abi = abi_of(is_compat(task), key.number);
	key.number = slot_of(key.abi, key.number);
	if (key.number >= 64 * WORDS)
		key.number = OTHER_NUMBER;
	key.action = RET_KILL_THREAD >> 16;
	note(context, task, regs, &key, false);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
