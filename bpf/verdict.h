/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the seccomp filters of a task say of a call: the classic BPF programs, run once more.
 *
 * A filter's answer depends on nothing but struct seccomp_data, so it can be had again at the call's exit. The kernel
 * keeps the programs as they were installed with CONFIG_CHECKPOINT_RESTORE (kernel/seccomp.c, seccomp_prepare_filter).
 */
#ifndef SECLUDE_VERDICT_H
#define SECLUDE_VERDICT_H

/* include/uapi/linux/filter.h, bpf_common.h */
struct sock_filter { __u16 code; __u8 jt; __u8 jf; __u32 k; };
#define BPF_CLASS(code) ((code) & 0x07)
enum { CLASS_LD, CLASS_LDX, CLASS_ST, CLASS_STX, CLASS_ALU, CLASS_JMP, CLASS_RET, CLASS_MISC };
enum { MODE_IMM = 0x00, MODE_ABS = 0x20, MODE_MEM = 0x60, MODE_LEN = 0x80 };
enum { SOURCE_X = 0x08 };

/* include/uapi/linux/seccomp.h */
#define RET_KILL_PROCESS 0x80000000u
#define RET_KILL_THREAD 0x00000000u
#define RET_TRAP 0x00030000u
#define RET_ERRNO 0x00050000u
#define RET_TRACE 0x7ff00000u
#define RET_LOG 0x7ffc0000u
#define RET_ALLOW 0x7fff0000u
#define RET_ACTION_FULL 0xffff0000u
#define RET_DATA 0x0000ffffu
#define MAX_ERRNO 4095
#define DATA_WORDS 16		/* struct seccomp_data: 64 bytes */

struct machine {
	__u32 data[DATA_WORDS];
	__u32 memory[16];
	__u64 filter;		/* struct seccomp_filter *, the next older one */
	__u64 code;		/* struct sock_filter * */
	__u32 length;
	__u32 pc;
	__u32 a;
	__u32 x;
	__u32 verdict;
	__u32 failed;
};

/* Turns to the next filter; false where there is none left, or one that cannot be read. */
static __always_inline bool next_filter(struct machine *machine)
{
	struct seccomp_filter *filter = (void *)machine->filter;
	struct sock_fprog_kern *program;

	if (!filter)
		return false;
	program = BPF_CORE_READ(filter, prog, orig_prog);
	machine->code = (__u64)BPF_CORE_READ(program, filter);
	machine->length = BPF_CORE_READ(program, len);
	machine->filter = (__u64)BPF_CORE_READ(filter, prev);
	machine->pc = machine->a = machine->x = 0;
	machine->failed = !machine->code;
	return !machine->failed;
}

/* The strictest answer counts, of equal ones the newest filter's (seccomp_run_filters). */
static __always_inline bool answer(struct machine *machine, __u32 value)
{
	if ((__s32)(value & RET_ACTION_FULL) < (__s32)(machine->verdict & RET_ACTION_FULL))
		machine->verdict = value;
	return next_filter(machine);
}

static __always_inline __u32 compute(__u32 operation, __u32 a, __u32 b)
{
	switch (operation) {
	case 0x00: return a + b;
	case 0x10: return a - b;
	case 0x20: return a * b;
	case 0x30: return b ? a / b : 0;
	case 0x40: return a | b;
	case 0x50: return a & b;
	case 0x60: return a << (b & 31);
	case 0x70: return a >> (b & 31);
	case 0x80: return -a;
	case 0x90: return b ? a % b : 0;
	default: return a ^ b;
	}
}

static __always_inline bool holds(__u32 operation, __u32 a, __u32 b)
{
	switch (operation) {
	case 0x10: return a == b;
	case 0x20: return a > b;
	case 0x30: return a >= b;
	default: return a & b;
	}
}

static __always_inline __u32 loaded(struct machine *machine, __u32 mode, __u32 k)
{
	switch (mode) {
	case MODE_ABS: return machine->data[(k / 4) & 15];
	case MODE_MEM: return machine->memory[k & 15];
	case MODE_LEN: return 4 * DATA_WORDS;
	default: return k;
	}
}

/* One instruction; 1 ends the loop. */
static long step(__u32 index, struct machine **place)
{
	struct machine *machine = *place;
	struct sock_filter at;
	__u32 operand;

	if (!machine)
		return 1;
	if (machine->pc >= machine->length ||
	    bpf_probe_read_kernel(&at, sizeof(at), (void *)(machine->code + 8ull * machine->pc))) {
		machine->failed = 1;
		return 1;
	}
	machine->pc++;
	operand = at.code & SOURCE_X ? machine->x : at.k;
	switch (BPF_CLASS(at.code)) {
	case CLASS_LD:
		machine->a = loaded(machine, at.code & 0xe0, at.k);
		return 0;
	case CLASS_LDX:
		machine->x = loaded(machine, at.code & 0xe0, at.k);
		return 0;
	case CLASS_ST:
		machine->memory[at.k & 15] = machine->a;
		return 0;
	case CLASS_STX:
		machine->memory[at.k & 15] = machine->x;
		return 0;
	case CLASS_ALU:
		machine->a = compute(at.code & 0xf0, machine->a, operand);
		return 0;
	case CLASS_JMP:
		if (!(at.code & 0xf0))
			machine->pc += at.k;
		else
			machine->pc += holds(at.code & 0xf0, machine->a, operand) ? at.jt : at.jf;
		return 0;
	case CLASS_RET:
		return !answer(machine, at.code & 0x10 ? machine->a : at.k);
	default:
		if (at.code & 0x80)
			machine->a = machine->x;	/* TXA */
		else
			machine->x = machine->a;
		return 0;
	}
}

/* Runs the filters over machine->data, the newest first, into machine->verdict; false if they cannot be read. */
static __always_inline bool judge(struct machine *machine, struct seccomp_filter *newest)
{
	machine->verdict = RET_ALLOW;
	machine->filter = (__u64)newest;
	if (!next_filter(machine))
		return false;
	bpf_loop(MAX_FILTER_STEPS, step, &machine, 0);
	return !machine->failed;
}

#endif
