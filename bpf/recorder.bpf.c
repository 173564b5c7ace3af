// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// Records which system calls the marked process trees make, into maps that nobody needs to drain.
//
// Membership is a mark in the task storage of the thread-group leader, inherited at fork. A call counts once its
// thread has more seccomp filters than its target began with: exactly then a filter would be asked about it.
#include <stdbool.h>
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "recorder.h"
#include "maps.h"
#include "contexts.h"
#include "abi.h"
#include "members.h"

HASH(facts, struct fact_key, struct fact, MAX_FACTS);
HASH(argument_masks, struct argument_call, struct argument_mask, 4 * MAX_TARGETS);
HASH(argument_values, struct argument_key, __u32, MAX_ARGUMENTS);

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, MAX_SETS); __type(key, __u32); __type(value, struct set); } sets SEC(".maps");

static __always_inline void keep_arguments(struct target *target, __u32 id, __u32 abi, __u32 number,
					   const __u64 *arguments, struct argument_mask *mask)
{
	struct argument_key key = { .target = id, .number = number, .abi = abi };
	__u32 one = 1;
	int i;

#pragma unroll
	for (i = 0; i < 6; i++)	/* without branches: the verifier would follow each of 64 ways */
		key.values[i] = arguments[i] & -(__u64)(mask->mask >> i & 1);
	if (mask->overflowed || bpf_map_lookup_elem(&argument_values, &key))
		return;
	if (!take(&target->arguments, TARGET_ARGUMENTS) ||
	    bpf_map_update_elem(&argument_values, &key, &one, BPF_ANY))
		mask->overflowed = 1;
}

/* Adds the call to its target's set and keeps the facts of its first time. True: no need to come here for it again. */
static __always_inline bool keep(struct task_struct *task, struct mark *mark, struct target *target, __u32 context,
				 __u32 abi, __u32 phase, __u32 slot, const __u64 *arguments)
{
	struct fact_key key = { .target = mark->target, .context = context, .number = slot };
	struct argument_call call = { .target = mark->target, .number = slot, .abi = abi };
	struct argument_mask *mask = 0;
	struct fact *known, fact = {};
	bool done = !(mark->flags & FLAG_COUNTS);
	__u32 word = slot / 64;

	key.abi = abi;
	key.phase = phase;
	barrier_var(phase);
	barrier_var(abi);
	if (phase >= PHASES || abi >= ABIS)
		return false;
	barrier_var(word);
	if (word < WORDS) {
		__u64 bit = 1ull << (slot % 64);

		if (!(target->calls[phase][abi][word] & bit))
			__sync_fetch_and_or(&target->calls[phase][abi][word], bit);
	}
	if (target->flags & FLAG_ARGUMENTS) {
		mask = bpf_map_lookup_elem(&argument_masks, &call);
		if (mask) {
			keep_arguments(target, mark->target, abi, slot, arguments, mask);
			done = false;
		}
	}
	known = bpf_map_lookup_elem(&facts, &key);
	if (known) {
		if (!done)
			__sync_fetch_and_add(&known->count, 1);
		return done;
	}
	if (word >= WORDS && !take(&target->numbers, TARGET_NUMBERS))
		goto lost;
	if (!take(&target->facts, TARGET_FACTS))
		goto lost;
	fact.time = bpf_ktime_get_boot_ns() - target->started;
	fact.count = 1;
	__builtin_memcpy(fact.arguments, arguments, sizeof(fact.arguments));
	fact.tgid = task->tgid;
	fact.tid = task->pid;
	fact.executable = mark->executable;
	bpf_get_current_comm(fact.comm, sizeof(fact.comm));
	if (!bpf_map_update_elem(&facts, &key, &fact, BPF_NOEXIST))
		return done;
	__sync_fetch_and_add(&target->facts, -1);
	if (bpf_map_lookup_elem(&facts, &key))
		return done;	/* another CPU was first */
lost:
	__sync_fetch_and_add(&target->lost_facts, 1);
	return done;
}

