/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The maps that the recorder and the denial watch share: who is recorded, and what of. */
#ifndef SECLUDE_MAPS_H
#define SECLUDE_MAPS_H

#define HASH(name, key_type, value_type, entries)				\
	struct {								\
		__uint(type, BPF_MAP_TYPE_HASH);				\
		__uint(map_flags, BPF_F_NO_PREALLOC);				\
		__uint(max_entries, entries);					\
		__type(key, key_type);						\
		__type(value, value_type);					\
	} name SEC(".maps")

struct { __uint(type, BPF_MAP_TYPE_TASK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC); __type(key, int); __type(value, struct mark); } marks SEC(".maps");
HASH(targets, __u32, struct target, MAX_TARGETS);

/* Whether a thread-group leader can have a mark at all: a load spares everybody else the helper call. */
static __always_inline bool has_storage(struct task_struct *leader)
{
	return !bpf_core_field_exists(leader->bpf_storage) || leader->bpf_storage;
}

/* Each load of a pointer from a task costs half a millisecond when the programs are loaded, every time that the
 * verifier comes by: it looks for types that say whether the pointer can be trusted. So load once, and early.
 */
static __always_inline struct mark *mark_of(struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	return has_storage(leader) ? bpf_task_storage_get(&marks, leader, 0, 0) : 0;
}

#endif
