// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Knows who belongs to a tree of processes that runs already, while user space marks them one by one.
//
// Attached for that time only, over the maps of a private recorder. Who belongs is told by its ancestors, so that a
// process which nobody has listed yet is recognised when it forks, and its child has a mark before it runs. Ancestors
// are lost only where one ends: who is left behind then is noted.
#include <stdbool.h>
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "recorder.h"
#include "maps.h"
#include "members.h"

#define MAX_LEVELS 4096		/* of ancestors */
#define MAX_CHILDREN 65536	/* of a thread that ends */
#define MAX_TURNS 200		/* of either loop before Linux 5.17: the verifier follows each of them */
#define MAX_ROOTS 65536

/* A process whose descendants belong to the target: one that is marked, or was left behind by one that belonged. */
struct root {
	__u64 start;		/* ns since boot: its number is given out again */
	__u64 file;		/* that it executes (its inode's address) ... */
	__u32 executable;	/* ... and the id of that file's name */
	__u32 outside;		/* it is seclude, whose descendants do not belong */
};

HASH(roots, __u32, struct root, MAX_ROOTS);

__u32 number_of_target;		/* 0 until the first process has been marked */

static __always_inline void lose(void)
{
	__u32 number = number_of_target;
	struct target *target = bpf_map_lookup_elem(&targets, &number);

	if (target)
		__sync_fetch_and_add(&target->lost_calls, 1);
}

/* Calls `step`(0, state), `step`(1, state), ... until one returns other than 0, or `most` times. */
#define REPEAT(most, step, state)						\
	do {									\
		if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {	\
			bpf_loop(most, step, state, 0);				\
		} else {							\
			int turn;						\
			for (turn = 0; turn < MAX_TURNS; turn++)		\
				if (step(turn, state))				\
					break;					\
		}								\
	} while (0)

static __always_inline __u64 file_of(struct task_struct *task)
{
	return (__u64)BPF_CORE_READ(task, mm, exe_file, f_inode);
}

struct climb {
	struct task_struct *task;
	struct root root;	/* that was found */
	bool found;
	bool done;
};

static long climb_up(__u32 index, struct climb *climb)
{
	/* The parent first: if that has changed by now, the task was noted before (on_leaving). */
	struct task_struct *task = climb->task, *parent = BPF_CORE_READ(task, real_parent);
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct root *root = bpf_map_lookup_elem(&roots, &tgid);

	if (root && root->start == BPF_CORE_READ(task, group_leader, start_boottime)) {
		climb->root = *root;
		climb->found = climb->done = true;
		return 1;
	}
	if (tgid <= 1) {
		climb->done = true;
		return 1;
	}
	climb->task = parent;
	return 0;
}

/* Whether an unmarked task belongs to the target, and then the id of what it executes, 0 if that is not known. */
static __noinline bool belongs(struct task_struct *task, __u32 *executable)
{
	struct climb climb = { .task = task };
	struct target *target;
	__u32 number;

	if (!number_of_target || !task || !executable)
		return false;
	*executable = 0;
	REPEAT(MAX_LEVELS, climb_up, &climb);
	if (climb.found) {
		if (climb.root.file == file_of(task))
			*executable = climb.root.executable;
		return !climb.root.outside;
	}
	if (!climb.done)
		lose();
	number = target_by_namespace(task);
	if (number != number_of_target)
		return false;
	target = bpf_map_lookup_elem(&targets, &number);
	return target && !target->ended;
}

/* The mark that user space would set (trace/adoption.py, adopt). */
static __noinline struct mark *adopt(struct task_struct *task, __u32 executable)
{
	struct task_struct *leader = task->group_leader;
	struct mark mark = { .set = SLOW_SET, .executable = executable }, *created;
	__u32 number = number_of_target, filters = filters_of(leader);
	struct target *target = bpf_map_lookup_elem(&targets, &number);

	if (!target)
		return 0;
	mark.target = number;
	mark.flags = target->flags;
	mark.base_filters = target->base_filters;
	if (!(target->flags & FLAG_UNCONFINED) && filters <= target->base_filters) {
		mark.base_filters = filters;	/* on its way in: its calls are the runtime's up to its exec */
	} else {
		mark.flags |= FLAG_APP;
		if (target->set)
			mark.set = target->set;
	}
	created = bpf_task_storage_get(&marks, leader, &mark, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!created)
		created = bpf_task_storage_get(&marks, leader, 0, 0);	/* somebody else was first */
	if (!created)
		lose();
	return created;
}

