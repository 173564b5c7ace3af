/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the kernel tells of a task's membership: the filters that it has, and whose namespaces it is in. */
#ifndef SECLUDE_MEMBERS_H
#define SECLUDE_MEMBERS_H

HASH(namespaces, struct namespace_key, __u32, 2 * MAX_TARGETS);

/* Since c818c03b661c (Linux 5.11) a task knows how many filters it has; before, only whether it has any. */
static __always_inline __u32 filters_of(struct task_struct *task)
{
	if (task->seccomp.mode != SECCOMP_MODE_FILTER)
		return 0;
	if (bpf_core_field_exists(task->seccomp.filter_count))
		return task->seccomp.filter_count.counter;
	return 1;
}

/* Which target an unmarked task belongs to that came in from outside (`podman exec`); 0 if none. */
static __always_inline __u32 target_by_namespace(struct task_struct *task)
{
	struct namespace_key key = { .kind = NAMESPACE_MNT, .inum = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum) };
	__u32 *id = bpf_map_lookup_elem(&namespaces, &key);
	__u32 mnt = key.inum, level;
	struct pid_namespace *ns;
	struct pid *pid;
	int i;

	if (id)
		return *id;
	/* The container's init may have unshared its mount namespace since. A task in its pid namespace is the
	 * container's only if it shares the init's mount namespace: other containers may share the pid namespace.
	 */
	pid = BPF_CORE_READ(task, thread_pid);
	level = BPF_CORE_READ(pid, level);
	if (!pid || !level || level > 32)
		return 0;
	ns = BPF_CORE_READ((struct upid *)((void *)pid + bpf_core_field_offset(pid->numbers) +
					   level * bpf_core_type_size(struct upid)), ns);
	if (BPF_CORE_READ(ns, child_reaper, nsproxy, mnt_ns, ns.inum) != mnt)
		return 0;
	key.kind = NAMESPACE_PID;
	for (i = 0; i < 8 && ns; i++) {
		key.inum = BPF_CORE_READ(ns, ns.inum);
		id = bpf_map_lookup_elem(&namespaces, &key);
		if (id)
			return *id;
		ns = BPF_CORE_READ(ns, parent);
	}
	return 0;
}

#endif