/* Marks the current task, which came in from outside. `filters`: those it began with. */
static __noinline struct mark *join(struct task_struct *task, bool at_exec)
{
	struct mark mark = { .set = SLOW_SET };
	struct mark *created;
	struct target *target;

	mark.target = target_by_namespace(task);
	if (!mark.target)
		return 0;
	target = bpf_map_lookup_elem(&targets, &mark.target);
	/* A namespace's number is given out again once it is gone, at times before the recording has been written. */
	if (!target || target->ended)
		return 0;
	/* Where no filter is loaded the application begins at the exec; runc asks what seccomp(2) can do all the same. */
	if (!at_exec && target->flags & FLAG_UNCONFINED)
		return 0;
	mark.flags = target->flags;
	/* A runtime that is about to load its filter has the filters it began with; after its exec we must ask
	 * the target, whose runtime began under the same ones.
	 */
	mark.base_filters = at_exec ? target->base_filters : filters_of(task);
	created = bpf_task_storage_get(&marks, task->group_leader, &mark, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!created) {
		__sync_fetch_and_add(&target->lost_calls, 1);
		return 0;
	}
	look_again();
	return created;
}

/* The same value, of which the verifier no longer knows anything: it would follow each combination to the end. */
static __always_inline __u32 forget(__u32 value, __u32 *place)
{
	*(volatile __u32 *)place = value;
	return *(volatile __u32 *)place;
}

/* A call that is not known to be recorded. */
static __noinline int enter_slowly(__u64 *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)context[0];
	__u32 number = context[1], abi, slot, phase = PHASE_APP, index, zero = 0;
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	struct mark *mark = mark_of(task);
	__u64 arguments[6], where;
	struct target *target;
	struct set *set;
	bool exec;

	if (!mark || !cpu)
		return 0;
	target = bpf_map_lookup_elem(&targets, &mark->target);
	if (!target)
		return 0;	/* the recording has ended, the process has not */
	abi = abi_of(is_compat(task), number);
	slot = slot_of(abi, number);
	exec = is_exec(abi, slot);
	if (exec && task->pid != task->tgid)
		/* The thread will become the leader (de_thread) and must find the mark on itself. */
		if (!bpf_task_storage_get(&marks, task, mark, BPF_LOCAL_STORAGE_GET_F_CREATE))
			__sync_fetch_and_add(&target->lost_calls, 1);
	if (!(mark->flags & FLAG_APP)) {
		phase = PHASE_RUNTIME;
		if (mark->flags & FLAG_UNCONFINED) {
			/* Only the entrypoint's exec would meet the filter. */
			if (!exec || !(mark->flags & FLAG_INIT))
				return 0;
		} else if (filters_of(task) <= mark->base_filters) {
			return 0;
		}
	}
	abi = forget(abi, &cpu->abi);
	slot = forget(slot, &cpu->slot);
	phase = forget(phase, &cpu->phase);
	exec = forget(exec, &cpu->exec);
	arguments_of(regs, abi, arguments);
	if (is_prctl(abi, slot) && arguments[0] == SECLUDE_MARK) {
		enter_context(mark, target, (const void *)arguments[1]);
		return 0;
	}
	where = *(volatile __u64 *)&mark->context;
	if (!keep(task, mark, target, (__u32)where, abi, phase, slot, arguments))
		return 0;
	index = where >> 32;
	/* exec and prctl must always come here; the runtime's calls say nothing of the application's. */
	if (index <= SLOW_SET || exec || is_prctl(abi, slot) || abi == ABI_X32 || slot >= 512)
		return 0;
	set = bpf_map_lookup_elem(&sets, &index);
	if (set) {
		__u32 word = (slot / 64) & 7;

		barrier_var(word);
		__sync_fetch_and_or(abi == ABI_NATIVE ? &set->native[word & 7] : &set->compat[word & 7],
				    1ull << (slot % 64));
	}
	return 0;
}

/* A seccomp(2) call of an unmarked task: a runtime about to confine a process that it adds to a container? */
static __noinline int enter_unmarked(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!is_compat(task) && !mark_of(task))
		join(task, false);
	return 0;
}

/* The bit of a call whose ABI the registers do not tell. */
static __noinline __u64 known_exactly(struct set *set, __u32 number)
{
	__u64 *words;

	if (!set)
		return 0;
	words = is_compat((struct task_struct *)bpf_get_current_task_btf()) ? set->compat : set->native;
	return words[(number / 64) & 7] & (1ull << (number % 64));
}