SEC("tp_btf/sched_process_fork")
int on_birth(__u64 *context)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct task_struct *child = (struct task_struct *)context[1];
	struct mark *mark = mark_of(parent), *created;
	__u32 executable;

	if (!mark && belongs(parent, &executable))
		mark = adopt(parent, executable);
	if (!mark || child->tgid != child->pid)
		return 0;
	/* The recorder has done so, unless the parent got its mark since. */
	created = bpf_task_storage_get(&marks, child, mark, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!created)
		created = bpf_task_storage_get(&marks, child, 0, 0);
	if (created)
		created->flags &= ~FLAG_INIT;
	else
		lose();
	return 0;
}

struct family {
	struct task_struct *parent;
	struct list_head *place;	/* in the list of its children */
	__u64 file;			/* that it executes */
	__u32 executable;
};

static long note_child(__u32 index, struct family *family)
{
	struct task_struct *parent = family->parent, *child;
	struct list_head *place = family->place, *next;
	struct root root = {};
	__u32 tgid;

	if (place == (void *)parent + bpf_core_field_offset(parent->children))
		return 1;
	child = (void *)place - bpf_core_field_offset(parent->sibling);
	tgid = BPF_CORE_READ(child, tgid);
	root.start = BPF_CORE_READ(child, start_boottime);
	root.file = file_of(child);
	root.executable = root.file == family->file ? family->executable : 0;
	if (bpf_map_update_elem(&roots, &tgid, &root, BPF_ANY))
		lose();
	next = BPF_CORE_READ(place, next);
	/* Another thread has waited for it meanwhile, and taken it off the list: begin again. */
	family->place = next == place ? BPF_CORE_READ(parent, children.next) : next;
	return 0;
}

/* Notes the children of a thread that ends, which are about to get another parent (forget_original_parent). Of each
 * thread: the children of one may be given to another that ends as well, and is past this already.
 */
SEC("tp_btf/sched_process_exit")
int on_leaving(__u64 *context)
{
	struct task_struct *task = (struct task_struct *)context[0];
	struct family family = { .parent = task, .place = BPF_CORE_READ(task, children.next) };
	void *head = (void *)task + bpf_core_field_offset(task->children);
	struct mark *mark = mark_of(task);

	if (family.place == head)
		return 0;
	if (mark)
		family.executable = mark->executable;
	else if (!belongs(task, &family.executable))
		return 0;
	family.file = file_of(task);
	REPEAT(MAX_CHILDREN, note_child, &family);
	if (family.place != head)
		lose();
	return 0;
}

/* Notes all who are marked, and tells their numbers. */
SEC("iter/task")
int take_roots(__u64 *context)
{
	struct bpf_iter_meta *meta = (struct bpf_iter_meta *)context[0];
	struct task_struct *task = (struct task_struct *)context[1];
	struct root root = {};
	struct mark *mark;
	__u32 tgid;

	if (!task || task->pid != task->tgid)
		return 0;
	tgid = task->tgid;
	mark = bpf_task_storage_get(&marks, task, 0, 0);
	root.outside = tgid == (__u32)(bpf_get_current_pid_tgid() >> 32);
	if (!mark && !root.outside)
		return 0;
	root.start = task->start_boottime;
	if (mark) {
		root.file = file_of(task);
		root.executable = mark->executable;
		number_of_target = mark->target;
	}
	if (bpf_map_update_elem(&roots, &tgid, &root, BPF_ANY))
		lose();
	if (mark)
		bpf_seq_write(meta->seq, &tgid, sizeof(tgid));
	return 0;
}

/* Marks all who belong and have no mark yet. */
SEC("iter/task")
int mark_the_rest(__u64 *context)
{
	struct task_struct *task = (struct task_struct *)context[1];
	__u32 executable;

	if (!task || task->pid != task->tgid || bpf_task_storage_get(&marks, task, 0, 0))
		return 0;
	if (belongs(task, &executable))
		adopt(task, executable);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
