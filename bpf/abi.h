/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What differs between processors: which table a call's number belongs to, and where its arguments are. */
#ifndef SECLUDE_ABI_H
#define SECLUDE_ABI_H

#if defined(__TARGET_ARCH_x86)

#define TS_COMPAT 0x0002		/* arch/x86/include/asm/thread_info.h: a call through the 32-bit entry */
#define X32_BIT 0x40000000u		/* __X32_SYSCALL_BIT */
#define ABI_NATIVE ABI_X86_64
#define NR_SECCOMP 317

static __always_inline bool is_compat(struct task_struct *task)
{
	return task->thread_info.status & TS_COMPAT;
}

/* True only for a call of the 64-bit table, judged without the task: entry_SYSCALL_64 leaves the return address in
 * rcx, which neither int $0x80 nor sysenter does. A program that forges it hides its own 32-bit calls only.
 * False (FRED, a ptracer that changed registers) means: ask is_compat.
 */
static __always_inline bool is_surely_native(struct pt_regs *regs)
{
	return regs->cx == regs->ip;
}

static __always_inline __u32 abi_of(bool compat, __u32 number)
{
	if (compat)
		return ABI_X86;
	/* -1 has every bit set and is no x32 call. */
	return (number & X32_BIT) && !(number & 0x80000000u) ? ABI_X32 : ABI_X86_64;
}

static __always_inline bool is_exec(__u32 abi, __u32 slot)
{
	return abi == ABI_X86 ? slot == 11 || slot == 358 :
	       abi == ABI_X32 ? slot == 520 || slot == 545 : slot == 59 || slot == 322;
}

static __always_inline bool is_prctl(__u32 abi, __u32 slot)
{
	return slot == (abi == ABI_X86 ? 172 : 157);
}

static __always_inline __u32 slot_of(__u32 abi, __u32 number)
{
	return abi == ABI_X32 ? number & ~X32_BIT : number;
}

static __always_inline void arguments_of(struct pt_regs *regs, __u32 abi, __u64 *out)
{
	if (abi == ABI_X86) {
		out[0] = (__u32)regs->bx;
		out[1] = (__u32)regs->cx;
		out[2] = (__u32)regs->dx;
		out[3] = (__u32)regs->si;
		out[4] = (__u32)regs->di;
		out[5] = (__u32)regs->bp;
		return;
	}
	out[0] = regs->di;
	out[1] = regs->si;
	out[2] = regs->dx;
	out[3] = regs->r10;
	out[4] = regs->r8;
	out[5] = regs->r9;
}

static __always_inline __u32 number_at_exit(struct pt_regs *regs)
{
	return (__u32)regs->orig_ax;
}

static __always_inline __u64 instruction_of(struct pt_regs *regs)
{
	return regs->ip;
}

static __always_inline __u64 stack_of(struct pt_regs *regs)
{
	return regs->sp;
}

#else /* arm64 */

#define TIF_32BIT 22			/* arch/arm64/include/asm/thread_info.h */
#define PSR_MODE32_BIT 0x10		/* arch/arm64/include/uapi/asm/ptrace.h */
#define ARM_PRIVATE 0x0f0000u		/* __ARM_NR_BASE: breakpoint, cacheflush, ... set_tls */
#define ABI_NATIVE ABI_AARCH64
#define NR_SECCOMP 277

static __always_inline bool is_compat(struct task_struct *task)
{
	return task->thread_info.flags & (1ul << TIF_32BIT);
}

static __always_inline bool is_surely_native(struct pt_regs *regs)
{
	return !(regs->pstate & PSR_MODE32_BIT);
}

static __always_inline __u32 abi_of(bool compat, __u32 number)
{
	return compat ? ABI_ARM : ABI_AARCH64;
}

static __always_inline bool is_exec(__u32 abi, __u32 slot)
{
	return abi == ABI_ARM ? slot == 11 || slot == 387 : slot == 221 || slot == 281;
}

static __always_inline bool is_prctl(__u32 abi, __u32 slot)
{
	return slot == (abi == ABI_ARM ? 172 : 167);
}

/* The private calls of 32-bit ARM get the slots after 511 (trace/layout.py undoes it). */
static __always_inline __u32 slot_of(__u32 abi, __u32 number)
{
	if (abi == ABI_ARM && number >= ARM_PRIVATE && number < ARM_PRIVATE + 16)
		return 512 + number - ARM_PRIVATE;
	return number;
}

static __always_inline void arguments_of(struct pt_regs *regs, __u32 abi, __u64 *out)
{
	out[0] = regs->orig_x0;
	out[1] = regs->regs[1];
	out[2] = regs->regs[2];
	out[3] = regs->regs[3];
	out[4] = regs->regs[4];
	out[5] = regs->regs[5];
}

static __always_inline __u32 number_at_exit(struct pt_regs *regs)
{
	return (__u32)regs->syscallno;
}

static __always_inline __u64 instruction_of(struct pt_regs *regs)
{
	return regs->pc;
}

/* Where a return address may lie: on arm64 it is in the link register, which is no place in memory. */
static __always_inline __u64 stack_of(struct pt_regs *regs)
{
	return 0;
}

#endif
#endif