/* Another thread than that of the last call on this CPU: find out what it is. */
static __noinline int meet(struct cpu *cpu, __u64 registers, __u32 generation)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mark *mark = mark_of(task);

	if (!cpu)
		return 0;
	cpu->registers = registers;
	cpu->generation = generation;
	cpu->set = NO_SET;
	if (!mark)
		return 0;
	cpu->set = mark->set;
	return 0;
}

/* No helper is called on the way of a call that is known: each costs some 20 ns where returns are guarded (SRSO). */
SEC("tp_btf/sys_enter")
int on_enter(__u64 *context)
{
	__u32 zero = 0, number = context[1];
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	struct meta *now = bpf_map_lookup_elem(&meta, &zero);
	struct set *set;

	if (!cpu || !now)
		return 0;
	if (cpu->registers != context[0] || cpu->generation != now->generation)
		meet(cpu, context[0], now->generation);
	if (cpu->set == NO_SET) {
		if (number == NR_SECCOMP)
			enter_unmarked();
		return 0;
	}
	if (number >= 512)
		return enter_slowly(context);
	set = bpf_map_lookup_elem(&sets, &cpu->set);
	if (!set)
		return 0;
	if (is_surely_native((struct pt_regs *)context[0])) {
		if (set->native[(number / 64) & 7] & (1ull << (number % 64)))
			return 0;
	} else if (known_exactly(set, number)) {
		return 0;
	}
	return enter_slowly(context);
}

/* A thread that ends may leave its stack, and so the place of its registers, to a new one: forget it. Nothing is created
 * here: the run queue is locked, and an allocation may wake a task.
 */
SEC("tp_btf/sched_switch")
int on_switch(__u64 *context)
{
	__u32 zero = 0;
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (!cpu)
		return 0;
	cpu->registers = 0;
	return 0;
}

SEC("tp_btf/sched_process_fork")
int on_fork(__u64 *context)
{
	struct task_struct *child = (struct task_struct *)context[1];
	struct mark *mark = mark_of(bpf_get_current_task_btf()), *created;
	struct target *target;

	if (!mark)
		return 0;
	if (child->tgid != child->pid)
		return 0;	/* a thread shares its leader's mark */
	created = bpf_task_storage_get(&marks, child, mark, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!created)
		created = bpf_task_storage_get(&marks, child, 0, 0);	/* somebody listed it, and was first */
	if (created) {
		created->flags &= ~FLAG_INIT;
		return 0;
	}
	target = bpf_map_lookup_elem(&targets, &mark->target);
	if (target)
		__sync_fetch_and_add(&target->lost_calls, 1);
	return 0;
}

/* The last thread of a process exits, its namespaces are not yet given back (do_exit). */
SEC("tp_btf/sched_process_exit")
int on_end(__u64 *context)
{
	struct task_struct *task = (struct task_struct *)context[0];
	struct mark *mark = mark_of(task);
	struct target *target;

	if (!mark || !(mark->flags & FLAG_INIT) || task->signal->live.counter)
		return 0;
	target = bpf_map_lookup_elem(&targets, &mark->target);
	if (target)
		target->ended = 1;
	return 0;
}

SEC("tp_btf/sched_process_exec")
int on_exec(__u64 *context)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct linux_binprm *binprm = (struct linux_binprm *)context[2];
	struct mark *mark = mark_of(task);
	__u32 zero = 0;
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	struct name_key *key;
	struct target *target;
	bool joined = !mark;

	if (joined)
		mark = join(task, true);
	if (!mark || !cpu)
		return 0;
	cpu->registers = 0;
	target = bpf_map_lookup_elem(&targets, &mark->target);
	if (!target)
		return 0;
	if (!(mark->flags & FLAG_APP)) {
		/* Unconfined, only the init's exec starts the application: hooks of the container exec before it. */
		if (mark->flags & FLAG_UNCONFINED ? joined || mark->flags & FLAG_INIT :
						    filters_of(task) > mark->base_filters) {
			mark->flags |= FLAG_APP;
			enter_set(mark, 0, set_of_target(target));
		}
	}
	key = bpf_map_lookup_elem(&scratch, &zero);
	if (!key)
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	key->target = mark->target;
	key->kind = NAME_EXECUTABLE;
	bpf_probe_read_kernel_str(key->text, sizeof(key->text), BPF_CORE_READ(binprm, filename));
	mark->executable = name_of(key, target);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
