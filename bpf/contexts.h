/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Names of contexts and executables, and how a process enters a context: for the recorder, and for the denial watch where
 * the marker itself is refused.
 */
#ifndef SECLUDE_CONTEXTS_H
#define SECLUDE_CONTEXTS_H

struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct meta); } meta SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u32); } sets_used SEC(".maps");
HASH(names, struct name_key, struct name, MAX_NAMES);
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct cpu); } cpus SEC(".maps");

/* A name does not fit the 512 bytes of stack; the programs run with preemption off, so one for each CPU will do. */
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct name_key); } scratch SEC(".maps");

/* Takes one place of a target's quota; false where there is none left. */
static __always_inline bool take(__u32 *used, __u32 limit)
{
	if (*(volatile __u32 *)used >= limit)
		return false;
	if (__sync_fetch_and_add(used, 1) < limit)
		return true;
	__sync_fetch_and_add(used, -1);
	return false;
}

/* A fresh set, or the one that has every call looked at where there is no more. */
static __always_inline __u32 new_set(void)
{
	__u32 set, zero = 0, *used = bpf_map_lookup_elem(&sets_used, &zero);

	if (!used || *(volatile __u32 *)used >= MAX_SETS)
		return SLOW_SET;
	set = __sync_fetch_and_add(used, 1) + SLOW_SET + 1;
	return set < MAX_SETS ? set : SLOW_SET;
}

/* The id and set of the name in `key`, given out on first sight; NAME_OVERFLOW beyond the limits. */
static __noinline __u64 name_of(struct name_key *key, struct target *target)
{
	struct name *known, name = { .id = NAME_OVERFLOW, .set = SLOW_SET };
	bool context;

	if (!key || !target)
		goto overflow;
	context = key->kind == NAME_CONTEXT;
	known = bpf_map_lookup_elem(&names, key);
	if (!known) {
		if (!take(context ? &target->contexts : &target->executables,
			  context ? TARGET_CONTEXTS : TARGET_EXECUTABLES))
			goto lost;
		name.id = __sync_fetch_and_add(&target->last_name, 1) + 1;
		if (context)
			name.set = new_set();
		if (!bpf_map_update_elem(&names, key, &name, BPF_NOEXIST))
			return ((__u64)name.set << 32) | name.id;
		known = bpf_map_lookup_elem(&names, key);	/* another CPU was first */
		if (!known)
			goto lost;
	}
	return ((__u64)known->set << 32) | known->id;
lost:
	__sync_fetch_and_add(context ? &target->lost_contexts : &target->lost_executables, 1);
overflow:
	return ((__u64)SLOW_SET << 32) | NAME_OVERFLOW;
}

/* The mark has changed: the thread's next call looks at it again. */
static __always_inline void look_again(void)
{
	__u32 zero = 0;
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu)
		cpu->registers = 0;
}

/* Calls in this context are the application's from here on, or of another context: ask another set. */
static __always_inline void enter_set(struct mark *mark, __u32 context, __u32 set)
{
	if (!(mark->flags & FLAG_APP) || mark->flags & FLAG_COUNTS)
		set = SLOW_SET;
	*(volatile __u64 *)&mark->context = ((__u64)set << 32) | context;
	look_again();
}

static __always_inline __u32 set_of_target(struct target *target)
{
	if (!target->set)
		target->set = new_set();
	return target->set;
}

static __always_inline void enter_context(struct mark *mark, struct target *target, const void *text)
{
	__u32 zero = 0;
	struct name_key *key = bpf_map_lookup_elem(&scratch, &zero);
	__u64 name;
	long length;

	if (!key)
		return;
	__builtin_memset(key, 0, sizeof(*key));
	key->target = mark->target;
	key->kind = NAME_CONTEXT;
	length = bpf_probe_read_user_str(key->text, sizeof(key->text), text);
	if (length < 0) {
		__sync_fetch_and_add(&target->lost_markers, 1);
		return;
	}
	/* The empty name leads back to where no context is. */
	if (length <= 1) {
		enter_set(mark, 0, set_of_target(target));
		return;
	}
	name = name_of(key, target);
	enter_set(mark, (__u32)name, name >> 32);
}

#endif
