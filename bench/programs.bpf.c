// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// What the recorder is measured against: programs that do nothing, where its own are attached.
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

SEC("tp_btf/sys_enter")
int empty_enter(__u64 *context)
{
	return 0;
}

SEC("tp_btf/sys_exit")
int empty_exit(__u64 *context)
{
	return 0;
}

SEC("tp_btf/sched_switch")
int empty_switch(__u64 *context)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
